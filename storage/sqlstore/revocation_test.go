package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"gatehouse/storage"
	"gatehouse/storage/sqlstore"
	"gatehouse/storage/storagetest"
)

// only is nil where err is want.
func only(err, want error) error {
	if errors.Is(err, want) {
		return nil
	}
	return fmt.Errorf("got error %v, want %w", err, want)
}

// entries counts the lines of the log that name grants.
func entries(t *testing.T, db *sqlstore.DB) (n int) {
	t.Helper()
	pool, _ := db.Pools()
	if err := pool.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM revocations WHERE kind = 'grant'`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Every way in which a grant ends enters it in the revocation log, until the
// last token that may name it has expired.
func TestEveryWayAGrantEndsIsInTheRevocationLog(t *testing.T) {
	now := began.Add(time.Second)
	for name, end := range map[string]func(ctx context.Context, s *storage.Store) error{
		"revoking it":       func(ctx context.Context, s *storage.Store) error { return s.Grants.Revoke(ctx, "waits", now, nil) },
		"signing out":       func(ctx context.Context, s *storage.Store) error { return s.Sessions.End(ctx, "waits", now, nil) },
		"disabling a user":  func(ctx context.Context, s *storage.Store) error { return s.Users.Disable(ctx, "user-waits", now, nil) },
		"deleting a user":   func(ctx context.Context, s *storage.Store) error { return s.Users.Delete(ctx, "user-waits", now, nil) },
		"deleting a client": func(ctx context.Context, s *storage.Store) error { return s.Clients.Delete(ctx, "waits", now, nil) },
		"invalidating a user's tokens": func(ctx context.Context, s *storage.Store) error {
			return s.Users.Invalidate(ctx, "user-waits", now, nil)
		},
		"a new password": func(ctx context.Context, s *storage.Store) error {
			return s.Credentials.SetPassword(ctx, storage.Password{UserID: "user-waits", Hash: "$", ChangedAt: now}, nil)
		},
		"taking a consent back": func(ctx context.Context, s *storage.Store) error {
			return s.Consents.Revoke(ctx, "user-waits", "waits", now, nil)
		},
		"disabling a client": func(ctx context.Context, s *storage.Store) error {
			c, err := s.Clients.Get(ctx, "waits")
			if err != nil {
				return err
			}
			c.DisabledAt = now
			return s.Clients.Update(ctx, c, now, nil)
		},
		"signing in as somebody else": func(ctx context.Context, s *storage.Store) error {
			session := &storage.Session{ID: "new", UserID: "user-redeemed", Epoch: 1, AuthTime: now, CreatedAt: now,
				IdleExpiresAt: now.Add(time.Hour), ExpiresAt: now.Add(time.Hour)}
			return s.Sessions.Begin(ctx, session, storage.NewDigest(storage.SessionSecret, "new"),
				storage.NewDigest(storage.SessionSecret, "waits"), storage.NewDigest(storage.BrowserSecret, "b"), nil)
		},
		"presenting its code wrongly": func(ctx context.Context, s *storage.Store) error {
			r := redemption("waits")
			r.Challenge = "wrong"
			_, err := s.Grants.Redeem(ctx, r)
			return only(err, storage.ErrMismatch)
		},
		"presenting its code twice": func(ctx context.Context, s *storage.Store) error {
			if _, err := s.Grants.Redeem(ctx, redemption("waits")); err != nil {
				return err
			}
			_, err := s.Grants.Redeem(ctx, redemption("waits"))
			return only(err, storage.ErrReused)
		},
		"presenting a replaced token": func(ctx context.Context, s *storage.Store) error {
			if _, err := s.Grants.Redeem(ctx, redemption("waits")); err != nil {
				return err
			}
			r := rotation("waits", 1)
			r.Now = now
			if _, err := s.Grants.Rotate(ctx, r); err != nil {
				return err
			}
			_, err := s.Grants.Rotate(ctx, r)
			return only(err, storage.ErrReused)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := storagetest.SQLite(t)
			s := prepared(t, db)
			if err := end(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			pool, _ := db.Pools()
			var revoked, expires int64
			err := pool.QueryRowContext(t.Context(), `SELECT revoked_at, expires_at FROM revocations WHERE kind = 'grant' AND value = 'waits'`).Scan(&revoked, &expires)
			if err != nil {
				t.Fatalf("look for it in the log: %v", err)
			}
			if revoked != now.UnixMilli() || expires != now.Add(10*time.Minute).UnixMilli() {
				t.Errorf("revoked at %d until %d, want %d until 10 minutes later", revoked, expires, now.UnixMilli())
			}
			// The line stays as long as it matters, and no longer.
			if err := db.SweepOnce(t.Context(), now.Add(10*time.Minute)); err != nil {
				t.Fatal(err)
			}
			if n := entries(t, db); n != 1 {
				t.Errorf("%d lines while tokens may live, want the one", n)
			}
			if err := db.SweepOnce(t.Context(), now.Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
			if n := entries(t, db); n != 0 {
				t.Errorf("%d lines after the last token has expired, want none", n)
			}
		})
	}
}
