package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

var postgresDialect = dialect{
	name:  "PostgreSQL",
	now:   `CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)`,
	place: "ctid",
	unique: func(err error) bool {
		e, ok := errors.AsType[*pgconn.PgError](err)
		return ok && e.Code == "23505"
	},
}

func openPostgres(ctx context.Context, o Options) (*DB, error) {
	config, err := pgxpool.ParseConfig(o.URL)
	if err != nil {
		// pgx keeps the password out of this text.
		return nil, fmt.Errorf("database URL: %w", err)
	}
	config.MinConns, config.MaxConns = 5, 20
	if o.MaxConns > 0 {
		config.MaxConns = o.MaxConns
	}
	if o.MinConns > 0 {
		config.MinConns = o.MinConns
	}
	config.MinConns = min(config.MinConns, config.MaxConns)
	config.MaxConnLifetime = 10 * time.Minute
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = 10 * time.Second // a host that swallows packets must not hang the start
	}
	name := config.ConnConfig.Database + " on " + config.ConnConfig.Host
	conns, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, unreachable(name, err)
	}
	if err := conns.Ping(ctx); err != nil {
		conns.Close()
		return nil, unreachable(name, err)
	}
	handle := stdlib.OpenDBFromPool(conns)
	p := &pool{db: handle, watch: o.Watch, deadlock: func(err error) bool {
		e, ok := errors.AsType[*pgconn.PgError](err)
		return ok && e.Code == "40P01"
	}}
	db := &DB{write: p, read: p, dialect: postgresDialect, log: o.Log}
	db.closers = []func() error{handle.Close, func() error { conns.Close(); return nil }}
	db.schema = &schema{db: handle, dialect: goose.DialectPostgres, log: o.Log, name: name}
	return db, nil
}
