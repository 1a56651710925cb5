package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"gatehouse/migrations"
	"gatehouse/storage"
)

// A schema is the migrations of one database.
type schema struct {
	db      *sql.DB
	dialect goose.Dialect
	log     *slog.Logger
	name    string // of the database, for messages
	locked  bool   // the file lock is held already
	lock    *fileLock
}

// settle brings the schema up to date where o says so, and refuses it where it
// is another than this program's.
func (s *schema) settle(ctx context.Context, o Options) error {
	have, err := s.version(ctx)
	if err != nil {
		return s.explained(err)
	}
	want, err := s.newest()
	switch {
	case err != nil:
		return err
	case o.AnySchema:
		return nil
	case have > want:
		return s.foreign(ctx, have, want)
	case have == want:
		return s.usable(ctx)
	case have == 0 && !o.Migrate:
		return &storage.Trouble{
			Kind: ErrBehind, What: s.name + " has no schema yet", Evidence: fmt.Sprintf("version 0 of %d", want),
			Cause: "a database that was just made, or the name of another", Fix: "run: gatehouse migrate up",
		}
	case !o.Migrate:
		return s.pending(ctx, have, want)
	}
	return s.up(ctx)
}

// foreign is ErrAhead, naming what this program does not know.
func (s *schema) foreign(ctx context.Context, have, want int64) error {
	all, err := s.migrations(ctx)
	if err != nil {
		return s.explained(err)
	}
	var unknown []string
	for _, m := range all {
		if m.Foreign {
			unknown = append(unknown, fmt.Sprint(m.Version))
		}
	}
	return fmt.Errorf("%w: %s is at version %d, this program knows %d; foreign to it: %s; run the newer gatehouse",
		ErrAhead, s.name, have, want, strings.Join(unknown, ", "))
}

// pending is ErrBehind, naming what is not applied yet.
func (s *schema) pending(ctx context.Context, have, want int64) error {
	all, err := s.migrations(ctx)
	if err != nil {
		return s.explained(err)
	}
	var names []string
	for _, m := range all {
		if m.AppliedAt.IsZero() && !m.Foreign {
			names = append(names, m.Name)
		}
	}
	return fmt.Errorf("%w: %s is at version %d of %d; pending: %s; run: gatehouse migrate up", ErrBehind, s.name, have, want, strings.Join(names, ", "))
}

// up applies what is pending, under a lock: each step in its own transaction, or
// written so that it goes on where it was interrupted.
func (s *schema) up(ctx context.Context) error {
	release, err := s.hold()
	if err != nil {
		return err
	}
	p, err := s.provider()
	if err != nil {
		return errors.Join(err, release())
	}
	if _, err := p.Up(ctx); err != nil {
		return errors.Join(fmt.Errorf("migrate %s: %w", s.name, err), release())
	}
	return release()
}

// hold takes the file lock, where there is one and it is not held yet.
func (s *schema) hold() (release func() error, err error) {
	if s.lock == nil || s.locked {
		return func() error { return nil }, nil
	}
	if err := s.lock.take(); err != nil {
		return nil, err
	}
	return s.lock.release, nil
}

// files are the migrations for this database.
func (s *schema) files() fs.ReadDirFS {
	if s.dialect == goose.DialectPostgres {
		return migrations.Of("postgres")
	}
	return migrations.Of("sqlite")
}

func (s *schema) provider() (*goose.Provider, error) {
	options := []goose.ProviderOption{goose.WithSlog(s.log), goose.WithDisableGlobalRegistry(true)}
	if s.dialect == goose.DialectPostgres {
		// Another node migrates: look again each second, for five minutes.
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
		if err != nil {
			return nil, fmt.Errorf("migration lock: %w", err)
		}
		options = append(options, goose.WithSessionLocker(sessionLock{locker}))
	}
	p, err := goose.NewProvider(s.dialect, s.db, s.files(), options...)
	if err != nil {
		return nil, fmt.Errorf("read the migrations: %w", err)
	}
	return p, nil
}

// A sessionLock is goose's, whose session may break.
type sessionLock struct{ lock.SessionLocker }

// SessionUnlock gives the lock back. database/sql lets go of a connection whose
// act is cancelled, and panics where it is asked for in that very moment: then
// the lock went with the connection.
func (l sessionLock) SessionUnlock(ctx context.Context, conn *sql.Conn) (err error) {
	defer func() {
		if broke := recover(); broke != nil {
			err = fmt.Errorf("give the migration lock back: the connection broke: %v", broke)
		}
	}()
	return l.SessionLocker.SessionUnlock(ctx, conn)
}

// version returns the newest migration that was applied, 0 where there is none.
// It writes nothing, unlike goose's own.
func (s *schema) version(ctx context.Context) (int64, error) {
	applied, err := s.applied(ctx)
	if err != nil || len(applied) == 0 {
		return 0, err
	}
	return applied[len(applied)-1].Version, nil
}

