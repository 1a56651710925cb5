package sqlstore

import (
	"context"
	"time"

	"gatehouse/storage"
)

type signingKeys struct{ *DB }

const keyColumns = `id, algorithm, generation, public, sealed, created_at, sign_at, retired_at`

func scanKey(s scanner) (*storage.SigningKey, error) {
	k := new(storage.SigningKey)
	var public string
	err := s.Scan(&k.ID, &k.Algorithm, &k.Generation, &public, &k.Sealed, instant{&k.CreatedAt}, instant{&k.SignAt}, instant{&k.RetiredAt})
	k.Public = []byte(public)
	return k, notFound(err)
}

// change runs act and counts the change of the keys with it.
func (s signingKeys) change(ctx context.Context, e *storage.Event, act func(runner) error) error {
	return s.write.act(ctx, func(q runner) error {
		if err := act(q); err != nil {
			return err
		}
		if err := changed(ctx, q, storage.KeysChanged); err != nil {
			return err
		}
		return note(ctx, q, e)
	})
}

func (s signingKeys) Add(ctx context.Context, k *storage.SigningKey, e *storage.Event) error {
	return s.change(ctx, e, func(q runner) error {
		return s.unique(q.exec(ctx, `INSERT INTO signing_keys (`+keyColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			k.ID, k.Algorithm, k.Generation, string(k.Public), k.Sealed, ms(k.CreatedAt), ms(k.SignAt), ms(k.RetiredAt)))
	})
}

func (s signingKeys) List(ctx context.Context) ([]*storage.SigningKey, error) {
	return list(ctx, s.read, scanKey, `SELECT `+keyColumns+` FROM signing_keys ORDER BY algorithm, generation`)
}

func (s signingKeys) Retire(ctx context.Context, id string, now time.Time, e *storage.Event) error {
	return s.change(ctx, e, func(q runner) error {
		var same string
		err := q.row(ctx, `UPDATE signing_keys SET retired_at = COALESCE(retired_at, $2) WHERE id = $1 RETURNING id`, id, ms(now)).Scan(&same)
		return notFound(err)
	})
}

func (s signingKeys) Delete(ctx context.Context, id string, e *storage.Event) error {
	return s.change(ctx, e, func(q runner) error {
		var same string
		return notFound(q.row(ctx, `DELETE FROM signing_keys WHERE id = $1 RETURNING id`, id).Scan(&same))
	})
}

type changes struct{ *DB }

func (s changes) Read(ctx context.Context) (map[string]int64, error) {
	type counter struct {
		kind string
		n    int64
	}
	all, err := list(ctx, s.read, func(row scanner) (c counter, err error) {
		err = row.Scan(&c.kind, &c.n)
		return c, err
	}, `SELECT kind, n FROM changes`)
	counters := make(map[string]int64, len(all))
	for _, c := range all {
		counters[c.kind] = c.n
	}
	return counters, err
}
