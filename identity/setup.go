package identity

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"gatehouse/storage"
)

// NewSetupLink makes the secret of a one-time set-up link and says when it
// expires; earlier links stop working. ErrSetUp where an administrator exists.
func (p *People) NewSetupLink(ctx context.Context) (secret string, expires time.Time, err error) {
	return p.setupLink(ctx, p.Store.Setup.Issue)
}

// AddSetupLink is NewSetupLink for a node that starts: what another node has
// printed goes on working.
func (p *People) AddSetupLink(ctx context.Context) (secret string, expires time.Time, err error) {
	return p.setupLink(ctx, p.Store.Setup.Add)
}

func (p *People) setupLink(ctx context.Context, store func(ctx context.Context, link storage.Digest, now, expires time.Time) error) (secret string, expires time.Time, err error) {
	is, err := p.Store.Users.AdminExists(ctx)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("look for an administrator: %w", err)
	}
	if is {
		return "", time.Time{}, ErrSetUp
	}
	secret, now := "gho_"+rand.Text()+rand.Text(), p.Now()
	expires = now.Add(p.SetupTTL)
	if err := store(ctx, storage.NewDigest(storage.SetupSecret, secret), now, expires); err != nil {
		return "", time.Time{}, fmt.Errorf("store the set-up link: %w", err)
	}
	return secret, expires, nil
}

// CheckSetupLink returns nil while the link can be spent: ErrLinkUsed or
// ErrSetUp otherwise.
func (p *People) CheckSetupLink(ctx context.Context, secret string) error {
	is, err := p.Store.Users.AdminExists(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("look for an administrator: %w", err)
	case is:
		return ErrSetUp
	}
	err = p.Store.Setup.Check(ctx, storage.NewDigest(storage.SetupSecret, secret), p.Now())
	if errors.Is(err, storage.ErrNotFound) {
		return ErrLinkUsed
	}
	return err
}

// SetUp spends a set-up link and makes the first administrator. A form that is
// refused leaves the link as it was.
func (p *People) SetUp(ctx context.Context, secret string, n NewAccount) (*storage.User, error) {
	if err := p.CheckSetupLink(ctx, secret); err != nil {
		return nil, err
	}
	if n.Email == "" {
		return nil, &FieldError{Field: "email", Message: "email.missing"}
	}
	if n.Password == "" {
		return nil, &PolicyError{Rules: []Rule{TooShort}, Policy: p.Policy}
	}
	n.Admin = true
	nu, err := p.prepare(ctx, n)
	if err != nil {
		return nil, err
	}
	now := nu.User.CreatedAt
	e := storage.NewEvent(ctx, now, "user.created", nu.User.ID)
	e.Details = map[string]string{"admin": "true", "by": "set-up link"}
	err = p.Store.Users.CreateFirst(ctx, storage.NewDigest(storage.SetupSecret, secret), nu, now, e)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil, ErrLinkUsed
	case errors.Is(err, storage.ErrExists):
		if is, _ := p.Store.Users.AdminExists(ctx); is {
			return nil, ErrSetUp
		}
		return nil, p.taken(ctx, err, nu)
	case err != nil:
		return nil, fmt.Errorf("make the first administrator: %w", err)
	}
	return nu.User, nil
}
