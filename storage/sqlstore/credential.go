package sqlstore

import (
	"context"

	"gatehouse/storage"
)

type credentials struct{ *DB }

func (s credentials) Password(ctx context.Context, loginKey string) (*storage.User, *storage.Password, error) {
	u, p := new(storage.User), new(storage.Password)
	fields := append(userFields(u), text{&p.Hash}, instant{&p.ChangedAt})
	err := s.read.row(ctx, `
		SELECT `+userColumns+`, passwords.hash, passwords.changed_at
		FROM login_keys JOIN users ON users.id = login_keys.user_id
			LEFT JOIN passwords ON passwords.user_id = users.id
		WHERE login_keys.key = $1`, loginKey).Scan(fields...)
	if err != nil {
		return nil, nil, notFound(err)
	}
	if p.Hash == "" {
		return u, nil, nil
	}
	p.UserID = u.ID
	return u, p, nil
}

func (s credentials) SetPassword(ctx context.Context, p storage.Password, e *storage.Event) error {
	return s.write.act(ctx, func(q runner) error {
		if err := raise(ctx, q, p.UserID, p.ChangedAt); err != nil {
			return err
		}
		err := q.exec(ctx, `
			INSERT INTO passwords (user_id, hash, changed_at) VALUES ($1, $2, $3)
			ON CONFLICT (user_id) DO UPDATE SET hash = excluded.hash, changed_at = excluded.changed_at`,
			p.UserID, p.Hash, ms(p.ChangedAt))
		if err != nil {
			return err
		}
		return note(ctx, q, e)
	})
}

func (s credentials) Rehash(ctx context.Context, userID, old, hash string) error {
	return s.write.exec(ctx, `UPDATE passwords SET hash = $3 WHERE user_id = $1 AND hash = $2`, userID, old, hash)
}
