package storage

import (
	"context"
	"time"
)

// An AuthRequest is a validated authorization request that waits for a person.
type AuthRequest struct {
	ID      string // travels in URLs, and is worth nothing without the browser's cookie
	Browser Digest // of the browser that began it
	Client  string
	// Params are the parameters as validated, JSON that only the provider reads.
	Params    []byte
	CreatedAt time.Time
	ExpiresAt time.Time
	// SignedInAt and UserID say that, and who, signed in for this request.
	SignedInAt time.Time
	UserID     string
	// Answer is what the consent page was answered, and AnsweredBy the user who did.
	Answer     Answer
	AnsweredBy string
}

// An Answer is what a person said on the consent page.
type Answer string

// The answers. The zero value: not asked, or not answered yet.
const (
	Unanswered Answer = ""
	Allowed    Answer = "allowed"
	Denied     Answer = "denied"
)

// A LogoutRequest is a validated end-session request that waits for a person.
type LogoutRequest struct {
	ID        string
	Browser   Digest
	Client    string // empty where none was named
	SID       string // the session that the ID token shown names, as Client knows it; or empty
	Redirect  string // registered post-logout redirect URI, or empty
	State     string
	CreatedAt time.Time
	ExpiresAt time.Time
}

// Flows keeps the steps of a browser's way, each spent once. A record is
// returned only for the browser that began it: ErrMismatch for another,
// ErrReused when it was spent, ErrExpired when its time is over, and with each
// of these only its ID and Client, so that a page can lead back there.
// ErrNotFound when there is none (what is over is swept after a while). Acts
// that take no browser end in the same errors.
type Flows interface {
	Park(ctx context.Context, r *AuthRequest) error
	Get(ctx context.Context, id string, browser Digest, now time.Time) (*AuthRequest, error)
	// SignedIn notes that userID signed in for this request; an answer that
	// somebody else gave is forgotten.
	SignedIn(ctx context.Context, id, userID string, now time.Time) error
	// Deny notes the refusal, once: ErrReused where the request was answered before.
	Deny(ctx context.Context, id, userID string, now time.Time, e *Event) error
	// Take spends the request without a grant: its answer is an error.
	Take(ctx context.Context, id string, now time.Time) error

	ParkLogout(ctx context.Context, r *LogoutRequest) error
	GetLogout(ctx context.Context, id string, browser Digest, now time.Time) (*LogoutRequest, error)
	TakeLogout(ctx context.Context, id string, browser Digest, now time.Time) (*LogoutRequest, error)

	// Leave notes that a browser leaves for an upstream with this state.
	Leave(ctx context.Context, state Digest, f *UpstreamFlow) error
	// Return spends the state, for whoever presents it, and says which flow it was.
	// For the browser that left, ErrReused and ErrExpired come with the flow, so
	// that there is a way back; ErrMismatch comes with nothing.
	Return(ctx context.Context, state, browser Digest, now time.Time) (*UpstreamFlow, error)

	ParkIdentity(ctx context.Context, p *PendingIdentity) error
	// GetIdentity returns a pending identity; errors come with nothing.
	GetIdentity(ctx context.Context, id string, browser Digest, now time.Time) (*PendingIdentity, error)
}

// A Consent is the scopes a user has allowed a client, remembered.
type Consent struct {
	UserID    string
	ClientID  string
	Scopes    []string
	GrantedAt time.Time
}

// Consents keeps what users allowed clients.
type Consents interface {
	// Allow adds scopes to what the user allowed the client, and marks the parked
	// request as allowed, once: ErrReused where it was answered before.
	Allow(ctx context.Context, c Consent, requestID string, e *Event) error
	// Get returns the consent, with no scopes where there is none.
	Get(ctx context.Context, userID, clientID string) (*Consent, error)
	ListByUser(ctx context.Context, userID string) ([]*Consent, error)
	// Revoke forgets the consent and revokes the client's grants from this user.
	Revoke(ctx context.Context, userID, clientID string, now time.Time, e *Event) error
}
