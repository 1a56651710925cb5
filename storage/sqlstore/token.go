package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"gatehouse/storage"
)

type accessTokens struct{ *DB }

const createToken = `
	INSERT INTO access_tokens (digest, id, grant_id, client_id, subject, scopes, audience, issued_at, expires_at)
	SELECT $2, $3, $4, $5, $6, $7, $8, $1, $9
	WHERE CAST($4 AS TEXT) IS NULL OR EXISTS (SELECT 1 FROM grants WHERE id = $4 AND revoked_at IS NULL)
	RETURNING id`

func (s accessTokens) Create(ctx context.Context, t *storage.AccessToken, token storage.Digest) error {
	var id string
	err := s.write.row(ctx, createToken, ms(t.IssuedAt), token, t.ID, orNull(t.Grant), t.ClientID, t.Subject,
		words(t.Scopes), words(t.Audience), ms(t.ExpiresAt)).Scan(&id)
	return notFound(err)
}

const tokenColumns = `access_tokens.id, COALESCE(access_tokens.grant_id, ''), access_tokens.client_id, access_tokens.subject,
	access_tokens.scopes, access_tokens.audience, access_tokens.issued_at, access_tokens.expires_at`

func tokenFields(t *storage.AccessToken) []any {
	return []any{&t.ID, &t.Grant, &t.ClientID, &t.Subject,
		decoded{&t.Scopes}, decoded{&t.Audience}, instant{&t.IssuedAt}, instant{&t.ExpiresAt}}
}

func scanToken(row scanner) (*storage.AccessToken, error) {
	t := new(storage.AccessToken)
	return t, notFound(row.Scan(tokenFields(t)...))
}

// A token lives while all that it hangs from does, judged in one look. Those of
// client_credentials hang from their client alone: it must not have ended since.
const findToken = `
	SELECT ` + tokenColumns + `
	FROM access_tokens JOIN clients ON clients.id = access_tokens.client_id AND clients.disabled_at IS NULL
	WHERE access_tokens.digest = $2 AND access_tokens.expires_at > $1 AND ` + tokenNotRevoked + `
		AND CASE WHEN access_tokens.grant_id IS NULL
			THEN NOT EXISTS (SELECT 1 FROM revocations WHERE revocations.kind = 'client'
				AND revocations.value = access_tokens.client_id AND revocations.revoked_at >= access_tokens.issued_at)
			ELSE EXISTS (SELECT 1 FROM grants WHERE grants.id = access_tokens.grant_id AND ` + alive + `)
			END`

const tokenNotRevoked = `NOT EXISTS (SELECT 1 FROM revocations WHERE revocations.kind = 'jti' AND revocations.value = access_tokens.id)`

func (s accessTokens) Find(ctx context.Context, token storage.Digest, now time.Time) (*storage.AccessToken, error) {
	return scanToken(s.read.row(ctx, findToken, ms(now), token))
}

// liveToken is findToken for a token of a grant, with that and its user.
const liveToken = `
	SELECT ` + tokenColumns + `, ` + grantColumns + `, ` + userColumns + `
	FROM access_tokens JOIN clients ON clients.id = access_tokens.client_id AND clients.disabled_at IS NULL
		JOIN grants ON grants.id = access_tokens.grant_id JOIN users ON ` + livingUser + `
	WHERE access_tokens.digest = $2 AND access_tokens.expires_at > $1 AND ` + aliveOtherwise + ` AND ` + tokenNotRevoked

func (s accessTokens) Live(ctx context.Context, token storage.Digest, now time.Time) (*storage.AccessToken, *storage.Grant, *storage.User, error) {
	t, g, u := new(storage.AccessToken), new(storage.Grant), new(storage.User)
	err := s.read.row(ctx, liveToken, ms(now), token).Scan(slices.Concat(tokenFields(t), grantFields(g), userFields(u))...)
	if err != nil {
		return nil, nil, nil, notFound(err)
	}
	return t, g, u, nil
}

type revocations struct{ *DB }

func (s revocations) RevokeToken(ctx context.Context, id string, now, expires time.Time, e *storage.Event) error {
	return s.write.act(ctx, func(q runner) error {
		if err := enter(ctx, q, "jti", id, now, expires.Sub(now)); err != nil {
			return err
		}
		return note(ctx, q, e)
	})
}

func (s revocations) Revoked(ctx context.Context, id, clientID string, issued time.Time) (bool, error) {
	return exists(ctx, s.read, `
		SELECT 1 FROM revocations WHERE kind = 'jti' AND value = $1
		UNION ALL
		SELECT 1 FROM revocations WHERE kind = 'client' AND value = $2 AND revoked_at >= $3`, id, clientID, ms(issued))
}

type used struct{ *DB }

func (s used) Spend(ctx context.Context, owner, id string, expires time.Time) error {
	var same string
	err := s.write.row(ctx, `
		INSERT INTO used_ids (owner, id, expires_at) VALUES ($1, $2, $3)
		ON CONFLICT (owner, id) DO NOTHING RETURNING id`, owner, id, ms(expires)).Scan(&same)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return storage.ErrReused
	case err != nil:
		return fmt.Errorf("remember a used id: %w", err)
	}
	return nil
}
