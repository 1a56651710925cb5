package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"gatehouse/storage"
	"gatehouse/storage/sqlstore"
	"gatehouse/storage/storagetest"
)

var began = time.UnixMilli(1_790_000_000_000)

// refusals are what the contract decides. A database in trouble decides nothing.
var refusals = []error{
	storage.ErrNotFound, storage.ErrExists, storage.ErrExpired, storage.ErrReused,
	storage.ErrMismatch, storage.ErrConflict, storage.ErrLastAdmin,
}

// undecided ends the test where err is none, or a refusal.
func undecided(t *testing.T, act string, err error) {
	t.Helper()
	if err == nil {
		t.Fatalf("%s: worked", act)
	}
	for _, r := range refusals {
		if errors.Is(err, r) {
			t.Fatalf("%s: refused with %q where the database is in trouble", act, r)
		}
	}
}

// scene stores a user, a client, a session and a grant whose code waits.
func scene(t testing.TB, s *storage.Store, id string) {
	t.Helper()
	ctx := t.Context()
	u := &storage.User{ID: "user-" + id, CreatedAt: began}
	session := &storage.Session{
		ID: id, UserID: u.ID, Epoch: 1, AuthTime: began, CreatedAt: began, SeenAt: began,
		IdleLifetime: time.Hour, IdleExpiresAt: began.Add(time.Hour), ExpiresAt: began.Add(24 * time.Hour),
	}
	for _, err := range []error{
		s.Users.Create(ctx, storage.NewUser{User: u, UsernameKey: id}, nil),
		s.Clients.Create(ctx, &storage.Client{ID: id, CreatedAt: began, UpdatedAt: began}, nil),
		s.Sessions.Begin(ctx, session, storage.NewDigest(storage.SessionSecret, id), storage.Digest{}, storage.NewDigest(storage.BrowserSecret, id), nil),
		s.Grants.Create(ctx, grantOf(id, id), storage.NewDigest(storage.CodeSecret, id), "", nil),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// grantOf is a grant with this id in the scene.
func grantOf(scene, id string) *storage.Grant {
	return &storage.Grant{
		ID: id, UserID: "user-" + scene, ClientID: scene, SessionID: scene, Epoch: 1, Scopes: []string{"openid"}, AuthTime: began, CreatedAt: began,
		RedirectURI: "https://app.example/callback", CodeChallenge: "c", CodeExpiresAt: began.Add(time.Minute),
		RefreshIdle: time.Hour, RefreshExpiresAt: began.Add(24 * time.Hour), TokenLifetime: 10 * time.Minute,
	}
}

func redemption(id string) storage.Redemption {
	return storage.Redemption{
		Code: storage.NewDigest(storage.CodeSecret, id), ClientID: id, RedirectURI: "https://app.example/callback", Challenge: "c",
		Handle: "handle-" + id, Refresh: storage.NewDigest(storage.RefreshSecret, id+"/1"), Now: began.Add(time.Second),
	}
}

func rotation(id string, generation int) storage.Rotation {
	return storage.Rotation{
		Handle: "handle-" + id, Generation: int64(generation), ClientID: id,
		Presented:  storage.NewDigest(storage.RefreshSecret, fmt.Sprintf("%s/%d", id, generation)),
		Successors: []storage.Digest{storage.NewDigest(storage.RefreshSecret, fmt.Sprintf("%s/%d", id, generation+1))},
		Now:        began.Add(2 * time.Second),
	}
}

// acts are a choice of every kind: one statement, several, reads.
var acts = map[string]func(ctx context.Context, s *storage.Store) error{
	"redeem a code": func(ctx context.Context, s *storage.Store) error {
		_, err := s.Grants.Redeem(ctx, redemption("waits"))
		return err
	},
	"rotate a refresh token": func(ctx context.Context, s *storage.Store) error {
		_, err := s.Grants.Rotate(ctx, rotation("redeemed", 1))
		return err
	},
	"look at a grant": func(ctx context.Context, s *storage.Store) error {
		_, _, err := s.Grants.Live(ctx, "waits", "", began)
		return err
	},
	"revoke a grant": func(ctx context.Context, s *storage.Store) error { return s.Grants.Revoke(ctx, "waits", began, nil) },
	"find a session": func(ctx context.Context, s *storage.Store) error {
		_, _, err := s.Sessions.Find(ctx, storage.NewDigest(storage.SessionSecret, "waits"), began)
		return err
	},
	"end a session": func(ctx context.Context, s *storage.Store) error { return s.Sessions.End(ctx, "waits", began, nil) },
	"disable a user": func(ctx context.Context, s *storage.Store) error {
		return s.Users.Disable(ctx, "user-waits", began, nil)
	},
	"get a client": func(ctx context.Context, s *storage.Store) error { _, err := s.Clients.Get(ctx, "waits"); return err },
	"ask for an origin": func(ctx context.Context, s *storage.Store) error {
		_, err := s.Clients.Origin(ctx, "https://a.example")
		return err
	},
	"count a guess": func(ctx context.Context, s *storage.Store) error {
		_, err := s.Guesses.Try(ctx, "k", storage.GuessPolicy{Free: 1}, began)
		return err
	},
	"read the counters": func(ctx context.Context, s *storage.Store) error { _, err := s.Changes.Read(ctx); return err },
	"list the keys":     func(ctx context.Context, s *storage.Store) error { _, err := s.Keys.List(ctx); return err },
	"write a line": func(ctx context.Context, s *storage.Store) error {
		return s.Events.Append(ctx, &storage.Event{ID: "e"})
	},
}

// prepared is a store with one code that waits and one refresh token.
func prepared(t *testing.T, db *sqlstore.DB) *storage.Store {
	t.Helper()
	s := db.Store()
	scene(t, s, "waits")
	scene(t, s, "redeemed")
	if _, err := s.Grants.Redeem(t.Context(), redemption("redeemed")); err != nil {
		t.Fatal(err)
	}
	return s
}

// untouched ends the test unless code and refresh token are as prepared left them.
func untouched(t *testing.T, s *storage.Store) {
	t.Helper()
	if _, err := s.Grants.Redeem(t.Context(), redemption("waits")); err != nil {
		t.Fatalf("redeem the code afterwards: %v", err)
	}
	if _, err := s.Grants.Rotate(t.Context(), rotation("redeemed", 1)); err != nil {
		t.Fatalf("rotate the refresh token afterwards: %v", err)
	}
}

func TestAContextThatEndedDecidesNothing(t *testing.T) {
	for name, open := range map[string]func(testing.TB) *sqlstore.DB{"SQLite": storagetest.SQLite, "PostgreSQL": storagetest.PostgreSQL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t)
			s := prepared(t, db)
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			for name, act := range acts {
				err := act(ended, s)
				undecided(t, name, err)
				if !errors.Is(err, context.Canceled) {
					t.Errorf("%s: got error %v, want the context's", name, err)
				}
			}
			if _, err := db.Limits().Allow(ended, "k", storage.Rate{Burst: 1, Every: time.Hour}); err == nil {
				t.Error("an act was counted")
			}
			untouched(t, s)
		})
	}
}

