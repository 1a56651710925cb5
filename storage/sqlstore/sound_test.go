package sqlstore_test

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"gatehouse/storage"
	"gatehouse/storage/sqlstore"
	"gatehouse/storage/storagetest"
)

// damaged is a database file with pages of garbage among those that are good.
func damaged(t *testing.T) string {
	t.Helper()
	path := storagetest.File(t)
	db, err := sqlstore.Open(t.Context(), sqlstore.Options{URL: "sqlite://" + path})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 400 {
		e := storage.NewEvent(t.Context(), began.Add(time.Duration(i)), "e", strings.Repeat("x", 500))
		if err := db.Store().Events.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	for at := len(content)/page*page - 20*page; at < len(content)-10*page; at += page {
		copy(content[at:], bytes.Repeat([]byte{0xff}, page))
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestR22_ADamagedFileIsNotServed(t *testing.T) {
	t.Parallel()
	path := damaged(t)
	refuses(t, sqlstore.Options{URL: "sqlite://" + path, Exclusive: true}, sqlstore.ErrDamaged, path, "restore it from a backup")
	refuses(t, sqlstore.Options{URL: "sqlite://" + path, Exclusive: true, Migrate: true}, sqlstore.ErrDamaged, path)
	// The lock was given back, and a sound file is served.
	open(t, sqlstore.Options{URL: "sqlite://" + storagetest.File(t), Exclusive: true})
	// Commands do not read it all, and can still be asked to.
	if err := open(t, sqlstore.Options{URL: "sqlite://" + path}).Integrity(t.Context()); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("asked for its integrity: got error %v", err)
	}
}

// A large file would keep every start waiting: the log says that it was not
// read through.
func TestR22_AFileTooLargeToBeReadAtEachStartIsServedWithAWarning(t *testing.T) {
	t.Parallel()
	path := storagetest.File(t)
	if err := os.Truncate(path, 300<<20); err != nil { // the rest of the file is a hole
		t.Fatal(err)
	}
	var log bytes.Buffer
	open(t, sqlstore.Options{URL: "sqlite://" + path, Exclusive: true, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if !strings.Contains(log.String(), "too large to be checked") || !strings.Contains(log.String(), path) {
		t.Errorf("the log says %q", log.String())
	}
}

func TestR22_AServerWithAnotherClockIsRefused(t *testing.T) {
	t.Parallel()
	url := storagetest.PostgresURL(t)
	at := func(off time.Duration) sqlstore.Options {
		return sqlstore.Options{URL: url, MinConns: 1, Now: func() time.Time { return time.Now().Add(off) }}
	}
	for _, off := range []time.Duration{0, 3 * time.Second, -3 * time.Second} {
		open(t, at(off))
	}
	refuses(t, at(8*time.Second), sqlstore.ErrClock, "behind this machine's")
	refuses(t, at(-8*time.Second), sqlstore.ErrClock, "ahead of this machine's")
	// What looks at a database that is not to be served may look at this one.
	o := at(time.Hour)
	o.AnySchema = true
	there, err := open(t, o).Clock(t.Context())
	if err != nil || time.Since(there).Abs() > 5*time.Second {
		t.Errorf("its clock is %v (%v)", there, err)
	}
}

// AC-286: what storage refuses with is the contract's own word, to the letter:
// no text of the database reaches whoever words an answer from it.
func TestAC286_RefusalsSayNothingOfTheDatabase(t *testing.T) {
	for name, open := range map[string]func(testing.TB) *sqlstore.DB{"SQLite": storagetest.SQLite, "PostgreSQL": storagetest.PostgreSQL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := prepared(t, open(t))
			ctx := t.Context()
			u, err := s.Users.Get(ctx, "user-waits")
			if err != nil {
				t.Fatal(err)
			}
			c, err := s.Clients.Get(ctx, "waits")
			if err != nil {
				t.Fatal(err)
			}
			key := &storage.SigningKey{ID: "k", Algorithm: "ES256", Generation: 1, CreatedAt: began, SignAt: began, Sealed: []byte{1}}
			if err := s.Keys.Add(ctx, key, nil); err != nil {
				t.Fatal(err)
			}
			newUser := func(id, name, address string) storage.NewUser {
				return storage.NewUser{User: &storage.User{ID: id, CreatedAt: began}, UsernameKey: name, EmailKey: address}
			}
			stale := *c
			stale.Version--
			wrongly := redemption("waits")
			wrongly.ClientID = "redeemed"
			for act, got := range map[string]struct{ err, want error }{
				"a user id that is taken":     {s.Users.Create(ctx, newUser(u.ID, "other", ""), nil), storage.ErrExists},
				"a name that is taken":        {s.Users.Create(ctx, newUser("new", "waits", ""), nil), storage.ErrExists},
				"an address that is a name":   {s.Users.Create(ctx, newUser("new", "new", "waits"), nil), storage.ErrExists},
				"a renaming to a taken name":  {s.Users.Update(ctx, storage.NewUser{User: u, UsernameKey: "redeemed"}, began, nil), storage.ErrExists},
				"a client id that is taken":   {s.Clients.Create(ctx, &storage.Client{ID: "waits", CreatedAt: began, UpdatedAt: began}, nil), storage.ErrExists},
				"an update of an old version": {s.Clients.Update(ctx, &stale, began, nil), storage.ErrConflict},
				"a key that is there":         {s.Keys.Add(ctx, key, nil), storage.ErrExists},
				"an unknown user":             {s.Users.Disable(ctx, "nobody", began, nil), storage.ErrNotFound},
				"an unknown request":          {s.Flows.Take(ctx, "never", began), storage.ErrNotFound},
				"a set-up link of nobody":     {s.Setup.Check(ctx, storage.NewDigest(storage.SetupSecret, "x"), began), storage.ErrNotFound},
				"a code presented wrongly":    {second(s.Grants.Redeem(ctx, wrongly)), storage.ErrMismatch},
				"a code presented again":      {second(s.Grants.Redeem(ctx, redemption("redeemed"))), storage.ErrReused},
				"an unknown refresh token":    {second(s.Grants.Rotate(ctx, rotation("never", 1))), storage.ErrNotFound},
			} {
				if got.err != got.want {
					t.Errorf("%s: got error %v, want %q and nothing more", act, got.err, got.want)
				}
			}
		})
	}
}

func second[T any](_ T, err error) error { return err }
