package storage

import (
	"context"
	"time"
)

// An AccessToken is an opaque access token, which storage finds by its digest.
// Tokens that are JWTs are kept nowhere.
type AccessToken struct {
	ID        string // what the revocation log calls it, as a JWT's jti
	Grant     string // empty: of client_credentials
	ClientID  string
	Subject   string
	Scopes    []string
	Audience  []string
	IssuedAt  time.Time
	ExpiresAt time.Time
}

// AccessTokens keeps the opaque access tokens.
type AccessTokens interface {
	// Create stores t. ErrNotFound where its grant was revoked meanwhile.
	Create(ctx context.Context, t *AccessToken, token Digest) error
	// Find returns the token while it is good: not expired and not revoked, and
	// its client enabled; where it hangs from a grant, that alive too. ErrNotFound otherwise.
	Find(ctx context.Context, token Digest, now time.Time) (*AccessToken, error)
	// Live is Find for a token that hangs from a grant, which comes with it, and
	// so does the user. ErrNotFound also where it hangs from none.
	Live(ctx context.Context, token Digest, now time.Time) (*AccessToken, *Grant, *User, error)
}

// Revocations is the one log of what died before its time. Grants enter it by
// the acts that end them.
type Revocations interface {
	// RevokeToken ends one access token, opaque or not, by its id, and remembers
	// it until expires. Revoking it again is no error.
	RevokeToken(ctx context.Context, id string, now, expires time.Time, e *Event) error
	// Revoked reports whether the token that this client was issued for itself
	// was revoked, or the client disabled or deleted since.
	Revoked(ctx context.Context, id, clientID string, issued time.Time) (bool, error)
}

// Used remembers ids of what may be presented once.
type Used interface {
	// Spend remembers owner's id until expires: ErrReused where it is remembered already.
	Spend(ctx context.Context, owner, id string, expires time.Time) error
}
