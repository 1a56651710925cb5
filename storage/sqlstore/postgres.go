package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
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

func parsePostgres(url string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		// pgx keeps the password out of this text.
		return nil, fmt.Errorf("database URL: %w", err)
	}
	return config, nil
}

func openPostgres(ctx context.Context, o Options) (*DB, error) {
	config, err := parsePostgres(o.URL)
	if err != nil {
		return nil, err
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
	config.PingTimeout = time.Second // a server that vanished must not hold whoever gets its connections
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = 10 * time.Second // a host that swallows packets must not hang the start
	}
	config.AfterConnect = plan
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
	db := &DB{write: p, read: p, dialect: postgresDialect, log: o.Log, reconnect: conns.Reset}
	db.busy = func() bool { return conns.Stat().AcquiredConns() >= conns.Stat().MaxConns() }
	db.closers = []func() error{handle.Close, func() error { conns.Close(); return nil }}
	db.schema = &schema{db: handle, dialect: goose.DialectPostgres, log: o.Log, name: name}
	return db, nil
}

// planned is how statements are planned: once for each connection, for whatever
// values come, since planning costs more than running. All that the store runs
// looks for a few rows by a key, and there is an index for each (the tests read
// the plans). A plan that was made while a table was small, and went through
// all of it, would stay when the table has grown.
const planned = `
	SET plan_cache_mode = force_generic_plan;
	SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off`

func plan(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, planned)
	return err
}
