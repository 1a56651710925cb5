package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"gatehouse/storage"
)

type grants struct{ *DB }

const grantColumns = `grants.id, grants.user_id, grants.client_id, grants.session_id, grants.epoch, grants.scopes, grants.resources, grants.offline,
	grants.nonce, grants.claims, grants.auth_time, grants.amr, grants.acr, grants.created_at, grants.token_lifetime,
	grants.redirect_uri, grants.code_challenge, grants.nonce_instead_of_pkce, grants.code_expires_at, grants.code_spent_at,
	grants.refresh_idle, grants.refresh_expires_at, grants.handle, grants.generation, grants.rotated_at, grants.refresh_idle_expires_at,
	grants.revoked_at`

func grantFields(g *storage.Grant) []any {
	return []any{&g.ID, &g.UserID, &g.ClientID, &g.SessionID, &g.Epoch, decoded{&g.Scopes}, decoded{&g.Resources}, &g.Offline,
		&g.Nonce, &g.Claims, instant{&g.AuthTime}, decoded{&g.AMR}, &g.ACR, instant{&g.CreatedAt}, span{&g.TokenLifetime},
		&g.RedirectURI, text{&g.CodeChallenge}, &g.NonceInsteadOfPKCE, instant{&g.CodeExpiresAt}, instant{&g.CodeSpentAt},
		span{&g.RefreshIdle}, instant{&g.RefreshExpiresAt}, text{&g.Handle}, &g.Generation, instant{&g.RotatedAt}, instant{&g.RefreshIdleExpiresAt},
		instant{&g.RevokedAt}}
}

func scanGrant(s scanner) (*storage.Grant, error) {
	g := new(storage.Grant)
	return g, notFound(s.Scan(grantFields(g)...))
}

// alive is true of a grant that may give something at $1; where its user is
// joined, and judged by livingUser, aliveOtherwise is the rest of it.
const (
	alive = `(` + aliveOtherwise + `
	AND EXISTS (SELECT 1 FROM users WHERE ` + livingUser + `))`

	aliveOtherwise = `grants.revoked_at IS NULL
	AND EXISTS (SELECT 1 FROM clients WHERE clients.id = grants.client_id AND clients.disabled_at IS NULL)
	AND (grants.offline OR EXISTS (SELECT 1 FROM sessions WHERE sessions.id = grants.session_id
		AND sessions.ended_at IS NULL AND sessions.expires_at > $1 AND sessions.idle_expires_at > $1))`

	livingUser = `users.id = grants.user_id AND users.epoch = grants.epoch AND users.disabled_at IS NULL`
)

// create judges user, client and session in the statement that issues.
const create = `
	INSERT INTO grants (id, user_id, client_id, session_id, epoch, scopes, resources, offline, nonce, claims, auth_time, amr, acr,
		created_at, token_lifetime, code, redirect_uri, code_challenge, nonce_instead_of_pkce, code_expires_at,
		refresh_idle, refresh_expires_at, generation, ends_at)
	SELECT $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $1, $15, $16, $17, $18, $19, $20, $21, $22, 0, $23
	WHERE EXISTS (SELECT 1 FROM users WHERE id = $3 AND epoch = $6 AND disabled_at IS NULL)
		AND EXISTS (SELECT 1 FROM clients WHERE id = $4 AND disabled_at IS NULL)
		AND EXISTS (SELECT 1 FROM sessions WHERE id = $5 AND user_id = $3 AND ended_at IS NULL AND expires_at > $1 AND idle_expires_at > $1)
	RETURNING id`

func (s grants) Create(ctx context.Context, g *storage.Grant, code storage.Digest, requestID string, e *storage.Event) error {
	if requestID == "" && e == nil {
		return s.insert(ctx, s.write, g, code)
	}
	return s.write.act(ctx, func(q runner) error {
		if requestID != "" {
			if err := take(ctx, q, requestID, g.CreatedAt); err != nil {
				return err
			}
		}
		if err := s.insert(ctx, q, g, code); err != nil {
			return err
		}
		return note(ctx, q, e)
	})
}

func (s grants) insert(ctx context.Context, q runner, g *storage.Grant, code storage.Digest) error {
	ends := g.CodeExpiresAt
	if g.RefreshExpiresAt.After(ends) {
		ends = g.RefreshExpiresAt
	}
	var id string
	err := q.row(ctx, create, ms(g.CreatedAt), g.ID, g.UserID, g.ClientID, g.SessionID, g.Epoch, words(g.Scopes), words(g.Resources), g.Offline,
		g.Nonce, g.Claims, ms(g.AuthTime), words(g.AMR), g.ACR, g.TokenLifetime.Milliseconds(), code, g.RedirectURI, orNull(g.CodeChallenge),
		g.NonceInsteadOfPKCE, ms(g.CodeExpiresAt), g.RefreshIdle.Milliseconds(), ms(g.RefreshExpiresAt), ms(ends.Add(g.TokenLifetime))).Scan(&id)
	return notFound(s.unique(err))
}

