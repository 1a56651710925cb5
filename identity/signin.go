package identity

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"gatehouse/storage"
)

// A Proof is a password presented for a name, and where it came from.
type Proof struct {
	Login    string // user name or address
	Password string
	Browser  storage.Digest
	IP       netip.Addr
}

// guessPolicy slows down from the sixth failure in a row; NIST SP 800-63B-4
// §3.2.2 allows at most 100.
var guessPolicy = storage.GuessPolicy{
	Free: 5, Base: time.Second, Cap: 15 * time.Minute, Max: 100, Forget: 24 * time.Hour,
}

// After so many failures in a row the owner is told.
var tellOwnerAt = map[int]bool{10: true, 50: true, 100: true}

func accountKey(userID string) string { return "user:" + userID }

// guessKey names the counter. A browser that signed this user in before has
// its own, so that strangers cannot lock the owner out; a name that nobody has
// is counted just like one that somebody has.
func guessKey(u *storage.User, login string, known bool, browser storage.Digest) string {
	switch {
	case u == nil:
		sum := sha256.Sum256([]byte(login))
		return "name:" + hex.EncodeToString(sum[:16])
	case known:
		return accountKey(u.ID) + ":browser:" + hex.EncodeToString(browser[:16])
	}
	return accountKey(u.ID)
}

// SignIn checks a password: ErrWrong or *SlowDown. Unknown names, disabled
// accounts and accounts without a password cost the same statements and the
// same hash as a wrong password, and get the same answer.
func (p *People) SignIn(ctx context.Context, proof Proof) (*storage.User, error) {
	password, err := normal(proof.Password)
	if err != nil {
		return nil, ErrWrong // longer than any password: refused before any work, for every name
	}
	leave, err := p.hash.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()

	key, err := loginKey(proof.Login)
	if err != nil {
		key = strings.ToLower(strings.ToValidUTF8(proof.Login, "?"))
	}
	u, stored, err := p.Store.Credentials.Password(ctx, key)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return nil, fmt.Errorf("look up the account: %w", err)
	}
	id, hash := "", ""
	if u != nil {
		id = u.ID
	}
	if stored != nil && !u.Disabled() {
		hash = stored.Hash
	}
	known, err := p.Store.Guesses.Known(ctx, id, proof.Browser)
	if err != nil {
		return nil, fmt.Errorf("look up the browser: %w", err)
	}
	counter, now := guessKey(u, key, known, proof.Browser), p.Now()
	guess, err := p.Store.Guesses.Try(ctx, counter, guessPolicy, now)
	if err != nil {
		return nil, fmt.Errorf("count the guess: %w", err)
	}
	if !guess.Allowed {
		return nil, &SlowDown{RetryAfter: max(guess.Next.Sub(now), time.Second), Locked: guess.Locked}
	}

	ok, stale, err := p.hash.matches(password, hash)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, p.failed(ctx, u, id, guess.Failures, now)
	}
	if err := p.Store.Guesses.Forgive(ctx, counter); err != nil {
		return nil, fmt.Errorf("take the guess back: %w", err)
	}
	if stale {
		p.rehash(ctx, u, stored.Hash, password)
	}
	return u, nil
}

// failed writes the failure down, and tells the owner when they add up.
func (p *People) failed(ctx context.Context, u *storage.User, id string, failures int, now time.Time) error {
	e := storage.NewEvent(ctx, now, "session.failed", id)
	e.Details = map[string]string{"failures": strconv.Itoa(failures)}
	if err := p.Store.Events.Append(ctx, e); err != nil {
		return fmt.Errorf("write the event: %w", err)
	}
	if u != nil && tellOwnerAt[failures] {
		p.tellOwner(ctx, u, failures, now)
	}
	return ErrWrong
}

// tellOwner writes an event and mails the owner, without letting the guesser
// wait for either.
func (p *People) tellOwner(ctx context.Context, u *storage.User, failures int, now time.Time) {
	e := storage.NewEvent(ctx, now, "user.guessed", u.ID)
	e.Details = map[string]string{"failures": strconv.Itoa(failures)}
	ctx = context.WithoutCancel(ctx)
	go func() {
		if err := p.Store.Events.Append(ctx, e); err != nil {
			p.Log.ErrorContext(ctx, "write the event", "error", err)
		}
		if p.Mailer == nil || u.Email == "" {
			return
		}
		if err := p.Mailer.Send(ctx, u.Email, "Failed attempts to sign in", guessedText(p.Issuer, failures, now)); err != nil {
			p.Log.ErrorContext(ctx, "mail the owner of a guessed account", "user", u.ID, "error", err)
		}
	}()
}

func guessedText(issuer string, failures int, now time.Time) string {
	return fmt.Sprintf(`Someone tried to sign in to your account at %s and gave a wrong
password %d times in a row, the last time at %s.

If it was you, nothing needs to be done. If it was not, your account is still
closed to them: further tries are slowed down and then refused. Make sure that
your password is used nowhere else.
`, issuer, failures, now.UTC().Format("2006-01-02 15:04 MST"))
}

// rehash brings a hash up to today's parameters. One that cannot be written
// now is tried again at the next sign-in.
func (p *People) rehash(ctx context.Context, u *storage.User, old, password string) {
	hash, err := p.hash.make(password)
	if err == nil {
		err = p.Store.Credentials.Rehash(ctx, u.ID, old, hash)
	}
	if err != nil {
		p.Log.WarnContext(ctx, "renew a password hash", "user", u.ID, "error", err)
	}
}
