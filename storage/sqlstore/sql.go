package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"gatehouse/storage"
)

// A runner runs statements: a pool, or a transaction on it.
type runner interface {
	row(ctx context.Context, query string, args ...any) *sql.Row
	rows(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	exec(ctx context.Context, query string, args ...any) error
}

// A pool is connections to the database. On SQLite it keeps the statements
// prepared (pgx does so itself on PostgreSQL): a read by key costs 9 µs
// prepared and 31 µs otherwise.
type pool struct {
	db         *sql.DB
	prepare    bool
	watch      func(statement string) // is told of each statement; nil: nobody is
	deadlock   func(error) bool       // reports whether this act was sacrificed to another; nil: there is one writer
	statements sync.Map               // query -> *sql.Stmt
}

// runs tells whoever watches.
func (p *pool) runs(statement string) {
	if p.watch != nil {
		p.watch(statement)
	}
}

// statement returns the prepared query, or nil where it runs unprepared. One
// that cannot be prepared runs unprepared too, and says why itself.
func (p *pool) statement(ctx context.Context, query string) *sql.Stmt {
	if !p.prepare {
		return nil
	}
	if s, ok := p.statements.Load(query); ok {
		return s.(*sql.Stmt)
	}
	s, err := p.db.PrepareContext(ctx, query)
	if err != nil {
		return nil
	}
	if kept, loaded := p.statements.LoadOrStore(query, s); loaded {
		s.Close()
		return kept.(*sql.Stmt)
	}
	return s
}

func (p *pool) row(ctx context.Context, query string, args ...any) *sql.Row {
	p.runs(query)
	if s := p.statement(ctx, query); s != nil {
		return s.QueryRowContext(ctx, args...)
	}
	return p.db.QueryRowContext(ctx, query, args...)
}

func (p *pool) rows(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	p.runs(query)
	if s := p.statement(ctx, query); s != nil {
		return s.QueryContext(ctx, args...)
	}
	return p.db.QueryContext(ctx, query, args...)
}

func (p *pool) exec(ctx context.Context, query string, args ...any) error {
	p.runs(query)
	var err error
	if s := p.statement(ctx, query); s != nil {
		_, err = s.ExecContext(ctx, args...)
	} else {
		_, err = p.db.ExecContext(ctx, query, args...)
	}
	return err
}

// A transaction runs statements in one act.
type transaction struct {
	tx   *sql.Tx
	pool *pool
	// unprepared are statements that the pool does not keep yet. The one
	// connection that writes is this transaction's: they are prepared after it.
	unprepared *[]string
}

// statement returns the prepared query where the pool keeps it, or nil.
func (t transaction) statement(ctx context.Context, query string) *sql.Stmt {
	t.pool.runs(query)
	if !t.pool.prepare {
		return nil
	}
	if s, ok := t.pool.statements.Load(query); ok {
		return t.tx.StmtContext(ctx, s.(*sql.Stmt))
	}
	*t.unprepared = append(*t.unprepared, query)
	return nil
}

func (t transaction) row(ctx context.Context, query string, args ...any) *sql.Row {
	if s := t.statement(ctx, query); s != nil {
		return s.QueryRowContext(ctx, args...)
	}
	return t.tx.QueryRowContext(ctx, query, args...)
}

func (t transaction) rows(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if s := t.statement(ctx, query); s != nil {
		return s.QueryContext(ctx, args...)
	}
	return t.tx.QueryContext(ctx, query, args...)
}

func (t transaction) exec(ctx context.Context, query string, args ...any) error {
	var err error
	if s := t.statement(ctx, query); s != nil {
		_, err = s.ExecContext(ctx, args...)
	} else {
		_, err = t.tx.ExecContext(ctx, query, args...)
	}
	return err
}

// act runs f in one transaction: all of it, or, where f or the commit returns
// an error, nothing. Where two acts each waited for the other and the database
// sacrificed this one, it runs again. So f must begin anew each time, and its
// caller must pass nothing on before act has returned nil.
func (p *pool) act(ctx context.Context, f func(runner) error) error {
	for try := 1; ; try++ {
		err := p.actOnce(ctx, f)
		if err == nil || try == maxTries || p.deadlock == nil || !p.deadlock(err) {
			return err
		}
		// Apart by chance, so that two of them do not meet again.
		select {
		case <-ctx.Done():
			return err
		case <-time.After(rand.N(time.Duration(try) * 10 * time.Millisecond)):
		}
	}
}

// maxTries is how often an act that the database sacrifices is begun.
const maxTries = 8

func (p *pool) actOnce(ctx context.Context, f func(runner) error) (err error) {
	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	done := false
	defer func() {
		if done {
			return
		}
		// f panics, or refused. The one connection that writes must be free again.
		if failed := tx.Rollback(); failed != nil && !errors.Is(failed, sql.ErrTxDone) {
			// Nothing was decided then, and err is no refusal any more.
			err = fmt.Errorf("roll back: %w (after: %v)", failed, err)
		}
	}()
	var unprepared []string
	if err := f(transaction{tx, p, &unprepared}); err != nil {
		return err
	}
	done = true // a commit that fails has rolled back
	err = tx.Commit()
	for _, query := range unprepared {
		p.statement(ctx, query)
	}
	return err
}

// actAndRefuse carries a refusal out of an act whose writes stay: the
// transaction commits, and the caller gets the error.
func (p *pool) actAndRefuse(ctx context.Context, f func(runner) (refusal, err error)) error {
	var refusal error
	err := p.act(ctx, func(q runner) (err error) {
		refusal, err = f(q)
		return err
	})
	if err != nil {
		return err
	}
	return refusal
}

// list reads every row with scan.
func list[T any](ctx context.Context, q runner, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.rows(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}

// exists reports whether the query has a row.
func exists(ctx context.Context, q runner, query string, args ...any) (bool, error) {
	var one int
	switch err := q.row(ctx, query, args...).Scan(&one); {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil
	case err != nil:
		return false, err
	}
	return true, nil
}

type scanner interface{ Scan(dest ...any) error }

// notFound turns "no rows" into the contract's word.
func notFound(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return storage.ErrNotFound
	}
	return err
}

// ms is an instant as it is stored: NULL where it is zero.
func ms(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMilli()
}

// instant scans what ms wrote.
type instant struct{ t *time.Time }

func (i instant) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*i.t = time.Time{}
	case int64:
		*i.t = time.UnixMilli(v)
	default:
		return fmt.Errorf("scan instant: %T is not a number of milliseconds", src)
	}
	return nil
}

