package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/pressly/goose/v3"

	"gatehouse/migrations"
	"gatehouse/storage/sqlstore"
	"gatehouse/storage/storagetest"
)

// piecemeal returns the statements of the first migration that runs outside of
// a transaction, and its version.
func piecemeal(t *testing.T) (version int64, statements []string) {
	t.Helper()
	steps := migrations.Of("postgres")
	files, err := fs.Glob(steps, "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		text, err := fs.ReadFile(steps, name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "+goose NO TRANSACTION") {
			continue
		}
		if version, err = goose.NumericComponent(name); err != nil {
			t.Fatal(err)
		}
		for s := range strings.SplitSeq(uncommented(string(text)), ";") {
			if s = strings.TrimSpace(s); s != "" {
				statements = append(statements, s)
			}
		}
		return version, statements
	}
	t.Fatal("no migration runs outside of a transaction")
	return 0, nil
}

func uncommented(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "--") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// indexes returns the definition of every index, and fails where one is of no use.
func indexes(t *testing.T, pool *sql.DB) string {
	t.Helper()
	var all string
	var invalid sql.NullString
	err := pool.QueryRowContext(t.Context(), `
		SELECT string_agg(pg_get_indexdef(indexrelid), E'\n' ORDER BY indexrelid::regclass::text),
			string_agg(indexrelid::regclass::text, ', ') FILTER (WHERE NOT indisvalid OR NOT indisready)
		FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE relnamespace = 'public'::regnamespace`).Scan(&all, &invalid)
	if err != nil {
		t.Fatal(err)
	}
	if invalid.Valid {
		t.Errorf("invalid: %s", invalid.String)
	}
	return all
}

// An index that is built beside the requests that go on is built in no
// transaction. Wherever a node dies, even in the middle of a build, the next
// one finishes: the schema is the one that an undisturbed run makes.
func TestAC249_AConcurrentBuildThatWasInterruptedIsFinished(t *testing.T) {
	whole := open(t, sqlstore.Options{URL: storagetest.PostgresURL(t), MinConns: 1})
	pool, _ := whole.Pools()
	want := indexes(t, pool)
	version, statements := piecemeal(t)
	for stopped := range statements {
		t.Run(fmt.Sprint("at ", stopped), func(t *testing.T) {
			t.Parallel()
			url := storagetest.EmptyPostgresURL(t)
			db := unchecked(t, url)
			if err := db.MigrateTo(t.Context(), version-1); err != nil {
				t.Fatal(err)
			}
			for _, s := range statements[:stopped] {
				run(t, db, s)
			}
			interrupt(t, db, statements[stopped])
			refuses(t, sqlstore.Options{URL: url, MinConns: 1}, sqlstore.ErrBehind, "gatehouse migrate up")
			pool, _ := open(t, sqlstore.Options{URL: url, Migrate: true, MinConns: 1}).Pools()
			if got := indexes(t, pool); got != want {
				t.Errorf("the indexes are\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// interrupt begins a statement and kills its connection once it waits for a
// transaction that is under way, as a build of an index does half way through.
func interrupt(t *testing.T, db *sqlstore.DB, statement string) {
	t.Helper()
	pool, _ := db.Pools()
	blocker, err := pool.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer blocker.Rollback()
	for _, table := range []string{"grants", "sessions", "events"} {
		if _, err := blocker.ExecContext(t.Context(), `LOCK TABLE `+table+` IN ROW EXCLUSIVE MODE`); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, err := pool.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var pid int
	if err := conn.QueryRowContext(ctx, `SELECT pg_backend_pid()`).Scan(&pid); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := conn.ExecContext(ctx, statement)
		done <- err
	}()
	for {
		var waits bool
		if err := pool.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM pg_locks WHERE pid = $1 AND NOT granted)`, pid).Scan(&waits); err != nil {
			t.Fatal(err)
		}
		if waits {
			if _, err := pool.ExecContext(ctx, `SELECT pg_terminate_backend($1)`, pid); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err == nil {
				t.Fatal("the statement was not interrupted")
			}
			return
		}
		select {
		case err := <-done: // it needs to wait for nobody: it was interrupted right after
			if err != nil {
				t.Fatal(err)
			}
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// A build waits for every transaction that began before it. Whoever waits for
// the lock of migrations must be in none meanwhile, or the two would wait for
// each other.
func TestAC249_NodesThatMigrateAtOnceDoNotWaitForEachOther(t *testing.T) {
	version, _ := piecemeal(t)
	url := storagetest.EmptyPostgresURL(t)
	db := unchecked(t, url)
	if err := db.MigrateTo(t.Context(), version-1); err != nil {
		t.Fatal(err)
	}
	errs := make(chan error, 4)
	for range cap(errs) {
		go func() {
			db, err := sqlstore.Open(t.Context(), sqlstore.Options{URL: url, Migrate: true, MinConns: 1})
			if err == nil {
				err = db.Close()
			}
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	pool, _ := db.Pools()
	indexes(t, pool)
}
