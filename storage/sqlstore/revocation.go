package sqlstore

import (
	"context"
	"fmt"
	"time"
)

// clientTokensLive bounds how long a token that names no grant can live:
// registration accepts no longer access token lifetime.
const clientTokensLive = 24 * time.Hour

// revokeWhere is the one way a grant ends: it revokes the live grants that
// condition (of $2 and on) names and enters each in the revocation log, in the
// caller's transaction, so that no path can forget the log. It returns how many
// it was that ended them.
func revokeWhere(ctx context.Context, q runner, now time.Time, condition string, args ...any) (int, error) {
	type ended struct {
		id   string
		live time.Duration
	}
	all, err := list(ctx, q, func(s scanner) (e ended, err error) {
		err = s.Scan(&e.id, span{&e.live})
		return e, err
	}, `UPDATE grants SET revoked_at = $1 WHERE revoked_at IS NULL AND `+condition+` RETURNING id, token_lifetime`,
		append([]any{ms(now)}, args...)...)
	if err != nil {
		return 0, fmt.Errorf("revoke grants: %w", err)
	}
	for _, e := range all {
		if err := enter(ctx, q, "grant", e.id, now, e.live); err != nil {
			return 0, err
		}
	}
	return len(all), nil
}

// enter writes one line of the revocation log; it stays until the last token
// that it concerns has expired. What ends again, as a client that was enabled
// in between, ends as of the later time.
func enter(ctx context.Context, q runner, kind, value string, now time.Time, live time.Duration) error {
	err := q.exec(ctx, `
		INSERT INTO revocations (kind, value, revoked_at, expires_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (kind, value) DO UPDATE SET revoked_at = excluded.revoked_at, expires_at = excluded.expires_at
		WHERE revocations.kind = 'client'`, kind, value, ms(now), ms(now.Add(live)))
	if err != nil {
		return fmt.Errorf("enter revocation: %w", err)
	}
	return nil
}
