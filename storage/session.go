package storage

import (
	"context"
	"time"
)

// A Session is one browser signed in here.
type Session struct {
	ID       string // each client's sid claim is derived from it; stays over re-authentication
	UserID   string
	Epoch    int64     // the user's, when the session began
	AuthTime time.Time // may lie before CreatedAt: an upstream says when
	// AuthTimeUnknown: an upstream named the user and did not say when they signed
	// in there. AuthTime is then when it named them.
	AuthTimeUnknown bool
	AMR             []string
	ACR             string
	CreatedAt       time.Time
	SeenAt          time.Time
	IdleLifetime    time.Duration
	IdleExpiresAt   time.Time
	ExpiresAt       time.Time
	IP              string
	UserAgent       string
}

// Sessions keeps the signed-in browsers. A session is found by the digest of
// its cookie, which is another, secret value than its ID.
type Sessions interface {
	// Begin starts s, at its CreatedAt, under a new cookie. Where previous is the
	// cookie of a live session of the same user, that session goes on under the new
	// cookie with the new AuthTime, AMR and ACR, and s takes its ID and CreatedAt;
	// of another user, that session ends, as End does. The browser becomes known
	// for this user. ErrNotFound where the user is disabled, gone or of another epoch.
	Begin(ctx context.Context, s *Session, cookie, previous, browser Digest, e *Event) error
	// Find returns the live session with this cookie: not ended or expired, its
	// user enabled and of the same epoch. ErrNotFound otherwise.
	Find(ctx context.Context, cookie Digest, now time.Time) (*Session, *User, error)
	// Touch moves the idle expiry on from now; callers do so at most once a minute.
	Touch(ctx context.Context, id string, now time.Time) error
	// End ends the session and revokes the grants that live with it; those with
	// offline access stay. Ending an ended session is no error.
	End(ctx context.Context, id string, now time.Time, e *Event) error
	ListByUser(ctx context.Context, userID string, now time.Time) ([]*Session, error)
}
