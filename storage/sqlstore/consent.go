package sqlstore

import (
	"context"
	"errors"
	"slices"
	"time"

	"gatehouse/storage"
)

type consents struct{ *DB }

const consentColumns = `user_id, client_id, scopes, granted_at`

func scanConsent(s scanner) (*storage.Consent, error) {
	c := new(storage.Consent)
	return c, notFound(s.Scan(&c.UserID, &c.ClientID, decoded{&c.Scopes}, instant{&c.GrantedAt}))
}

const oneConsent = `SELECT ` + consentColumns + ` FROM consents WHERE user_id = $1 AND client_id = $2`

func (s consents) Allow(ctx context.Context, c storage.Consent, requestID string, e *storage.Event) error {
	return s.write.act(ctx, func(q runner) error {
		if err := answer(ctx, q, requestID, c.UserID, storage.Allowed, c.GrantedAt); err != nil {
			return err
		}
		if err := allow(ctx, q, c); err != nil {
			return err
		}
		return note(ctx, q, e)
	})
}

// allow adds scopes to what the user allowed the client. The upsert takes the
// row before it reads it: another tab that allows something else waits, and
// then sees this.
func allow(ctx context.Context, q runner, c storage.Consent) error {
	before, err := scanConsent(q.row(ctx, `
		INSERT INTO consents (`+consentColumns+`) VALUES ($1, $2, '[]', $3)
		ON CONFLICT (user_id, client_id) DO UPDATE SET granted_at = excluded.granted_at
		RETURNING `+consentColumns, c.UserID, c.ClientID, ms(c.GrantedAt)))
	if err != nil {
		return err
	}
	scopes := slices.Concat(before.Scopes, c.Scopes)
	slices.Sort(scopes)
	return q.exec(ctx, `UPDATE consents SET scopes = $3 WHERE user_id = $1 AND client_id = $2`,
		c.UserID, c.ClientID, words(slices.Compact(scopes)))
}

func (s consents) Get(ctx context.Context, userID, clientID string) (*storage.Consent, error) {
	c, err := scanConsent(s.read.row(ctx, oneConsent, userID, clientID))
	if errors.Is(err, storage.ErrNotFound) {
		return &storage.Consent{UserID: userID, ClientID: clientID}, nil
	}
	return c, err
}

func (s consents) ListByUser(ctx context.Context, userID string) ([]*storage.Consent, error) {
	return list(ctx, s.read, scanConsent, `SELECT `+consentColumns+` FROM consents WHERE user_id = $1 ORDER BY client_id`, userID)
}

func (s consents) Revoke(ctx context.Context, userID, clientID string, now time.Time, e *storage.Event) error {
	return s.write.act(ctx, func(q runner) error {
		if err := q.exec(ctx, `DELETE FROM consents WHERE user_id = $1 AND client_id = $2`, userID, clientID); err != nil {
			return err
		}
		if _, err := revokeWhere(ctx, q, now, `user_id = $2 AND client_id = $3`, userID, clientID); err != nil {
			return err
		}
		return note(ctx, q, e)
	})
}
