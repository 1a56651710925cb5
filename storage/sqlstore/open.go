// Package sqlstore is the storage contract over database/sql, for SQLite and
// PostgreSQL. Queries are written once, in the subset that both take, beside
// the method that runs them; the dialects differ only in sqlite.go and
// postgres.go.
package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"gatehouse/storage"
)

var (
	// ErrMissing: there is no database here, and this command does not make one.
	ErrMissing = errors.New("there is no database")
	// ErrInUse: a running serve holds the database.
	ErrInUse = errors.New("another gatehouse is using the database")
	// ErrModes: others than the owner may read the file.
	ErrModes = errors.New("file is open to others")
	// ErrBehind: migrations are pending.
	ErrBehind = errors.New("the schema is older than this program")
	// ErrAhead: the schema is newer than this program.
	ErrAhead = errors.New("the schema is newer than this program")
	// ErrDamaged: the pages of the file do not fit together.
	ErrDamaged = errors.New("the database is damaged")
	// ErrClock: the database server has another time than we.
	ErrClock = errors.New("the clocks differ by more than 5 s")
	// ErrBusy: every connection to the database is in use.
	ErrBusy = errors.New("every connection to the database is in use")
	// ErrUnreachable: the database does not answer, or does not let us in.
	ErrUnreachable = errors.New("the database cannot be reached")
)

// Options say how a database is opened.
type Options struct {
	// URL is sqlite://PATH (SQLite) or postgres://… (PostgreSQL).
	URL string
	// Create makes a SQLite file (0600, its directory 0700) where there is none;
	// without it a missing one is ErrMissing, naming the path.
	Create bool
	// Exclusive holds the lock of a running serve (SQLite): ErrInUse where it is
	// held. A file of up to 256 MiB is read through first: ErrDamaged.
	Exclusive bool
	// Migrate applies pending migrations; without it they are ErrBehind.
	Migrate bool
	// AnySchema opens a database that is not to be served, whatever its schema
	// or its server's clock (migrate status, reset).
	AnySchema bool
	// MinConns and MaxConns bound the pool on PostgreSQL; defaults 5 and 20.
	MinConns, MaxConns int32
	// Watch is told of each statement that the store runs, from whatever
	// goroutine runs it. Those that frame a transaction are not told.
	Watch func(statement string)
	Log   *slog.Logger
	// Now is this machine's clock, to hold the server's against; default time.Now.
	Now func() time.Time
}

// A DB is an open database.
type DB struct {
	// write runs what changes something; on SQLite it is the one write
	// connection. read runs the rest. On PostgreSQL they are the same pool.
	write, read *pool
	dialect     dialect
	schema      *schema
	path        string      // of the SQLite file
	busy        func() bool // reports whether every connection is in use
	log         *slog.Logger
	noted       budget // of failures
	reconnect   func() // lets go of every connection (PostgreSQL)
	closers     []func() error
}

// A dialect is what the two databases do not say alike.
type dialect struct {
	name string
	// now is the server's clock in microseconds, as an expression.
	now string
	// place is the column, of every table, of where a row lies.
	place string
	// unique reports whether err is a broken unique constraint.
	unique func(err error) bool
}

// Open opens the database of o and checks its schema. The errors name the
// database and what to do.
func Open(ctx context.Context, o Options) (*DB, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	var db *DB
	var err error
	switch scheme, rest, _ := strings.Cut(o.URL, "://"); scheme {
	case "sqlite":
		db, err = openSQLite(ctx, rest, o)
	case "postgres", "postgresql":
		db, err = openPostgres(ctx, o)
	default:
		return nil, fmt.Errorf("database URL must begin with sqlite:// or postgres://")
	}
	if err != nil {
		return nil, err
	}
	if err := db.ready(ctx, o); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// CheckURL says what is wrong with the URL of a database, without going there.
func CheckURL(url string) error {
	if strings.HasPrefix(url, "sqlite://") {
		return nil
	}
	_, err := parsePostgres(url)
	return err
}

// ready refuses a database that is not to be served, and brings its schema up
// to date where o says so.
func (db *DB) ready(ctx context.Context, o Options) error {
	if !o.AnySchema {
		if err := db.sound(ctx, o); err != nil {
			return err
		}
	}
	return db.schema.settle(ctx, o)
}

// Store returns the cabinet.
func (db *DB) Store() *storage.Store {
	return &storage.Store{
		Clients:      clients{db},
		Users:        users{db},
		Credentials:  credentials{db},
		Guesses:      guesses{db},
		Sessions:     sessions{db},
		Flows:        flows{db},
		Consents:     consents{db},
		Grants:       grants{db},
		Deliveries:   deliveries{db},
		Devices:      devices{db},
		AccessTokens: accessTokens{db},
		Revocations:  revocations{db},
		Used:         used{db},
		Keys:         signingKeys{db},
		Events:       events{db},
		Traces:       traces{db},
		Failures:     failures{db},
		Changes:      changes{db},
		Identities:   identities{db},
		Setup:        setup{db},
	}
}

// Limits counts rates in SQL, by the database server's clock.
func (db *DB) Limits() storage.Limits { return limits{db} }

// Ping asks the database for a sign of life on the connection that writes:
// ErrBusy where it waited in vain for a connection of ours to be free.
func (db *DB) Ping(ctx context.Context) error {
	var n int64
	err := db.write.row(ctx, `SELECT n FROM changes WHERE kind = $1`, storage.KeysChanged).Scan(&n)
	if errors.Is(err, context.DeadlineExceeded) && db.busy() {
		return fmt.Errorf("%w: %w", ErrBusy, err)
	}
	return err
}

// Close closes the database and gives the lock back.
func (db *DB) Close() error {
	var errs []error
	for _, c := range db.closers {
		errs = append(errs, c())
	}
	db.closers = nil
	return errors.Join(errs...)
}

// unique turns a broken unique constraint into the contract's word.
func (db *DB) unique(err error) error {
	if err != nil && db.dialect.unique(err) {
		return storage.ErrExists
	}
	return err
}
