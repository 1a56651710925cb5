// Package providertest is a ready provider over a real database, browsers that
// people sign in with, and a small relying party, for tests.
package providertest

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/keys"
	"gatehouse/provider"
	"gatehouse/storage"
	"gatehouse/storage/storagetest"
)

// A House is a provider that answers over HTTP.
type House struct {
	T         testing.TB
	Issuer    string
	Address   string // where it listens: the issuer, but for a second node
	Provider  *provider.Provider
	Store     *storage.Store // change a drawer before New's options end to break it
	Keys      *keys.Ring
	Registrar *provider.Registrar
	Log       *Log

	config provider.Config
	others []*House // that answer in turn with this one
	clock  *clock
	apart  *atomic.Int64 // how far this node's clock is from the others'
}

// An Option changes what New makes.
type Option func(*provider.Config)

// Master opens the signing keys of every test database.
var Master = sync.OnceValue(func() *keys.Master {
	m, err := keys.NewMaster([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		panic(err)
	}
	return m
})

// Template is a database with a signing key of every algorithm: RSA keys take
// their time.
var Template = storagetest.Template{Fill: func(ctx context.Context, s *storage.Store) error {
	ring := newRing(s, time.Now, nil)
	for _, algorithm := range keys.Algorithms {
		if _, err := ring.Rotate(ctx, algorithm); err != nil {
			return err
		}
	}
	return nil
}}

func newRing(s *storage.Store, now func() time.Time, log *slog.Logger) *keys.Ring {
	return keys.NewRing(keys.Config{
		Store: s.Keys, Changes: s.Changes, Master: Master(), Timetable: keys.DefaultTimetable(),
		JWKSMaxAge: 5 * time.Minute, Now: now, Log: log,
	})
}

// New starts a provider for this test. In a run over several nodes these share
// the store and the clock; keys, memory and browsers are each one's own, and
// requests reach them in turn. Provider and Keys are those of the first.
func New(t testing.TB, options ...Option) *House {
	t.Helper()
	db := Template.Open(t)
	doors := make([]http.Handler, storagetest.Nodes(t))
	for i := range doors {
		doors[i] = http.NewServeMux()
	}
	server := httptest.NewServer(numbered(storagetest.Spread(doors...)))
	t.Cleanup(server.Close)
	h := &House{T: t, Issuer: server.URL, Address: server.URL, Store: db.Store(), Log: new(Log), clock: new(clock), apart: new(atomic.Int64)}
	h.config = provider.Config{
		Issuer: h.Issuer, Store: h.Store, Master: Master(), UILocales: []string{"en", "vi"}, Now: h.Now, Log: h.Log.Logger(),
	}
	h.furnish()
	for _, change := range options {
		change(&h.config)
	}
	h.open(doors[0].(*http.ServeMux))
	for _, door := range doors[1:] {
		h.others = append(h.others, h.another(server.URL, door.(*http.ServeMux)))
	}
	return h
}

// Node starts another node over the same database, which keeps its memory
// fresh as a running one does.
func (h *House) Node() *House {
	h.T.Helper()
	mux := http.NewServeMux()
	server := httptest.NewServer(numbered(mux))
	h.T.Cleanup(server.Close)
	other := h.another(server.URL, mux)
	other.Run()
	return other
}

func (h *House) another(address string, mux *http.ServeMux) *House {
	other := &House{T: h.T, Issuer: h.Issuer, Address: address, Store: h.Store, Log: h.Log, config: h.config, clock: h.clock, apart: new(atomic.Int64)}
	other.config.Now = other.Now
	other.furnish()
	other.open(mux)
	return other
}

// furnish gives the node what is its own.
func (h *House) furnish() {
	h.T.Helper()
	h.Keys = newRing(h.Store, h.Now, h.Log.Logger())
	if err := h.Keys.Start(h.T.Context()); err != nil {
		h.T.Fatal(err)
	}
	h.config.Keys, h.config.Pages = h.Keys, pages{h}
}

func (h *House) open(mux *http.ServeMux) {
	h.T.Helper()
	p, err := provider.New(h.config)
	if err != nil {
		h.T.Fatal(err)
	}
	h.Provider = p
	h.Registrar = &provider.Registrar{Store: h.Store, Issuer: h.Issuer, Active: h.Keys.Active, Now: h.Now}
	p.Routes(mux)
	h.pages(mux)
}

// numbered gives each request an id, as the real door does.
func numbered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := rand.Text()
		w.Header().Set("X-Request-Id", id)
		// A network each: no test is to see the bounds of what is noted.
		from := storage.Origin{RequestID: id, Network: id}
		next.ServeHTTP(w, r.WithContext(storage.WithOrigin(r.Context(), from)))
	})
}

