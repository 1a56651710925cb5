package storage

import (
	"context"
	"time"
)

// A Rate allows Burst acts at once (0 counts as 1) and one more each Every.
// Where Every is zero there is no limit; the shortest is a microsecond.
type Rate struct {
	Burst int
	Every time.Duration
}

// Decision is the answer to one act.
type Decision struct {
	Allowed    bool
	Remaining  int
	RetryAfter time.Duration // until the next act is allowed; zero where this one is
	ResetAfter time.Duration // until the whole burst is there again
}

// Limits says whether one more act under key is within rate, and when the next
// will be. One atomic step (GCRA), by the clock of the server that counts.
type Limits interface {
	Allow(ctx context.Context, key string, rate Rate) (Decision, error)
	// Refund gives one act back: it turned out to be one that is not counted.
	Refund(ctx context.Context, key string, rate Rate) error
}
