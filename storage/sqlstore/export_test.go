package sqlstore

import (
	"context"
	"database/sql"
	"time"
)

// Pools are the connections that write and those that read.
func (db *DB) Pools() (write, read *sql.DB) { return db.write.db, db.read.db }

// Act runs f in one transaction on the connection that writes.
func (db *DB) Act(ctx context.Context, f func() error) error {
	return db.write.act(ctx, func(runner) error { return f() })
}

// MigrateTo applies the migrations up to this version.
func (db *DB) MigrateTo(ctx context.Context, version int64) error {
	p, err := db.schema.provider()
	if err != nil {
		return err
	}
	_, err = p.UpTo(ctx, version)
	return err
}

// Exec runs any statement on the connection that writes.
func (db *DB) Exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return db.write.db.ExecContext(ctx, query, args...)
}

// SweepInTurn is what Sweep does each minute.
func (db *DB) SweepInTurn(ctx context.Context, now time.Time) error { return db.sweepInTurn(ctx, now) }
