package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"gatehouse/storage"
)

type users struct{ *DB }

const userColumns = `users.id, users.username, users.email, users.email_verified, users.admin, users.profile,
	users.epoch, users.created_at, users.updated_at, users.disabled_at, users.version`

func userFields(u *storage.User) []any {
	return []any{&u.ID, &u.Username, &u.Email, &u.EmailVerified, &u.Admin, decoded{&u.Profile},
		&u.Epoch, instant{&u.CreatedAt}, instant{&u.UpdatedAt}, instant{&u.DisabledAt}, &u.Version}
}

func scanUser(s scanner) (*storage.User, error) {
	u := new(storage.User)
	return u, notFound(s.Scan(userFields(u)...))
}

// administrators takes the row that serialises every act that could leave no
// administrator: two of them at once would each see the other's.
func administrators(ctx context.Context, q runner) error {
	return changed(ctx, q, "administrators")
}

// anotherAdmin is true of a user without whom an enabled administrator remains.
const anotherAdmin = `(NOT users.admin OR users.disabled_at IS NOT NULL OR EXISTS (
	SELECT 1 FROM users o WHERE o.admin AND o.disabled_at IS NULL AND o.id <> users.id))`

func (s users) insert(ctx context.Context, q runner, n storage.NewUser) error {
	u := n.User
	err := q.exec(ctx, `
		INSERT INTO users (id, username, email, email_verified, admin, profile, epoch, created_at, updated_at, disabled_at, version)
		VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $7, NULL, 1)`,
		u.ID, u.Username, u.Email, u.EmailVerified, u.Admin, encode(u.Profile), ms(u.CreatedAt))
	if err != nil {
		return s.unique(err)
	}
	if err := setLoginKeys(ctx, q, n); err != nil {
		return err
	}
	if n.PasswordHash == "" {
		return nil
	}
	return q.exec(ctx, `INSERT INTO passwords (user_id, hash, changed_at) VALUES ($1, $2, $3)`, u.ID, n.PasswordHash, ms(u.CreatedAt))
}

// inserted says of a user that insert has stored, and the database committed.
func inserted(u *storage.User) { u.Epoch, u.Version, u.UpdatedAt = 1, 1, u.CreatedAt }

