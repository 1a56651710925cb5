// Package identity is the people: accounts, passwords and their policy, and
// who may sign in. It knows storage; it knows no HTTP, no HTML and no
// protocol. cmd, web and the API all use it.
package identity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"gatehouse/storage"
)

// Config is what People is made from.
type Config struct {
	Store    *storage.Store
	Policy   PasswordPolicy
	Hash     HashCost
	Mailer   Mailer // nil: nothing is mailed
	Issuer   string // shown in mails
	SetupTTL time.Duration
	Now      func() time.Time
	Log      *slog.Logger
}

// HashCost is argon2id's cost, and how many hashes may run at once.
type HashCost struct {
	MemoryKiB   uint32 // default 19456
	Iterations  uint32 // default 2
	Parallelism uint8  // default 1
	AtOnce      int    // default the number of cores
	Queue       int    // how many more may wait; default 32
}

// PasswordPolicy says which passwords may be set. The zero value of a rule is
// off; DefaultPolicy is what the settings start from.
type PasswordPolicy struct {
	MinLength    int // in characters, after NFC
	MaxLength    int // at most 128
	Upper        bool
	Lower        bool
	Digit        bool
	Special      bool
	RefuseCommon bool // the built-in list of common and breached passwords
}

// DefaultPolicy is the policy of a fresh installation.
func DefaultPolicy() PasswordPolicy {
	return PasswordPolicy{MinLength: 8, MaxLength: 128, Upper: true, Lower: true, Digit: true, Special: true, RefuseCommon: true}
}

// A Rule names one thing a password must be. Its text is the message id that
// pages translate ("password.too_short", …).
type Rule string

// The rules.
const (
	TooShort     Rule = "password.too_short"
	TooLong      Rule = "password.too_long"
	NeedsUpper   Rule = "password.needs_upper"
	NeedsLower   Rule = "password.needs_lower"
	NeedsDigit   Rule = "password.needs_digit"
	NeedsSpecial Rule = "password.needs_special"
	TooCommon    Rule = "password.too_common"
	ContainsName Rule = "password.contains_name" // user name, address, product name
	BadCharacter Rule = "password.bad_character"
)

// PolicyError lists every rule that a password breaks.
type PolicyError struct {
	Rules  []Rule
	Policy PasswordPolicy
}

func (e *PolicyError) Error() string { return fmt.Sprintf("password breaks %v", e.Rules) }

// FieldError says which field of a form was wrong, and why, as a message id.
type FieldError struct {
	Field   string // username, email, name, …
	Message string // "email.invalid", "username.taken", …
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Message }

var (
	// ErrWrong is the one answer to a wrong name, a wrong password, and a disabled account.
	ErrWrong = errors.New("wrong user name or password")
	// ErrLocked: too many wrong passwords in a row from browsers we do not know.
	ErrLocked = errors.New("too many failures in a row")
	// ErrLinkUsed: the set-up link is unknown, spent or expired.
	ErrLinkUsed = errors.New("set-up link is no longer good")
	// ErrSetUp: an administrator exists already.
	ErrSetUp = errors.New("an administrator exists already")
)

// SlowDown: the guess counters ask to wait, or the hashing queue is full (Busy).
type SlowDown struct {
	RetryAfter time.Duration
	Busy       bool
}

func (e *SlowDown) Error() string { return "try again in " + e.RetryAfter.String() }

// People is the accounts.
type People struct{}

// New returns the people in c.Store.
func New(c Config) (*People, error) { panic("stub") }

// NewAccount is what an account is made from.
type NewAccount struct {
	Username      string // default: the address
	Email         string
	EmailVerified bool
	Admin         bool
	Password      string // empty: none
	Profile       storage.Profile
}

// Create makes an account: *FieldError, *PolicyError, or the storage's error.
func (p *People) Create(ctx context.Context, n NewAccount) (*storage.User, error) { panic("stub") }

// NewSetupLink makes the secret of a one-time set-up link and says when it
// expires: ErrSetUp where an administrator exists.
func (p *People) NewSetupLink(ctx context.Context) (secret string, expires time.Time, err error) {
	panic("stub")
}

// CheckSetupLink returns nil while the link can be spent: ErrLinkUsed or ErrSetUp otherwise.
func (p *People) CheckSetupLink(ctx context.Context, secret string) error { panic("stub") }

// SetUp spends a set-up link and makes the first administrator.
func (p *People) SetUp(ctx context.Context, secret string, n NewAccount) (*storage.User, error) {
	panic("stub")
}

// A Proof is a password presented for a name, and where it came from.
type Proof struct {
	Login    string // user name or address
	Password string
	Browser  storage.Digest
	IP       netip.Addr
}

// SignIn checks a password: ErrWrong, *SlowDown, ErrLocked. The same work and the same
// answer for unknown names.
func (p *People) SignIn(ctx context.Context, proof Proof) (*storage.User, error) { panic("stub") }

// Find returns the account with this user name, address or sub: storage.ErrNotFound.
func (p *People) Find(ctx context.Context, login string) (*storage.User, error) { panic("stub") }

// SetPassword replaces the password and ends every session and grant of the user.
func (p *People) SetPassword(ctx context.Context, u *storage.User, password string) error {
	panic("stub")
}

// Update writes the account's name, address and profile.
func (p *People) Update(ctx context.Context, u *storage.User) error { panic("stub") }

// Disable, Enable, Invalidate and Delete are the acts of storage.Users with their events.
func (p *People) Disable(ctx context.Context, u *storage.User) error { panic("stub") }

// Enable switches a disabled account on again.
func (p *People) Enable(ctx context.Context, u *storage.User) error { panic("stub") }

// Invalidate ends everything issued to the user so far.
func (p *People) Invalidate(ctx context.Context, u *storage.User) error { panic("stub") }

// Delete removes the account.
func (p *People) Delete(ctx context.Context, u *storage.User) error { panic("stub") }

// A Mailer sends plain mails.
type Mailer interface {
	Send(ctx context.Context, to, subject, text string) error
}
