package storagetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"gatehouse/storage"
)

// A Backend is one implementation of the contract on a fresh database.
type Backend interface {
	Store() *storage.Store
	Limits() storage.Limits
	// SweepOnce removes what is over at now.
	SweepOnce(ctx context.Context, now time.Time) error
}

// A house is a backend under test, with the moment at which the story begins.
type house struct {
	*testing.T
	*storage.Store
	limits storage.Limits
	sweep  func(ctx context.Context, now time.Time) error
	ctx    context.Context
	now    time.Time
}

// A story is one promise of the contract, and what shows that it is kept.
type story struct {
	name string
	tell func(h *house)
}

// Run tells every story of the contract to a backend; open gives each its own
// empty database.
func Run(t *testing.T, open func(testing.TB) Backend) {
	for _, drawer := range []struct {
		name    string
		stories []story
	}{
		{"clients", clientStories},
		{"users", userStories},
		{"administrators", administratorStories},
		{"credentials", credentialStories},
		{"guesses", guessStories},
		{"identities", identityStories},
		{"sessions", sessionStories},
		{"flows", flowStories},
		{"consents", consentStories},
		{"grants", grantStories},
		{"codes", codeStories},
		{"refresh", refreshStories},
		{"aliveness", aliveStories},
		{"model", modelStories},
		{"keys", keyStories},
		{"events", eventStories},
		{"traces", traceStories},
		{"failures", failureStories},
		{"setup", setupStories},
		{"tokens", tokenStories},
		{"devices", deviceStories},
		{"deliveries", deliveryStories},
		{"sweep", sweepStories},
	} {
		t.Run(drawer.name, func(t *testing.T) {
			for _, s := range drawer.stories {
				t.Run(s.name, func(t *testing.T) {
					t.Parallel()
					b := open(t)
					s.tell(&house{
						T: t, Store: b.Store(), limits: b.Limits(), sweep: b.SweepOnce,
						ctx: t.Context(), now: time.UnixMilli(1_790_000_000_123),
					})
				})
			}
		})
	}
	RunLimits(t, func(t testing.TB) storage.Limits { return open(t).Limits() })
}

// must ends the test where what it needed did not work.
func (h *house) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// refused ends the test unless err is want.
func (h *house) refused(want, err error) {
	h.Helper()
	if !errors.Is(err, want) {
		h.Fatalf("got error %v, want %q", err, want)
	}
}

// equal ends the test unless got is want.
func equal[T comparable](h *house, what string, got, want T) {
	h.Helper()
	if got != want {
		h.Fatalf("%s is %v, want %v", what, got, want)
	}
}

// sameInstant ends the test unless got is want, in whatever zone.
func (h *house) sameInstant(what string, got, want time.Time) {
	h.Helper()
	if !got.Equal(want) {
		h.Fatalf("%s is %v, want %v", what, got, want)
	}
}

// after is the moment d after the story's beginning.
func (h *house) after(d time.Duration) time.Time { return h.now.Add(d) }

// event is a line for the audit log that the story can look for.
func (h *house) event(name string) *storage.Event {
	return storage.NewEvent(h.ctx, h.now, name, "")
}

// events counts the lines of this name in the audit log.
func (h *house) events(name string) int {
	h.Helper()
	all, err := h.Events.List(h.ctx, time.Time{}, 1000)
	h.must(err)
	n := 0
	for _, e := range all {
		if e.Name == name {
			n++
		}
	}
	return n
}

// counter reads one of the change counters.
func (h *house) counter(kind string) int64 {
	h.Helper()
	all, err := h.Changes.Read(h.ctx)
	h.must(err)
	n, ok := all[kind]
	if !ok {
		h.Fatalf("no counter %q in %v", kind, all)
	}
	return n
}

// race runs n acts at once and returns their errors.
func race(n int, act func(i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = act(i)
		})
	}
	close(start)
	wg.Wait()
	return errs
}

