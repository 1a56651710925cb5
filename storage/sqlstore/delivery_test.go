package sqlstore_test

import (
	"context"
	"testing"
	"time"

	"gatehouse/storage"
	"gatehouse/storage/storagetest"
)

// What clients are to be told is written by the act that ends something: where
// it cannot be written, nothing has ended either.
func TestNothingEndsThatNobodyCouldBeToldOf(t *testing.T) {
	now := began.Add(time.Second)
	for name, end := range map[string]func(ctx context.Context, s *storage.Store) error{
		"signing out":      func(ctx context.Context, s *storage.Store) error { return s.Sessions.End(ctx, "waits", now, nil) },
		"disabling a user": func(ctx context.Context, s *storage.Store) error { return s.Users.Disable(ctx, "user-waits", now, nil) },
		"deleting a user":  func(ctx context.Context, s *storage.Store) error { return s.Users.Delete(ctx, "user-waits", now, nil) },
		"invalidating a user's tokens": func(ctx context.Context, s *storage.Store) error {
			return s.Users.Invalidate(ctx, "user-waits", now, nil)
		},
		"a new password": func(ctx context.Context, s *storage.Store) error {
			return s.Credentials.SetPassword(ctx, storage.Password{UserID: "user-waits", Hash: "$", ChangedAt: now}, nil)
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
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := storagetest.SQLite(t)
			s := prepared(t, db)
			c, err := s.Clients.Get(t.Context(), "waits")
			if err != nil {
				t.Fatal(err)
			}
			c.Metadata.BackchannelLogoutURI = "https://waits.example/logout"
			if err := s.Clients.Update(t.Context(), c, began, nil); err != nil {
				t.Fatal(err)
			}
			run(t, db, `ALTER TABLE deliveries RENAME TO elsewhere`)
			undecided(t, name, end(t.Context(), s))
			if _, _, err := s.Sessions.Find(t.Context(), storage.NewDigest(storage.SessionSecret, "waits"), now); err != nil {
				t.Errorf("the session: %v", err)
			}
			untouched(t, s)
			run(t, db, `ALTER TABLE elsewhere RENAME TO deliveries`)
			if err := end(t.Context(), s); err != nil {
				t.Fatalf("afterwards: %v", err)
			}
			told, err := s.Deliveries.ListBySession(t.Context(), "waits")
			if err != nil || len(told) != 1 {
				t.Errorf("%d deliveries afterwards, %v", len(told), err)
			}
		})
	}
}
