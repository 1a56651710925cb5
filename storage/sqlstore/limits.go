package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"gatehouse/storage"
)

type limits struct{ *DB }

// Allow is GCRA: tat is when the whole burst will be there again; an act moves
// it on by one interval, and is allowed while that stays within the burst. One
// upsert judges and counts, by the server's clock.
func (s limits) Allow(ctx context.Context, key string, rate storage.Rate) (storage.Decision, error) {
	if rate.Every <= 0 {
		return storage.Decision{Allowed: true}, nil
	}
	every := max(rate.Every.Microseconds(), 1)
	whole := every * int64(max(rate.Burst, 1))
	var now, tat int64
	base := `CASE WHEN limits.tat > ` + s.dialect.now + ` THEN limits.tat ELSE ` + s.dialect.now + ` END`
	err := s.write.row(ctx, `
		INSERT INTO limits (key, tat) VALUES ($1, `+s.dialect.now+` + $2)
		ON CONFLICT (key) DO UPDATE SET tat = `+base+` + $2
		WHERE `+base+` + $2 - `+s.dialect.now+` <= $3
		RETURNING tat, `+s.dialect.now, key, every, whole).Scan(&tat, &now)
	switch {
	case err == nil:
		used := max(tat-now, 0)
		return storage.Decision{Allowed: true, Remaining: int((whole - used) / every), ResetAfter: micros(used)}, nil
	case !errors.Is(err, sql.ErrNoRows):
		return storage.Decision{}, err
	}
	err = s.read.row(ctx, `SELECT tat, `+s.dialect.now+` FROM limits WHERE key = $1`, key).Scan(&tat, &now)
	if errors.Is(err, sql.ErrNoRows) { // swept in between: the next act is allowed
		return storage.Decision{}, nil
	}
	return storage.Decision{RetryAfter: micros(max(tat+every-whole-now, 0)), ResetAfter: micros(max(tat-now, 0))}, err
}

func (s limits) Refund(ctx context.Context, key string, rate storage.Rate) error {
	return s.write.exec(ctx, `UPDATE limits SET tat = tat - $2 WHERE key = $1`, key, rate.Every.Microseconds())
}

func micros(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
