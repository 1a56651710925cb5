package sqlstore_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"gatehouse/storage"
	"gatehouse/storage/sqlstore"
)

// Strangers make failures: however many networks they have, the table stays small.
func TestOfTooManyFailuresTheOldestLeaveFirst(t *testing.T) {
	eachKind(t, func(t *testing.T, url string) {
		db := open(t, sqlstore.Options{URL: url, Migrate: true, MinConns: 1})
		run(t, db, `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30700)
			INSERT INTO failures (code, at, kind, client_id, upstream, sent, expected, details, answered)
			SELECT 'c' || i, `+fmt.Sprint(began.UnixMilli())+` + i, '', '', '', '', '', '{}', FALSE FROM n`)
		if err := db.SweepOnce(t.Context(), began.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		for code, kept := range map[string]bool{"c1": false, "c700": false, "c701": true, "c30700": true} {
			if _, err := db.Store().Failures.Get(t.Context(), code); (err == nil) != kept || err != nil && !errors.Is(err, storage.ErrNotFound) {
				t.Errorf("%s: got %v, want it kept: %v", code, err, kept)
			}
		}
	})
}

// A page does not wait for a database that does not answer.
func TestAFailureIsGivenUpWhereTheDatabaseDoesNotAnswer(t *testing.T) {
	eachKind(t, func(t *testing.T, url string) {
		db := open(t, sqlstore.Options{URL: url, Migrate: true, MinConns: 2})
		pool, _ := unchecked(t, url).Pools()
		busy, err := pool.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer busy.Rollback()
		// Both: the row is locked in PostgreSQL, the whole file in SQLite.
		if _, err := busy.ExecContext(t.Context(), `INSERT INTO failures (code, at, kind, client_id, upstream, sent, expected, details, answered)
			VALUES ('c', 1, '', '', '', '', '', '{}', FALSE)`); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- db.Store().Failures.Note(t.Context(), &storage.Failure{Code: "c", At: began}) }()
		select {
		case err := <-done:
			if err == nil {
				t.Error("it was noted, although the database did not answer")
			}
		case <-time.After(30 * time.Second):
			t.Error("it waits for a database that does not answer")
		}
	})
}
