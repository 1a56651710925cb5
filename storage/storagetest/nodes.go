package storagetest

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"gatehouse/storage"
	"gatehouse/storage/sqlstore"
)

// Nodes is how many nodes the tests above storage meet in this run. With
// GATEHOUSE_TEST_NODES=2 it is two nodes on one PostgreSQL, and any request
// may reach either; without it one node on SQLite.
func Nodes(t testing.TB) int {
	t.Helper()
	set := os.Getenv("GATEHOUSE_TEST_NODES")
	if set == "" {
		return 1
	}
	n, err := strconv.Atoi(set)
	if err != nil || n < 1 || n > 8 {
		t.Fatalf("GATEHOUSE_TEST_NODES is %q; allowed: 1 to 8", set)
	}
	return n
}

// OnlySQLite leaves a test about the embedded database, or about what is one
// process's own, to the run over one node, which is the usual one.
func OnlySQLite(t testing.TB) {
	t.Helper()
	if Nodes(t) > 1 {
		t.Skip("this is about one node on the embedded database: the run without GATEHOUSE_TEST_NODES has it")
	}
}

// Once leaves a test that is the same however many nodes a run is for, since
// it chooses them itself or needs none, to the usual run.
func Once(t testing.TB) {
	t.Helper()
	if Nodes(t) > 1 {
		t.Skip("this is the same over any number of nodes: the run without GATEHOUSE_TEST_NODES has it")
	}
}

// Spread serves each request by the next of these nodes.
func Spread(nodes ...http.Handler) http.Handler {
	if len(nodes) == 1 {
		return nodes[0]
	}
	var turn atomic.Uint64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		nodes[turn.Add(1)%uint64(len(nodes))].ServeHTTP(w, r)
	})
}

// A Template is a migrated database with more in it, filled once a process and
// copied for each test: on PostgreSQL where this run has several nodes, else on
// SQLite.
type Template struct {
	// Fill puts in what every test begins with.
	Fill func(ctx context.Context, s *storage.Store) error

	once    sync.Once
	content []byte // of the SQLite file
	name    string // of the PostgreSQL database
	err     error
}

// Open opens a copy for this test.
func (p *Template) Open(t testing.TB) *sqlstore.DB {
	t.Helper()
	several := Nodes(t) > 1
	p.once.Do(func() {
		if several {
			p.err = p.fillPostgres()
		} else {
			p.err = p.fillFile(File(t))
		}
	})
	if p.err != nil {
		t.Fatalf("make the template database: %v", p.err)
	}
	return open(t, p.copy(t, several))
}

func (p *Template) fillFile(path string) (err error) {
	if err := p.fill(sqlstore.Options{URL: "sqlite://" + path}); err != nil {
		return err
	}
	p.content, err = os.ReadFile(path)
	return err
}

func (p *Template) fillPostgres() error {
	c, err := postgres()
	if err != nil {
		return err
	}
	p.name = newName()
	if _, err := c.admin.Exec(`CREATE DATABASE ` + p.name + ` TEMPLATE ` + c.template); err != nil {
		return err
	}
	return p.fill(sqlstore.Options{URL: c.database(p.name), MinConns: 1})
}

func (p *Template) fill(o sqlstore.Options) error {
	ctx := context.Background()
	db, err := sqlstore.Open(ctx, o)
	if err != nil {
		return err
	}
	if err := p.Fill(ctx, db.Store()); err != nil {
		return err
	}
	return db.Close() // moves the log of SQLite into the file, and lets PostgreSQL copy
}

// copy makes a copy for this test and returns its URL.
func (p *Template) copy(t testing.TB, several bool) string {
	t.Helper()
	if several {
		c, err := postgres()
		if err != nil {
			t.Fatal(err)
		}
		return c.create(t, ` TEMPLATE `+p.name+` STRATEGY FILE_COPY`)
	}
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	if err := os.WriteFile(path, p.content, 0o600); err != nil {
		t.Fatal(err)
	}
	return "sqlite://" + path
}
