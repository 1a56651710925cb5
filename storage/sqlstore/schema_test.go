package sqlstore_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"gatehouse/migrations"
	"gatehouse/storage/sqlstore"
	"gatehouse/storage/storagetest"
)

// fresh is an empty database of each kind.
var fresh = []struct {
	name string
	url  func(t *testing.T) string
}{
	{"SQLite", func(t *testing.T) string {
		path := filepath.Join(t.TempDir(), "gatehouse.db")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return "sqlite://" + path
	}},
	{"PostgreSQL", func(t *testing.T) string { return storagetest.EmptyPostgresURL(t) }},
}

func eachKind(t *testing.T, test func(t *testing.T, url string)) {
	for _, f := range fresh {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			test(t, f.url(t))
		})
	}
}

// unchecked opens a database whatever its schema, to look at it or to spoil it.
func unchecked(t *testing.T, url string) *sqlstore.DB {
	t.Helper()
	return open(t, sqlstore.Options{URL: url, AnySchema: true, MinConns: 1})
}

func run(t *testing.T, db *sqlstore.DB, query string) {
	t.Helper()
	pool, _ := db.Pools()
	if _, err := pool.ExecContext(t.Context(), query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// steps is how many migrations there are, and the version of the last.
func steps(t *testing.T) (n int, newest string) {
	t.Helper()
	files, err := migrations.Of("sqlite").ReadDir(".")
	if err != nil || len(files) == 0 {
		t.Fatalf("no migrations: %v", err)
	}
	version, _, _ := strings.Cut(files[len(files)-1].Name(), "_")
	return len(files), strings.TrimLeft(version, "0")
}

func TestAC249_ANewerSchemaIsRefusedAndAnOlderOneSaysWhatToRun(t *testing.T) {
	n, newest := steps(t)
	eachKind(t, func(t *testing.T, url string) {
		refuses(t, sqlstore.Options{URL: url, MinConns: 1}, sqlstore.ErrBehind, "version 0 of "+newest+";", "just made", "gatehouse migrate up")
		open(t, sqlstore.Options{URL: url, Migrate: true, MinConns: 1})
		open(t, sqlstore.Options{URL: url, MinConns: 1})
		db := unchecked(t, url)
		run(t, db, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, TRUE)`)
		for _, o := range []sqlstore.Options{{}, {Migrate: true}} {
			o.URL, o.MinConns = url, 1
			refuses(t, o, sqlstore.ErrAhead, "9999")
		}
		all, err := db.Migrations(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		last := all[len(all)-1]
		if len(all) != n+1 || all[0].AppliedAt.IsZero() || all[0].Name != "0001_init.sql" || last.Version != 9999 || !last.Foreign {
			t.Errorf("migrations are %+v", all)
		}
	})
}

func TestMigrationsThatArePendingAreListed(t *testing.T) {
	eachKind(t, func(t *testing.T, url string) {
		all, err := unchecked(t, url).Migrations(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range all {
			if !m.AppliedAt.IsZero() || m.Foreign || m.Name == "" {
				t.Errorf("migration is %+v", m)
			}
		}
		if len(all) == 0 {
			t.Error("no migration is pending in an empty database")
		}
	})
}

// A migration that breaks off leaves nothing behind, wherever it broke off: a
// table that is there already stops it at that statement. The steps before it
// stay.
func TestAC249_AMigrationThatBrokeOffCompletesWhenRunAgain(t *testing.T) {
	type made struct {
		table string
		step  int
	}
	var tables []made
	files, err := migrations.Of("sqlite").ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for step, f := range files {
		text, err := fs.ReadFile(migrations.Of("sqlite"), f.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^CREATE TABLE (\w+)`).FindAllSubmatch(text, -1) {
			tables = append(tables, made{string(m[1]), step})
		}
	}
	if len(tables) < 15 {
		t.Fatalf("found only the tables %v", tables)
	}
	eachKind(t, func(t *testing.T, url string) {
		db := unchecked(t, url)
		for _, at := range tables {
			run(t, db, `CREATE TABLE `+at.table+` (in_the_way TEXT)`)
			if db, err := sqlstore.Open(t.Context(), sqlstore.Options{URL: url, Migrate: true, MinConns: 1}); err == nil {
				db.Close()
				t.Fatalf("the migration passed over the table %s", at.table)
			}
			run(t, db, `DROP TABLE `+at.table)
			for _, other := range tables {
				if other.step < at.step || other == at {
					continue
				}
				pool, _ := db.Pools()
				if _, err := pool.ExecContext(t.Context(), `SELECT 1 FROM `+other.table); err == nil {
					t.Fatalf("stopped at %s, the migration left %s behind", at.table, other.table)
				}
			}
		}
		if err := open(t, sqlstore.Options{URL: url, Migrate: true, MinConns: 1}).Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestAC249_OfNodesThatMigrateAtOnceOneMigrates(t *testing.T) {
	eachKind(t, func(t *testing.T, url string) {
		errs := make([]error, 8)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() {
				db, err := sqlstore.Open(t.Context(), sqlstore.Options{URL: url, Migrate: true, MinConns: 1})
				if err == nil {
					err = db.Close()
				}
				errs[i] = err
			})
		}
		wg.Wait()
		done := 0
		for _, err := range errs {
			switch {
			case err == nil:
				done++
			case !errors.Is(err, sqlstore.ErrInUse): // what SQLite says to whoever comes while it is done
				t.Error(err)
			}
		}
		if done == 0 {
			t.Error("nobody migrated")
		}
		var n int
		pool, _ := open(t, sqlstore.Options{URL: url, MinConns: 1}).Pools()
		if err := pool.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM goose_db_version WHERE version_id = 1`).Scan(&n); err != nil || n != 1 {
			t.Errorf("the migration was noted %d times (%v)", n, err)
		}
	})
}

func TestResetEmptiesTheDatabase(t *testing.T) {
	eachKind(t, func(t *testing.T, url string) {
		db := open(t, sqlstore.Options{URL: url, Migrate: true, MinConns: 1})
		run(t, db, `INSERT INTO deleted_clients (id, deleted_at) VALUES ('app', 1)`)
		run(t, db, `CREATE TABLE of_another_program (id TEXT REFERENCES clients (id))`)
		if err := db.Reset(t.Context()); err != nil {
			t.Fatal(err)
		}
		var n int
		pool, _ := db.Pools()
		if err := pool.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM deleted_clients`).Scan(&n); err != nil || n != 0 {
			t.Errorf("%d rows are left (%v)", n, err)
		}
		if _, err := pool.ExecContext(t.Context(), `SELECT 1 FROM of_another_program`); err == nil {
			t.Error("a table of another program is left")
		}
		if _, err := db.Store().Changes.Read(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Both databases get the same schema from the same file: only these types.
func TestTheSchemaUsesTheTypesThatBothDatabasesTake(t *testing.T) {
	pool, _ := storagetest.PostgreSQL(t).Pools()
	rows, err := pool.QueryContext(t.Context(), `
		SELECT table_name, column_name, data_type FROM information_schema.columns
		WHERE table_schema = 'public' AND table_name <> 'goose_db_version' AND data_type NOT IN ('text', 'bigint', 'boolean', 'bytea')`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var table, column, kind string
		if err := rows.Scan(&table, &column, &kind); err != nil {
			t.Fatal(err)
		}
		t.Errorf("%s.%s is %s", table, column, kind)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

// The address of another program's database is a mistake that must cost nothing.
func TestResetKeepsTheTablesOfAnotherProgram(t *testing.T) {
	eachKind(t, func(t *testing.T, url string) {
		db := unchecked(t, url)
		run(t, db, `CREATE TABLE invoices (id INTEGER)`)
		if err := db.Reset(t.Context()); err == nil || !strings.Contains(err.Error(), "invoices") {
			t.Errorf("reset: got error %v, want one that names the table", err)
		}
		run(t, db, `INSERT INTO invoices (id) VALUES (1)`)
	})
}

func TestResetEmptiesTheSchemaThatTheConnectionIsInAndNoOther(t *testing.T) {
	t.Parallel()
	address := storagetest.EmptyPostgresURL(t)
	admin := unchecked(t, address)
	run(t, admin, `CREATE SCHEMA identity`)
	run(t, admin, `CREATE TABLE public.invoices (id INTEGER)`)
	own := open(t, sqlstore.Options{URL: address + "&search_path=identity", Migrate: true, MinConns: 1})
	if err := own.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(t, admin, `INSERT INTO public.invoices (id) VALUES (1)`)
	if n := rows(t, own, "users", "TRUE"); n != 0 {
		t.Errorf("%d users are left", n)
	}
}
