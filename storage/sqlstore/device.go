package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"gatehouse/storage"
)

type devices struct{ *DB }

// What a person has answered.
const (
	devicePending = "pending"
	deviceDenied  = "denied"
)

// createDevice takes the user code of a device whose time is over; one that
// still waits keeps it.
const createDevice = `
	INSERT INTO device_codes (code, user_code, client_id, scopes, resources, offline, created_at, expires_at, ip, user_agent,
		poll_interval, too_soon, state)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, FALSE, 'pending')
	ON CONFLICT (user_code) DO UPDATE SET code = excluded.code, client_id = excluded.client_id, scopes = excluded.scopes,
		resources = excluded.resources, offline = excluded.offline, created_at = excluded.created_at, expires_at = excluded.expires_at,
		ip = excluded.ip, user_agent = excluded.user_agent, poll_interval = excluded.poll_interval, polled_at = NULL,
		too_soon = FALSE, state = 'pending', user_id = NULL, session_id = NULL, epoch = NULL, auth_time = NULL, amr = NULL,
		acr = NULL, spent_at = NULL, grant_id = NULL
	WHERE device_codes.expires_at <= excluded.created_at
	RETURNING user_code`

func (s devices) Create(ctx context.Context, d *storage.DeviceRequest, code storage.Digest) error {
	var same string
	err := s.write.row(ctx, createDevice, code, d.UserCode, d.ClientID, words(d.Scopes), words(d.Resources), d.Offline,
		ms(d.CreatedAt), ms(d.ExpiresAt), d.IP, d.UserAgent, d.Interval.Milliseconds()).Scan(&same)
	if errors.Is(err, sql.ErrNoRows) {
		return storage.ErrExists
	}
	return err
}

func (s devices) Find(ctx context.Context, userCode string, now time.Time) (*storage.DeviceRequest, error) {
	d := new(storage.DeviceRequest)
	var state string
	err := s.read.row(ctx, `
		SELECT user_code, client_id, scopes, resources, offline, created_at, expires_at, poll_interval, ip, user_agent, state
		FROM device_codes WHERE user_code = $1`, userCode).Scan(&d.UserCode, &d.ClientID, decoded{&d.Scopes}, decoded{&d.Resources},
		&d.Offline, instant{&d.CreatedAt}, instant{&d.ExpiresAt}, span{&d.Interval}, &d.IP, &d.UserAgent, &state)
	switch {
	case err != nil:
		return nil, notFound(err)
	case !d.ExpiresAt.After(now):
		return nil, storage.ErrExpired
	case state != devicePending:
		return nil, storage.ErrReused
	}
	return d, nil
}

// approveDevice judges who says yes in the statement that notes it.
const approveDevice = `
	UPDATE device_codes SET state = 'approved', user_id = $3, session_id = $4, epoch = $5, auth_time = $6, amr = $7, acr = $8
	WHERE user_code = $2 AND state = 'pending' AND expires_at > $1
		AND EXISTS (SELECT 1 FROM users WHERE id = $3 AND users.epoch = $5 AND disabled_at IS NULL)
		AND EXISTS (SELECT 1 FROM sessions WHERE id = $4 AND sessions.user_id = $3 AND ended_at IS NULL
			AND sessions.expires_at > $1 AND idle_expires_at > $1)
	RETURNING user_code`

func (s devices) Approve(ctx context.Context, userCode string, by *storage.Session, remember *storage.Consent, now time.Time, e *storage.Event) error {
	return s.write.act(ctx, func(q runner) error {
		var same string
		err := q.row(ctx, approveDevice, ms(now), userCode, by.UserID, by.ID, by.Epoch, ms(by.AuthTime), words(by.AMR), by.ACR).Scan(&same)
		if err != nil {
			return s.unanswered(ctx, q, err, userCode, now)
		}
		if remember != nil {
			if err := allow(ctx, q, *remember); err != nil {
				return err
			}
		}
		return note(ctx, q, e)
	})
}

func (s devices) Deny(ctx context.Context, userCode, userID string, now time.Time, e *storage.Event) error {
	return s.write.act(ctx, func(q runner) error {
		var same string
		err := q.row(ctx, `
			UPDATE device_codes SET state = 'denied', user_id = $3
			WHERE user_code = $2 AND state = 'pending' AND expires_at > $1 RETURNING user_code`, ms(now), userCode, userID).Scan(&same)
		if err != nil {
			return s.unanswered(ctx, q, err, userCode, now)
		}
		return note(ctx, q, e)
	})
}

// unanswered says why an answer found no device that waits.
func (s devices) unanswered(ctx context.Context, q runner, err error, userCode string, now time.Time) error {
	if !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	var state string
	var expires time.Time
	err = q.row(ctx, `SELECT state, expires_at FROM device_codes WHERE user_code = $1`, userCode).Scan(&state, instant{&expires})
	switch {
	case err != nil:
		return notFound(err)
	case !expires.After(now):
		return storage.ErrExpired
	case state != devicePending:
		return storage.ErrReused
	}
	return storage.ErrNotFound // who answers is not alive
}

// pollPending is what nearly every poll is: one statement that notes it, judges
// whether it came too soon, and lets the interval grow where it did.
const pollPending = `
	UPDATE device_codes SET polled_at = $1,
		too_soon = COALESCE(polled_at + poll_interval > $1, FALSE),
		poll_interval = CASE WHEN polled_at + poll_interval > $1 THEN poll_interval + $4 ELSE poll_interval END
	WHERE code = $2 AND client_id = $3 AND state = 'pending' AND expires_at > $1
	RETURNING too_soon`