func TestADatabaseThatIsGoneDecidesNothing(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		db := storagetest.SQLite(t)
		s := prepared(t, db)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		for name, act := range acts {
			undecided(t, name, act(t.Context(), s))
		}
		if db.Ping(t.Context()) == nil {
			t.Error("it gives a sign of life")
		}
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		db, other := storagetest.PostgreSQL(t), storagetest.PostgreSQL(t)
		s := prepared(t, db)
		pool, _ := db.Pools()
		var name string
		if err := pool.QueryRowContext(t.Context(), `SELECT current_database()`).Scan(&name); err != nil {
			t.Fatal(err)
		}
		admin, _ := other.Pools()
		away := func(from, to string) {
			t.Helper()
			for deadline := time.Now().Add(20 * time.Second); ; {
				_, err := admin.ExecContext(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '`+from+`'`)
				if err == nil {
					_, err = admin.ExecContext(t.Context(), `ALTER DATABASE `+from+` RENAME TO `+to)
				}
				if err == nil {
					return
				}
				if time.Now().After(deadline) {
					t.Fatal(err)
				}
			}
		}
		away(name, name+"_away")
		for act, run := range acts {
			undecided(t, act, run(t.Context(), s))
		}
		away(name+"_away", name)
		untouched(t, s) // and the pool finds its way back
	})
}

func TestALockedSQLiteFileHonoursTheContext(t *testing.T) {
	t.Parallel()
	path := storagetest.File(t)
	s := prepared(t, open(t, sqlstore.Options{URL: "sqlite://" + path}))
	other, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	lock, err := other.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, act := range acts {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		start := time.Now()
		err := act(ctx, s)
		cancel()
		if took := time.Since(start); took > 4*time.Second {
			t.Errorf("%s waited %v, not the 50 ms of its context", name, took)
		}
		if err != nil { // the reads work beside the lock
			undecided(t, name, err)
		}
	}
	if err := lock.Rollback(); err != nil {
		t.Fatal(err)
	}
	untouched(t, s)
}

func TestAPanicInAnActGivesTheWriteConnectionBack(t *testing.T) {
	t.Parallel()
	db := storagetest.SQLite(t)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		db.Act(t.Context(), func() error { panic("a bug") })
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := db.Store().Events.Append(ctx, &storage.Event{ID: "e", At: began}); err != nil {
		t.Fatalf("write afterwards: %v", err)
	}
}

// A full disk is simulated by a limit on the size of files: the write of the
// log fails at the commit, as it would there.
func TestAFullDiskIsAnErrorAndWhatWasAcknowledgedStays(t *testing.T) {
	path := storagetest.File(t)
	db := open(t, sqlstore.Options{URL: "sqlite://" + path})
	s := db.Store()
	const n = 40
	for i := range n {
		scene(t, s, fmt.Sprint("g", i))
	}
	wal, err := os.Stat(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}

	var whole syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &whole); err != nil {
		t.Fatal(err)
	}
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	full := whole
	full.Cur = uint64(wal.Size()) + 100_000
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &full); err != nil {
		t.Fatal(err)
	}
	restore := func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &whole); err != nil {
			t.Error(err)
		}
	}
	defer restore()

	// One statement and several, in turn, until the disk is full and a while after.
	act := func(i int) error {
		if i%2 == 0 {
			_, err := s.Grants.Redeem(t.Context(), redemption(fmt.Sprint("g", i)))
			return err
		}
		return s.Grants.Revoke(t.Context(), fmt.Sprint("g", i), began, storage.NewEvent(t.Context(), began, "grant.revoked", ""))
	}
	worked := make([]bool, n)
	failures := 0
	for i := range n {
		err := act(i)
		if worked[i] = err == nil; !worked[i] {
			undecided(t, "act on a full disk", err)
			failures++
		}
	}
	restore()
	if failures == 0 || failures == n {
		t.Fatalf("%d of %d acts failed: the disk was not full in between", failures, n)
	}

	reopened := open(t, sqlstore.Options{URL: "sqlite://" + path}).Store()
	for i := range n {
		g, err := reopened.Grants.Get(t.Context(), fmt.Sprint("g", i))
		if err != nil {
			t.Fatal(err)
		}
		happened := !g.CodeSpentAt.IsZero() || !g.RevokedAt.IsZero()
		if happened != worked[i] {
			t.Errorf("act %d: acknowledged %v, happened %v", i, worked[i], happened)
		}
		if !worked[i] {
			if err := act(i); err != nil {
				t.Errorf("act %d once there is room again: %v", i, err)
			}
		}
	}
}
