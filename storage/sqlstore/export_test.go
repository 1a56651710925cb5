package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"net/url"
	"sync/atomic"
)

// Pools are the connections that write and those that read.
func (db *DB) Pools() (write, read *sql.DB) { return db.write.db, db.read.db }

// Act runs f in one transaction on the connection that writes.
func (db *DB) Act(ctx context.Context, f func() error) error {
	return db.write.act(ctx, func(runner) error { return f() })
}

// Counted opens another store on the SQLite file of db, and returns with it
// the number of statements that it has run.
func (db *DB) Counted(path string) (*DB, *atomic.Int64) {
	n := new(atomic.Int64)
	dsn := (&url.URL{Scheme: "file", Opaque: path, RawQuery: "_txlock=immediate&_pragma=busy_timeout(5000)"}).String()
	pooled := sql.OpenDB(countingConnector{db.write.db.Driver(), dsn, n})
	pooled.SetMaxOpenConns(1)
	p := &pool{db: pooled, prepare: true}
	return &DB{write: p, read: p, dialect: db.dialect, log: db.log, closers: []func() error{pooled.Close}}, n
}

type countingConnector struct {
	driver driver.Driver
	dsn    string
	n      *atomic.Int64
}

func (c countingConnector) Driver() driver.Driver { return c.driver }

func (c countingConnector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.driver.Open(c.dsn)
	return countingConn{conn, c.n}, err
}

type countingConn struct {
	driver.Conn
	n *atomic.Int64
}

func (c countingConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	return c.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
}

func (c countingConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	s, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
	return countingStmt{s, c.n}, err
}

type countingStmt struct {
	driver.Stmt
	n *atomic.Int64
}

func (s countingStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	s.n.Add(1)
	return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
}

func (s countingStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	s.n.Add(1)
	return s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
}
