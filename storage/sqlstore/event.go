package sqlstore

import (
	"context"
	"math"
	"time"

	"gatehouse/storage"
)

type events struct{ *DB }

const eventColumns = `id, at, name, actor, subject, client_id, ip, user_agent, method, path, request_id, details`

// note stores the event of an act in its transaction: a line that cannot be
// written undoes the act.
func note(ctx context.Context, q runner, e *storage.Event) error {
	if e == nil {
		return nil
	}
	details := "{}"
	if len(e.Details) > 0 {
		details = encode(e.Details)
	}
	return q.exec(ctx, `INSERT INTO events (`+eventColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		e.ID, ms(e.At), e.Name, e.Actor, e.Subject, e.ClientID, e.IP, e.UserAgent, e.Method, e.Path, e.RequestID, details)
}

func (s events) Append(ctx context.Context, e *storage.Event) error { return note(ctx, s.write, e) }

func (s events) List(ctx context.Context, before time.Time, limit int) ([]*storage.Event, error) {
	until := int64(math.MaxInt64)
	if !before.IsZero() {
		until = before.UnixMilli()
	}
	return list(ctx, s.read, scanEvent, `SELECT `+eventColumns+` FROM events WHERE at < $1 ORDER BY at DESC, id DESC LIMIT $2`, until, limit)
}

func scanEvent(row scanner) (*storage.Event, error) {
	e := new(storage.Event)
	return e, notFound(row.Scan(&e.ID, instant{&e.At}, &e.Name, &e.Actor, &e.Subject, &e.ClientID, &e.IP, &e.UserAgent,
		&e.Method, &e.Path, &e.RequestID, decoded{&e.Details}))
}