// applied lists what goose noted, oldest version first.
func (s *schema) applied(ctx context.Context) ([]Migration, error) {
	table := `SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'goose_db_version'`
	if s.dialect == goose.DialectPostgres {
		table = `SELECT COUNT(*) FROM pg_tables WHERE tablename = 'goose_db_version' AND schemaname = current_schema()`
	}
	var n int
	if err := s.db.QueryRowContext(ctx, table).Scan(&n); err != nil || n == 0 {
		return nil, err
	}
	rows, err := s.db.QueryContext(ctx, `SELECT version_id, tstamp FROM goose_db_version WHERE is_applied AND version_id > 0 ORDER BY version_id`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Migration
	for rows.Next() {
		var m Migration
		var at any
		if err := rows.Scan(&m.Version, &at); err != nil {
			return nil, err
		}
		switch at := at.(type) {
		case time.Time:
			m.AppliedAt = at.UTC()
		case string:
			m.AppliedAt, _ = time.Parse(time.DateTime, at)
		}
		all = append(all, m)
	}
	return all, rows.Err()
}

// A Migration is one step of the schema.
type Migration struct {
	Version   int64
	Name      string    // of its file; empty for a foreign one
	AppliedAt time.Time // zero while pending
	Foreign   bool      // applied, and unknown to this program
}

// Migrations lists every migration, applied, pending or foreign, by version.
func (db *DB) Migrations(ctx context.Context) ([]Migration, error) {
	all, err := db.schema.migrations(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the schema of %s: %w", db.schema.name, err)
	}
	return all, nil
}

func (s *schema) migrations(ctx context.Context) ([]Migration, error) {
	applied, err := s.applied(ctx)
	if err != nil {
		return nil, err
	}
	known, err := s.sources()
	if err != nil {
		return nil, err
	}
	for _, a := range applied {
		i := slices.IndexFunc(known, func(m Migration) bool { return m.Version == a.Version })
		if i < 0 {
			a.Foreign = true
			known = append(known, a)
			continue
		}
		known[i].AppliedAt = a.AppliedAt
	}
	slices.SortFunc(known, func(a, b Migration) int { return int(a.Version - b.Version) })
	return known, nil
}

// sources lists the migrations of this program.
func (s *schema) sources() ([]Migration, error) {
	files, err := s.files().ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("read the migrations: %w", err)
	}
	var all []Migration
	for _, f := range files {
		v, err := goose.NumericComponent(f.Name())
		if err != nil {
			return nil, fmt.Errorf("read the migrations: %w", err)
		}
		all = append(all, Migration{Version: v, Name: f.Name()})
	}
	return all, nil
}

func (s *schema) newest() (int64, error) {
	all, err := s.sources()
	if err != nil {
		return 0, err
	}
	return all[len(all)-1].Version, nil
}

// Reset empties the database and applies every migration (development). It
// needs the lock that a running serve holds.
func (db *DB) Reset(ctx context.Context) error {
	release, err := db.schema.hold()
	if err != nil {
		return err
	}
	err = db.schema.drop(ctx)
	if err := errors.Join(err, release()); err != nil {
		return fmt.Errorf("reset %s: %w", db.schema.name, err)
	}
	return db.schema.up(ctx)
}

// unlikeOurs is an error where the database is none of ours: it has tables, and
// never had a migration. An address may have been mistaken.
func (s *schema) unlikeOurs(ctx context.Context) error {
	applied, err := s.applied(ctx)
	if err != nil || len(applied) > 0 {
		return err
	}
	there, err := s.tableNames(ctx)
	there = slices.DeleteFunc(there, func(t string) bool { return t == "goose_db_version" })
	if err != nil || len(there) == 0 {
		return err
	}
	return fmt.Errorf("it has tables of another program, which would go too: %s", strings.Join(there, ", "))
}

// drop removes every table of a database of ours, whichever gatehouse made it.
func (s *schema) drop(ctx context.Context) error {
	if err := s.unlikeOurs(ctx); err != nil {
		return err
	}
	if s.dialect == goose.DialectPostgres {
		var place string
		if err := s.db.QueryRowContext(ctx, `SELECT quote_ident(current_schema())`).Scan(&place); err != nil {
			return err
		}
		_, err := s.db.ExecContext(ctx, `DROP SCHEMA `+place+` CASCADE; CREATE SCHEMA `+place)
		return err
	}
	names, err := s.tables(ctx)
	if err != nil {
		return err
	}
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	// Foreign keys would make the order of dropping matter.
	if _, err := conn.ExecContext(ctx, `PRAGMA foreign_keys = OFF`); err != nil {
		return err
	}
	for _, n := range names {
		if _, err := conn.ExecContext(ctx, `DROP TABLE "`+n+`"`); err != nil {
			return err
		}
	}
	_, err = conn.ExecContext(ctx, `PRAGMA foreign_keys = ON`)
	return err
}

func (s *schema) tables(ctx context.Context) ([]string, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var n string
		if err := rows.Scan(&n); err != nil {
			return nil, err
		}
		names = append(names, n)
	}
	return names, rows.Err()
}
