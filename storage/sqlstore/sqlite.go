package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

var sqliteDialect = dialect{
	name:  "SQLite",
	now:   `CAST(unixepoch('subsec') * 1000000 AS INTEGER)`,
	place: "rowid",
	unique: func(err error) bool {
		e, ok := errors.AsType[*sqlite.Error](err)
		return ok && (e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
	},
}

func openSQLite(ctx context.Context, path string, o Options) (*DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("database path: %w", err)
	}
	if err := readyFile(path, o.Create); err != nil {
		return nil, err
	}
	db := &DB{dialect: sqliteDialect, path: path, log: o.Log}
	lock := &fileLock{path: path + ".lock", database: path}
	if o.Exclusive {
		if err := lock.take(); err != nil {
			return nil, err
		}
		db.closers = append(db.closers, lock.release)
	}

	dsn := sqliteDSN(path)
	write, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), db.Close())
	}
	write.SetMaxOpenConns(1)
	read, err := sql.Open("sqlite", dsn+"&_pragma=query_only(ON)")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), write.Close(), db.Close())
	}
	readers := max(4, 2*runtime.GOMAXPROCS(0))
	read.SetMaxOpenConns(readers)
	read.SetMaxIdleConns(readers)
	db.write, db.read = &pool{db: write, prepare: true, watch: o.Watch}, &pool{db: read, prepare: true, watch: o.Watch}
	db.busy = func() bool { return write.Stats().InUse >= 1 }
	db.closers = append([]func() error{read.Close, write.Close}, db.closers...)

	if err := connect(ctx, write); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w (is it a SQLite database, and writable?)", path, err), db.Close())
	}
	db.schema = &schema{db: write, dialect: goose.DialectSQLite3, log: o.Log, name: path, locked: o.Exclusive, lock: lock}
	return db, nil
}

// sqliteDSN is how the file at path is opened.
func sqliteDSN(path string) string {
	// busy_timeout comes first: the pragmas after it may have to wait themselves.
	// FULL, because a revocation that was answered must survive a power cut.
	query := url.Values{"_txlock": {"immediate"}, "_pragma": {
		"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(ON)",
	}}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: query.Encode()}).String()
}

// connect makes the first connection. Whoever turns a new file to WAL holds it
// alone, and SQLite does not let others wait for that: they come again.
func connect(ctx context.Context, db *sql.DB) error {
	for deadline := time.Now().Add(5 * time.Second); ; {
		err := db.PingContext(ctx)
		e, ok := errors.AsType[*sqlite.Error](err)
		if !ok || e.Code()&0xff != sqlite3.SQLITE_BUSY || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// readyFile makes the file, for its owner alone whatever the umask, or looks
// whether it is there and closed to others. SQLite gives its -wal and -shm the
// same mode.
func readyFile(path string, create bool) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !create:
		return fmt.Errorf("%w at %s (serve or migrate up makes one)", ErrMissing, path)
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fmt.Errorf("make the data directory: %w", err)
		}
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return fmt.Errorf("make the database: %w", err)
		}
		return f.Close()
	case err != nil:
		return fmt.Errorf("look at the database: %w", err)
	case info.IsDir():
		return fmt.Errorf("%s is a directory, not a SQLite database", path)
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("%w: %s has mode %04o; run: chmod 600 %s", ErrModes, path, info.Mode().Perm(), path)
	}
	return nil
}

// A fileLock is the lock of a running serve on a SQLite file. goose has no
// lock of its own for SQLite, so migrations take this one too.
type fileLock struct {
	path, database string
	file           *os.File
}

func (l *fileLock) take() error {
	f, err := os.OpenFile(l.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("lock the database: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return fmt.Errorf("%w at %s (is serve running? stop it first)", ErrInUse, l.database)
	}
	l.file = f
	return nil
}

func (l *fileLock) release() error {
	if l.file == nil {
		return nil
	}
	f := l.file
	l.file = nil
	// Closing would give it back too, but not while a child that is being started
	// has the file as well.
	return errors.Join(syscall.Flock(int(f.Fd()), syscall.LOCK_UN), f.Close())
}
