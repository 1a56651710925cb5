package storagetest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"gatehouse/storage/sqlstore"
)

// A cluster is a PostgreSQL server for tests, with a migrated template that
// the database of each test is copied from.
type cluster struct {
	url      *url.URL // of its maintenance database
	admin    *sql.DB
	template string
}

// PostgreSQL is asked for by many tests and started by the first, once a process.
var postgres = sync.OnceValues(func() (*cluster, error) {
	address := os.Getenv("GATEHOUSE_TEST_POSTGRES_URL")
	if address == "" {
		var err error
		if address, err = startPostgres(); err != nil {
			return nil, err
		}
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("GATEHOUSE_TEST_POSTGRES_URL is no URL: want postgres://user:password@host/postgres")
	}
	admin, err := sql.Open("pgx", address)
	if err != nil {
		return nil, err
	}
	admin.SetMaxOpenConns(4)
	c := &cluster{url: u, admin: admin, template: newName()}
	if _, err := admin.Exec(`CREATE DATABASE ` + c.template); err != nil {
		return nil, fmt.Errorf("make the template database: %w", err)
	}
	db, err := sqlstore.Open(context.Background(), sqlstore.Options{URL: c.database(c.template), Migrate: true, MinConns: 1})
	if err != nil {
		return nil, err
	}
	return c, db.Close() // a template must have no connections
})

func newName() string { return "gatehouse_test_" + strings.ToLower(rand.Text()) }

// database is the URL of one database of the cluster.
func (c *cluster) database(name string) string {
	u := *c.url
	u.Path = "/" + name
	return u.String()
}

// create makes a database for this test and returns its URL.
func (c *cluster) create(t testing.TB, from string) string {
	t.Helper()
	name := newName()
	if _, err := c.admin.Exec(`CREATE DATABASE ` + name + from); err != nil {
		t.Fatalf("make the test's database: %v", err)
	}
	t.Cleanup(func() {
		if _, err := c.admin.Exec(`DROP DATABASE ` + name + ` WITH (FORCE)`); err != nil {
			t.Errorf("drop the test's database: %v", err)
		}
	})
	return c.database(name)
}

// PostgresURL makes a migrated PostgreSQL database for this test and returns
// its URL. The server is a throw-away one, unless GATEHOUSE_TEST_POSTGRES_URL
// names another. Where there is none, the test fails and says what to install.
func PostgresURL(t testing.TB) string {
	t.Helper()
	c, err := postgres()
	if err != nil {
		t.Fatal(err)
	}
	// Copying files is twice as fast as the default where nothing is synced.
	return c.create(t, ` TEMPLATE `+c.template+` STRATEGY FILE_COPY`)
}

// EmptyPostgresURL makes a PostgreSQL database without any table for this test.
func EmptyPostgresURL(t testing.TB) string {
	t.Helper()
	c, err := postgres()
	if err != nil {
		t.Fatal(err)
	}
	return c.create(t, "")
}

// PostgreSQL opens a migrated PostgreSQL database for this test.
func PostgreSQL(t testing.TB) *sqlstore.DB {
	t.Helper()
	return open(t, PostgresURL(t))
}

// LockTable makes everybody else wait who wants to read or write a table of a
// PostgreSQL database, until release.
func LockTable(t testing.TB, url, table string) (release func()) {
	t.Helper()
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	tx, err := db.BeginTx(context.WithoutCancel(t.Context()), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), `LOCK TABLE `+table); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := tx.Rollback(); err != nil {
			t.Errorf("give back the lock of %s: %v", table, err)
		}
	}
}
