package provider

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"

	"gatehouse/storage"
)

// A Fetcher fetches documents from elsewhere, with all the care that needs.
type Fetcher interface {
	// Get returns a document and for how long it may be kept.
	Get(ctx context.Context, address, accept string) (body []byte, fresh time.Duration, err error)
}

const (
	keysKeptAtLeast = time.Minute
	keysKeptAtMost  = time.Hour
	// An unknown kid makes us fetch again, and no more often than this.
	refetchEvery = 10 * time.Second
)

// fetchedKeys are the keys behind jwks_uris, kept by address.
type fetchedKeys struct {
	fetch  Fetcher
	now    func() time.Time
	flight singleflight.Group

	mu   sync.Mutex
	sets map[string]*fetchedSet
}

type fetchedSet struct {
	keys    *jose.JSONWebKeySet // nil: the last fetch failed, and there was none before
	tried   time.Time
	expires time.Time
}

func newFetchedKeys(f Fetcher, now func() time.Time) *fetchedKeys {
	return &fetchedKeys{fetch: f, now: now, sets: make(map[string]*fetchedSet)}
}

// clientKeys are the client's keys that may verify this signature: by value,
// or from its jwks_uri, which is read again where the kid is unknown.
func (p *Provider) clientKeys(ctx context.Context, c *storage.Client, kid, algorithm string) ([]jose.JSONWebKey, error) {
	if c.Metadata.JWKSURI == "" {
		set, err := parseKeys(c.Metadata.JWKS)
		if err != nil {
			return nil, err
		}
		return fitting(set, kid, algorithm), nil
	}
	return p.fetched.find(ctx, c.Metadata.JWKSURI, kid, algorithm)
}

func (f *fetchedKeys) find(ctx context.Context, address, kid, algorithm string) ([]jose.JSONWebKey, error) {
	kept := f.kept(address)
	now := f.now()
	if kept != nil && kept.keys != nil && now.Before(kept.expires) {
		if fit := fitting(kept.keys, kid, algorithm); len(fit) > 0 {
			return fit, nil
		}
	}
	if kept == nil || !now.Before(kept.tried.Add(refetchEvery)) {
		if err := f.refetch(ctx, address); err != nil {
			return nil, err
		}
		kept = f.kept(address)
	}
	if kept == nil || kept.keys == nil || !f.now().Before(kept.expires) {
		// Keys whose time is over may have been taken back.
		return nil, errors.New("jwks_uri did not answer a moment ago")
	}
	return fitting(kept.keys, kid, algorithm), nil
}

func (f *fetchedKeys) kept(address string) *fetchedSet {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sets[address]
}

// refetch reads the keys anew, once for all who wait. What was kept stays
// where that fails.
func (f *fetchedKeys) refetch(ctx context.Context, address string) error {
	_, err, _ := f.flight.Do(address, func() (any, error) {
		next := &fetchedSet{tried: f.now()}
		body, fresh, err := f.get(ctx, address)
		if err == nil {
			next.keys, err = parseKeys(body)
		}
		next.expires = next.tried.Add(min(max(fresh, keysKeptAtLeast), keysKeptAtMost))
		f.mu.Lock()
		defer f.mu.Unlock()
		if before := f.sets[address]; err != nil && before != nil {
			next.keys, next.expires = before.keys, before.expires
		}
		if len(f.sets) >= maxRemembered {
			clear(f.sets)
		}
		f.sets[address] = next
		return nil, err
	})
	if err != nil {
		return fmt.Errorf("read jwks_uri: %w", err)
	}
	return nil
}

func (f *fetchedKeys) get(ctx context.Context, address string) ([]byte, time.Duration, error) {
	if f.fetch == nil {
		return nil, 0, errors.New("nothing is fetched from elsewhere here")
	}
	// Others wait for this too: it does not end with the request that began it.
	return f.fetch.Get(context.WithoutCancel(ctx), address, "application/jwk-set+json, application/json")
}
