package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"
	"testing"

	"github.com/pressly/goose/v3/lock"
)

// ErrBroken is what a migration ends with that was broken off.
var ErrBroken = errors.New("broken off")

// MigrateInterrupted migrates the SQLite database at url, until the n-th thing
// that SQLite is asked: there it calls die, before SQLite has acted or after,
// and where that returns, everything fails from then on.
func MigrateInterrupted(ctx context.Context, url string, n int, after bool, die func()) error {
	db, err := Open(ctx, Options{URL: url, Create: true, AnySchema: true})
	if err != nil {
		return err
	}
	defer db.Close()
	path := strings.TrimPrefix(url, "sqlite://")
	ctx, giveUp := context.WithCancel(ctx) // goose would try for seconds
	defer giveUp()
	fragile := &fragileConnector{driver: db.write.db.Driver(), dsn: sqliteDSN(path), left: n, after: after, die: func() { die(); giveUp() }}
	pool := sql.OpenDB(fragile)
	defer pool.Close()
	pool.SetMaxOpenConns(1)
	db.schema.db = pool
	err = db.schema.up(ctx)
	if fragile.left <= 0 {
		return ErrBroken
	}
	return err
}

// A fragileConnector makes connections that break at a given point.
type fragileConnector struct {
	driver driver.Driver
	dsn    string
	left   int // things to ask until it breaks
	after  bool
	die    func()
}

func (c *fragileConnector) Driver() driver.Driver { return c.driver }

func (c *fragileConnector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.driver.Open(c.dsn)
	return fragileConn{conn, c}, err
}

// ask lets act happen, or breaks.
func (c *fragileConnector) ask(act func() error) error {
	c.left--
	switch {
	case c.left > 0:
		return act()
	case c.left == 0 && c.after:
		act() // whatever came of it, nobody hears
	}
	if c.left == 0 {
		c.die()
	}
	return ErrBroken
}

type fragileConn struct {
	driver.Conn
	breaks *fragileConnector
}

func (c fragileConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	tx, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
	return fragileTx{tx, c.breaks}, err
}

func (c fragileConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (result driver.Result, err error) {
	err = c.breaks.ask(func() error {
		result, err = c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
		return err
	})
	return result, err
}

func (c fragileConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (rows driver.Rows, err error) {
	err = c.breaks.ask(func() error {
		rows, err = c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
		return err
	})
	return rows, err
}

type fragileTx struct {
	driver.Tx
	breaks *fragileConnector
}

func (t fragileTx) Commit() error { return t.breaks.ask(t.Tx.Commit) }

// lostSession is a lock whose connection database/sql let go of.
type lostSession struct{ lock.SessionLocker }

func (lostSession) SessionUnlock(context.Context, *sql.Conn) error {
	var conn *sql.Conn
	return conn.Close() // panics, as database/sql does
}

func TestAC249_AMigrationWhoseConnectionBreaksEndsWithAnError(t *testing.T) {
	if err := (sessionLock{lostSession{}}).SessionUnlock(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "the connection broke") {
		t.Errorf("it ended with %v", err)
	}
}