func (s grants) Get(ctx context.Context, id string) (*storage.Grant, error) {
	return scanGrant(s.read.row(ctx, `SELECT `+grantColumns+` FROM grants WHERE id = $1`, id))
}

func (s grants) FindByHandle(ctx context.Context, handle string) (*storage.Grant, error) {
	return scanGrant(s.read.row(ctx, `SELECT `+grantColumns+` FROM grants WHERE handle = $1`, handle))
}

// redeem: the WHERE clause is the lock. Of any number of presentations of one
// code, the database lets exactly one through.
const redeem = `
	UPDATE grants SET code_spent_at = $1,
		handle = CASE WHEN refresh_idle > 0 THEN $6 ELSE handle END,
		refresh = CASE WHEN refresh_idle > 0 THEN $7 ELSE refresh END,
		generation = CASE WHEN refresh_idle > 0 THEN 1 ELSE 0 END,
		rotated_at = CASE WHEN refresh_idle > 0 THEN $1 ELSE rotated_at END,
		refresh_idle_expires_at = CASE WHEN $1 + refresh_idle < refresh_expires_at THEN $1 + refresh_idle ELSE refresh_expires_at END
	WHERE code = $2 AND code_spent_at IS NULL AND code_expires_at > $1
		AND client_id = $3 AND redirect_uri = $4 AND COALESCE(code_challenge, '') = $5
		AND ` + alive + `
	RETURNING ` + grantColumns

func (s grants) Redeem(ctx context.Context, r storage.Redemption) (*storage.Grant, error) {
	g, err := scanGrant(s.write.row(ctx, redeem, ms(r.Now), r.Code, r.ClientID, r.RedirectURI, r.Challenge, r.Handle, r.Refresh))
	if !errors.Is(err, storage.ErrNotFound) {
		return g, err
	}
	return nil, s.write.actAndRefuse(ctx, func(q runner) (refusal, err error) { return s.refuseCode(ctx, q, r) })
}

// refuseCode looks again, to learn why a code was refused, and ends what must end.
func (s grants) refuseCode(ctx context.Context, q runner, r storage.Redemption) (refusal, err error) {
	g, err := scanGrant(q.row(ctx, `SELECT `+grantColumns+` FROM grants WHERE code = $1`, r.Code))
	if errors.Is(err, storage.ErrNotFound) {
		return storage.ErrNotFound, nil
	}
	if err != nil {
		return nil, err
	}
	matches := g.ClientID == r.ClientID && g.RedirectURI == r.RedirectURI && g.CodeChallenge == r.Challenge
	switch {
	case !g.CodeSpentAt.IsZero():
		// RFC 6749 §4.1.2: a second use revokes everything the first one gave.
		return storage.ErrReused, s.endReused(ctx, q, g, "code presented again", r.Now)
	case !matches:
		if err := q.exec(ctx, `UPDATE grants SET code_spent_at = $2 WHERE id = $1 AND code_spent_at IS NULL`, g.ID, ms(r.Now)); err != nil {
			return nil, err
		}
		return storage.ErrMismatch, s.endReused(ctx, q, g, "code presented by the wrong client, redirect URI or verifier", r.Now)
	case !g.CodeExpiresAt.After(r.Now):
		return storage.ErrExpired, nil
	}
	return storage.ErrNotFound, nil
}

// endReused revokes the grant of a code or token that was presented as it must not be.
// Of many at once, one ends it and writes the event.
func (s grants) endReused(ctx context.Context, q runner, g *storage.Grant, why string, now time.Time) error {
	ended, err := revokeWhere(ctx, q, now, `id = $2`, g.ID)
	if err != nil || ended == 0 {
		return err
	}
	e := storage.NewEvent(ctx, now, "grant.revoked", g.UserID)
	e.ClientID = g.ClientID
	e.Details = map[string]string{"grant": g.ID, "reason": why}
	return note(ctx, q, e)
}

const rotate = `
	UPDATE grants SET refresh = $5, refresh_before = refresh, generation = generation + 1, rotated_at = $1,
		refresh_idle_expires_at = CASE WHEN $1 + refresh_idle < refresh_expires_at THEN $1 + refresh_idle ELSE refresh_expires_at END
	WHERE handle = $2 AND refresh = $3 AND client_id = $4 AND generation = $6
		AND refresh_idle_expires_at > $1 AND ` + alive + `
	RETURNING ` + grantColumns

