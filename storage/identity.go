package storage

import (
	"context"
	"time"
)

// A Federated is somebody at an upstream provider: what an identity is found
// by, all three together. An address is none of it.
type Federated struct {
	Upstream string // the id of the provider here
	Issuer   string
	Subject  string
}

// An Identity is an account at an upstream provider that a user signs in with.
type Identity struct {
	ID     string
	UserID string
	Federated
	Label    string // what the upstream calls it, an address or a name: for display alone
	LinkedAt time.Time
	UsedAt   time.Time // of the last sign-in with it
}

// Identities keeps who is who at upstream providers. Each belongs to one user.
type Identities interface {
	// Find returns the identity and its user, disabled or not: ErrNotFound.
	Find(ctx context.Context, f Federated) (*Identity, *User, error)
	// Create stores an account together with the identity that it is made from.
	// ErrExists where the name or the address is taken, or the identity is linked.
	Create(ctx context.Context, n NewUser, i *Identity, events ...*Event) error
	// Link gives the identity to its user. ErrExists where it is linked already,
	// to whomever; ErrNotFound where the user is disabled or gone.
	Link(ctx context.Context, i *Identity, e *Event) error
	// Confirm spends a pending identity and links it, as Link does, under id. It
	// is for the browser and the user that it was parked for: ErrMismatch for
	// others, which spends it too; ErrReused, ErrExpired and ErrNotFound as in Flows.
	Confirm(ctx context.Context, pending string, browser Digest, userID, id string, now time.Time, e *Event) (*Identity, error)
	// Unlink takes the identity from the user: ErrNotFound where the user has no
	// such one, ErrLastWay where neither a password nor another identity at one of
	// the providers that are open would remain.
	Unlink(ctx context.Context, userID, id string, open []Federated, e *Event) error
	// Used notes a sign-in with the identity, and what the upstream calls it now.
	Used(ctx context.Context, id, label string, now time.Time) error
	ListByUser(ctx context.Context, userID string) ([]*Identity, error)
}

// An UpstreamFlow is a browser on its way to an upstream and back. What it is
// found by is the digest of its state.
type UpstreamFlow struct {
	Browser  Digest
	Upstream string
	Issuer   string // of the upstream, as it was when the browser left
	// Sealed is the nonce and the PKCE verifier, which only the master key opens.
	Sealed []byte
	// Purpose is what the browser goes on with here, JSON that only web/signin reads.
	Purpose string
	// LinkUser is who asked for the identity to be linked; empty: it is to sign in.
	LinkUser  string
	CreatedAt time.Time
	ExpiresAt time.Time
}

// A PendingIdentity is somebody at an upstream whose address belongs to an
// account here. Nothing is linked until its owner, UserID, says so.
type PendingIdentity struct {
	ID      string // travels in URLs, and is worth nothing without the browser's cookie
	Browser Digest
	UserID  string
	Federated
	Label     string
	Purpose   string // as that of UpstreamFlow
	CreatedAt time.Time
	ExpiresAt time.Time
}
