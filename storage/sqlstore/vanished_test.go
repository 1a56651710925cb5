package sqlstore_test

import (
	"context"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"gatehouse/storage/sqlstore"
	"gatehouse/storage/storagetest"
)

// A server that loses its power says no word to those who are connected: what
// they send goes nowhere, and no error comes back. Whoever is given such a
// connection must get on to one with the server that took its place.
func TestConnectionsToAServerThatVanishedHoldNobodyUp(t *testing.T) {
	t.Parallel()
	direct, err := url.Parse(storagetest.PostgresURL(t))
	if err != nil {
		t.Fatal(err)
	}
	line := &silencedLine{socket: filepath.Join(direct.Query().Get("host"), ".s.PGSQL.5432")}
	if line.near, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	go line.accept()
	address := url.URL{Scheme: "postgres", User: direct.User, Host: line.near.Addr().String(), Path: direct.Path, RawQuery: "sslmode=disable"}
	db := open(t, sqlstore.Options{URL: address.String(), MinConns: 3})
	defer line.close()
	if err := db.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}

	time.Sleep(1500 * time.Millisecond) // what rested for a second or more is asked for a sign of life
	line.silence()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := db.Ping(ctx); err != nil {
		t.Errorf("the server that took its place is not found: %v", err)
	}
}

// A silencedLine carries what is said to PostgreSQL and back, until it is
// silenced: then it swallows all that those say who are connected.
type silencedLine struct {
	near   net.Listener
	socket string

	mu    sync.Mutex
	lines []*carried
}

type carried struct {
	near, far net.Conn
	mu        sync.Mutex
	silent    bool
}

func (l *silencedLine) accept() {
	for {
		near, err := l.near.Accept()
		if err != nil {
			return // closed
		}
		far, err := net.Dial("unix", l.socket)
		if err != nil {
			near.Close()
			continue
		}
		c := &carried{near: near, far: far}
		l.mu.Lock()
		l.lines = append(l.lines, c)
		l.mu.Unlock()
		go c.carry(far, near)
		go c.carry(near, far)
	}
}

func (c *carried) carry(to, from net.Conn) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		c.mu.Lock()
		silent := c.silent
		c.mu.Unlock()
		switch {
		case silent && from == c.near:
			_, _ = io.Copy(io.Discard, from)
			return
		case silent:
			return
		}
		if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
			c.near.Close()
			c.far.Close()
			return
		}
	}
}

func (l *silencedLine) silence() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.lines {
		c.mu.Lock()
		c.silent = true
		c.mu.Unlock()
	}
}

func (l *silencedLine) close() {
	l.near.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.lines {
		c.near.Close()
		c.far.Close()
	}
}
