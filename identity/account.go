package identity

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/mail"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"

	"gatehouse/storage"
)

// NewAccount is what an account is made from.
type NewAccount struct {
	Username      string // default: the address
	Email         string
	EmailVerified bool
	Admin         bool
	Password      string // empty: none
	Profile       storage.Profile
}

// loginKey is the canonical form by which names and addresses are found:
// case, width and composition do not matter (RFC 8265 §3.3).
func loginKey(name string) (string, error) {
	return precis.UsernameCaseMapped.CompareKey(name)
}

// canonical checks the names of an account and returns the keys it is found by.
func canonical(u *storage.User) (usernameKey, emailKey string, err error) {
	if u.Email != "" {
		if emailKey, err = addressKey(u.Email); err != nil {
			return "", "", &FieldError{Field: "email", Message: "email.invalid"}
		}
	}
	if u.Username == "" {
		u.Username = u.Email
	}
	usernameKey, err = loginKey(u.Username)
	// A name with an @ would be found where an address is looked up.
	if err != nil || usernameKey == "" || utf8.RuneCountInString(u.Username) > 64 && usernameKey != emailKey ||
		strings.Contains(usernameKey, "@") && usernameKey != emailKey {
		return "", "", &FieldError{Field: "username", Message: "username.invalid"}
	}
	return usernameKey, emailKey, checkProfile(&u.Profile)
}

// addressKey is the canonical form of a bare address: no display name, no
// comment, nothing folded.
func addressKey(address string) (string, error) {
	a, err := mail.ParseAddress(address)
	if err != nil {
		return "", err
	}
	_, domain, _ := strings.Cut(a.Address, "@")
	if a.Address != address || a.Name != "" || len(address) > 254 || !strings.Contains(domain, ".") && domain != "localhost" ||
		strings.ContainsAny(address, "\"<> ") {
		return "", errors.New("not a bare address")
	}
	return loginKey(address)
}

// taken turns "exists" into the field that is taken.
func (p *People) taken(ctx context.Context, err error, n storage.NewUser) error {
	if !errors.Is(err, storage.ErrExists) {
		return err
	}
	if n.EmailKey != "" {
		if u, err := p.Store.Users.Find(ctx, n.EmailKey); err == nil && u.ID != n.User.ID {
			return &FieldError{Field: "email", Message: "email.taken"}
		}
	}
	return &FieldError{Field: "username", Message: "username.taken"}
}

// prepare checks everything about a new account and hashes its password.
func (p *People) prepare(ctx context.Context, n NewAccount) (storage.NewUser, error) {
	u := &storage.User{
		ID: strings.ToLower(rand.Text()), Username: n.Username, Email: n.Email, EmailVerified: n.EmailVerified && n.Email != "",
		Admin: n.Admin, Profile: n.Profile, CreatedAt: p.Now(),
	}
	usernameKey, emailKey, err := canonical(u)
	if err != nil {
		return storage.NewUser{}, err
	}
	nu := storage.NewUser{User: u, UsernameKey: usernameKey, EmailKey: emailKey}
	if n.Password != "" {
		if nu.PasswordHash, err = p.newHash(ctx, n.Password, u); err != nil {
			return storage.NewUser{}, err
		}
	}
	return nu, nil
}

// newHash checks a password for this account against the policy and hashes it.
func (p *People) newHash(ctx context.Context, password string, u *storage.User) (string, error) {
	s, err := p.Policy.check(password, ownNames(u.Username, u.Email, u.Profile.Name)...)
	if err != nil {
		return "", err
	}
	leave, err := p.hash.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	return p.hash.make(s)
}

// Create makes an account: *FieldError, *PolicyError, or the storage's error.
func (p *People) Create(ctx context.Context, n NewAccount) (*storage.User, error) {
	nu, err := p.prepare(ctx, n)
	if err != nil {
		return nil, err
	}
	e := storage.NewEvent(ctx, nu.User.CreatedAt, "user.created", nu.User.ID)
	if err := p.Store.Users.Create(ctx, nu, e); err != nil {
		return nil, p.taken(ctx, err, nu)
	}
	return nu.User, nil
}

// Find returns the account with this user name, address or sub: storage.ErrNotFound.
func (p *People) Find(ctx context.Context, login string) (*storage.User, error) {
	if key, err := loginKey(login); err == nil {
		u, err := p.Store.Users.Find(ctx, key)
		if !errors.Is(err, storage.ErrNotFound) {
			return u, err
		}
	}
	return p.Store.Users.Get(ctx, login)
}

// SetPassword replaces the password and ends every session and grant of the user.
func (p *People) SetPassword(ctx context.Context, u *storage.User, password string) error {
	hash, err := p.newHash(ctx, password, u)
	if err != nil {
		return err
	}
	now := p.Now()
	err = p.Store.Credentials.SetPassword(ctx, storage.Password{UserID: u.ID, Hash: hash, ChangedAt: now},
		storage.NewEvent(ctx, now, "user.password_changed", u.ID))
	if err != nil {
		return fmt.Errorf("set password: %w", err)
	}
	// Whoever was locked out can come in with the new one.
	return p.Store.Guesses.Forgive(ctx, accountKey(u.ID))
}

// Update writes the account's name, address and profile: *FieldError,
// storage.ErrConflict where it changed since it was read, storage.ErrLastAdmin.
func (p *People) Update(ctx context.Context, u *storage.User) error {
	usernameKey, emailKey, err := canonical(u)
	if err != nil {
		return err
	}
	now := p.Now()
	n := storage.NewUser{User: u, UsernameKey: usernameKey, EmailKey: emailKey}
	return p.taken(ctx, p.Store.Users.Update(ctx, n, now, storage.NewEvent(ctx, now, "user.updated", u.ID)), n)
}

// Disable switches the account off and ends everything issued to it:
// storage.ErrLastAdmin where no enabled administrator would remain.
func (p *People) Disable(ctx context.Context, u *storage.User) error {
	now := p.Now()
	return p.Store.Users.Disable(ctx, u.ID, now, storage.NewEvent(ctx, now, "user.disabled", u.ID))
}

// Enable switches a disabled account on again; what was ended stays ended.
func (p *People) Enable(ctx context.Context, u *storage.User) error {
	now := p.Now()
	return p.Store.Users.Enable(ctx, u.ID, now, storage.NewEvent(ctx, now, "user.enabled", u.ID))
}

// Invalidate ends everything issued to the user so far.
func (p *People) Invalidate(ctx context.Context, u *storage.User) error {
	now := p.Now()
	return p.Store.Users.Invalidate(ctx, u.ID, now, storage.NewEvent(ctx, now, "user.tokens_invalidated", u.ID))
}

// Delete removes the account: storage.ErrLastAdmin as Disable.
func (p *People) Delete(ctx context.Context, u *storage.User) error {
	now := p.Now()
	return p.Store.Users.Delete(ctx, u.ID, now, storage.NewEvent(ctx, now, "user.deleted", u.ID))
}
