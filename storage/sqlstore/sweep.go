package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
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
// Events stay: they are the audit log.
var sweeps = []struct {
	table, column string
	keep          time.Duration
}{
	{"auth_requests", "expires_at", keepRequests},
	{"logout_requests", "expires_at", keepRequests},
	{"upstream_flows", "expires_at", keepRequests},
	{"pending_identities", "expires_at", keepRequests},
	{"sessions", "expires_at", keepFlows},
	{"device_codes", "expires_at", keepFlows},
	{"grants", "ends_at", 0},
	{"revocations", "expires_at", time.Minute},
	{"access_tokens", "expires_at", time.Minute},
	{"used_ids", "expires_at", time.Minute},
	{"setup_links", "expires_at", keepFlows},
	{"browsers", "seen_at", keepBrowser},
	{"guesses", "failed_at", keepGuesses},
	{"deliveries", "finished_at", keepReceipt},
	{"failures", "at", storage.FailuresKept},
}

// stays says which rows of a table do not leave yet, although their time is
// over: the end of a session is told to the clients that have grants of it.
var stays = map[string]string{
	"grants": `EXISTS (SELECT 1 FROM sessions JOIN clients ON clients.id = grants.client_id
		WHERE sessions.id = grants.session_id AND sessions.ended_at IS NULL AND clients.backchannel_logout_uri IS NOT NULL)`,
}

// Sweep removes what is over, in bounded batches that no request waits for,
// until ctx ends. Of several nodes one sweeps each time.
func (db *DB) Sweep(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			if err := db.sweepInTurn(ctx, now); err != nil && ctx.Err() == nil {
				db.log.ErrorContext(ctx, "sweep", "error", err)
			}
		}
	}
}

// turn is how often anybody sweeps: a little more often than each node asks,
// so that one alone never comes too early.
var turn = storage.Rate{Burst: 1, Every: sweepEvery - 5*time.Second}

// sweepInTurn sweeps unless another node does. A sweep may last longer than
// its turn; two at once take nothing from each other but time.
func (db *DB) sweepInTurn(ctx context.Context, now time.Time) error {
	d, err := db.Limits().Allow(ctx, "sweep", turn)
	if err != nil || !d.Allowed {
		return err
	}
	return db.SweepOnce(ctx, now)
}

// SweepOnce removes what is over at now. A table that cannot be swept keeps
// nothing from leaving the others.
func (db *DB) SweepOnce(ctx context.Context, now time.Time) error {
	var failed []error
	swept := func(table string, err error) {
		if err != nil {
			failed = append(failed, fmt.Errorf("sweep %s: %w", table, err))
		}
	}
	for _, s := range sweeps {
		swept(s.table, db.sweep(ctx, s.table, s.column, now.Add(-s.keep).UnixMilli()))
	}
	counted, err := db.Clock(ctx)
	if err == nil {
		err = db.sweep(ctx, "limits", "tat", counted.UnixMicro())
	}
	swept("limits", err)
	swept("failures", db.sweepFailures(ctx))
	return errors.Join(failed...)
}

// sweepFailures removes what is older than the newest maxFailures.
func (db *DB) sweepFailures(ctx context.Context) error {
	var at int64
	err := db.read.row(ctx, `SELECT at FROM failures ORDER BY at DESC, code DESC LIMIT 1 OFFSET $1`, maxFailures).Scan(&at)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return db.sweep(ctx, "failures", "at", at+1)
}

// batch removes the next rows of a table whose column is from $2 on and below
// $1, and returns that column. They are found by the index on it and removed by
// where they lie, so that a batch costs the same however much is left.
func (db *DB) batch(table, column string) string {
	over := column + ` < $1 AND ` + column + ` >= $2`
	if condition, ok := stays[table]; ok {
		over += ` AND NOT ` + condition
	}
	place := db.dialect.place
	return `DELETE FROM ` + table + ` WHERE ` + over + ` AND ` + place + ` IN (
		SELECT ` + place + ` FROM ` + table + ` WHERE ` + over + ` ORDER BY ` + column + ` LIMIT ` + strconv.Itoa(sweepBatch) + `)
		RETURNING ` + column
}

// sweep removes batches until one is not full. Each is an act of its own, so
// that no lock outlives it and whoever waits comes in between; and each begins
// where the last ended, so that what stays is passed over once.
func (db *DB) sweep(ctx context.Context, table, column string, before int64) error {
	query, from := db.batch(table, column), int64(math.MinInt64)
	for {
		var gone []int64
		err := db.write.act(ctx, func(q runner) (err error) {
			gone, err = list(ctx, q, func(s scanner) (at int64, err error) {
				err = s.Scan(&at)
				return at, err
			}, query, before, from)
			return err
		})
		if err != nil || len(gone) < sweepBatch {
			return err
		}
		from = slices.Max(gone)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}
