package sqlstore_test

import (
	"errors"
	"testing"
	"time"

	"gatehouse/storage"
	"gatehouse/storage/storagetest"
)

// R9: every statement that issues judges by itself whether it may. Whatever
// ends a user, a client or a session revokes its grants as well; here nothing
// did, as where the two cross on two nodes.
func TestWhatIssuesJudgesForItselfWhoIsAlive(t *testing.T) {
	for _, c := range []struct {
		name, spoil string
		signedIn    bool // the session goes on
	}{
		{"the user's epoch rose", `UPDATE users SET epoch = epoch + 1`, false},
		{"the user is disabled", `UPDATE users SET disabled_at = 1`, false},
		{"the client is disabled", `UPDATE clients SET disabled_at = 1`, true},
		{"the session is ended", `UPDATE sessions SET ended_at = 1`, false},
		{"the session is over", `UPDATE sessions SET expires_at = 1`, false},
		{"the session is gone", `DELETE FROM sessions`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db := storagetest.SQLite(t)
			s := prepared(t, db)
			scene(t, s, "rotated")
			if _, err := s.Grants.Redeem(t.Context(), redemption("rotated")); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Grants.Rotate(t.Context(), rotation("rotated", 1)); err != nil {
				t.Fatal(err)
			}
			run(t, db, c.spoil)

			_, redeemed := s.Grants.Redeem(t.Context(), redemption("waits"))
			_, rotated := s.Grants.Rotate(t.Context(), rotation("redeemed", 1))
			again := rotation("rotated", 1)
			again.Grace = time.Hour
			_, repeated := s.Grants.Rotate(t.Context(), again)
			_, _, live := s.Grants.Live(t.Context(), "redeemed", "", began)
			if alive, err := s.Grants.Alive(t.Context(), "redeemed", "", began); alive || err != nil {
				t.Errorf("the grant is alive: %v (%v)", alive, err)
			}
			_, _, found := s.Sessions.Find(t.Context(), storage.NewDigest(storage.SessionSecret, "waits"), began)
			for what, got := range map[string]struct {
				err  error
				good bool
			}{
				"a code": {redeemed, false}, "a refresh token": {rotated, false}, "a repeated answer": {repeated, false},
				"an access token": {live, false}, "a session cookie": {found, c.signedIn},
			} {
				if got.good && got.err != nil || !got.good && !errors.Is(got.err, storage.ErrNotFound) {
					t.Errorf("%s: got error %v, want good: %v", what, got.err, got.good)
				}
			}
		})
	}
}

// A session that an older epoch left open does not go on as the new one's.
func TestASessionOfAnOlderEpochDoesNotGoOn(t *testing.T) {
	t.Parallel()
	db := storagetest.SQLite(t)
	s := prepared(t, db)
	run(t, db, `UPDATE users SET epoch = epoch + 1`)
	session := &storage.Session{ID: "new", UserID: "user-waits", Epoch: 2, AuthTime: began, CreatedAt: began, IdleExpiresAt: began.AddDate(0, 0, 1), ExpiresAt: began.AddDate(0, 0, 1)}
	cookie := storage.NewDigest(storage.SessionSecret, "new")
	if err := s.Sessions.Begin(t.Context(), session, cookie, storage.NewDigest(storage.SessionSecret, "waits"), storage.NewDigest(storage.BrowserSecret, "b"), nil); err != nil {
		t.Fatal(err)
	}
	if got, _, err := s.Sessions.Find(t.Context(), cookie, began); err != nil || got.ID != "new" {
		t.Errorf("found %v (%v), want the new session", got, err)
	}
}
