package jwks

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"
)

// A Fetcher fetches documents from elsewhere, with all the care that needs.
type Fetcher interface {
	// Get returns a document and for how long it may be kept.
	Get(ctx context.Context, address, accept string) (body []byte, fresh time.Duration, err error)
}

const (
	keptAtLeast = time.Minute
	keptAtMost  = time.Hour
	// An unknown kid makes us fetch again, and no more often than this.
	refetchEvery = 10 * time.Second
	// maxSets is how many addresses are remembered.
	maxSets = 10_000
)

// A Keeper keeps the keys behind addresses.
type Keeper struct {
	fetch  Fetcher
	now    func() time.Time
	flight singleflight.Group

	mu   sync.Mutex
	sets map[string]*kept
}

type kept struct {
	keys    *jose.JSONWebKeySet // nil: the last fetch failed, and there was none before
	tried   time.Time
	expires time.Time
}

// NewKeeper returns a keeper that fetches by f; nil: nothing is fetched.
func NewKeeper(f Fetcher, now func() time.Time) *Keeper {
	return &Keeper{fetch: f, now: now, sets: make(map[string]*kept)}
}

// Find returns the keys at address that Fitting allows. They are fetched again
// where the kid is unknown.
func (f *Keeper) Find(ctx context.Context, address, kid, algorithm string) ([]jose.JSONWebKey, error) {
	set := f.kept(address)
	now := f.now()
	if set != nil && set.keys != nil && now.Before(set.expires) {
		if fit := Fitting(set.keys, kid, algorithm); len(fit) > 0 {
			return fit, nil
		}
	}
	if set == nil || !now.Before(set.tried.Add(refetchEvery)) {
		if err := f.refetch(ctx, address); err != nil {
			return nil, err
		}
		set = f.kept(address)
	}
	if set == nil || set.keys == nil || !f.now().Before(set.expires) {
		// Keys whose time is over may have been taken back.
		return nil, errors.New("the keys could not be fetched a moment ago")
	}
	return Fitting(set.keys, kid, algorithm), nil
}

func (f *Keeper) kept(address string) *kept {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sets[address]
}

// refetch reads the keys anew, once for all who wait. What was kept stays
// where that fails.
func (f *Keeper) refetch(ctx context.Context, address string) error {
	_, err, _ := f.flight.Do(address, func() (any, error) {
		next := &kept{tried: f.now()}
		body, fresh, err := f.get(ctx, address)
		if err == nil {
			next.keys, err = Parse(body)
		}
		next.expires = next.tried.Add(min(max(fresh, keptAtLeast), keptAtMost))
		f.mu.Lock()
		defer f.mu.Unlock()
		if before := f.sets[address]; err != nil && before != nil {
			next.keys, next.expires = before.keys, before.expires
		}
		if len(f.sets) >= maxSets {
			clear(f.sets)
		}
		f.sets[address] = next
		return nil, err
	})
	if err != nil {
		return fmt.Errorf("fetch the keys: %w", err)
	}
	return nil
}

func (f *Keeper) get(ctx context.Context, address string) ([]byte, time.Duration, error) {
	if f.fetch == nil {
		return nil, 0, errors.New("nothing is fetched from elsewhere here")
	}
	// Others wait for this too: it does not end with the request that began it.
	return f.fetch.Get(context.WithoutCancel(ctx), address, "application/jwk-set+json, application/json")
}
