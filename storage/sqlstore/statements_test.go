package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/storage"
	"gatehouse/storage/sqlstore"
	"gatehouse/storage/storagetest"
)

// The WHERE clause is the lock: the acts that every request needs are one
// statement each, and the others as few as they can be.
func TestTheUsualActsAreOneStatement(t *testing.T) {
	var n atomic.Int64
	db := open(t, sqlstore.Options{URL: "sqlite://" + storagetest.File(t), Watch: func(string) { n.Add(1) }})
	s := db.Store()
	scene(t, s, "g")
	scene(t, s, "h")
	device := &storage.DeviceRequest{UserCode: "BCDFGHJK", ClientID: "g", CreatedAt: began, ExpiresAt: began.Add(time.Minute)}
	poll := storage.DevicePoll{Code: storage.NewDigest(storage.DeviceSecret, "d"), ClientID: "g", GrantID: "d", Now: began}
	if err := s.Devices.Create(t.Context(), device, poll.Code); err != nil {
		t.Fatal(err)
	}
	now := began.Add(time.Second)
	cookie := storage.NewDigest(storage.SessionSecret, "g")
	event := func() *storage.Event { return storage.NewEvent(t.Context(), now, "e", "") }
	for _, act := range []struct {
		name string
		most int64
		run  func(ctx context.Context) error
	}{
		{"redeem a code", 1, func(ctx context.Context) error { _, err := s.Grants.Redeem(ctx, redemption("g")); return err }},
		{"rotate a refresh token", 1, func(ctx context.Context) error { _, err := s.Grants.Rotate(ctx, rotation("g", 1)); return err }},
		{"look at a grant", 1, func(ctx context.Context) error { _, _, err := s.Grants.Live(ctx, "g", "jti", now); return err }},
		{"find a session", 1, func(ctx context.Context) error { _, _, err := s.Sessions.Find(ctx, cookie, now); return err }},
		{"touch a session", 1, func(ctx context.Context) error { return s.Sessions.Touch(ctx, "g", now) }},
		{"get a client", 1, func(ctx context.Context) error { _, err := s.Clients.Get(ctx, "g"); return err }},
		{"get a consent", 1, func(ctx context.Context) error { _, err := s.Consents.Get(ctx, "user-g", "g"); return err }},
		{"get a password", 1, func(ctx context.Context) error { _, _, err := s.Credentials.Password(ctx, "g"); return err }},
		{"find a device", 1, func(ctx context.Context) error { _, err := s.Devices.Find(ctx, "BCDFGHJK", now); return err }},
		{"poll for an answer", 1, func(ctx context.Context) error {
			if _, err := s.Devices.Poll(ctx, poll); !errors.Is(err, storage.ErrPending) {
				return fmt.Errorf("it ended with %v", err)
			}
			return nil
		}},
		{"count a guess", 1, func(ctx context.Context) error {
			_, err := s.Guesses.Try(ctx, "k", storage.GuessPolicy{Free: 5}, now)
			return err
		}},
		{"count an act", 1, func(ctx context.Context) error {
			_, err := db.Limits().Allow(ctx, "k", storage.Rate{Burst: 5, Every: time.Hour})
			return err
		}},
		{"read the counters", 1, func(ctx context.Context) error { _, err := s.Changes.Read(ctx); return err }},
		{"begin a session", 5, func(ctx context.Context) error { // the last is its event
			session := &storage.Session{ID: "new", UserID: "user-g", Epoch: 1, AuthTime: now, CreatedAt: now, SeenAt: now,
				IdleLifetime: time.Hour, IdleExpiresAt: now.Add(time.Hour), ExpiresAt: now.Add(time.Hour)}
			return s.Sessions.Begin(ctx, session, storage.NewDigest(storage.SessionSecret, "new"), storage.Digest{}, storage.NewDigest(storage.BrowserSecret, "b"), event())
		}},
		{"revoke a grant", 3, func(ctx context.Context) error { return s.Grants.Revoke(ctx, "h", now, event()) }},
	} {
		n.Store(0)
		if err := act.run(t.Context()); err != nil {
			t.Fatalf("%s: %v", act.name, err)
		}
		if got := n.Load(); got == 0 || got > act.most {
			t.Errorf("%s: %d statements, want at most %d", act.name, got, act.most)
		}
	}
}

// modernc.org/sqlite works with exactly the modernc.org/libc that its go.mod
// names; another one corrupts memory.
func TestLibcIsTheVersionThatSQLiteWants(t *testing.T) {
	list := func(format, module string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", format, module).Output()
		if err != nil {
			t.Fatalf("go list -m %s: %v", module, err)
		}
		return strings.TrimSpace(string(out))
	}
	edit, err := exec.CommandContext(t.Context(), "go", "mod", "edit", "-print", list("{{.GoMod}}", "modernc.org/sqlite")).Output()
	if err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`modernc\.org/libc (v\S+)`).FindSubmatch(edit)
	if want == nil {
		t.Fatal("modernc.org/sqlite does not name modernc.org/libc")
	}
	if have := list("{{.Version}}", "modernc.org/libc"); have != string(want[1]) {
		t.Errorf("go.mod has modernc.org/libc %s, modernc.org/sqlite wants %s", have, want[1])
	}
}
