package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/pressly/goose/v3"

	"gatehouse/storage"
)

// CheckSchema says what is wrong with the schema and the rights on it: an
// error of kind ErrBehind, ErrAhead, ErrHalf or ErrRights. It changes nothing.
func (db *DB) CheckSchema(ctx context.Context) error { return db.schema.settle(ctx, Options{}) }

// CheckWritable is ErrReadOnly where the server of PostgreSQL takes no writes.
// A connection keeps the setting that it began with, so they are all let go
// then: once the server takes writes again, so do we.
func (db *DB) CheckWritable(ctx context.Context) error {
	if db.path != "" {
		return nil
	}
	var recovering bool
	var readOnly string
	err := db.write.row(ctx, `SELECT pg_is_in_recovery(), current_setting('transaction_read_only')`).Scan(&recovering, &readOnly)
	switch {
	case err != nil:
		return db.schema.explained(err)
	case recovering:
		db.reconnect()
		return &storage.Trouble{
			Kind: ErrReadOnly, What: db.schema.name + " is a standby", Evidence: "pg_is_in_recovery() is true",
			Cause: "the address of a standby, or a failover that is not finished",
			Fix:   "correct the host in DATABASE_URL; several hosts with target_session_attrs=read-write find the one that writes",
		}
	case readOnly == "on":
		err := db.whyReadOnly(ctx)
		db.reconnect()
		return err
	}
	return nil
}

// whyReadOnly says where it is set that transactions may not write.
func (db *DB) whyReadOnly(ctx context.Context) error {
	var source, user, name string
	err := db.write.row(ctx, `SELECT source, quote_ident(current_user), quote_ident(current_database())
		FROM pg_settings WHERE name = 'default_transaction_read_only'`).Scan(&source, &user, &name)
	if err != nil {
		return db.schema.explained(err)
	}
	// Whoever runs it may be under the same setting.
	const first, reset = "run: SET default_transaction_read_only = off; ALTER ", " RESET default_transaction_read_only"
	fix, known := map[string]string{
		"user":               first + "ROLE " + user + reset,
		"database":           first + "DATABASE " + name + reset,
		"database user":      first + "ROLE " + user + " IN DATABASE " + name + reset,
		"configuration file": "run: ALTER SYSTEM" + reset + ", or take it out of postgresql.conf; then: SELECT pg_reload_conf()",
		"client":             "take it out of the options in DATABASE_URL",
	}[source] // as pg_settings says it
	if !known {
		fix = "turn it off there"
	}
	return &storage.Trouble{
		Kind: ErrReadOnly, What: db.schema.name, Evidence: "default_transaction_read_only is on, by " + source,
		Cause: "maintenance, or a provider whose disk is full",
		Fix:   "see why it was set, then " + fix,
	}
}

// CheckClock is ErrClock where the clock of the database's server is not that
// of this machine, by now.
func (db *DB) CheckClock(ctx context.Context, now func() time.Time) error {
	return db.sameClock(ctx, now)
}

// usable is whole and rights.
func (s *schema) usable(ctx context.Context) error {
	if err := s.whole(ctx); err != nil {
		return err
	}
	return s.rights(ctx)
}

// whole is ErrHalf where a migration was left out below one that was applied,
// or a table is missing that an applied migration made.
func (s *schema) whole(ctx context.Context) error {
	applied, err := s.applied(ctx)
	if err != nil {
		return s.explained(err)
	}
	known, err := s.sources()
	if err != nil {
		return err
	}
	var gaps []string
	for _, k := range known {
		if !slices.ContainsFunc(applied, func(a Migration) bool { return a.Version == k.Version }) {
			gaps = append(gaps, "migration "+k.Name+" is not noted as applied")
		}
	}
	missing, err := s.missingTables(ctx)
	if err != nil {
		return s.explained(err)
	}
	for _, t := range missing {
		gaps = append(gaps, "table "+t+" is missing")
	}
	if len(gaps) == 0 {
		return nil
	}
	return &storage.Trouble{
		Kind: ErrHalf, What: s.name, Evidence: strings.Join(gaps, ", "),
		Cause: "a restore that stopped half way, or tables changed by hand", Fix: "restore the database from a backup, then run: gatehouse migrate up",
	}
}

var createTable = regexp.MustCompile(`(?im)^\s*CREATE TABLE (?:IF NOT EXISTS )?(\w+)`)

// missingTables lists the tables of the migrations that are not there.
func (s *schema) missingTables(ctx context.Context) ([]string, error) {
	there, err := s.tableNames(ctx)
	if err != nil {
		return nil, err
	}
	ours, err := s.ownTables()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(ours, func(t string) bool { return slices.Contains(there, t) }), nil
}

// ownTables lists the tables that the migrations make.
func (s *schema) ownTables() ([]string, error) {
	known, err := s.sources()
	if err != nil {
		return nil, err
	}
	var ours []string
	for _, m := range known {
		text, err := fs.ReadFile(s.files(), m.Name)
		if err != nil {
			return nil, fmt.Errorf("read the migrations: %w", err)
		}
		up, _, _ := strings.Cut(string(text), "-- +goose Down")
		for _, match := range createTable.FindAllStringSubmatch(up, -1) {
			ours = append(ours, match[1])
		}
	}
	return ours, nil
}

func (s *schema) tableNames(ctx context.Context) ([]string, error) {
	if s.dialect != goose.DialectPostgres {
		return s.tables(ctx)
	}
	var all sql.NullString
	err := s.db.QueryRowContext(ctx, `SELECT string_agg(tablename, ' ') FROM pg_tables WHERE schemaname = current_schema()`).Scan(&all)
	return strings.Fields(all.String), err
}

// rights is ErrRights where a table of ours may not be read and changed by the
// user of PostgreSQL, who need not be the one that migrated. Other programs, and
// extensions, may have tables beside ours.
func (s *schema) rights(ctx context.Context) error {
	if s.dialect != goose.DialectPostgres {
		return nil
	}
	ours, err := s.ownTables()
	if err != nil {
		return err
	}
	var denied sql.NullString
	var place, user string
	err = s.db.QueryRowContext(ctx, `SELECT string_agg(c.relname, ', ' ORDER BY c.relname), quote_ident(current_schema()), quote_ident(current_user)
		FROM pg_class c
		WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace AND c.relname = ANY(string_to_array($1, ' '))
		AND NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
			AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'))`, strings.Join(ours, " ")).Scan(&denied, &place, &user)
	switch {
	case err != nil:
		return s.explained(err)
	case !denied.Valid:
		return nil
	}
	return &storage.Trouble{
		Kind: ErrRights, What: s.name, Evidence: "it may not read and change " + denied.String,
		Cause: "tables that another role owns", Fix: "as their owner, run: GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA " + place + " TO " + user,
	}
}
