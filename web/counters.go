package web

import (
	"context"
	"sync"
	"time"

	"gatehouse/storage"
)

// maxCounters bounds what a stranger with many networks can make us remember.
const maxCounters = 100_000

// Counters are storage.Limits within this process, for one that has its
// database to itself: the door asks at every authorization request, and need
// not write to the disk each time. They begin anew with the process, so guesses
// are not counted here.
type Counters struct {
	now func() time.Time

	mu  sync.Mutex
	tat map[string]time.Time // by key: when the whole burst will be there again
}

// NewCounters returns counters that have counted nothing. now is time.Now by default.
func NewCounters(now func() time.Time) *Counters {
	if now == nil {
		now = time.Now
	}
	return &Counters{now: now, tat: make(map[string]time.Time)}
}

var _ storage.Limits = (*Counters)(nil)

// Allow is GCRA, as the database does it.
func (c *Counters) Allow(_ context.Context, key string, rate storage.Rate) (storage.Decision, error) {
	if rate.Every <= 0 {
		return storage.Decision{Allowed: true}, nil
	}
	every := max(rate.Every, time.Microsecond)
	whole := every * time.Duration(max(rate.Burst, 1))
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	used := max(c.tat[key].Sub(now), 0)
	if used+every > whole {
		return storage.Decision{RetryAfter: used + every - whole, ResetAfter: used}, nil
	}
	if _, known := c.tat[key]; !known {
		c.makeRoom(now)
	}
	used += every
	c.tat[key] = now.Add(used)
	return storage.Decision{Allowed: true, Remaining: int((whole - used) / every), ResetAfter: used}, nil
}

// makeRoom forgets what is over, and, where nothing is, everything: memory is
// bounded before counts are right.
func (c *Counters) makeRoom(now time.Time) {
	if len(c.tat) < maxCounters {
		return
	}
	for key, tat := range c.tat {
		if !tat.After(now) {
			delete(c.tat, key)
		}
	}
	if len(c.tat) >= maxCounters {
		clear(c.tat)
	}
}

// Refund gives one act back.
func (c *Counters) Refund(_ context.Context, key string, rate storage.Rate) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if tat, known := c.tat[key]; known {
		c.tat[key] = tat.Add(-rate.Every)
	}
	return nil
}