// span scans a duration in milliseconds.
type span struct{ d *time.Duration }

func (s span) Scan(src any) error {
	v, ok := src.(int64)
	if !ok {
		return fmt.Errorf("scan duration: %T is not a number of milliseconds", src)
	}
	*s.d = time.Duration(v) * time.Millisecond
	return nil
}

// text scans a string, and NULL as the empty one.
type text struct{ s *string }

func (t text) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*t.s = ""
	case string:
		*t.s = v
	case []byte:
		*t.s = string(v)
	default:
		return fmt.Errorf("scan text: %T is no text", src)
	}
	return nil
}

// orNull stores the empty string as NULL.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// encode is a value as it is stored in a JSON column. The types stored so
// always marshal.
func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("sqlstore: marshal %T: %v", v, err))
	}
	return string(b)
}

// words is a list as it is stored: never null.
func words(ss []string) string {
	if len(ss) == 0 {
		return "[]"
	}
	return encode(ss)
}

// decoded scans a JSON column into v.
type decoded struct{ v any }

func (d decoded) Scan(src any) error {
	switch b := src.(type) {
	case string:
		if b == "[]" {
			return nil
		}
		return json.Unmarshal([]byte(b), d.v)
	case []byte:
		return json.Unmarshal(b, d.v)
	}
	return fmt.Errorf("scan JSON: %T is no text", src)
}

// changed adds one to the counter of this kind.
func changed(ctx context.Context, q runner, kind string) error {
	return q.exec(ctx, `UPDATE changes SET n = n + 1 WHERE kind = $1`, kind)
}
