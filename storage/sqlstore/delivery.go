package sqlstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatehouse/storage"
)

type deliveries struct{ *DB }

const deliveryColumns = `id, client_id, user_id, session_id, state, created_at, due_at, tries, last_status, last_error, finished_at`

func scanDelivery(s scanner) (*storage.Delivery, error) {
	d := new(storage.Delivery)
	return d, notFound(s.Scan(&d.ID, &d.ClientID, &d.UserID, &d.SessionID, &d.State, instant{&d.CreatedAt}, instant{&d.DueAt},
		&d.Tries, &d.LastStatus, &d.LastError, instant{&d.FinishedAt}))
}

// A toTell is a client that has something of a session.
type toTell struct{ client, user, session string }

// listeners are the clients with a back-channel logout URI that have grants
// which condition (of $1) names, with the sessions that these are of.
func listeners(ctx context.Context, q runner, condition, arg string) ([]toTell, error) {
	all, err := list(ctx, q, func(s scanner) (l toTell, err error) {
		err = s.Scan(&l.client, &l.user, &l.session)
		return l, err
	}, `SELECT DISTINCT grants.client_id, grants.user_id, grants.session_id
		FROM grants JOIN clients ON clients.id = grants.client_id
		WHERE clients.backchannel_logout_uri IS NOT NULL AND grants.`+condition, arg)
	if err != nil {
		return nil, fmt.Errorf("find the clients to tell: %w", err)
	}
	return all, nil
}

// tell queues one delivery for each of these clients and sessions, in the
// caller's transaction, so that no path that ends something can forget them.
func tell(ctx context.Context, q runner, now time.Time, all []toTell) error {
	slices.SortFunc(all, func(a, b toTell) int {
		return strings.Compare(a.session+"\x00"+a.client, b.session+"\x00"+b.client)
	})
	for _, l := range slices.Compact(all) {
		err := q.exec(ctx, `
			INSERT INTO deliveries (id, client_id, user_id, session_id, state, created_at, due_at, tries, last_status, last_error)
			VALUES ($1, $2, $3, $4, 'waiting', $5, $5, 0, 0, '')`, rand.Text(), l.client, l.user, l.session, ms(now))
		if err != nil {
			return fmt.Errorf("queue a delivery: %w", err)
		}
	}
	return nil
}

const isDue = `finished_at IS NULL AND due_at <= $1`

// claim: the WHERE clause is the lock. Moving due_at on is the lease. What was
// never tried goes first, so that clients which do not answer keep nobody waiting.
const claim = `
	UPDATE deliveries SET due_at = $2, tries = tries + 1
	WHERE ` + isDue + ` AND id IN (SELECT id FROM deliveries WHERE ` + isDue + ` ORDER BY tries, due_at, id LIMIT $3)
	RETURNING ` + deliveryColumns

func (s deliveries) Claim(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]*storage.Delivery, error) {
	// Most of the time nothing waits, and whoever writes need not wait for that.
	waits, err := exists(ctx, s.read, `SELECT 1 FROM deliveries WHERE `+isDue+` LIMIT 1`, ms(now))
	if err != nil || !waits {
		return nil, err
	}
	var claimed []*storage.Delivery
	err = s.write.act(ctx, func(q runner) (err error) {
		claimed, err = list(ctx, q, scanDelivery, claim, ms(now), ms(now.Add(lease)), limit)
		return err
	})
	if err != nil {
		return nil, err
	}
	return claimed, nil
}

func (s deliveries) Settle(ctx context.Context, a storage.Attempt, e *storage.Event) error {
	finished, due := any(nil), a.DueAt
	if a.State != storage.Waiting {
		finished, due = ms(a.At), a.At
	}
	return s.write.act(ctx, func(q runner) error {
		var id string
		err := q.row(ctx, `
			UPDATE deliveries SET state = $3, last_status = $4, last_error = $5, due_at = $6, finished_at = $7
			WHERE id = $1 AND tries = $2 AND finished_at IS NULL RETURNING id`,
			a.ID, a.Tries, string(a.State), a.Status, a.Error, ms(due), finished).Scan(&id)
		if errors.Is(notFound(err), storage.ErrNotFound) {
			return storage.ErrConflict
		}
		if err != nil {
			return err
		}
		return note(ctx, q, e)
	})
}

func (s deliveries) ListBySession(ctx context.Context, sessionID string) ([]*storage.Delivery, error) {
	return list(ctx, s.read, scanDelivery,
		`SELECT `+deliveryColumns+` FROM deliveries WHERE session_id = $1 ORDER BY created_at, id`, sessionID)
}
