package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"gatehouse/storage"
)

type sessions struct{ *DB }

const sessionColumns = `sessions.id, sessions.user_id, sessions.epoch, sessions.auth_time, sessions.auth_time_unknown, sessions.amr, sessions.acr, sessions.created_at,
	sessions.seen_at, sessions.idle_lifetime, sessions.idle_expires_at, sessions.expires_at, sessions.ip, sessions.user_agent`

func sessionFields(s *storage.Session) []any {
	return []any{&s.ID, &s.UserID, &s.Epoch, instant{&s.AuthTime}, &s.AuthTimeUnknown, decoded{&s.AMR}, &s.ACR, instant{&s.CreatedAt},
		instant{&s.SeenAt}, span{&s.IdleLifetime}, instant{&s.IdleExpiresAt}, instant{&s.ExpiresAt}, &s.IP, &s.UserAgent}
}

func scanSession(s scanner) (*storage.Session, error) {
	session := new(storage.Session)
	return session, notFound(s.Scan(sessionFields(session)...))
}

// liveSession is true of a session neither ended nor expired at $2.
const liveSession = `sessions.ended_at IS NULL AND sessions.expires_at > $2 AND sessions.idle_expires_at > $2`

func (s sessions) Begin(ctx context.Context, session *storage.Session, cookie, previous, browser storage.Digest, e *storage.Event) error {
	now := session.CreatedAt
	var begun storage.Session
	err := s.write.act(ctx, func(q runner) error {
		begun = *session
		alive, err := exists(ctx, q, `SELECT 1 FROM users WHERE id = $1 AND epoch = $2 AND disabled_at IS NULL`, session.UserID, session.Epoch)
		if err != nil {
			return err
		}
		if !alive {
			return storage.ErrNotFound
		}
		if err := s.replace(ctx, q, &begun, cookie, previous, now); err != nil {
			return err
		}
		err = q.exec(ctx, `
			INSERT INTO browsers (user_id, browser, seen_at) VALUES ($1, $2, $3)
			ON CONFLICT (user_id, browser) DO UPDATE SET seen_at = excluded.seen_at`, session.UserID, browser, ms(now))
		if err != nil {
			return err
		}
		return note(ctx, q, e)
	})
	if err == nil {
		*session = begun
	}
	return err
}

// replace lets the browser's session of the same user go on, or ends another
// user's and begins a new one.
func (s sessions) replace(ctx context.Context, q runner, session *storage.Session, cookie, previous storage.Digest, now time.Time) error {
	old, err := scanSession(q.row(ctx, `SELECT `+sessionColumns+` FROM sessions WHERE cookie = $1 AND `+liveSession, previous, ms(now)))
	switch {
	case errors.Is(err, storage.ErrNotFound):
	case err != nil:
		return err
	case old.UserID == session.UserID && old.Epoch == session.Epoch:
		var same string
		err := q.row(ctx, `
			UPDATE sessions SET cookie = $2, auth_time = $3, amr = $4, acr = $5, seen_at = $11, idle_lifetime = $6,
				idle_expires_at = $7, expires_at = $8, ip = $9, user_agent = $10, auth_time_unknown = $12
			WHERE id = $1 AND ended_at IS NULL RETURNING id`,
			old.ID, cookie, ms(session.AuthTime), words(session.AMR), session.ACR, session.IdleLifetime.Milliseconds(),
			ms(session.IdleExpiresAt), ms(session.ExpiresAt), session.IP, session.UserAgent, ms(now), session.AuthTimeUnknown).Scan(&same)
		if err == nil {
			session.ID, session.CreatedAt = old.ID, old.CreatedAt
			return nil
		}
		if !errors.Is(err, sql.ErrNoRows) { // none: it was ended meanwhile, and a new one begins
			return err
		}
	default:
		if err := endSession(ctx, q, old.ID, now); err != nil {
			return err
		}
	}
	return q.exec(ctx, `
		INSERT INTO sessions (id, cookie, user_id, epoch, auth_time, amr, acr, created_at, seen_at, idle_lifetime, idle_expires_at, expires_at, ip, user_agent,
			auth_time_unknown)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
		session.ID, cookie, session.UserID, session.Epoch, ms(session.AuthTime), words(session.AMR), session.ACR, ms(session.CreatedAt), ms(now),
		session.IdleLifetime.Milliseconds(), ms(session.IdleExpiresAt), ms(session.ExpiresAt), session.IP, session.UserAgent, session.AuthTimeUnknown)
}

func (s sessions) Find(ctx context.Context, cookie storage.Digest, now time.Time) (*storage.Session, *storage.User, error) {
	session, u := new(storage.Session), new(storage.User)
	err := s.read.row(ctx, `
		SELECT `+sessionColumns+`, `+userColumns+`
		FROM sessions JOIN users ON users.id = sessions.user_id AND users.epoch = sessions.epoch AND users.disabled_at IS NULL
		WHERE sessions.cookie = $1 AND `+liveSession, cookie, ms(now)).Scan(append(sessionFields(session), userFields(u)...)...)
	if err != nil {
		return nil, nil, notFound(err)
	}
	return session, u, nil
}

func (s sessions) Touch(ctx context.Context, id string, now time.Time) error {
	return s.write.exec(ctx, `
		UPDATE sessions SET seen_at = $2,
			idle_expires_at = CASE WHEN $2 + idle_lifetime < expires_at THEN $2 + idle_lifetime ELSE expires_at END
		WHERE id = $1 AND `+liveSession, id, ms(now))
}

// endSession ends the session, revokes the grants that live with it and queues
// what its clients are to be told. One that ended before told them then.
func endSession(ctx context.Context, q runner, id string, now time.Time) error {
	ended, err := exists(ctx, q, `UPDATE sessions SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL RETURNING 1`, id, ms(now))
	if err != nil {
		return err
	}
	if ended {
		clients, err := listeners(ctx, q, `session_id = $1`, id)
		if err == nil {
			err = tell(ctx, q, now, clients)
		}
		if err != nil {
			return err
		}
	}
	_, err = revokeWhere(ctx, q, now, `session_id = $2 AND NOT offline`, id)
	return err
}

func (s sessions) End(ctx context.Context, id string, now time.Time, e *storage.Event) error {
	return s.write.act(ctx, func(q runner) error {
		if err := endSession(ctx, q, id, now); err != nil {
			return err
		}
		return note(ctx, q, e)
	})
}

func (s sessions) ListByUser(ctx context.Context, userID string, now time.Time) ([]*storage.Session, error) {
	return list(ctx, s.read, scanSession,
		`SELECT `+sessionColumns+` FROM sessions WHERE user_id = $1 AND `+liveSession+` ORDER BY seen_at DESC`, userID, ms(now))
}
