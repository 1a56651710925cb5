package sqlstore

import (
	"context"
	"fmt"
	"time"

	"gatehouse/storage"
)

// What is over is kept a while, so that a page can say what became of it.
const (
	sweepEvery = time.Minute
	sweepBatch = 500
	keepFlows  = 24 * time.Hour
	// Strangers can make parked requests by the thousand.
	keepRequests = 2 * time.Hour
	keepBrowser  = 400 * 24 * time.Hour
	keepGuesses  = 180 * 24 * time.Hour
	keepReceipt  = 30 * 24 * time.Hour
)

// sweeps says what leaves which table: rows whose column is older than keep.
var sweeps = []struct {
	table, key, column string
	keep               time.Duration
}{
	{"auth_requests", "id", "expires_at", keepRequests},
	{"logout_requests", "id", "expires_at", keepRequests},
	{"upstream_flows", "state", "expires_at", keepRequests},
	{"pending_identities", "id", "expires_at", keepRequests},
	{"sessions", "id", "expires_at", keepFlows},
	{"device_codes", "code", "expires_at", keepFlows},
	{"grants", "id", "ends_at", 0},
	{"revocations", "value", "expires_at", time.Minute},
	{"access_tokens", "id", "expires_at", time.Minute},
	{"used_ids", "id", "expires_at", time.Minute},
	{"setup_links", "digest", "expires_at", keepFlows},
	{"browsers", "browser", "seen_at", keepBrowser},
	{"guesses", "key", "failed_at", keepGuesses},
	{"deliveries", "id", "finished_at", keepReceipt},
	{"failures", "code", "at", storage.FailuresKept},
}

// stays says which rows of a table do not leave yet, although their time is
// over: the end of a session is told to the clients that have grants of it.
var stays = map[string]string{
	"grants": `EXISTS (SELECT 1 FROM sessions JOIN clients ON clients.id = grants.client_id
		WHERE sessions.id = grants.session_id AND sessions.ended_at IS NULL AND clients.backchannel_logout_uri IS NOT NULL)`,
}

// Sweep removes what is over, in bounded batches that no request waits for,
// until ctx ends.
func (db *DB) Sweep(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			if err := db.SweepOnce(ctx, now); err != nil && ctx.Err() == nil {
				db.log.ErrorContext(ctx, "sweep", "error", err)
			}
		}
	}
}

// SweepOnce removes what is over at now.
func (db *DB) SweepOnce(ctx context.Context, now time.Time) error {
	for _, s := range sweeps {
		over := s.column + ` < $1`
		if condition, ok := stays[s.table]; ok {
			over += ` AND NOT ` + condition
		}
		query := `DELETE FROM ` + s.table + ` WHERE ` + over + ` AND ` + s.key + ` IN (
			SELECT ` + s.key + ` FROM ` + s.table + ` WHERE ` + over + ` LIMIT $2) RETURNING 1`
		if err := db.sweep(ctx, query, ms(now.Add(-s.keep))); err != nil {
			return fmt.Errorf("sweep %s: %w", s.table, err)
		}
	}
	// By the clock that counted.
	query := `DELETE FROM limits WHERE tat < ` + db.dialect.now + ` AND key IN (
		SELECT key FROM limits WHERE tat < ` + db.dialect.now + ` LIMIT $1) RETURNING 1`
	if err := db.sweep(ctx, query); err != nil {
		return fmt.Errorf("sweep limits: %w", err)
	}
	query = `DELETE FROM failures WHERE code IN (
		SELECT code FROM failures ORDER BY at DESC, code DESC LIMIT $2 OFFSET $1) RETURNING 1`
	if err := db.sweep(ctx, query, maxFailures); err != nil {
		return fmt.Errorf("sweep failures: %w", err)
	}
	return nil
}

func (db *DB) sweep(ctx context.Context, query string, args ...any) error {
	args = append(args, sweepBatch)
	for {
		gone, err := list(ctx, db.write, func(s scanner) (n int, err error) {
			err = s.Scan(&n)
			return n, err
		}, query, args...)
		if err != nil || len(gone) < sweepBatch {
			return err
		}
		select { // leave the write connection to whoever waits for it
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}
