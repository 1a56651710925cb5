package identity

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatehouse/storage"
	"gatehouse/upstream"
)

var (
	// ErrClosed: nobody knows this person here, and registration is not open.
	ErrClosed = errors.New("no account, and registration is not open")
	// ErrDisabled: the account is switched off.
	ErrDisabled = errors.New("the account is disabled")
	// ErrLinked: the identity is linked to another account.
	ErrLinked = errors.New("linked to another account")
)

// AddressTaken: an account has the address of somebody who comes from an
// upstream for the first time. It is not theirs because of that.
type AddressTaken struct {
	User *storage.User
	// Linkable: the address is verified on both sides, so the owner may be asked to
	// sign in and link the two.
	Linkable bool
}

func (*AddressTaken) Error() string { return "another account has this address" }

// claimant is somebody at an upstream as storage finds them.
func claimant(a *upstream.Assertion) storage.Federated {
	return storage.Federated{Upstream: a.Upstream, Issuer: a.Issuer, Subject: a.Subject}
}

// Federated returns the account of somebody at an upstream. It is found by
// upstream, issuer and subject, never by an address. Whoever comes for the
// first time gets an account where registration is open: ErrClosed, ErrDisabled
// or *AddressTaken otherwise.
func (p *People) Federated(ctx context.Context, a *upstream.Assertion) (*storage.User, error) {
	i, u, err := p.Store.Identities.Find(ctx, claimant(a))
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return p.join(ctx, a)
	case err != nil:
		return nil, fmt.Errorf("look up an identity: %w", err)
	case u.Disabled():
		e := storage.NewEvent(ctx, p.Now(), "session.failed", u.ID)
		e.Details = map[string]string{"upstream": a.Upstream, "reason": "the account is disabled"}
		return nil, errors.Join(ErrDisabled, p.Store.Events.Append(ctx, e))
	}
	if err := p.Store.Identities.Used(ctx, i.ID, label(a), p.Now()); err != nil {
		return nil, fmt.Errorf("note the use of an identity: %w", err)
	}
	return u, nil
}

// join makes an account for somebody who has none.
func (p *People) join(ctx context.Context, a *upstream.Assertion) (*storage.User, error) {
	if taken := p.taker(ctx, a.Email); taken != nil {
		return p.meanwhile(ctx, a, taken)
	}
	if !p.OpenRegistration {
		return nil, ErrClosed
	}
	n := NewAccount{Username: a.Upstream + "-" + strings.ToLower(rand.Text()[:10]), Profile: profileOf(a)}
	if _, err := addressKey(a.Email); err == nil {
		n.Username, n.Email, n.EmailVerified = "", a.Email, true
	}
	nu, err := p.prepare(ctx, n)
	if err != nil {
		return nil, err
	}
	i := p.identity(nu.User, a)
	created := storage.NewEvent(ctx, i.LinkedAt, "user.created", nu.User.ID)
	created.Actor, created.Details = nu.User.ID, map[string]string{"by": "upstream " + a.Upstream}
	err = p.Store.Identities.Create(ctx, nu, i, created, p.linked(ctx, nu.User, claimant(a), i.LinkedAt))
	if !errors.Is(err, storage.ErrExists) {
		return nu.User, err
	}
	if taken := p.taker(ctx, a.Email); taken != nil {
		err = taken
	}
	return p.meanwhile(ctx, a, fmt.Errorf("make an account: %w", err))
}

// meanwhile returns the account that another tab has made for the same person
// since it was looked for; without one, why there is none stands.
func (p *People) meanwhile(ctx context.Context, a *upstream.Assertion, why error) (*storage.User, error) {
	_, u, err := p.Store.Identities.Find(ctx, claimant(a))
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil, why
	case err != nil:
		return nil, fmt.Errorf("look up an identity: %w", err)
	}
	return u, nil
}

// taker says who has an address, where somebody has.
func (p *People) taker(ctx context.Context, address string) error {
	key, err := addressKey(address)
	if err != nil {
		return nil
	}
	u, err := p.Store.Users.Find(ctx, key)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("look up an address: %w", err)
	}
	return &AddressTaken{User: u, Linkable: u.EmailVerified && !u.Disabled()}
}

// profileOf are the claims that a profile may have. What an upstream writes
// otherwise than OpenID Connect has it is left out.
func profileOf(a *upstream.Assertion) storage.Profile {
	var profile storage.Profile
	for name, value := range a.Claims {
		next := profile
		if SetClaim(&next, name, value) && checkProfile(&next) == nil {
			profile = next
		}
	}
	return profile
}

