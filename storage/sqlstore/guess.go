package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"gatehouse/storage"
)

type guesses struct{ *DB }

// try counts one failure more, unless the key has to wait or is locked. A key
// that rested long enough starts anew, but Max consecutive failures are never
// forgotten. The wait after n failures is Base·2^(n−Free), at most Cap, which
// is reached after $8 doublings: nothing beyond is computed, or overflows. $9
// is the wait after the first failure.
const try = `
	INSERT INTO guesses (key, failures, failed_at, next_at) VALUES ($1, 1, $2, CAST($2 AS BIGINT) + $9)
	ON CONFLICT (key) DO UPDATE SET
		failures = CASE WHEN guesses.failed_at + $3 <= $2 THEN 1 ELSE guesses.failures + 1 END,
		failed_at = $2,
		next_at = $2 + CASE
			WHEN guesses.failed_at + $3 <= $2 THEN $9
			WHEN guesses.failures + 1 < $4 THEN 0
			WHEN guesses.failures + 1 - $4 >= $8 THEN $6
			ELSE CAST($5 AS BIGINT) << CAST(guesses.failures + 1 - $4 AS INTEGER) END
	WHERE guesses.next_at <= $2 AND ($7 = 0 OR guesses.failures < $7)
	RETURNING failures, next_at`

// doublings is how often base must be doubled to reach longest. A duration in
// milliseconds is far from overflowing by it.
func doublings(base, longest int64) (n int64) {
	for ; base > 0 && base < longest; base *= 2 {
		n++
	}
	return n
}

func (s guesses) Try(ctx context.Context, key string, p storage.GuessPolicy, now time.Time) (storage.Guess, error) {
	g := storage.Guess{Allowed: true}
	base, longest := p.Base.Milliseconds(), p.Cap.Milliseconds()
	if base == 0 {
		longest = 0 // nothing to double: no wait at all
	}
	first := int64(0)
	if p.Free <= 1 {
		first = min(base, longest)
	}
	err := s.write.row(ctx, try, key, ms(now), p.Forget.Milliseconds(), int64(max(p.Free, 1)),
		base, longest, int64(p.Max), doublings(base, longest), first).Scan(&g.Failures, instant{&g.Next})
	if err == nil || !errors.Is(err, sql.ErrNoRows) {
		return g, err
	}
	g.Allowed = false
	err = s.read.row(ctx, `SELECT failures, next_at FROM guesses WHERE key = $1`, key).Scan(&g.Failures, instant{&g.Next})
	if errors.Is(err, sql.ErrNoRows) { // forgiven in between: the next try will do
		return storage.Guess{Next: now}, nil
	}
	g.Locked = p.Max > 0 && g.Failures >= p.Max
	return g, err
}

func (s guesses) Forgive(ctx context.Context, keys ...string) error {
	return s.write.act(ctx, func(q runner) error {
		for _, k := range keys {
			if err := q.exec(ctx, `DELETE FROM guesses WHERE key = $1`, k); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s guesses) Known(ctx context.Context, userID string, browser storage.Digest) (bool, error) {
	return exists(ctx, s.read, `SELECT 1 FROM browsers WHERE user_id = $1 AND browser = $2`, userID, browser)
}

type setup struct{ *DB }

func (s setup) Issue(ctx context.Context, link storage.Digest, now, expires time.Time) error {
	return s.write.act(ctx, func(q runner) error {
		if err := q.exec(ctx, `UPDATE setup_links SET spent_at = $1 WHERE spent_at IS NULL`, ms(now)); err != nil {
			return err
		}
		return addSetupLink(ctx, q, link, now, expires)
	})
}

func (s setup) Add(ctx context.Context, link storage.Digest, now, expires time.Time) error {
	return addSetupLink(ctx, s.write, link, now, expires)
}

func addSetupLink(ctx context.Context, q runner, link storage.Digest, now, expires time.Time) error {
	return q.exec(ctx, `INSERT INTO setup_links (digest, created_at, expires_at) VALUES ($1, $2, $3)`, link, ms(now), ms(expires))
}

func (s setup) Check(ctx context.Context, link storage.Digest, now time.Time) error {
	good, err := exists(ctx, s.read, `SELECT 1 FROM setup_links WHERE digest = $1 AND spent_at IS NULL AND expires_at > $2`, link, ms(now))
	if err == nil && !good {
		return storage.ErrNotFound
	}
	return err
}
