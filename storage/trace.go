package storage

import (
	"context"
	"time"
)

// A SessionTrace is what is left of a session, alive or over.
type SessionTrace struct {
	IdleExpiresAt time.Time
	ExpiresAt     time.Time
	EndedAt       time.Time // zero: nobody ended it
}

// A RefreshTrace is the grant whose refresh tokens carry a handle, with the
// digests of the current one and of the one that it replaced.
type RefreshTrace struct {
	Grant   *Grant
	Current Digest
	Before  Digest // zero: none was replaced yet
}

// Traces looks at records that are over, for as long as they are kept, so that
// an administrator can be told why something is refused. It changes nothing,
// and no act decides by it. Each method returns ErrNotFound where nothing is left.
type Traces interface {
	// AccessToken returns an opaque access token, good or not.
	AccessToken(ctx context.Context, token Digest) (*AccessToken, error)
	// Refresh returns the grant with this handle, alive or not.
	Refresh(ctx context.Context, handle string) (*RefreshTrace, error)
	// Session returns a session, alive or not, by its ID.
	Session(ctx context.Context, id string) (*SessionTrace, error)
	// Revoked returns when the access token with this id was revoked.
	Revoked(ctx context.Context, id string) (time.Time, error)
	// Event returns the newest event of this name about this subject.
	Event(ctx context.Context, name, subject string) (*Event, error)
}
