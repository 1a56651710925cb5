// Package sqlstore is the storage contract over database/sql, for SQLite and
// PostgreSQL. Queries are written once, in the subset that both take, beside
// the method that runs them; the dialects differ only in this file.
package sqlstore

import (
	"context"
	"errors"
	"log/slog"

	"gatehouse/storage"
)

var (
	// ErrMissing: there is no database here, and this command does not make one.
	ErrMissing = errors.New("there is no database here")
	// ErrInUse: a running serve holds the database.
	ErrInUse = errors.New("a running gatehouse holds this database")
	// ErrBehind: migrations are pending.
	ErrBehind = errors.New("the schema is behind this version")
	// ErrAhead: the schema is newer than this program.
	ErrAhead = errors.New("the schema is newer than this program")
)

// Options say how a database is opened.
type Options struct {
	// URL is sqlite://PATH (SQLite) or postgres://… (PostgreSQL).
	URL string
	// Create makes a SQLite file (0600, its directory 0700) where there is none;
	// without it a missing one is ErrMissing, naming the path.
	Create bool
	// Exclusive holds the lock of a running serve (SQLite): ErrInUse where it is held.
	Exclusive bool
	// Migrate applies pending migrations; without it they are ErrBehind.
	Migrate bool
	// AllowPending opens a database whose schema is behind (migrate status).
	AllowPending bool
	Log          *slog.Logger
}

// A DB is an open database.
type DB struct{}

// Open opens the database of o and checks its schema.
func Open(ctx context.Context, o Options) (*DB, error) { panic("stub") }

// Store returns the cabinet.
func (db *DB) Store() *storage.Store { panic("stub") }

// Limits counts rates in SQL.
func (db *DB) Limits() storage.Limits { panic("stub") }

// Ping asks the database for a sign of life that a write needs too.
func (db *DB) Ping(ctx context.Context) error { panic("stub") }

// Sweep removes what is over, in bounded batches, until ctx ends.
func (db *DB) Sweep(ctx context.Context) error { panic("stub") }

// Reset empties the database and applies every migration (development).
func (db *DB) Reset(ctx context.Context) error { panic("stub") }

// A Migration is one step of the schema.
type Migration struct {
	Version   int64
	Name      string
	AppliedAt string // RFC 3339, empty while pending
	Foreign   bool   // applied, and unknown to this program
}

// Migrations lists every migration, applied, pending or foreign.
func (db *DB) Migrations(ctx context.Context) ([]Migration, error) { panic("stub") }

// Close closes the database and gives the lock back.
func (db *DB) Close() error { panic("stub") }
