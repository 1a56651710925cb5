package sqlstore

import (
	"context"
	"time"

	"gatehouse/storage"
)

type traces struct{ *DB }

func (s traces) AccessToken(ctx context.Context, token storage.Digest) (*storage.AccessToken, error) {
	return scanToken(s.read.row(ctx, `SELECT `+tokenColumns+` FROM access_tokens WHERE access_tokens.digest = $1`, token))
}

func (s traces) Refresh(ctx context.Context, handle string) (*storage.RefreshTrace, error) {
	t := &storage.RefreshTrace{Grant: new(storage.Grant)}
	err := s.read.row(ctx, `SELECT `+grantColumns+`, grants.refresh, grants.refresh_before FROM grants WHERE handle = $1`, handle).
		Scan(append(grantFields(t.Grant), &t.Current, &t.Before)...)
	if err != nil {
		return nil, notFound(err)
	}
	return t, nil
}

func (s traces) Session(ctx context.Context, id string) (*storage.SessionTrace, error) {
	t := new(storage.SessionTrace)
	err := s.read.row(ctx, `SELECT idle_expires_at, expires_at, ended_at FROM sessions WHERE id = $1`, id).
		Scan(instant{&t.IdleExpiresAt}, instant{&t.ExpiresAt}, instant{&t.EndedAt})
	if err != nil {
		return nil, notFound(err)
	}
	return t, nil
}

func (s traces) Revoked(ctx context.Context, id string) (at time.Time, err error) {
	err = s.read.row(ctx, `SELECT revoked_at FROM revocations WHERE kind = 'jti' AND value = $1`, id).Scan(instant{&at})
	return at, notFound(err)
}

func (s traces) Event(ctx context.Context, name, subject string) (*storage.Event, error) {
	return scanEvent(s.read.row(ctx, `SELECT `+eventColumns+` FROM events WHERE name = $1 AND subject = $2 ORDER BY at DESC, id DESC LIMIT 1`, name, subject))
}
