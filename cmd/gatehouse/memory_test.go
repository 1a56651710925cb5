package main

import (
	"runtime"
	"testing"
)

func TestMemoryIsGivenBackInAQuietMoment(t *testing.T) {
	var m memory
	m.look()
	m.look() // the floor of this process
	work := make([]byte, 64<<20)
	for i := 0; i < len(work); i += 4096 {
		work[i] = 1
	}
	_, busy := readMemory()
	runtime.KeepAlive(work)

	m.look()
	if _, held := readMemory(); held+32<<20 < busy {
		t.Errorf("%d of %d bytes were given back while the process was busy", busy-held, busy)
	}
	m.look()
	if _, held := readMemory(); held+32<<20 > busy {
		t.Errorf("%d of %d bytes are still held in the quiet after", held, busy)
	}
}