// setLoginKeys makes name and address what the user is found by. Both are in
// one table, so that no name is another's address, whichever node is faster.
func setLoginKeys(ctx context.Context, q runner, n storage.NewUser) error {
	keys := []string{n.UsernameKey, n.EmailKey}
	slices.Sort(keys) // two nodes take the same rows in the same order
	for _, key := range slices.Compact(keys) {
		if key == "" {
			continue
		}
		var owner string
		err := q.row(ctx, `
			INSERT INTO login_keys (key, user_id) VALUES ($1, $2)
			ON CONFLICT (key) DO UPDATE SET key = excluded.key WHERE login_keys.user_id = excluded.user_id
			RETURNING user_id`, key, n.User.ID).Scan(&owner)
		if errors.Is(err, sql.ErrNoRows) {
			return storage.ErrExists
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s users) Create(ctx context.Context, n storage.NewUser, e *storage.Event) error {
	err := s.write.act(ctx, func(q runner) error {
		if err := s.insert(ctx, q, n); err != nil {
			return err
		}
		return note(ctx, q, e)
	})
	if err == nil {
		inserted(n.User)
	}
	return err
}

func (s users) CreateFirst(ctx context.Context, link storage.Digest, n storage.NewUser, now time.Time, e *storage.Event) error {
	err := s.write.act(ctx, func(q runner) error {
		if err := administrators(ctx, q); err != nil {
			return err
		}
		is, err := exists(ctx, q, `SELECT 1 FROM users WHERE admin`)
		if err != nil {
			return err
		}
		if is {
			return storage.ErrExists
		}
		var digest storage.Digest
		err = q.row(ctx, `UPDATE setup_links SET spent_at = $2 WHERE digest = $1 AND spent_at IS NULL AND expires_at > $2 RETURNING digest`,
			link, ms(now)).Scan(&digest)
		if err != nil {
			return notFound(err)
		}
		if err := s.insert(ctx, q, n); err != nil {
			return err
		}
		return note(ctx, q, e)
	})
	if err == nil {
		inserted(n.User)
	}
	return err
}

func (s users) Get(ctx context.Context, id string) (*storage.User, error) {
	return scanUser(s.read.row(ctx, `SELECT `+userColumns+` FROM users WHERE id = $1`, id))
}

func (s users) Find(ctx context.Context, loginKey string) (*storage.User, error) {
	return scanUser(s.read.row(ctx, `
		SELECT `+userColumns+` FROM login_keys JOIN users ON users.id = login_keys.user_id
		WHERE login_keys.key = $1`, loginKey))
}

func (s users) Update(ctx context.Context, n storage.NewUser, now time.Time, e *storage.Event) error {
	u := n.User
	var version int64
	err := s.write.act(ctx, func(q runner) error {
		if !u.Admin {
			if err := staysWithoutAdmin(ctx, q, u.ID); err != nil {
				return err
			}
		}
		err := q.row(ctx, `
			UPDATE users SET username = $3, email = $4, email_verified = $5, admin = $6, profile = $7, updated_at = $8, version = version + 1
			WHERE id = $1 AND version = $2 RETURNING version`,
			u.ID, u.Version, u.Username, u.Email, u.EmailVerified, u.Admin, encode(u.Profile), ms(now)).Scan(&version)
		if err := s.conflict(ctx, q, err, `SELECT 1 FROM users WHERE id = $1`, u.ID); err != nil {
			return err
		}
		if err := q.exec(ctx, `DELETE FROM login_keys WHERE user_id = $1 AND key NOT IN ($2, $3)`, u.ID, n.UsernameKey, n.EmailKey); err != nil {
			return err
		}
		if err := setLoginKeys(ctx, q, n); err != nil {
			return err
		}
		return note(ctx, q, e)
	})
	if err == nil {
		u.Version, u.UpdatedAt = version, now
	}
	return err
}

// staysWithoutAdmin is ErrLastAdmin where this user is the administrator
// without whom no enabled one would remain.
func staysWithoutAdmin(ctx context.Context, q runner, id string) error {
	if err := administrators(ctx, q); err != nil {
		return err
	}
	last, err := exists(ctx, q, `SELECT 1 FROM users WHERE id = $1 AND NOT `+anotherAdmin, id)
	if err != nil {
		return err
	}
	if last {
		return storage.ErrLastAdmin
	}
	return nil
}

// endEverything ends the user's sessions, revokes the user's grants and queues
// what the clients of both are to be told.
func endEverything(ctx context.Context, q runner, userID string, now time.Time) error {
	ended, err := list(ctx, q, func(s scanner) (id string, err error) {
		err = s.Scan(&id)
		return id, err
	}, `UPDATE sessions SET ended_at = $2 WHERE user_id = $1 AND ended_at IS NULL RETURNING id`, userID, ms(now))
	if err != nil {
		return err
	}
	// A grant with offline access may have outlived its session.
	clients, err := listeners(ctx, q, `user_id = $1 AND grants.revoked_at IS NULL`, userID)
	if err != nil {
		return err
	}
	for _, id := range ended {
		of, err := listeners(ctx, q, `session_id = $1`, id)
		if err != nil {
			return err
		}
		clients = append(clients, of...)
	}
	if err := tell(ctx, q, now, clients); err != nil {
		return err
	}
	_, err = revokeWhere(ctx, q, now, `user_id = $2`, userID)
	return err
}

func (s users) Disable(ctx context.Context, id string, now time.Time, e *storage.Event) error {
	return s.write.act(ctx, func(q runner) error {
		if err := administrators(ctx, q); err != nil {
			return err
		}
		var epoch int64
		err := q.row(ctx, `
			UPDATE users SET disabled_at = COALESCE(disabled_at, $2), updated_at = $2, epoch = epoch + 1, version = version + 1
			WHERE id = $1 AND `+anotherAdmin+` RETURNING epoch`, id, ms(now)).Scan(&epoch)
		if err := lastAdmin(ctx, q, err, id); err != nil {
			return err
		}
		if err := endEverything(ctx, q, id, now); err != nil {
			return err
		}
		return note(ctx, q, e)
	})
}

// lastAdmin says why an act on a user found no row.
func lastAdmin(ctx context.Context, q runner, err error, id string) error {
	if !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	there, err := exists(ctx, q, `SELECT 1 FROM users WHERE id = $1`, id)
	switch {
	case err != nil:
		return err
	case there:
		return storage.ErrLastAdmin
	}
	return storage.ErrNotFound
}

func (s users) Enable(ctx context.Context, id string, now time.Time, e *storage.Event) error {
	return s.write.act(ctx, func(q runner) error {
		var same string
		err := q.row(ctx, `UPDATE users SET disabled_at = NULL, updated_at = $2, version = version + 1 WHERE id = $1 RETURNING id`, id, ms(now)).Scan(&same)
		if err != nil {
			return notFound(err)
		}
		return note(ctx, q, e)
	})
}

// raise makes everything issued to the user so far invalid.
func raise(ctx context.Context, q runner, id string, now time.Time) error {
	var epoch int64
	err := q.row(ctx, `UPDATE users SET epoch = epoch + 1, updated_at = $2, version = version + 1 WHERE id = $1 RETURNING epoch`, id, ms(now)).Scan(&epoch)
	if err != nil {
		return notFound(err)
	}
	return endEverything(ctx, q, id, now)
}

func (s users) Invalidate(ctx context.Context, id string, now time.Time, e *storage.Event) error {
	return s.write.act(ctx, func(q runner) error {
		if err := raise(ctx, q, id, now); err != nil {
			return err
		}
		return note(ctx, q, e)
	})
}

func (s users) Delete(ctx context.Context, id string, now time.Time, e *storage.Event) error {
	return s.write.act(ctx, func(q runner) error {
		if err := administrators(ctx, q); err != nil {
			return err
		}
		// The log, and the queue, keep what the rows that go would have said.
		if err := endEverything(ctx, q, id, now); err != nil {
			return err
		}
		var gone string
		err := q.row(ctx, `DELETE FROM users WHERE id = $1 AND `+anotherAdmin+` RETURNING id`, id).Scan(&gone)
		if err := lastAdmin(ctx, q, err, id); err != nil {
			return err
		}
		return note(ctx, q, e)
	})
}

func (s users) List(ctx context.Context, after string, limit int) ([]*storage.User, error) {
	return list(ctx, s.read, scanUser, `SELECT `+userColumns+` FROM users WHERE id > $1 ORDER BY id LIMIT $2`, after, limit)
}

func (s users) AdminExists(ctx context.Context) (bool, error) {
	return exists(ctx, s.read, `SELECT 1 FROM users WHERE admin`)
}

func (s users) Count(ctx context.Context) (n int64, err error) {
	err = s.read.row(ctx, `SELECT COUNT(*) FROM users`).Scan(&n)
	return n, err
}
