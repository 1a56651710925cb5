package storage

import (
	"context"
	"log/slog"
	"time"
)

// A User is an end-user.
type User struct {
	ID            string // the sub claim; never changes
	Username      string // as shown; found by its canonical form
	Email         string // empty where none was given
	EmailVerified bool
	Admin         bool
	Profile       Profile
	// Epoch rises when everything issued before must die: sessions and grants
	// copy it, and one that differs is refused.
	Epoch      int64
	CreatedAt  time.Time
	UpdatedAt  time.Time
	DisabledAt time.Time // zero while enabled
	Version    int64
}

// Disabled reports whether the account is switched off.
func (u *User) Disabled() bool { return !u.DisabledAt.IsZero() }

// LogValue keeps names and addresses out of logs.
func (u User) LogValue() slog.Value { return slog.StringValue(u.ID) }

// A Profile is the standard claims of OpenID Connect Core §5.1 that have no
// column of their own. A zero field is absent.
type Profile struct {
	Name                string   `json:"name,omitempty"`
	GivenName           string   `json:"given_name,omitempty"`
	FamilyName          string   `json:"family_name,omitempty"`
	MiddleName          string   `json:"middle_name,omitempty"`
	Nickname            string   `json:"nickname,omitempty"`
	Profile             string   `json:"profile,omitempty"`
	Picture             string   `json:"picture,omitempty"`
	Website             string   `json:"website,omitempty"`
	Gender              string   `json:"gender,omitempty"`
	Birthdate           string   `json:"birthdate,omitempty"`
	Zoneinfo            string   `json:"zoneinfo,omitempty"`
	Locale              string   `json:"locale,omitempty"`
	PhoneNumber         string   `json:"phone_number,omitempty"`
	PhoneNumberVerified bool     `json:"phone_number_verified,omitempty"`
	Address             *Address `json:"address,omitempty"`
}

// An Address is the address claim (OpenID Connect Core §5.1.1).
type Address struct {
	Formatted     string `json:"formatted,omitempty"`
	StreetAddress string `json:"street_address,omitempty"`
	Locality      string `json:"locality,omitempty"`
	Region        string `json:"region,omitempty"`
	PostalCode    string `json:"postal_code,omitempty"`
	Country       string `json:"country,omitempty"`
}

// Users keeps the accounts. Login names and addresses arrive in the canonical
// form that identity makes, in the fields UsernameKey and EmailKey of NewUser.
type Users interface {
	// Create stores an account, with its password where passwordHash is not
	// empty. ErrExists where the name or the address is taken.
	Create(ctx context.Context, n NewUser, e *Event) error
	// CreateFirst spends the set-up link and stores the first account, an
	// administrator. ErrNotFound where the link is unknown, spent or expired;
	// ErrExists where an administrator exists already.
	CreateFirst(ctx context.Context, link Digest, n NewUser, now time.Time, e *Event) error
	Get(ctx context.Context, id string) (*User, error)
	// Find returns the account with this canonical user name or address.
	Find(ctx context.Context, loginKey string) (*User, error)
	// Update writes name, address and profile where Version is still the one
	// that was read: ErrConflict otherwise, ErrExists where a name is taken.
	// It ends nothing; it never changes Epoch or DisabledAt.
	Update(ctx context.Context, n NewUser, now time.Time, e *Event) error
	// Disable switches the account off, raises its epoch, ends its sessions and
	// revokes its grants. ErrLastAdmin where no enabled administrator would remain.
	Disable(ctx context.Context, id string, now time.Time, e *Event) error
	Enable(ctx context.Context, id string, now time.Time, e *Event) error
	// Invalidate raises the epoch, ends every session and revokes every grant.
	Invalidate(ctx context.Context, id string, now time.Time, e *Event) error
	// Delete removes the account, with all that hangs from it. ErrLastAdmin as Disable.
	Delete(ctx context.Context, id string, now time.Time, e *Event) error
	// List returns at most limit accounts whose id is greater than after, by id.
	List(ctx context.Context, after string, limit int) ([]*User, error)
	// AdminExists reports whether any administrator exists, enabled or not.
	AdminExists(ctx context.Context) (bool, error)
	Count(ctx context.Context) (int64, error)
}

// NewUser is an account with the canonical forms it is found by.
type NewUser struct {
	User         *User
	UsernameKey  string
	EmailKey     string // empty: none
	PasswordHash string // PHC string; empty: none (Update leaves the password as it is)
}

// A Password is the hash of a user's password, as a PHC string.
type Password struct {
	UserID    string
	Hash      string
	ChangedAt time.Time
}

// LogValue keeps the hash out of logs.
func (p Password) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// Credentials keeps what people prove themselves with.
type Credentials interface {
	// Password returns the account with this canonical name or address and its
	// password, in one look-up. A user without a password comes with a nil Password.
	Password(ctx context.Context, loginKey string) (*User, *Password, error)
	// SetPassword replaces the password, raises the epoch, ends the user's
	// sessions and revokes the user's grants.
	SetPassword(ctx context.Context, p Password, e *Event) error
	// Rehash replaces the stored hash of an unchanged password, where it is
	// still old; it ends nothing.
	Rehash(ctx context.Context, userID, old, hash string) error
}

// A GuessPolicy says how guesses under one key are slowed down.
type GuessPolicy struct {
	Free int           // so many tries in a row come without a wait; 0 counts as 1
	Base time.Duration // the wait before the next one; it doubles with each
	Cap  time.Duration // the longest wait
	Max  int           // after so many in a row, no more until Forgive; 0: no such end
	// Forget: a key with no failure for so long starts anew (Max is not forgotten).
	Forget time.Duration
}

// A Guess is how things stand under one key after Try.
type Guess struct {
	Allowed  bool
	Failures int       // in a row, this one counted where it was allowed
	Next     time.Time // no try is allowed before
	Locked   bool      // Max was reached
}

// Guesses counts failed proofs by account and by network, whether the account
// exists or not.
type Guesses interface {
	// Try counts a guess as failed before it is looked at, in one statement, so
	// that guesses in parallel cannot outrun the count. A try that comes too
	// early, or after Max, is not allowed and changes nothing.
	Try(ctx context.Context, key string, p GuessPolicy, now time.Time) (Guess, error)
	// Forgive takes the failures under these keys back: the proof was right.
	Forgive(ctx context.Context, keys ...string) error
	// Known reports whether this browser has signed this user in before.
	Known(ctx context.Context, userID string, browser Digest) (bool, error)
}

// Setup keeps the one-time addresses for the first administrator.
type Setup interface {
	// Issue stores a link; links issued before stop working.
	Issue(ctx context.Context, link Digest, now, expires time.Time) error
	// Add stores a link beside those that work already: each node has its own.
	Add(ctx context.Context, link Digest, now, expires time.Time) error
	// Check returns nil while the link can be spent, else ErrNotFound.
	Check(ctx context.Context, link Digest, now time.Time) error
}
