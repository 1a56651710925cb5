package main

import (
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"gatehouse/storage"
	"gatehouse/storage/sqlstore"
	"gatehouse/storage/storagetest"
	"gatehouse/web"
)

// What is said to be the fix is one when it is typed, and is enough: no node has
// to be restarted after it.
func TestANodeWhoseDatabaseTakesNoWritesSaysSoUntilTheFixIsTyped(t *testing.T) {
	t.Parallel()
	for name, of := range map[string]string{"of the database": "", "of its user": "ROLE postgres IN "} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := storagetest.PostgresURL(t)
			execute(t, "pgx", address, `ALTER `+of+`DATABASE `+databaseOf(t, address)+` SET default_transaction_read_only = on`)
			db, err := sqlstore.Open(t.Context(), sqlstore.Options{URL: address, AnySchema: true, MinConns: 3})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			r := databaseHealth(t.Context(), db, time.Now)
			trouble, ok := errors.AsType[*storage.Trouble](r.Err)
			if r.Status != web.Degraded || !ok {
				t.Fatalf("while nothing can be written: %+v", r)
			}
			typed(t, address, trouble.Fix)
			if r := databaseHealth(t.Context(), db, time.Now); r.Status != web.Healthy {
				t.Errorf("after the fix: %+v", r)
			}
			if err := db.Store().Events.Append(t.Context(), storage.NewEvent(t.Context(), time.Now(), "written", "")); err != nil {
				t.Errorf("after the fix: %v", err)
			}
		})
	}
}

// typed runs the statements of a fix, as at psql: one after the other.
func typed(t *testing.T, address, fix string) {
	t.Helper()
	_, statements, found := strings.Cut(fix, "run: ")
	if !found {
		t.Fatalf("the fix is no command: %s", fix)
	}
	db, err := sql.Open("pgx", address)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	psql, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer psql.Close()
	for statement := range strings.SplitSeq(statements, ";") {
		if _, err := psql.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}
