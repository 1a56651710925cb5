package sqlstore_test

import (
	"flag"
	"fmt"
	"os"
	"testing"

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
	storagetest.Run(t, func(t testing.TB) storagetest.Backend { return storagetest.SQLite(t) })
}

func TestPostgreSQL(t *testing.T) {
	storagetest.Run(t, func(t testing.TB) storagetest.Backend { return storagetest.PostgreSQL(t) })
}
