package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"gatehouse/storage"
)

type identities struct{ *DB }

const identityColumns = `identities.id, identities.user_id, identities.upstream, identities.issuer, identities.subject,
	identities.label, identities.linked_at, identities.used_at`

func identityFields(i *storage.Identity) []any {
	return []any{&i.ID, &i.UserID, &i.Upstream, &i.Issuer, &i.Subject, &i.Label, instant{&i.LinkedAt}, instant{&i.UsedAt}}
}

func scanIdentity(s scanner) (*storage.Identity, error) {
	i := new(storage.Identity)
	return i, notFound(s.Scan(identityFields(i)...))
}

func (s identities) Find(ctx context.Context, f storage.Federated) (*storage.Identity, *storage.User, error) {
	i, u := new(storage.Identity), new(storage.User)
	err := s.read.row(ctx, `
		SELECT `+identityColumns+`, `+userColumns+` FROM identities JOIN users ON users.id = identities.user_id
		WHERE upstream = $1 AND issuer = $2 AND subject = $3`,
		f.Upstream, f.Issuer, f.Subject).Scan(append(identityFields(i), userFields(u)...)...)
	if err != nil {
		return nil, nil, notFound(err)
	}
	return i, u, nil
}

func (s identities) Create(ctx context.Context, n storage.NewUser, i *storage.Identity, events ...*storage.Event) error {
	err := s.write.act(ctx, func(q runner) error {
		if err := users(s).insert(ctx, q, n); err != nil {
			return err
		}
		if err := link(ctx, q, i); err != nil {
			return err
		}
		for _, e := range events {
			if err := note(ctx, q, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		inserted(n.User)
	}
	return err
}

// link gives the identity to its user. Of any number who link one identity at
// once, one does.
func link(ctx context.Context, q runner, i *storage.Identity) error {
	alive, err := exists(ctx, q, `SELECT 1 FROM users WHERE id = $1 AND disabled_at IS NULL`, i.UserID)
	if err != nil {
		return err
	}
	if !alive {
		return storage.ErrNotFound
	}
	linked, err := exists(ctx, q, `
		INSERT INTO identities (id, user_id, upstream, issuer, subject, label, linked_at, used_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (upstream, issuer, subject) DO NOTHING RETURNING 1`,
		i.ID, i.UserID, i.Upstream, i.Issuer, i.Subject, i.Label, ms(i.LinkedAt), ms(i.UsedAt))
	if err == nil && !linked {
		return storage.ErrExists
	}
	return err
}

func (s identities) Link(ctx context.Context, i *storage.Identity, e *storage.Event) error {
	return s.write.act(ctx, func(q runner) error {
		if err := link(ctx, q, i); err != nil {
			return err
		}
		return note(ctx, q, e)
	})
}

func (s identities) Confirm(ctx context.Context, pending string, browser storage.Digest, userID, id string, now time.Time, e *storage.Event) (*storage.Identity, error) {
	var linked *storage.Identity
	err := s.write.actAndRefuse(ctx, func(q runner) (refusal, err error) {
		p, spent, err := scanPending(q.row(ctx, `SELECT `+pendingColumns+` FROM pending_identities WHERE id = $1`, pending))
		if err != nil {
			return nil, err
		}
		if refusal := standing(p.Browser, browser, spent, p.ExpiresAt, now); refusal != nil && !errors.Is(refusal, storage.ErrMismatch) {
			return refusal, nil
		}
		taken, err := exists(ctx, q, `UPDATE pending_identities SET spent_at = $2 WHERE id = $1 AND spent_at IS NULL AND expires_at > $2 RETURNING 1`, pending, ms(now))
		switch {
		case err != nil:
			return nil, err
		case !taken:
			return storage.ErrReused, nil
		case p.Browser != browser || p.UserID != userID:
			return storage.ErrMismatch, nil
		}
		linked = &storage.Identity{ID: id, UserID: userID, Federated: p.Federated, Label: p.Label, LinkedAt: now, UsedAt: now}
		if err := link(ctx, q, linked); err != nil {
			if errors.Is(err, storage.ErrExists) || errors.Is(err, storage.ErrNotFound) {
				return err, nil
			}
			return nil, err
		}
		return nil, note(ctx, q, e)
	})
	if err != nil {
		return nil, err
	}
	return linked, nil
}

func (s identities) Unlink(ctx context.Context, userID, id string, open []storage.Federated, e *storage.Event) error {
	return s.write.act(ctx, func(q runner) error {
		// Two of these at once would each see the other's identity as the way that
		// remains: the row of the user makes them take turns.
		there, err := exists(ctx, q, `UPDATE users SET version = version WHERE id = $1 RETURNING 1`, userID)
		switch {
		case err != nil:
			return err
		case !there:
			return storage.ErrNotFound
		}
		all, err := listIdentities(ctx, q, userID)
		if err != nil {
			return err
		}
		mine := slices.IndexFunc(all, func(i *storage.Identity) bool { return i.ID == id })
		if mine < 0 {
			return storage.ErrNotFound
		}
		another, err := exists(ctx, q, `SELECT 1 FROM passwords WHERE user_id = $1`, userID)
		if err != nil {
			return err
		}
		if !another && !slices.ContainsFunc(slices.Delete(all, mine, mine+1), func(i *storage.Identity) bool { return isOpen(i, open) }) {
			return storage.ErrLastWay
		}
		if err := q.exec(ctx, `DELETE FROM identities WHERE id = $1`, id); err != nil {
			return err
		}
		return note(ctx, q, e)
	})
}

func isOpen(i *storage.Identity, open []storage.Federated) bool {
	return slices.Contains(open, storage.Federated{Upstream: i.Upstream, Issuer: i.Issuer})
}

func (s identities) Used(ctx context.Context, id, label string, now time.Time) error {
	return s.write.exec(ctx, `UPDATE identities SET used_at = $2, label = $3 WHERE id = $1`, id, ms(now), label)
}

func (s identities) ListByUser(ctx context.Context, userID string) ([]*storage.Identity, error) {
	return listIdentities(ctx, s.read, userID)
}

func listIdentities(ctx context.Context, q runner, userID string) ([]*storage.Identity, error) {
	return list(ctx, q, scanIdentity, `SELECT `+identityColumns+` FROM identities WHERE user_id = $1 ORDER BY linked_at, id`, userID)
}

func (s flows) Leave(ctx context.Context, state storage.Digest, f *storage.UpstreamFlow) error {
	return s.write.exec(ctx, `
		INSERT INTO upstream_flows (state, browser, upstream, issuer, sealed, purpose, link_user, created_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		state, f.Browser, f.Upstream, f.Issuer, f.Sealed, f.Purpose, orNull(f.LinkUser), ms(f.CreatedAt), ms(f.ExpiresAt))
}

const upstreamFlowColumns = `browser, upstream, issuer, sealed, purpose, link_user, created_at, expires_at`

func upstreamFlowFields(f *storage.UpstreamFlow) []any {
	return []any{&f.Browser, &f.Upstream, &f.Issuer, &f.Sealed, &f.Purpose, text{&f.LinkUser}, instant{&f.CreatedAt}, instant{&f.ExpiresAt}}
}

// Return spends before it judges: who presents a state that is not theirs has
// it from somewhere, and nobody shall go on with it.
func (s flows) Return(ctx context.Context, state, browser storage.Digest, now time.Time) (*storage.UpstreamFlow, error) {
	f := new(storage.UpstreamFlow)
	err := s.write.row(ctx, `
		UPDATE upstream_flows SET spent_at = $2 WHERE state = $1 AND spent_at IS NULL AND expires_at > $2
		RETURNING `+upstreamFlowColumns, state, ms(now)).Scan(upstreamFlowFields(f)...)
	var refusal error
	if errors.Is(err, sql.ErrNoRows) {
		var spent time.Time
		err = s.read.row(ctx, `SELECT spent_at, `+upstreamFlowColumns+` FROM upstream_flows WHERE state = $1`, state).
			Scan(append([]any{instant{&spent}}, upstreamFlowFields(f)...)...)
		if refusal = storage.ErrExpired; !spent.IsZero() {
			refusal = storage.ErrReused
		}
	}
	switch {
	case err != nil:
		return nil, notFound(err)
	case f.Browser != browser:
		return nil, storage.ErrMismatch
	}
	return f, refusal
}

func (s flows) ParkIdentity(ctx context.Context, p *storage.PendingIdentity) error {
	return s.write.exec(ctx, `
		INSERT INTO pending_identities (id, browser, user_id, upstream, issuer, subject, label, purpose, created_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		p.ID, p.Browser, p.UserID, p.Upstream, p.Issuer, p.Subject, p.Label, p.Purpose, ms(p.CreatedAt), ms(p.ExpiresAt))
}

const pendingColumns = `id, browser, user_id, upstream, issuer, subject, label, purpose, created_at, expires_at, spent_at`

func scanPending(s scanner) (p *storage.PendingIdentity, spent time.Time, err error) {
	p = new(storage.PendingIdentity)
	err = s.Scan(&p.ID, &p.Browser, &p.UserID, &p.Upstream, &p.Issuer, &p.Subject, &p.Label, &p.Purpose,
		instant{&p.CreatedAt}, instant{&p.ExpiresAt}, instant{&spent})
	return p, spent, notFound(err)
}

func (s flows) GetIdentity(ctx context.Context, id string, browser storage.Digest, now time.Time) (*storage.PendingIdentity, error) {
	p, spent, err := scanPending(s.read.row(ctx, `SELECT `+pendingColumns+` FROM pending_identities WHERE id = $1`, id))
	if err == nil {
		err = standing(p.Browser, browser, spent, p.ExpiresAt, now)
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}
