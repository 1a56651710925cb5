// Package storagetest is the storage contract as tests, which every backend
// runs, and databases for the tests of everything above: real ones, thrown
// away afterwards.
package storagetest

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"gatehouse/storage/sqlstore"
)

// migrated is a SQLite file with the schema and nothing else, made once a process.
var migrated = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "gatehouse-template-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "template.db")
	db, err := sqlstore.Open(context.Background(), sqlstore.Options{URL: "sqlite://" + path, Create: true, Migrate: true})
	if err != nil {
		return nil, err
	}
	// Closing the last connection moves the log into the file.
	if err := db.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// File makes a migrated SQLite database for this test and returns its path.
func File(t testing.TB) string {
	t.Helper()
	content, err := migrated()
	if err != nil {
		t.Fatalf("make the template database: %v", err)
	}
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// SQLite opens a migrated SQLite database for this test.
func SQLite(t testing.TB) *sqlstore.DB {
	t.Helper()
	return open(t, "sqlite://"+File(t))
}

// open opens a database until the test ends.
func open(t testing.TB, url string) *sqlstore.DB {
	t.Helper()
	db, err := sqlstore.Open(t.Context(), sqlstore.Options{URL: url, MinConns: 1})
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
