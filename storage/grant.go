package storage

import (
	"context"
	"log/slog"
	"time"
)

// A Grant is what was authorized this time: who, which client, which scopes,
// from which session. Its code, its refresh token and every access token name
// it, and revoking it ends them all.
type Grant struct {
	ID        string // named by access tokens
	UserID    string
	ClientID  string
	SessionID string
	Epoch     int64 // the user's, when it was made
	Scopes    []string
	Resources []string // RFC 8707, as asked for
	Offline   bool     // outlives the session
	Nonce     string
	Claims    string // the claims parameter, JSON, or empty
	AuthTime  time.Time
	AMR       []string
	ACR       string
	CreatedAt time.Time
	// TokenLifetime is the longest life of a token that names it: so long its
	// revocation must be remembered.
	TokenLifetime time.Duration

	// The code. CodeChallenge is S256 (there is no other method); it may be
	// empty only with NonceInsteadOfPKCE, the client's audited exception.
	RedirectURI        string
	CodeChallenge      string
	NonceInsteadOfPKCE bool
	CodeExpiresAt      time.Time
	CodeSpentAt        time.Time

	// The refresh token. RefreshIdle zero: none will be issued.
	RefreshIdle          time.Duration
	RefreshExpiresAt     time.Time // absolute; set when the grant is made
	Handle               string    // set when the code is redeemed
	Generation           int64
	RotatedAt            time.Time
	RefreshIdleExpiresAt time.Time

	RevokedAt time.Time
}

// Refreshable reports whether a redemption of this grant gives a refresh token.
func (g *Grant) Refreshable() bool { return g.RefreshIdle > 0 }

// LogValue keeps the request's values out of logs.
func (g Grant) LogValue() slog.Value { return slog.StringValue(g.ID) }

// A Redemption presents a code.
type Redemption struct {
	Code        Digest
	ClientID    string
	RedirectURI string
	// Challenge is the S256 challenge of the verifier presented, or empty where none was.
	Challenge string
	// Handle and Refresh are the refresh token that begins, where the grant is refreshable.
	Handle  string
	Refresh Digest
	Now     time.Time
}

// A Rotation presents a refresh token whose MAC was found good.
type Rotation struct {
	Handle     string
	Generation int64 // of the token presented
	Presented  Digest
	// Successors are the digests of the successors that the listed master keys
	// derive, the first to be stored if the rotation happens now.
	Successors []Digest
	ClientID   string
	Grace      time.Duration // zero: none
	Now        time.Time
}

// A Rotated is the outcome of a rotation.
type Rotated struct {
	Grant *Grant
	// Successor is the index in Rotation.Successors of the one that is stored;
	// -1 where the stored one is among none of them (the key that derived it is gone).
	Successor int
	// Repeated: the token had been rotated before, within the grace.
	Repeated bool
}

// Grants keeps what users have granted to clients. One row holds the grant,
// the code that delivers it and the refresh token that prolongs it, so that
// each act is one statement and revoking the grant ends them all.
//
// Alive means: the grant not revoked, its user enabled and of the same epoch,
// its client enabled, and, without offline access, its session neither ended
// nor expired. Each act judges that in the statement that issues.
type Grants interface {
	// Create stores g with the digest of its code, and takes the parked request
	// (empty: there was none) in the same transaction: ErrReused where that was
	// taken before. ErrNotFound where user, client or session are not alive.
	Create(ctx context.Context, g *Grant, code Digest, requestID string, e *Event) error
	Get(ctx context.Context, id string) (*Grant, error)
	// FindByHandle returns the grant, alive or not, whose refresh tokens carry this handle.
	FindByHandle(ctx context.Context, handle string) (*Grant, error)
	// Redeem spends a code. Where client, redirect URI or PKCE differ from the
	// grant's, the code is spent and the grant revoked all the same:
	// ErrMismatch. A code already spent revokes the grant too: ErrReused.
	// ErrExpired and ErrNotFound (unknown, or not alive) change nothing that lives.
	Redeem(ctx context.Context, r Redemption) (*Grant, error)
	// Rotate replaces a refresh token. Within the grace the token just replaced
	// is answered as the first time; after it, two generations late, or with a
	// secret that an old generation never had, the grant is revoked: ErrReused,
	// also where it was revoked before. Another client's: ErrMismatch, and
	// nothing changes. ErrExpired, ErrNotFound (unknown, or not alive): nothing changes.
	Rotate(ctx context.Context, r Rotation) (*Rotated, error)
	// Current returns the grant, alive, whose current refresh token is the one
	// presented, and not expired: ErrNotFound otherwise. Nothing changes.
	Current(ctx context.Context, handle string, presented Digest, now time.Time) (*Grant, error)
	// Live returns the grant and its user while it is alive at now,
	// and jti, where not empty, is not revoked: ErrNotFound otherwise.
	Live(ctx context.Context, id, jti string, now time.Time) (*Grant, *User, error)
	// Alive reports whether Live would find it.
	Alive(ctx context.Context, id, jti string, now time.Time) (bool, error)
	// Revoke ends the grant and enters it in the revocation log. Revoking a
	// revoked grant is no error, changes nothing and stores no event.
	Revoke(ctx context.Context, id string, now time.Time, e *Event) error
	ListByUser(ctx context.Context, userID string) ([]*Grant, error)
}
