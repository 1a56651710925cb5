package keys

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"

	"gatehouse/storage"
)

// ErrNotActive: no key of this algorithm signs now.
var ErrNotActive = errors.New("no active key of this algorithm")

// Config is what a Ring is made from.
type Config struct {
	Store      storage.Keys
	Changes    storage.Changes
	Master     *Master
	Timetable  Timetable
	JWKSMaxAge time.Duration    // of the Cache-Control of the JWKS
	Reread     time.Duration    // how often the change counter is read; default 1 s
	Now        func() time.Time // default time.Now
	Log        *slog.Logger
}

// A Ring is the signing keys of all algorithms as this node knows them.
type Ring struct {
	Config
	reading  sync.Mutex // one reread at a time
	snapshot atomic.Pointer[snapshot]
}

// A snapshot is the ring at one reading of the rows. Which of its keys signs
// is asked of the clock at each use, so that no tick is needed to move on.
type snapshot struct {
	counter  int64
	rows     []*storage.SigningKey
	byKid    map[string]*loaded
	byAlg    map[string][]*storage.SigningKey // by generation
	jwks     []byte
	changeAt time.Time // when jwks has to be made anew
}

// NewRing returns a ring that knows nothing yet; Start loads it.
func NewRing(c Config) *Ring {
	c.Reread = cmp.Or(c.Reread, time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	r := &Ring{Config: c}
	r.snapshot.Store(&snapshot{})
	return r
}

// Start loads the keys and makes the first RS256 and ES256 ones where there
// are none. It refuses keys that do not open under the master key, or do not
// sign and verify a probe.
func (r *Ring) Start(ctx context.Context) error {
	if err := r.read(ctx); err != nil {
		return err
	}
	return r.plan(ctx, RS256, ES256)
}

// Check opens every key that is there, as Start does, and makes none.
func (r *Ring) Check(ctx context.Context) error { return r.read(ctx) }

// Run makes the other algorithms' keys, rereads and rotates until ctx ends.
func (r *Ring) Run(ctx context.Context) error {
	tick := time.NewTicker(r.Reread)
	defer tick.Stop()
	for {
		if err := r.keepUp(ctx); err != nil && ctx.Err() == nil {
			// The keys known so far go on: what they signed must verify.
			r.Log.ErrorContext(ctx, "signing keys", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// keepUpWithin is the time for it all: a database that says no word must not keep
// a node from learning later that a key was retired.
const keepUpWithin = 30 * time.Second

// keepUp does what a moment asks for: reread what changed, make what is due,
// remove what is gone.
func (r *Ring) keepUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, keepUpWithin)
	defer cancel()
	counters, err := r.Changes.Read(ctx)
	if err != nil {
		return fmt.Errorf("read the change counters: %w", err)
	}
	now := r.Now()
	s := r.snapshot.Load()
	if counters[storage.KeysChanged] != s.counter || (!s.changeAt.IsZero() && !now.Before(s.changeAt)) {
		if err := r.read(ctx); err != nil {
			return err
		}
	}
	if err := r.plan(ctx, Algorithms...); err != nil {
		return err
	}
	return r.remove(ctx)
}

// read loads the rows into a new snapshot. Keys that were loaded before are
// not opened again.
func (r *Ring) read(ctx context.Context) error {
	r.reading.Lock()
	defer r.reading.Unlock()
	counters, err := r.Changes.Read(ctx)
	if err != nil {
		return fmt.Errorf("read the change counters: %w", err)
	}
	rows, err := r.Store.List(ctx)
	if err != nil {
		return fmt.Errorf("read the signing keys: %w", err)
	}
	known := r.snapshot.Load().byKid
	s := &snapshot{counter: counters[storage.KeysChanged], rows: rows, byKid: make(map[string]*loaded), byAlg: make(map[string][]*storage.SigningKey)}
	for _, row := range rows {
		l := known[row.ID]
		if l == nil {
			if l, err = load(r.Master, row); err != nil {
				return err
			}
		}
		s.byKid[row.ID] = l
		s.byAlg[row.Algorithm] = append(s.byAlg[row.Algorithm], row)
	}
	if err := s.publish(r.Timetable, r.Now()); err != nil {
		return err
	}
	r.snapshot.Store(s)
	return nil
}

// publish makes the JWKS of the keys that are published at now, and notes when
// one of them will be gone.
func (s *snapshot) publish(t Timetable, now time.Time) error {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, alg := range Algorithms {
		for _, p := range slices.Backward(t.place(s.byAlg[alg], now)) {
			if p.State == Gone {
				delete(s.byKid, p.Key.ID)
				continue
			}
			set.Keys = append(set.Keys, s.byKid[p.Key.ID].public)
			if !p.GoneAt.IsZero() && (s.changeAt.IsZero() || p.GoneAt.Before(s.changeAt)) {
				s.changeAt = p.GoneAt
			}
		}
	}
	var err error
	if s.jwks, err = json.Marshal(set); err != nil {
		return fmt.Errorf("encode the JWKS: %w", err)
	}
	return nil
}

// plan makes the generations that are due.
func (r *Ring) plan(ctx context.Context, algorithms ...string) error {
	for _, alg := range algorithms {
		now := r.Now()
		placed := r.Timetable.place(r.snapshot.Load().byAlg[alg], now)
		signAt, due := r.Timetable.due(placed, now)
		if !due {
			continue
		}
		if err := r.add(ctx, alg, placed, now, signAt); err != nil && !errors.Is(err, storage.ErrExists) {
			return err
		}
		if err := r.read(ctx); err != nil {
			return err
		}
	}
	return nil
}

// add stores the next generation: storage.ErrExists where another node was first.
func (r *Ring) add(ctx context.Context, alg string, placed []Status, now, signAt time.Time) error {
	generation := int64(1)
	if len(placed) > 0 {
		generation = placed[len(placed)-1].Key.Generation + 1
	}
	row, err := newKey(r.Master, alg, generation, now, signAt)
	if err != nil {
		return err
	}
	e := storage.NewEvent(ctx, now, "key.created", row.ID)
	e.Details = map[string]string{"algorithm": alg, "signs_from": signAt.UTC().Format(time.RFC3339)}
	if err := r.Store.Add(ctx, row, e); err != nil {
		return fmt.Errorf("store %s key: %w", alg, err)
	}
	return nil
}

// remove deletes the rows of keys whose last token has expired. The newest
// generation stays, so that numbers are never given twice.
func (r *Ring) remove(ctx context.Context) error {
	now := r.Now()
	for _, alg := range Algorithms {
		placed := r.Timetable.place(r.snapshot.Load().byAlg[alg], now)
		for i, p := range placed {
			if p.State != Gone || i == len(placed)-1 {
				continue
			}
			err := r.Store.Delete(ctx, p.Key.ID, storage.NewEvent(ctx, now, "key.deleted", p.Key.ID))
			if err != nil && !errors.Is(err, storage.ErrNotFound) {
				return fmt.Errorf("delete signing key: %w", err)
			}
		}
	}
	return nil
}

// Signer returns the key of this algorithm that signs now, or ErrNotActive.
func (r *Ring) Signer(algorithm string) (*Signer, error) {
	s, now := r.snapshot.Load(), r.Now()
	rows := s.byAlg[algorithm]
	for _, row := range slices.Backward(rows) {
		if now.Before(row.SignAt) || !row.RetiredAt.IsZero() {
			continue
		}
		if l := s.byKid[row.ID]; l != nil {
			return l.signer, nil
		}
	}
	return nil, ErrNotActive
}

// Active lists the algorithms that can sign now.
func (r *Ring) Active() []string {
	var active []string
	for _, alg := range Algorithms {
		if _, err := r.Signer(alg); err == nil {
			active = append(active, alg)
		}
	}
	return active
}

// JWKS returns the published key set as finished bytes, and its cache time.
func (r *Ring) JWKS() (body []byte, maxAge time.Duration) {
	return r.snapshot.Load().jwks, r.JWKSMaxAge
}

// Verify checks a compact JWS of ours: a published key, that key's algorithm,
// and typ, which must be one of types (compared without case and without
// "application/", RFC 7515 §4.1.9; "JWT" also where there is none). It returns
// the payload.
func (r *Ring) Verify(token string, types ...string) ([]byte, error) {
	byKid := r.snapshot.Load().byKid
	return verify(token, func(kid string) (*loaded, error) {
		if l := byKid[kid]; l != nil {
			return l, nil
		}
		return nil, ErrUnknownKey
	}, types...)
}

// maxToken bounds what is parsed at all.
const maxToken = 16 << 10

func verify(token string, find func(kid string) (*loaded, error), types ...string) ([]byte, error) {
	if len(token) > maxToken || strings.Count(token, ".") != 2 {
		return nil, ErrMalformed
	}
	// RFC 8725 §3.1: the algorithms are ours to name, never the token's.
	algorithms := make([]jose.SignatureAlgorithm, len(Algorithms))
	for i, a := range Algorithms {
		algorithms[i] = jose.SignatureAlgorithm(a)
	}
	jws, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	header := jws.Signatures[0].Protected
	l, err := find(header.KeyID)
	if err != nil {
		return nil, err
	}
	if header.Algorithm != l.public.Algorithm {
		return nil, fmt.Errorf("%w: algorithm %s is not the key's", ErrSignature, header.Algorithm)
	}
	typ, _ := header.ExtraHeaders[jose.HeaderType].(string)
	if typ = strings.TrimPrefix(strings.ToLower(typ), "application/"); typ == "" {
		typ = "jwt"
	}
	if !slices.ContainsFunc(types, func(t string) bool { return strings.EqualFold(t, typ) }) {
		return nil, fmt.Errorf("%w: %s", ErrType, typ)
	}
	payload, err := jws.Verify(l.public.Key)
	if err != nil {
		return nil, ErrSignature
	}
	return payload, nil
}

// Status lists every key with its place in the timetable, newest first within
// its algorithm, from the database.
func (r *Ring) Status(ctx context.Context) ([]Status, error) {
	rows, err := r.Store.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the signing keys: %w", err)
	}
	var all []Status
	for _, alg := range Algorithms {
		var generations []*storage.SigningKey
		for _, row := range rows {
			if row.Algorithm == alg {
				generations = append(generations, row)
			}
		}
		placed := r.Timetable.place(generations, r.Now())
		slices.Reverse(placed)
		all = append(all, placed...)
	}
	return all, nil
}

// Rotate makes the next generation of the algorithm now; it signs after the
// publish lead, on every node. It needs no Run.
func (r *Ring) Rotate(ctx context.Context, algorithm string) (*storage.SigningKey, error) {
	if !slices.Contains(Algorithms, algorithm) {
		return nil, fmt.Errorf("unknown algorithm %q: choose one of %s", algorithm, strings.Join(Algorithms, ", "))
	}
	if err := r.read(ctx); err != nil {
		return nil, err
	}
	now := r.Now()
	placed := r.Timetable.place(r.snapshot.Load().byAlg[algorithm], now)
	if n := len(placed); n > 0 && placed[n-1].State == Next {
		return nil, fmt.Errorf("the next %s key, %s, waits already: it signs from %s",
			algorithm, placed[n-1].Key.ID, placed[n-1].SignsFrom.UTC().Format(time.RFC3339))
	}
	signAt := now.Add(r.Timetable.PublishLead)
	if len(placed) == 0 {
		signAt = atOnce(now)
	}
	if err := r.add(ctx, algorithm, placed, now, signAt); err != nil {
		return nil, err
	}
	if err := r.read(ctx); err != nil {
		return nil, err
	}
	rows := r.snapshot.Load().byAlg[algorithm]
	return rows[len(rows)-1], nil
}

// Retire stops a key at once: it signs no more and leaves the JWKS, so tokens
// that it signed verify no more. It refuses one without an active successor.
func (r *Ring) Retire(ctx context.Context, kid string) error {
	all, err := r.Status(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(s Status) bool { return s.Key.ID == kid })
	if i < 0 {
		return fmt.Errorf("signing key %s: %w", kid, storage.ErrNotFound)
	}
	key := all[i].Key
	if !slices.ContainsFunc(all, func(s Status) bool {
		return s.Key.Algorithm == key.Algorithm && s.Key.Generation > key.Generation && s.State == Active
	}) {
		return fmt.Errorf("signing key %s has no active successor: run keys rotate first, and wait until the new key signs", kid)
	}
	now := r.Now()
	e := storage.NewEvent(ctx, now, "key.retired", kid)
	return r.Store.Retire(ctx, kid, now, e)
}