// A clock is what all nodes of a house share of theirs.
type clock struct {
	skipped atomic.Int64 // how far it was moved on
	stopped atomic.Int64 // when it was, in Unix nanoseconds; 0: it goes on
}

// Now is the clock of this node.
func (h *House) Now() time.Time {
	now := time.Now()
	if stopped := h.clock.stopped.Load(); stopped != 0 {
		now = time.Unix(0, stopped)
	}
	return now.Add(time.Duration(h.clock.skipped.Load() + h.apart.Load()))
}

// Skip moves the clocks of all nodes on.
func (h *House) Skip(d time.Duration) { h.clock.skipped.Add(int64(d)) }

// Stop stops the clocks of all nodes: from now on Skip alone moves them, however
// long the machine takes for what comes between.
func (h *House) Stop() { h.clock.stopped.Store(time.Now().UnixNano()) }

// Apart sets the clock of this node so far from the others'.
func (h *House) Apart(d time.Duration) { h.apart.Store(int64(d)) }

// Run keeps what the provider remembers fresh until the test ends.
func (h *House) Run() {
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, node := range append(h.others, h) {
		running.Go(func() { node.Provider.Run(ctx) })
	}
	h.T.Cleanup(func() { stop(); running.Wait() })
}

// Reread has every node look at the keys again, as a running one does each second.
func (h *House) Reread() {
	h.T.Helper()
	for _, node := range append(h.others, h) {
		if err := node.Keys.Start(h.T.Context()); err != nil {
			h.T.Fatal(err)
		}
	}
}

// User makes an account with this name, and every standard claim.
func (h *House) User(name string) *storage.User {
	h.T.Helper()
	u := &storage.User{
		ID: rand.Text(), Username: name, Email: name + "@example.com", EmailVerified: true, CreatedAt: h.Now(),
		Profile: storage.Profile{
			Name: name + " Liddell", GivenName: name, FamilyName: "Liddell", PhoneNumber: "+15551234567", Locale: "en",
			Address: &storage.Address{Locality: "Oxford", Country: "England"},
		},
	}
	if err := h.Store.Users.Create(h.T.Context(), storage.NewUser{User: u, UsernameKey: name, EmailKey: u.Email}, nil); err != nil {
		h.T.Fatal(err)
	}
	return u
}

// Events are the lines of the audit log, newest first.
func (h *House) Events() []*storage.Event {
	h.T.Helper()
	events, err := h.Store.Events.List(h.T.Context(), time.Time{}, 1000)
	if err != nil {
		h.T.Fatal(err)
	}
	return events
}

// Explain says what lies behind the answer with this request id.
func (h *House) Explain(code string) *provider.Explanation {
	h.T.Helper()
	f, err := h.Store.Failures.Get(h.T.Context(), code)
	if err != nil {
		h.T.Fatalf("failure %s: %v", code, err)
	}
	explained, err := (&provider.Explainer{Clients: h.Store.Clients, Now: h.Now}).Explain(h.T.Context(), f)
	if err != nil {
		h.T.Fatal(err)
	}
	return explained
}

// Inspector says why a token of this house is, or is not, acceptable.
func (h *House) Inspector() *provider.Inspector {
	return &provider.Inspector{Issuer: h.Issuer, Store: h.Store, Keys: h.Keys, Master: Master(), Now: h.Now}
}
