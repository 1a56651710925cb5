// Package providertest is a ready provider over a real database, browsers that
// people sign in with, and a small relying party, for tests.
package providertest

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/keys"
	"gatehouse/provider"
	"gatehouse/storage"
	"gatehouse/storage/sqlstore"
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

	skipped atomic.Int64 // how far the clock was moved on
}

// An Option changes what New makes.
type Option func(*provider.Config)

// master opens the signing keys of every test database.
var master = sync.OnceValue(func() *keys.Master {
	m, err := keys.NewMaster([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		panic(err)
	}
	return m
})

// template is a database with a signing key of every algorithm, made once a
// process: RSA keys take their time.
var template struct {
	once    sync.Once
	content []byte
}

func database(t testing.TB) *sqlstore.DB {
	t.Helper()
	template.once.Do(func() {
		path := storagetest.File(t)
		db, err := sqlstore.Open(t.Context(), sqlstore.Options{URL: "sqlite://" + path})
		if err != nil {
			t.Fatal(err)
		}
		ring := newRing(db.Store(), time.Now, nil)
		for _, algorithm := range keys.Algorithms {
			if _, err := ring.Rotate(t.Context(), algorithm); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if template.content, err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	})
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	if err := os.WriteFile(path, template.content, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := sqlstore.Open(t.Context(), sqlstore.Options{URL: "sqlite://" + path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close the database: %v", err)
		}
	})
	return db
}

func newRing(s *storage.Store, now func() time.Time, log *slog.Logger) *keys.Ring {
	return keys.NewRing(keys.Config{
		Store: s.Keys, Changes: s.Changes, Master: master(), Timetable: keys.DefaultTimetable(),
		JWKSMaxAge: 5 * time.Minute, Now: now, Log: log,
	})
}

// New starts a provider for this test.
func New(t testing.TB, options ...Option) *House {
	t.Helper()
	db := database(t)
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	h := &House{T: t, Issuer: server.URL, Address: server.URL, Store: db.Store(), Log: new(Log)}
	h.open(mux, options...)
	return h
}

// Node starts another node over the same database, which keeps its memory
// fresh as a running one does.
func (h *House) Node() *House {
	h.T.Helper()
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	h.T.Cleanup(server.Close)
	other := &House{T: h.T, Issuer: h.Issuer, Address: server.URL, Store: h.Store, Log: h.Log}
	other.open(mux)
	other.Run()
	return other
}

func (h *House) open(mux *http.ServeMux, options ...Option) {
	t := h.T
	t.Helper()
	h.Keys = newRing(h.Store, h.Now, h.Log.Logger())
	if err := h.Keys.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	config := provider.Config{
		Issuer: h.Issuer, Store: h.Store, Keys: h.Keys, Master: master(), Pages: pages{h},
		UILocales: []string{"en", "vi"}, Now: h.Now, Log: h.Log.Logger(),
	}
	for _, change := range options {
		change(&config)
	}
	p, err := provider.New(config)
	if err != nil {
		t.Fatal(err)
	}
	h.Provider = p
	h.Registrar = &provider.Registrar{Store: h.Store, Issuer: h.Issuer, Active: h.Keys.Active, Now: h.Now}
	p.Routes(mux)
	h.pages(mux)
}

// Now is the house's clock.
func (h *House) Now() time.Time { return time.Now().Add(time.Duration(h.skipped.Load())) }

// Skip moves the house's clock on.
func (h *House) Skip(d time.Duration) { h.skipped.Add(int64(d)) }

// Run keeps what the provider remembers fresh until the test ends.
func (h *House) Run() {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.Provider.Run(ctx)
	}()
	h.T.Cleanup(func() { stop(); <-done })
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

// Inspector says why a token of this house is, or is not, acceptable.
func (h *House) Inspector() *provider.Inspector {
	return &provider.Inspector{Issuer: h.Issuer, Store: h.Store, Keys: h.Keys, Master: master(), Now: h.Now}
}
