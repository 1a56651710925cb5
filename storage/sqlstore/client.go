package sqlstore

import (
	"context"
	"strings"
	"time"

	"gatehouse/storage"
)

type clients struct{ *DB }

const clientColumns = `id, metadata, secrets, declared, created_at, updated_at, disabled_at, version`

// Origins are kept beside the row, to be found by origin.
const clientWithOrigins = clientColumns + `,
	(SELECT COALESCE(string_agg(origin, ' '), '') FROM client_origins WHERE client_id = clients.id)`

func scanClient(s scanner) (*storage.Client, error) {
	c := new(storage.Client)
	var origins string
	err := s.Scan(&c.ID, decoded{&c.Metadata}, decoded{&c.Secrets}, &c.Declared,
		instant{&c.CreatedAt}, instant{&c.UpdatedAt}, instant{&c.DisabledAt}, &c.Version, &origins)
	c.Origins = strings.Fields(origins)
	return c, notFound(err)
}

func storedSecrets(c *storage.Client) string {
	if len(c.Secrets) == 0 {
		return "[]"
	}
	return encode(c.Secrets)
}

func (s clients) Create(ctx context.Context, c *storage.Client, e *storage.Event) error {
	err := s.write.act(ctx, func(q runner) error {
		taken, err := exists(ctx, q, `SELECT 1 FROM deleted_clients WHERE id = $1`, c.ID)
		if err != nil {
			return err
		}
		if taken {
			return storage.ErrExists
		}
		err = q.exec(ctx, `INSERT INTO clients (`+clientColumns+`, backchannel_logout_uri) VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8)`,
			c.ID, encode(c.Metadata), storedSecrets(c), c.Declared, ms(c.CreatedAt), ms(c.UpdatedAt), ms(c.DisabledAt),
			orNull(c.Metadata.BackchannelLogoutURI))
		if err != nil {
			return s.unique(err)
		}
		if err := setOrigins(ctx, q, c); err != nil {
			return err
		}
		return note(ctx, q, e)
	})
	if err == nil {
		c.Version = 1
	}
	return err
}

func setOrigins(ctx context.Context, q runner, c *storage.Client) error {
	if err := q.exec(ctx, `DELETE FROM client_origins WHERE client_id = $1`, c.ID); err != nil {
		return err
	}
	for _, o := range c.Origins {
		err := q.exec(ctx, `INSERT INTO client_origins (client_id, origin) VALUES ($1, $2) ON CONFLICT (client_id, origin) DO NOTHING`, c.ID, o)
		if err != nil {
			return err
		}
	}
	return nil
}

func (s clients) Origin(ctx context.Context, origin string) (bool, error) {
	return exists(ctx, s.read, `
		SELECT 1 FROM client_origins JOIN clients ON clients.id = client_origins.client_id
		WHERE client_origins.origin = $1 AND clients.disabled_at IS NULL LIMIT 1`, origin)
}

func (s clients) Get(ctx context.Context, id string) (*storage.Client, error) {
	return scanClient(s.read.row(ctx, `SELECT `+clientWithOrigins+` FROM clients WHERE id = $1`, id))
}

func (s clients) Update(ctx context.Context, c *storage.Client, now time.Time, e *storage.Event) error {
	var version int64
	err := s.write.act(ctx, func(q runner) error {
		err := q.row(ctx, `
			UPDATE clients SET metadata = $3, secrets = $4, declared = $5, updated_at = $6, disabled_at = $7,
				backchannel_logout_uri = $8, version = version + 1
			WHERE id = $1 AND version = $2 RETURNING version`,
			c.ID, c.Version, encode(c.Metadata), storedSecrets(c), c.Declared, ms(now), ms(c.DisabledAt),
			orNull(c.Metadata.BackchannelLogoutURI)).Scan(&version)
		if err := s.conflict(ctx, q, err, `SELECT 1 FROM clients WHERE id = $1`, c.ID); err != nil {
			return err
		}
		if err := setOrigins(ctx, q, c); err != nil {
			return err
		}
		if !c.DisabledAt.IsZero() {
			if err := endClient(ctx, q, c.ID, now); err != nil {
				return err
			}
		}
		if err := changed(ctx, q, storage.ClientsChanged); err != nil {
			return err
		}
		return note(ctx, q, e)
	})
	if err == nil {
		c.Version, c.UpdatedAt = version, now
	}
	return err
}

// endClient revokes the client's grants and queues what it is to be told: that
// nobody who came from here is signed in there any more.
func endClient(ctx context.Context, q runner, id string, now time.Time) error {
	itself, err := listeners(ctx, q, `client_id = $1 AND grants.revoked_at IS NULL`, id)
	if err != nil {
		return err
	}
	if err := tell(ctx, q, now, itself); err != nil {
		return err
	}
	if _, err := revokeWhere(ctx, q, now, `client_id = $2`, id); err != nil {
		return err
	}
	// client_credentials tokens name no grant: enabling the client again must
	// not bring them back.
	return enter(ctx, q, "client", id, now, clientTokensLive)
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
		if _, err := revokeWhere(ctx, q, now, `client_id = $2`, id); err != nil {
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
		`SELECT `+clientWithOrigins+` FROM clients WHERE id > $1 ORDER BY id LIMIT $2`, after, limit)
}