// tally ends the test unless exactly so many of errs are each of want, and
// nothing else is there; nil counts the acts that worked.
func (h *house) tally(errs []error, want map[error]int) {
	h.Helper()
	got := make(map[error]int)
	for _, err := range errs {
		got[kind(want, err)]++
	}
	for k, n := range want {
		if got[k] != n {
			h.Fatalf("%d acts ended with %v, want %d (all: %v)", got[k], k, n, got)
		}
	}
	if len(got) > len(want) {
		h.Fatalf("acts ended as nothing allows: %v", got)
	}
}

func kind(known map[error]int, err error) error {
	if err == nil {
		return nil
	}
	for k := range known {
		if k != nil && errors.Is(err, k) {
			return k
		}
	}
	return err
}

// secret is the digest of a secret that nobody else has.
func (h *house) secret(k storage.Kind, name string) storage.Digest { return storage.NewDigest(k, name) }

// account stores a user with this name and returns it as it is kept.
func (h *house) account(name string) *storage.User {
	h.Helper()
	u := &storage.User{ID: "user-" + name, Username: name, CreatedAt: h.now}
	h.must(h.Users.Create(h.ctx, storage.NewUser{User: u, UsernameKey: name}, nil))
	return h.reread(u.ID)
}

// administrator stores an administrator with this name.
func (h *house) administrator(name string) *storage.User {
	h.Helper()
	u := &storage.User{ID: "user-" + name, Username: name, Admin: true, CreatedAt: h.now}
	h.must(h.Users.Create(h.ctx, storage.NewUser{User: u, UsernameKey: name}, nil))
	return h.reread(u.ID)
}

func (h *house) reread(userID string) *storage.User {
	h.Helper()
	u, err := h.Users.Get(h.ctx, userID)
	h.must(err)
	return u
}

// relyingParty stores a client with this id and returns it as it is kept.
func (h *house) relyingParty(id string) *storage.Client {
	h.Helper()
	c := &storage.Client{ID: id, Metadata: storage.ClientMetadata{ClientName: id}, CreatedAt: h.now, UpdatedAt: h.now}
	h.must(h.Clients.Create(h.ctx, c, nil))
	c, err := h.Clients.Get(h.ctx, id)
	h.must(err)
	return c
}

// newSession is a session of u that nobody has begun yet: 8 h idle, 24 h in all.
func (h *house) newSession(u *storage.User, id string) *storage.Session {
	return &storage.Session{
		ID: id, UserID: u.ID, Epoch: u.Epoch, AuthTime: h.now, AMR: []string{"pwd"}, ACR: "1", CreatedAt: h.now, SeenAt: h.now,
		IdleLifetime: 8 * time.Hour, IdleExpiresAt: h.after(8 * time.Hour), ExpiresAt: h.after(24 * time.Hour),
		IP: "192.0.2.7", UserAgent: "Browser/1",
	}
}

func cookie(name string) storage.Digest  { return storage.NewDigest(storage.SessionSecret, name) }
func browser(name string) storage.Digest { return storage.NewDigest(storage.BrowserSecret, name) }

// signIn begins a session of u, whose cookie is cookie(id).
func (h *house) signIn(u *storage.User, id string) *storage.Session {
	h.Helper()
	s := h.newSession(u, id)
	h.must(h.Sessions.Begin(h.ctx, s, cookie(id), storage.Digest{}, browser(id), nil))
	return s
}

// signedIn reports whether cookie(id) opens a session at now.
func (h *house) signedIn(id string, now time.Time) bool {
	h.Helper()
	_, _, err := h.Sessions.Find(h.ctx, cookie(id), now)
	if err != nil {
		h.refused(storage.ErrNotFound, err)
	}
	return err == nil
}

const (
	callback     = "https://app.example/callback"
	codeLifetime = time.Minute
	tokenLife    = 10 * time.Minute
	idle         = 30 * 24 * time.Hour
	absolute     = 90 * 24 * time.Hour
)

