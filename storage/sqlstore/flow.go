package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"gatehouse/storage"
)

type flows struct{ *DB }

func (s flows) Park(ctx context.Context, r *storage.AuthRequest) error {
	return s.write.exec(ctx, `
		INSERT INTO auth_requests (id, browser, client_id, params, created_at, expires_at, answer)
		VALUES ($1, $2, $3, $4, $5, $6, '')`,
		r.ID, r.Browser, r.Client, string(r.Params), ms(r.CreatedAt), ms(r.ExpiresAt))
}

func (s flows) Get(ctx context.Context, id string, browser storage.Digest, now time.Time) (*storage.AuthRequest, error) {
	r := &storage.AuthRequest{ID: id}
	var params string
	var spent time.Time
	err := s.read.row(ctx, `
		SELECT browser, client_id, params, created_at, expires_at, signed_in_at, user_id, answer, answered_by, spent_at
		FROM auth_requests WHERE id = $1`, id).Scan(&r.Browser, &r.Client, &params, instant{&r.CreatedAt}, instant{&r.ExpiresAt},
		instant{&r.SignedInAt}, text{&r.UserID}, (*string)(&r.Answer), text{&r.AnsweredBy}, instant{&spent})
	if err != nil {
		return nil, notFound(err)
	}
	if err := standing(r.Browser, browser, spent, r.ExpiresAt, now); err != nil {
		return &storage.AuthRequest{ID: r.ID, Client: r.Client}, err
	}
	r.Params = []byte(params)
	return r, nil
}

// standing says whether a parked record may be used.
func standing(owner, browser storage.Digest, spent, expires, now time.Time) error {
	switch {
	case owner != browser:
		return storage.ErrMismatch
	case !spent.IsZero():
		return storage.ErrReused
	case !expires.After(now):
		return storage.ErrExpired
	}
	return nil
}

func (s flows) SignedIn(ctx context.Context, id, userID string, now time.Time) error {
	var same string
	err := s.write.row(ctx, `
		UPDATE auth_requests SET signed_in_at = $3, user_id = $2,
			answer = CASE WHEN answered_by = $2 THEN answer ELSE '' END
		WHERE id = $1 AND spent_at IS NULL AND expires_at > $3 RETURNING id`, id, userID, ms(now)).Scan(&same)
	return over(ctx, s.write, err, id, spent)
}

// What makes a parked request used: for most acts that it was spent, for an
// answer also that it was answered.
const (
	spent    = `spent_at IS NOT NULL`
	answered = spent + ` OR answer <> ''`
)

// over says why an act on a parked request found no row.
func over(ctx context.Context, q runner, err error, id, used string) error {
	if !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	var reused bool
	err = q.row(ctx, `SELECT `+used+` FROM auth_requests WHERE id = $1`, id).Scan(&reused)
	switch {
	case err != nil:
		return notFound(err)
	case reused:
		return storage.ErrReused
	}
	return storage.ErrExpired
}

// answer notes what the consent page was answered, once.
func answer(ctx context.Context, q runner, id, userID string, a storage.Answer, now time.Time) error {
	var same string
	err := q.row(ctx, `
		UPDATE auth_requests SET answer = $3, answered_by = $2
		WHERE id = $1 AND answer = '' AND spent_at IS NULL AND expires_at > $4 RETURNING id`,
		id, userID, string(a), ms(now)).Scan(&same)
	return over(ctx, q, err, id, answered)
}

func (s flows) Deny(ctx context.Context, id, userID string, now time.Time, e *storage.Event) error {
	return s.write.act(ctx, func(q runner) error {
		if err := answer(ctx, q, id, userID, storage.Denied, now); err != nil {
			return err
		}
		return note(ctx, q, e)
	})
}

// take spends a parked request: of any number of takers one gets it.
func take(ctx context.Context, q runner, id string, now time.Time) error {
	var same string
	err := q.row(ctx, `
		UPDATE auth_requests SET spent_at = $2
		WHERE id = $1 AND spent_at IS NULL AND expires_at > $2 RETURNING id`, id, ms(now)).Scan(&same)
	return over(ctx, q, err, id, spent)
}

func (s flows) Take(ctx context.Context, id string, now time.Time) error {
	return take(ctx, s.write, id, now)
}

func (s flows) ParkLogout(ctx context.Context, r *storage.LogoutRequest) error {
	return s.write.exec(ctx, `
		INSERT INTO logout_requests (id, browser, client_id, sid, redirect, state, created_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		r.ID, r.Browser, r.Client, r.SID, r.Redirect, r.State, ms(r.CreatedAt), ms(r.ExpiresAt))
}

const logoutColumns = `id, browser, client_id, sid, redirect, state, created_at, expires_at, spent_at`

func scanLogout(row scanner, browser storage.Digest, now time.Time) (*storage.LogoutRequest, error) {
	r := new(storage.LogoutRequest)
	var spent time.Time
	err := row.Scan(&r.ID, &r.Browser, &r.Client, &r.SID, &r.Redirect, &r.State, instant{&r.CreatedAt}, instant{&r.ExpiresAt}, instant{&spent})
	if err != nil {
		return nil, notFound(err)
	}
	if err := standing(r.Browser, browser, spent, r.ExpiresAt, now); err != nil {
		return &storage.LogoutRequest{ID: r.ID, Client: r.Client}, err
	}
	return r, nil
}

func (s flows) GetLogout(ctx context.Context, id string, browser storage.Digest, now time.Time) (*storage.LogoutRequest, error) {
	return scanLogout(s.read.row(ctx, `SELECT `+logoutColumns+` FROM logout_requests WHERE id = $1`, id), browser, now)
}

func (s flows) TakeLogout(ctx context.Context, id string, browser storage.Digest, now time.Time) (*storage.LogoutRequest, error) {
	r := new(storage.LogoutRequest)
	var spent time.Time
	err := s.write.row(ctx, `
		UPDATE logout_requests SET spent_at = $3
		WHERE id = $1 AND browser = $2 AND spent_at IS NULL AND expires_at > $3
		RETURNING `+logoutColumns, id, browser, ms(now)).Scan(&r.ID, &r.Browser, &r.Client, &r.SID, &r.Redirect, &r.State,
		instant{&r.CreatedAt}, instant{&r.ExpiresAt}, instant{&spent})
	if errors.Is(err, sql.ErrNoRows) {
		r, err := s.GetLogout(ctx, id, browser, now)
		if err == nil {
			err = storage.ErrConflict
		}
		return r, err
	}
	return r, err
}