func (s devices) Poll(ctx context.Context, p storage.DevicePoll) (*storage.Grant, error) {
	var tooSoon bool
	err := s.write.row(ctx, pollPending, ms(p.Now), p.Code, p.ClientID, storage.SlowDownBy.Milliseconds()).Scan(&tooSoon)
	switch {
	case err == nil && tooSoon:
		return nil, storage.ErrTooSoon
	case err == nil:
		return nil, storage.ErrPending
	case !errors.Is(err, sql.ErrNoRows):
		return nil, err
	}
	var g *storage.Grant
	err = s.write.actAndRefuse(ctx, func(q runner) (refusal, err error) {
		g, refusal, err = s.collect(ctx, q, p)
		return refusal, err
	})
	if err != nil {
		return nil, err
	}
	return g, nil
}

// spendDevice: the WHERE clause is the lock. Of any number of polls, the
// database lets exactly one collect the answer.
const spendDevice = `
	UPDATE device_codes SET spent_at = $1, grant_id = $4
	WHERE code = $2 AND client_id = $3 AND state = 'approved' AND spent_at IS NULL AND expires_at > $1
	RETURNING user_code`

// grantDevice makes the grant of a spent device code, where it would be alive.
const grantDevice = `
	INSERT INTO grants (id, user_id, client_id, session_id, epoch, scopes, resources, offline, nonce, claims, auth_time, amr, acr,
		created_at, token_lifetime, redirect_uri, nonce_instead_of_pkce, refresh_idle, refresh_expires_at,
		handle, refresh, generation, rotated_at, refresh_idle_expires_at, ends_at)
	SELECT $3, d.user_id, d.client_id, d.session_id, d.epoch, d.scopes, d.resources, d.offline, '', '', d.auth_time, d.amr, d.acr,
		$1, $4, '', FALSE, $5, $6, $7, $8, $9, $10, $11, $12
	FROM device_codes d
	WHERE d.code = $2
		AND EXISTS (SELECT 1 FROM users WHERE users.id = d.user_id AND users.epoch = d.epoch AND users.disabled_at IS NULL)
		AND EXISTS (SELECT 1 FROM clients WHERE clients.id = d.client_id AND clients.disabled_at IS NULL)
		AND (d.offline OR EXISTS (SELECT 1 FROM sessions WHERE sessions.id = d.session_id
			AND sessions.ended_at IS NULL AND sessions.expires_at > $1 AND sessions.idle_expires_at > $1))
	RETURNING ` + grantColumns

// collect spends an approved device code. What the approval was worth is judged
// after that: one whose person or session ended gives nothing, ever.
func (s devices) collect(ctx context.Context, q runner, p storage.DevicePoll) (g *storage.Grant, refusal, err error) {
	var same string
	switch err := q.row(ctx, spendDevice, ms(p.Now), p.Code, p.ClientID, p.GrantID).Scan(&same); {
	case errors.Is(err, sql.ErrNoRows):
		refusal, err := s.refusePoll(ctx, q, p)
		return nil, refusal, err
	case err != nil:
		return nil, nil, err
	}
	g, err = scanGrant(q.row(ctx, grantDevice, append([]any{ms(p.Now), p.Code, p.GrantID, p.TokenLifetime.Milliseconds()}, firstRefresh(p)...)...))
	if errors.Is(err, storage.ErrNotFound) {
		return nil, storage.ErrDenied, nil
	}
	return g, nil, err
}

// firstRefresh is the refresh token that a device's grant begins with, if any,
// and when nothing that names the grant lives any more.
func firstRefresh(p storage.DevicePoll) []any {
	if p.RefreshIdle == 0 {
		return []any{0, nil, nil, nil, 0, nil, nil, ms(p.Now.Add(p.TokenLifetime))}
	}
	idle := p.Now.Add(p.RefreshIdle)
	if idle.After(p.RefreshExpiresAt) {
		idle = p.RefreshExpiresAt
	}
	return []any{p.RefreshIdle.Milliseconds(), ms(p.RefreshExpiresAt), p.Handle, p.Refresh, 1, ms(p.Now), ms(idle),
		ms(p.RefreshExpiresAt.Add(p.TokenLifetime))}
}

// refusePoll looks again, to learn why a device code gave nothing. One that
// comes after it was spent is in two hands: what it gave ends.
func (s devices) refusePoll(ctx context.Context, q runner, p storage.DevicePoll) (refusal, err error) {
	var client, state, user, grant string
	var expires, spent time.Time
	err = q.row(ctx, `SELECT client_id, state, user_id, grant_id, expires_at, spent_at FROM device_codes WHERE code = $1`, p.Code).
		Scan(&client, &state, text{&user}, text{&grant}, instant{&expires}, instant{&spent})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return storage.ErrNotFound, nil
	case err != nil:
		return nil, err
	case client != p.ClientID:
		return storage.ErrMismatch, nil
	case !spent.IsZero():
		g := &storage.Grant{ID: grant, UserID: user, ClientID: client}
		return storage.ErrReused, grants(s).endReused(ctx, q, g, "device code presented again", p.Now)
	case !expires.After(p.Now):
		return storage.ErrExpired, nil
	case state == deviceDenied:
		return storage.ErrDenied, nil
	}
	return storage.ErrPending, nil // answered while we looked: the next poll collects it
}