// challenge stands for the S256 challenge of a verifier of this name.
func challenge(name string) string { return fmt.Sprintf("challenge-of-%s", name) }

func code(id string) storage.Digest { return storage.NewDigest(storage.CodeSecret, id) }

func refresh(id string, generation int) storage.Digest {
	return storage.NewDigest(storage.RefreshSecret, fmt.Sprintf("%s/%d", id, generation))
}

func handle(id string) string { return "handle-" + id }

// newGrant is a refreshable grant of u to c from s that is not stored yet. Its
// code is code(id), its challenge challenge(id).
func (h *house) newGrant(id string, u *storage.User, c string, s *storage.Session) *storage.Grant {
	return &storage.Grant{
		ID: id, UserID: u.ID, ClientID: c, SessionID: s.ID, Epoch: u.Epoch,
		Scopes: []string{"openid", "profile"}, AuthTime: s.AuthTime, AMR: s.AMR, ACR: s.ACR, Nonce: "n-" + id,
		CreatedAt: h.now, TokenLifetime: tokenLife,
		RedirectURI: callback, CodeChallenge: challenge(id), CodeExpiresAt: h.after(codeLifetime),
		RefreshIdle: idle, RefreshExpiresAt: h.after(absolute),
	}
}

// grant stores a grant as newGrant makes it, changed by change.
func (h *house) grant(id string, u *storage.User, c string, s *storage.Session, change ...func(*storage.Grant)) *storage.Grant {
	h.Helper()
	g := h.newGrant(id, u, c, s)
	for _, f := range change {
		f(g)
	}
	h.must(h.Grants.Create(h.ctx, g, code(id), "", nil))
	return g
}

func offline(g *storage.Grant) { g.Offline = true }

// redemption presents the code of g as it must be presented.
func (h *house) redemption(g *storage.Grant) storage.Redemption {
	return storage.Redemption{
		Code: code(g.ID), ClientID: g.ClientID, RedirectURI: callback, Challenge: challenge(g.ID),
		Handle: handle(g.ID), Refresh: refresh(g.ID, 1), Now: h.after(time.Second),
	}
}

// redeemed stores a grant and redeems its code, so that its refresh token is
// of the first generation.
func (h *house) redeemed(id string, u *storage.User, c string, s *storage.Session, change ...func(*storage.Grant)) *storage.Grant {
	h.Helper()
	g, err := h.Grants.Redeem(h.ctx, h.redemption(h.grant(id, u, c, s, change...)))
	h.must(err)
	return g
}

// rotation presents the refresh token of this generation as it must be presented.
func (h *house) rotation(g *storage.Grant, generation int, now time.Time) storage.Rotation {
	return storage.Rotation{
		Handle: handle(g.ID), Generation: int64(generation), Presented: refresh(g.ID, generation),
		Successors: []storage.Digest{refresh(g.ID, generation+1)},
		ClientID:   g.ClientID, Grace: time.Minute, Now: now,
	}
}

// live reports whether access tokens that name the grant are good.
func (h *house) live(id string) bool {
	h.Helper()
	_, _, err := h.Grants.Live(h.ctx, id, "", h.after(2*time.Second))
	if err != nil {
		h.refused(storage.ErrNotFound, err)
	}
	alive, aliveErr := h.Grants.Alive(h.ctx, id, "", h.after(2*time.Second))
	h.must(aliveErr)
	equal(h, "alive", alive, err == nil)
	return err == nil
}

// parked stores an authorization request of this browser, for ten minutes.
func (h *house) parked(id string, of storage.Digest) *storage.AuthRequest {
	h.Helper()
	r := &storage.AuthRequest{
		ID: id, Browser: of, Client: "app", Params: []byte(`{"state":"s"}`),
		CreatedAt: h.now, ExpiresAt: h.after(10 * time.Minute),
	}
	h.must(h.Flows.Park(h.ctx, r))
	return r
}
