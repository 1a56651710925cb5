package verify

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// fetchTimeout bounds one reading of the provider's documents.
	fetchTimeout = 3 * time.Second
	// retryFirst is how soon a provider is asked again while there is no key at all.
	retryFirst = time.Second
)

// keys is the provider's keys as last read, and when to read them again.
type keys struct {
	provider *provider
	interval time.Duration
	now      func() time.Time
	log      *slog.Logger

	set atomic.Pointer[keySet] // nil until the first success

	mu        sync.Mutex
	reading   chan struct{} // closed when the reading under way is done; nil where none is
	attempted time.Time     // when the last reading began
	err       error         // of the last reading
}

// A keySet is one reading of the provider's keys; it never changes.
type keySet struct {
	byID  map[string]publicKey
	fresh time.Time // until then nothing is fetched
	late  time.Time // until then nobody waits for the next reading
}

// key is safe on no set at all.
func (s *keySet) key(kid string) (publicKey, bool) {
	if s == nil {
		return publicKey{}, false
	}
	key, ok := s.byID[kid]
	return key, ok
}

func newKeys(p *provider, c Config) *keys {
	return &keys{
		provider: p, now: c.Now, log: c.Log,
		interval: max(cmp.Or(c.RefetchInterval, 10*time.Second), time.Second),
	}
}

// find returns the key with this id, after another look at the provider where
// one is due.
func (k *keys) find(ctx context.Context, kid string) (publicKey, error) {
	set, now := k.set.Load(), k.now()
	if key, ok := set.key(kid); ok && now.Before(set.fresh) {
		return key, nil
	}
	if done := k.look(kid, now); done != nil {
		select {
		case <-done:
		case <-ctx.Done():
			return publicKey{}, &Error{Check: ErrUnavailable, Detail: "gave up waiting for the provider's keys", Err: ctx.Err()}
		}
	}
	set = k.set.Load()
	if set == nil {
		return publicKey{}, &Error{Check: ErrUnavailable, Detail: "no keys yet", Err: k.lastError()}
	}
	if key, ok := set.key(kid); ok {
		return key, nil
	}
	return publicKey{}, &Error{Check: ErrUnknownKey, Detail: "kid " + quote(kid), Err: k.lastError()}
}

// look starts a reading where one is due. It returns what to wait for: nil where
// there is nothing, or where the keys at hand will do meanwhile.
func (k *keys) look(kid string, now time.Time) <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	set := k.set.Load()
	_, known := set.key(kid)
	if k.reading == nil && k.due(set, known, now) {
		k.reading, k.attempted = make(chan struct{}), now
		go k.read(k.reading, now)
	}
	// A key withdrawn long ago must not be accepted once more by a service that
	// was idle since; but a provider that is away holds up nobody.
	if known && (now.Before(set.late) || k.err != nil) {
		return nil
	}
	return k.reading
}

// due decides whether the provider may be asked now.
func (k *keys) due(set *keySet, known bool, now time.Time) bool {
	since := now.Sub(k.attempted)
	switch {
	case set == nil:
		return k.attempted.IsZero() || since >= retryFirst
	case k.err == nil && !now.Before(set.fresh):
		return true
	case known && now.Before(set.fresh): // read since this was asked
		return false
	}
	return since >= k.interval
}

// read is not bound to the context of whoever came first: others wait for it too.
func (k *keys) read(done chan struct{}, now time.Time) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	set, err := k.provider.read(ctx, now)
	if err != nil {
		k.log.Warn("cannot read the provider's keys", "issuer", k.provider.issuer, "error", err, "have_keys", k.set.Load() != nil)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil {
		k.set.Store(set)
	}
	k.err, k.reading = err, nil
	close(done)
}

func (k *keys) lastError() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.err
}
