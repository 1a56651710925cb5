package sqlstore

import (
	"context"
	"time"

	"gatehouse/storage"
)

type clients struct{ *DB }

const clientColumns = `id, metadata, secrets, declared, created_at, updated_at, disabled_at, version`

func scanClient(s scanner) (*storage.Client, error) {
	c := new(storage.Client)
	err := s.Scan(&c.ID, decoded{&c.Metadata}, decoded{&c.Secrets}, &c.Declared,
		instant{&c.CreatedAt}, instant{&c.UpdatedAt}, instant{&c.DisabledAt}, &c.Version)
	return c, notFound(err)
}

func storedSecrets(c *storage.Client) string {
	if len(c.Secrets) == 0 {
		return "[]"
	}
	return encode(c.Secrets)
}

func (s clients) Create(ctx context.Context, c *storage.Client, e *storage.Event) error {
	return s.write.act(ctx, func(q runner) error {
		taken, err := exists(ctx, q, `SELECT 1 FROM deleted_clients WHERE id = $1`, c.ID)
		if err != nil {
			return err
		}
		if taken {
			return storage.ErrExists
		}
		err = q.exec(ctx, `INSERT INTO clients (`+clientColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, 1)`,
			c.ID, encode(c.Metadata), storedSecrets(c), c.Declared, ms(c.CreatedAt), ms(c.UpdatedAt), ms(c.DisabledAt))
		if err != nil {
			return s.unique(err)
		}
		c.Version = 1
		return note(ctx, q, e)
	})
}

func (s clients) Get(ctx context.Context, id string) (*storage.Client, error) {
	return scanClient(s.read.row(ctx, `SELECT `+clientColumns+` FROM clients WHERE id = $1`, id))
}

func (s clients) Update(ctx context.Context, c *storage.Client, now time.Time, e *storage.Event) error {
	return s.write.act(ctx, func(q runner) error {
		var version int64
		err := q.row(ctx, `
			UPDATE clients SET metadata = $3, secrets = $4, declared = $5, updated_at = $6, disabled_at = $7, version = version + 1
			WHERE id = $1 AND version = $2 RETURNING version`,
			c.ID, c.Version, encode(c.Metadata), storedSecrets(c), c.Declared, ms(now), ms(c.DisabledAt)).Scan(&version)
		if err := s.conflict(ctx, q, err, `SELECT 1 FROM clients WHERE id = $1`, c.ID); err != nil {
			return err
		}
		if !c.DisabledAt.IsZero() {
			if err := revokeWhere(ctx, q, now, `client_id = $2`, c.ID); err != nil {
				return err
			}
		}
		if err := changed(ctx, q, storage.ClientsChanged); err != nil {
			return err
		}
		c.Version, c.UpdatedAt = version, now
		return note(ctx, q, e)
	})
}

// conflict says why a conditional update found no row: none there, or another version.
func (db *DB) conflict(ctx context.Context, q runner, err error, query string, id string) error {
	if notFound(err) != storage.ErrNotFound {
		return db.unique(err)
	}
	there, err := exists(ctx, q, query, id)
	switch {
	case err != nil:
		return err
	case there:
		return storage.ErrConflict
	}
	return storage.ErrNotFound
}

func (s clients) Delete(ctx context.Context, id string, now time.Time, e *storage.Event) error {
	return s.write.act(ctx, func(q runner) error {
		if err := revokeWhere(ctx, q, now, `client_id = $2`, id); err != nil {
			return err
		}
		// client_credentials tokens name no grant: they die by their client.
		if err := enter(ctx, q, "client", id, now, clientTokensLive); err != nil {
			return err
		}
		var gone string
		if err := q.row(ctx, `DELETE FROM clients WHERE id = $1 RETURNING id`, id).Scan(&gone); err != nil {
			return notFound(err)
		}
		if err := q.exec(ctx, `INSERT INTO deleted_clients (id, deleted_at) VALUES ($1, $2)`, id, ms(now)); err != nil {
			return err
		}
		if err := changed(ctx, q, storage.ClientsChanged); err != nil {
			return err
		}
		return note(ctx, q, e)
	})
}

func (s clients) List(ctx context.Context, after string, limit int) ([]*storage.Client, error) {
	return list(ctx, s.read, scanClient,
		`SELECT `+clientColumns+` FROM clients WHERE id > $1 ORDER BY id LIMIT $2`, after, limit)
}
