package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// memoryLimit is soft: beyond it garbage is collected sooner.
const memoryLimit = 64 << 20

// useMemoryFreely collects garbage later than Go would by itself, up to a
// limit; GOGC and GOMEMLIMIT have the last word.
func useMemoryFreely() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
}

const (
	quietEvery = time.Second
	// quietBytes is how little is allocated in a second in which nobody is served.
	quietBytes = 1 << 20
	// worthBytes is how much must have come together to be given back.
	worthBytes = 6 << 20
)

// giveMemoryBack returns to the machine, in the first quiet second after a
// busy time, what that time took; a password hash alone takes 19 MiB. Go
// returns it too, minutes later.
func giveMemoryBack(ctx context.Context) error {
	var m memory
	tick := time.NewTicker(quietEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			m.look()
		}
	}
}

// A memory remembers what the last look saw, in bytes.
type memory struct{ allocated, floor uint64 }

// look gives memory back where the time since the last look was quiet, and
// there is more than after the last time.
func (m *memory) look() {
	allocated, held := readMemory()
	quiet := allocated-m.allocated < quietBytes
	if m.allocated = allocated; !quiet || held < m.floor+worthBytes {
		return
	}
	debug.FreeOSMemory()
	m.allocated, m.floor = readMemory()
}

// readMemory says how much was ever allocated, and how much Go holds of the machine's.
func readMemory() (allocated, held uint64) {
	s := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"}, {Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"},
	}
	metrics.Read(s)
	return s[0].Value.Uint64(), s[1].Value.Uint64() - s[2].Value.Uint64()
}