func (s grants) Rotate(ctx context.Context, r storage.Rotation) (*storage.Rotated, error) {
	g, err := scanGrant(s.write.row(ctx, rotate, ms(r.Now), r.Handle, r.Presented, r.ClientID, r.Successors[0], r.Generation))
	if err == nil {
		return &storage.Rotated{Grant: g}, nil
	}
	if !errors.Is(err, storage.ErrNotFound) {
		return nil, err
	}
	var rotated *storage.Rotated
	err = s.write.actAndRefuse(ctx, func(q runner) (refusal, err error) {
		rotated, refusal, err = s.repeat(ctx, q, r)
		return refusal, err
	})
	if err != nil {
		return nil, err
	}
	return rotated, nil
}

// repeat looks again at a token that is not the current one. Its MAC is good,
// so an old generation is one that we gave, or forged with our key: the token
// just replaced gets the answer it got, within the grace; any other old one
// ends the grant. A current or later one with another secret was derived by a
// key that the row did not follow, and says nothing against anybody.
func (s grants) repeat(ctx context.Context, q runner, r storage.Rotation) (_ *storage.Rotated, refusal, err error) {
	g := new(storage.Grant)
	var current, before storage.Digest
	var living bool
	fields := append(grantFields(g), &current, &before, &living)
	err = q.row(ctx, `SELECT `+grantColumns+`, grants.refresh, grants.refresh_before, `+alive+` FROM grants WHERE handle = $2`, ms(r.Now), r.Handle).Scan(fields...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, storage.ErrNotFound, nil
	}
	if err != nil {
		return nil, nil, err
	}
	old := r.Generation < g.Generation
	inGrace := r.Generation == g.Generation-1 && r.Presented == before &&
		r.Grace > 0 && r.Now.Before(g.RotatedAt.Add(r.Grace))
	switch {
	case g.ClientID != r.ClientID:
		return nil, storage.ErrMismatch, nil
	case old && !inGrace:
		return nil, storage.ErrReused, s.endReused(ctx, q, g, "refresh token presented after it was replaced", r.Now)
	case !living:
		return nil, storage.ErrNotFound, nil
	case !g.RefreshIdleExpiresAt.After(r.Now):
		return nil, storage.ErrExpired, nil
	case !inGrace:
		return nil, storage.ErrNotFound, nil
	}
	return &storage.Rotated{Grant: g, Successor: slices.Index(r.Successors, current), Repeated: true}, nil, nil
}

func (s grants) Current(ctx context.Context, handle string, presented storage.Digest, now time.Time) (*storage.Grant, error) {
	return scanGrant(s.read.row(ctx, `
		SELECT `+grantColumns+` FROM grants
		WHERE handle = $2 AND refresh = $3 AND refresh_idle_expires_at > $1 AND `+alive, ms(now), handle, presented))
}

// notRevoked is true of a token whose id, $3, is not in the log.
const notRevoked = `NOT EXISTS (SELECT 1 FROM revocations WHERE kind = 'jti' AND value = $3)`

func (s grants) Live(ctx context.Context, id, jti string, now time.Time) (*storage.Grant, *storage.User, error) {
	g, u := new(storage.Grant), new(storage.User)
	err := s.read.row(ctx, `
		SELECT `+grantColumns+`, `+userColumns+`
		FROM grants JOIN users ON `+livingUser+`
		WHERE grants.id = $2 AND `+aliveOtherwise+` AND `+notRevoked,
		ms(now), id, jti).Scan(append(grantFields(g), userFields(u)...)...)
	if err != nil {
		return nil, nil, notFound(err)
	}
	return g, u, nil
}

func (s grants) Alive(ctx context.Context, id, jti string, now time.Time) (bool, error) {
	return exists(ctx, s.read, `SELECT 1 FROM grants WHERE grants.id = $2 AND `+alive+` AND `+notRevoked, ms(now), id, jti)
}

func (s grants) Revoke(ctx context.Context, id string, now time.Time, e *storage.Event) error {
	return s.write.act(ctx, func(q runner) error {
		ended, err := revokeWhere(ctx, q, now, `id = $2`, id)
		if err != nil || ended == 0 {
			return err
		}
		return note(ctx, q, e)
	})
}

func (s grants) ListByUser(ctx context.Context, userID string) ([]*storage.Grant, error) {
	return list(ctx, s.read, scanGrant,
		`SELECT `+grantColumns+` FROM grants WHERE user_id = $1 AND revoked_at IS NULL ORDER BY created_at DESC`, userID)
}
