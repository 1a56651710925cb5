package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	// clockSlack is how far the clocks of a node and of its database may be
	// apart: nodes agree on keys and expiry by reading theirs.
	clockSlack = 5 * time.Second
	// checkedAtStart bounds the SQLite file that is read through at each start.
	// The check reads every page, 1.6 ms for each MB in memory: 0.4 s at most.
	checkedAtStart = 256 << 20
)

// sound refuses a database on which nothing should be built: a damaged file,
// or a server whose clock is not ours.
func (db *DB) sound(ctx context.Context, o Options) error {
	if db.path == "" {
		if err := db.CheckWritable(ctx); err != nil {
			return err
		}
		return db.sameClock(ctx, o.Now)
	}
	if !o.Exclusive { // a running serve has looked; commands beside it must be quick
		return nil
	}
	if size := fileSize(db.path) + fileSize(db.path+"-wal"); size > checkedAtStart {
		db.log.WarnContext(ctx, "the database is too large to be checked at each start", "path", db.path, "bytes", size)
		return nil
	}
	return db.Integrity(ctx)
}

func fileSize(path string) int64 {
	info, err := os.Stat(path)
	if err != nil { // no log yet; what else is wrong, opening says
		return 0
	}
	return info.Size()
}

// Integrity reads a SQLite file through: ErrDamaged, with the first finding,
// where its pages do not fit together. PostgreSQL looks after its own.
func (db *DB) Integrity(ctx context.Context) error {
	if db.path == "" {
		return nil
	}
	var found string
	err := db.write.db.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&found)
	if corrupt(err) {
		found, err = err.Error(), nil
	}
	switch {
	case err != nil:
		return fmt.Errorf("check %s: %w", db.path, err)
	case found != "ok":
		return fmt.Errorf("%w: %s: %s; restore it from a backup", ErrDamaged, db.path, strings.Join(strings.Fields(found), " "))
	}
	return nil
}

// corrupt reports whether SQLite found no database of its own in the file, or a damaged one.
func corrupt(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && (e.Code()&0xff == sqlite3.SQLITE_CORRUPT || e.Code()&0xff == sqlite3.SQLITE_NOTADB)
}

// Clock returns what time it is for the database server; for SQLite, which has
// no server, it is this machine's.
func (db *DB) Clock(ctx context.Context) (time.Time, error) {
	var now int64
	if err := db.write.row(ctx, `SELECT `+db.dialect.now).Scan(&now); err != nil {
		return time.Time{}, fmt.Errorf("read the clock of %s: %w", db.schema.name, err)
	}
	return time.UnixMicro(now), nil
}

// sameClock is ErrClock where the server's clock is not within clockSlack of now.
func (db *DB) sameClock(ctx context.Context, now func() time.Time) error {
	before := now()
	server, err := db.Clock(ctx)
	if err != nil {
		return err
	}
	after := now()
	var off string
	switch { // the answer may have taken a while
	case server.Before(before.Add(-clockSlack)):
		off = before.Sub(server).Round(time.Millisecond).String() + " behind"
	case server.After(after.Add(clockSlack)):
		off = server.Sub(after).Round(time.Millisecond).String() + " ahead of"
	default:
		return nil
	}
	return fmt.Errorf("%w: that of %s is %s this machine's; let both follow a time server", ErrClock, db.schema.name, off)
}