// label is what people call the account there, as far as a page can show it.
func label(a *upstream.Assertion) string {
	text := []rune(strings.ToValidUTF8(a.Label, ""))
	return strings.ReplaceAll(string(text[:min(len(text), maxClaim)]), "\x00", "")
}

func (p *People) identity(u *storage.User, a *upstream.Assertion) *storage.Identity {
	now := p.Now()
	return &storage.Identity{ID: rand.Text(), UserID: u.ID, Federated: claimant(a), Label: label(a), LinkedAt: now, UsedAt: now}
}

// linked is the event of an identity that its user gets.
func (p *People) linked(ctx context.Context, u *storage.User, f storage.Federated, now time.Time) *storage.Event {
	return p.told(ctx, "identity.linked", u, f, now)
}

// told is an event of this name about an identity of u.
func (p *People) told(ctx context.Context, name string, u *storage.User, f storage.Federated, now time.Time) *storage.Event {
	e := storage.NewEvent(ctx, now, name, u.ID)
	e.Actor, e.Details = u.ID, map[string]string{"upstream": f.Upstream, "issuer": f.Issuer, "subject": f.Subject}
	return e
}

// Link gives u, who asked for it, the identity of somebody at an upstream:
// ErrLinked where another account has it, ErrDisabled where u may not sign in.
func (p *People) Link(ctx context.Context, u *storage.User, a *upstream.Assertion) error {
	i := p.identity(u, a)
	err := p.Store.Identities.Link(ctx, i, p.linked(ctx, u, i.Federated, i.LinkedAt))
	if errors.Is(err, storage.ErrExists) {
		_, owner, ferr := p.Store.Identities.Find(ctx, i.Federated)
		if ferr == nil && owner.ID == u.ID {
			return nil
		}
	}
	return linking(err)
}

func linking(err error) error {
	switch {
	case errors.Is(err, storage.ErrExists):
		return ErrLinked
	case errors.Is(err, storage.ErrNotFound):
		return ErrDisabled
	}
	return err
}

// Await parks somebody at an upstream whose address belongs to owner, until
// owner says whether the two are one. Only this browser can go on with it.
func (p *People) Await(ctx context.Context, owner *storage.User, a *upstream.Assertion, browser storage.Digest, purpose string, lifetime time.Duration) (id string, err error) {
	now := p.Now()
	pending := &storage.PendingIdentity{
		ID: rand.Text(), Browser: browser, UserID: owner.ID, Federated: claimant(a), Label: label(a), Purpose: purpose,
		CreatedAt: now, ExpiresAt: now.Add(lifetime),
	}
	return pending.ID, p.Store.Flows.ParkIdentity(ctx, pending)
}

// Confirm links what Await parked to u, once: the errors of storage.Flows,
// ErrLinked, and storage.ErrMismatch where u is not its owner.
func (p *People) Confirm(ctx context.Context, u *storage.User, pending *storage.PendingIdentity) error {
	now := p.Now()
	_, err := p.Store.Identities.Confirm(ctx, pending.ID, pending.Browser, u.ID, rand.Text(), now, p.linked(ctx, u, pending.Federated, now))
	if errors.Is(err, storage.ErrExists) {
		return ErrLinked
	}
	return err
}

// Unlink takes an identity from u: storage.ErrLastWay where no other way in
// would remain at one of the upstreams that are open, storage.ErrNotFound.
func (p *People) Unlink(ctx context.Context, u *storage.User, id string, open []*upstream.Provider) error {
	var ways []storage.Federated
	for _, o := range open {
		ways = append(ways, storage.Federated{Upstream: o.ID, Issuer: o.Issuer})
	}
	all, err := p.Store.Identities.ListByUser(ctx, u.ID)
	if err != nil {
		return fmt.Errorf("look up the identities: %w", err)
	}
	n := slices.IndexFunc(all, func(i *storage.Identity) bool { return i.ID == id })
	if n < 0 {
		return storage.ErrNotFound
	}
	return p.Store.Identities.Unlink(ctx, u.ID, id, ways, p.told(ctx, "identity.unlinked", u, all[n].Federated, p.Now()))
}

// Ways are how u may sign in: with a password, and with identities.
func (p *People) Ways(ctx context.Context, u *storage.User) (password bool, identities []*storage.Identity, err error) {
	key, err := loginKey(u.Username)
	if err != nil {
		return false, nil, fmt.Errorf("look up the account: %w", err)
	}
	_, stored, err := p.Store.Credentials.Password(ctx, key)
	if err != nil {
		return false, nil, fmt.Errorf("look up the password: %w", err)
	}
	identities, err = p.Store.Identities.ListByUser(ctx, u.ID)
	return stored != nil, identities, err
}
