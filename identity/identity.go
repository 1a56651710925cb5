// Package identity is the people: accounts, passwords and their policy, and
// who may sign in. It knows storage; it knows no HTTP, no HTML and no
// protocol. cmd, web and the API all use it.
package identity

import (
	"cmp"
	"errors"
	"log/slog"
	"time"

	"gatehouse/storage"
)

// Config is what People is made from.
type Config struct {
	Store    *storage.Store
	Policy   PasswordPolicy
	Hash     HashCost
	Mailer   Mailer        // nil: nothing is mailed
	Issuer   string        // shown in mails
	SetupTTL time.Duration // default 1 h
	// OpenRegistration: whoever comes from an upstream for the first time gets an account.
	OpenRegistration bool
	Now              func() time.Time // default time.Now
	Log              *slog.Logger
}

var (
	// ErrWrong is the one answer to a wrong name, a wrong password, and a disabled account.
	ErrWrong = errors.New("wrong user name or password")
	// ErrLinkUsed: the set-up link is unknown, spent or expired.
	ErrLinkUsed = errors.New("this set-up link is no longer good")
	// ErrSetUp: an administrator exists already.
	ErrSetUp = errors.New("an administrator exists already")
)

// SlowDown: the guess counters ask to wait, or the hashing queue is full (Busy).
type SlowDown struct {
	RetryAfter time.Duration
	Busy       bool
	// Locked: too many failures in a row from browsers that never signed this
	// name in. Waiting does not help; the owner's own browser does, or a new password.
	Locked bool
}

func (e *SlowDown) Error() string { return "try again in " + e.RetryAfter.String() }

// FieldError says which field of a form was wrong, and why.
type FieldError struct {
	Field   string // username, email, name, or the claim of a profile
	Message string // a message id that pages translate; one of Messages
}

var fieldTexts = map[string]string{
	"email.invalid":    "is not an e-mail address",
	"email.taken":      "belongs to another account",
	"email.missing":    "is needed",
	"username.invalid": "may have 1 to 64 letters, digits and punctuation marks, no spaces, and an @ only as the account's own e-mail address",
	"username.taken":   "belongs to another account",
	"name.too_long":    "is longer than 200 characters",
	"name.invalid":     "has a control character",
	"claim.too_long":   "is too long",
	"claim.invalid":    "is not what this claim may be (OpenID Connect Core section 5.1)",
}

// Messages lists the message ids of FieldError.
func Messages() []string {
	all := make([]string, 0, len(fieldTexts))
	for id := range fieldTexts {
		all = append(all, id)
	}
	return all
}

func (e *FieldError) Error() string { return e.Field + " " + fieldTexts[e.Message] }

// People is the accounts.
type People struct {
	Config
	hash *hasher
}

// New returns the people in c.Store.
func New(c Config) (*People, error) {
	h, err := newHasher(c.Hash)
	if err != nil {
		return nil, err
	}
	c.SetupTTL = cmp.Or(c.SetupTTL, time.Hour)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &People{Config: c, hash: h}, nil
}
