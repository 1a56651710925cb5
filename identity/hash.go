package identity

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/alexedwards/argon2id"
	"golang.org/x/crypto/argon2"
	"golang.org/x/sync/semaphore"
)

// HashCost is argon2id's cost, and how many hashes may run at once. A zero
// field is the default.
type HashCost struct {
	MemoryKiB   uint32 // default 19456
	Iterations  uint32 // default 2
	Parallelism uint8  // default 1
	AtOnce      int    // default the number of cores
	Queue       int    // how many more may wait; default 32
}

// Hashing costs memory and time that a stranger can ask for: beyond the queue
// the answer is "busy", at once.
const busyRetry = 2 * time.Second

// The largest parameters that a stored hash may ask us for; one imported with
// larger ones is refused rather than run.
const (
	maxMemoryKiB  = 256 << 10
	maxIterations = 16
)

// A hasher makes and checks argon2id hashes, a bounded number at a time.
type hasher struct {
	params *argon2id.Params
	slots  *semaphore.Weighted
	queue  int64
	inside atomic.Int64 // running and waiting
	atOnce int64
	// dummy is what unknown names are checked against, for the same work.
	dummy string
	// count counts the hashes computed; tests read it.
	count atomic.Int64
}

func newHasher(c HashCost) (*hasher, error) {
	params := &argon2id.Params{Memory: 19456, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}
	if c.MemoryKiB > 0 {
		params.Memory = c.MemoryKiB
	}
	if c.Iterations > 0 {
		params.Iterations = c.Iterations
	}
	if c.Parallelism > 0 {
		params.Parallelism = c.Parallelism
	}
	if c.AtOnce <= 0 {
		c.AtOnce = runtime.GOMAXPROCS(0)
	}
	if c.Queue <= 0 {
		c.Queue = 32
	}
	h := &hasher{params: params, slots: semaphore.NewWeighted(int64(c.AtOnce)), atOnce: int64(c.AtOnce), queue: int64(c.Queue)}
	h.dummy = nobodys(params)
	return h, nil
}

// nobodys is a hash that no password has. Its key is random instead of
// computed, which spares every start the time and the memory of a hash.
func nobodys(p *argon2id.Params) string {
	random := make([]byte, p.SaltLength+p.KeyLength)
	rand.Read(random) // never fails
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.Memory, p.Iterations, p.Parallelism,
		encode(random[:p.SaltLength]), encode(random[p.SaltLength:]))
}

// enter takes a slot, or a place in the queue and then a slot: *SlowDown where
// the queue is full.
func (h *hasher) enter(ctx context.Context) (leave func(), err error) {
	if h.inside.Add(1) > h.atOnce+h.queue {
		h.inside.Add(-1)
		return nil, &SlowDown{RetryAfter: busyRetry, Busy: true}
	}
	if err := h.slots.Acquire(ctx, 1); err != nil {
		h.inside.Add(-1)
		return nil, err
	}
	return func() {
		h.slots.Release(1)
		h.inside.Add(-1)
	}, nil
}

// make hashes a password. The caller holds a slot.
func (h *hasher) make(password string) (string, error) {
	h.count.Add(1)
	hash, err := argon2id.CreateHash(password, h.params)
	if err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	return hash, nil
}

// matches compares in constant time. The caller holds a slot. An empty hash is
// nobody's: the same work, and no match. stale: the hash was made with other
// parameters than today's.
func (h *hasher) matches(password, hash string) (ok, stale bool, err error) {
	h.count.Add(1)
	nobody := hash == ""
	if nobody {
		hash = h.dummy
	}
	params, _, _, err := argon2id.DecodeHash(hash)
	if err != nil {
		return false, false, fmt.Errorf("read the stored hash: %w", err)
	}
	if params.Memory > maxMemoryKiB || params.Iterations > maxIterations {
		return false, false, errors.New("the stored hash asks for more work than is allowed")
	}
	ok, err = argon2id.ComparePasswordAndHash(password, hash)
	if err != nil {
		return false, false, fmt.Errorf("check password: %w", err)
	}
	return ok && !nobody, *params != *h.params, nil
}
