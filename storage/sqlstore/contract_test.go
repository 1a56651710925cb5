package sqlstore_test

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"gatehouse/storage/sqlstore"
	"gatehouse/storage/storagetest"
)

// TestMain leaves no files behind: a property that fails prints its seed.
func TestMain(m *testing.M) {
	migrateInstead()
	if err := flag.Set("rapid.nofailfile", "true"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	os.Exit(m.Run())
}

func TestSQLite(t *testing.T) {
	var statements seen
	t.Run("stories", func(t *testing.T) {
		storagetest.Run(t, func(t testing.TB) storagetest.Backend {
			return watched(t, "sqlite://"+storagetest.File(t), &statements)
		})
	})
	t.Run("plans", func(t *testing.T) {
		db := storagetest.SQLite(t)
		tables(t, db, `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`)
		// Nobody lets an embedded database count what it has.
		judgePlans(t, db, statements.sorted(), explainSQLite)
		fill(t, db, inSmallCrowd)
		judgePlans(t, db, statements.sorted(), explainSQLite)
	})
}

func TestPostgreSQL(t *testing.T) {
	var statements seen
	t.Run("stories", func(t *testing.T) {
		storagetest.Run(t, func(t testing.TB) storagetest.Backend {
			return watched(t, storagetest.PostgresURL(t), &statements)
		})
	})
	t.Run("plans", func(t *testing.T) {
		db := storagetest.PostgreSQL(t)
		tables(t, db, `SELECT tablename FROM pg_tables WHERE schemaname = current_schema()`)
		fill(t, db, inCrowd)
		judgePlans(t, db, statements.sorted(), explainPostgreSQL)
	})
}

// watched opens a store whose statements are seen.
func watched(t testing.TB, url string, s *seen) *sqlstore.DB {
	t.Helper()
	db, err := sqlstore.Open(t.Context(), sqlstore.Options{URL: url, MinConns: 1, Watch: s.add})
	if err != nil {
		t.Fatalf("open the database: %v", err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close the database: %v", err)
		}
	})
	return db
}
