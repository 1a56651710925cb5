package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/gorilla/sessions"

	"gatehouse/provider"
	"gatehouse/storage"
)

// BrowserConfig is what a Browser is made from.
type BrowserConfig struct {
	Issuer          string
	Sessions        storage.Sessions
	Failures        storage.Failures // nil: no error page can be explained
	SessionIdle     time.Duration    // default 8 h
	SessionLifetime time.Duration    // default 24 h
	Now             func() time.Time
	Log             *slog.Logger
}

// A Browser owns the cookies: the browser's one random secret, the sign-in
// session (gorilla/sessions over storage.Sessions) and the language. It
// implements provider.Pages.
type Browser struct {
	origin   origin
	cookies  cookies
	store    *sessionStore
	sessions storage.Sessions
	failures storage.Failures
	idle     time.Duration
	lifetime time.Duration
	now      func() time.Time
	log      *slog.Logger
}

// NewBrowser returns the browser side of c.Issuer.
func NewBrowser(c BrowserConfig) (*Browser, error) {
	o, err := readOrigin(c.Issuer)
	if err != nil {
		return nil, err
	}
	if c.Sessions == nil {
		return nil, errors.New("a browser needs Sessions")
	}
	b := &Browser{
		origin: o, cookies: cookiesOf(o), sessions: c.Sessions, failures: c.Failures,
		idle: cmp.Or(c.SessionIdle, 8*time.Hour), lifetime: cmp.Or(c.SessionLifetime, 24*time.Hour),
		now: c.Now, log: cmp.Or(c.Log, slog.New(slog.DiscardHandler)),
	}
	if b.now == nil {
		b.now = time.Now
	}
	b.store = &sessionStore{cookies: b.cookies, sessions: c.Sessions, now: b.now}
	return b, nil
}

var _ provider.Pages = (*Browser)(nil)

// Session returns the live sign-in session of this browser and its user:
// storage.ErrNotFound where nobody is signed in.
func (b *Browser) Session(r *http.Request) (*storage.Session, *storage.User, error) {
	kept, err := b.store.Get(r, b.cookies.session)
	if err != nil {
		return nil, nil, fmt.Errorf("read the session: %w", err)
	}
	if kept.IsNew {
		return nil, nil, storage.ErrNotFound
	}
	s, u := signedIn(kept)
	b.touch(r.Context(), s)
	return s, u, nil
}

// touchEvery is how often a session's idle expiry is moved on at most.
const touchEvery = time.Minute

// touch moves the idle expiry on. Where it cannot be written now, reading goes
// on: the next request tries again.
func (b *Browser) touch(ctx context.Context, s *storage.Session) {
	now := b.now()
	if now.Sub(s.SeenAt) < touchEvery {
		return
	}
	s.SeenAt = now
	if err := b.sessions.Touch(ctx, s.ID, now); err != nil {
		b.log.WarnContext(ctx, "prolong a session", "error", err, "request_id", storage.OriginOf(ctx).RequestID)
	}
}

// A Proof is how somebody proved who they are.
type Proof struct {
	AMR []string // RFC 8176
	// At is when; zero: now. An upstream may say that it was earlier, or not say.
	At time.Time
	// Upstream is the id of the upstream that says so; empty: we saw it ourselves.
	Upstream string
}

// RecentSignIn is how old a sign-in may be where somebody changes how they sign in.
const RecentSignIn = 10 * time.Minute

// SignIn begins the session of u in this browser, under a cookie that is new
// each time. The session of the same user goes on under it; one of somebody
// else ends. storage.ErrNotFound where the account was switched off meanwhile.
func (b *Browser) SignIn(w http.ResponseWriter, r *http.Request, u *storage.User, how Proof) (*storage.Session, error) {
	browser, err := b.Browser(w, r)
	if err != nil {
		return nil, err
	}
	kept, err := b.store.Get(r, b.cookies.session)
	if err != nil {
		return nil, fmt.Errorf("read the session: %w", err)
	}
	now, from := b.now(), storage.OriginOf(r.Context())
	at := now
	if !how.At.IsZero() && how.At.Before(now) { // OpenID Connect Core §2: when it happened, not when we were told
		at = how.At
	}
	begin(kept, u, browser, how.Upstream, &storage.Session{
		UserID: u.ID, Epoch: u.Epoch, AuthTime: at, AuthTimeUnknown: how.Upstream != "" && how.At.IsZero(), AMR: how.AMR, ACR: provider.LowestACR,
		CreatedAt: now, SeenAt: now, IdleLifetime: b.idle,
		IdleExpiresAt: now.Add(b.idle), ExpiresAt: now.Add(b.lifetime),
		IP: from.IP, UserAgent: from.UserAgent,
	})
	if err := sessions.Save(r, w); err != nil {
		return nil, err
	}
	s, _ := signedIn(kept)
	return s, nil
}

// SignOut drops the session cookie of this browser. It ends no session: that
// is provider.EndSession.
func (b *Browser) SignOut(w http.ResponseWriter, r *http.Request) {
	b.cookies.drop(w, b.cookies.session)
}

// Browser returns the digest of this browser's one random secret, and sets the
// cookie where there is none yet.
func (b *Browser) Browser(w http.ResponseWriter, r *http.Request) (storage.Digest, error) {
	if secret, ok := b.cookies.secret(r, b.cookies.browser, browserPrefix); ok {
		return storage.NewDigest(storage.BrowserSecret, secret), nil
	}
	v := visitOf(r)
	if v.browser == "" {
		v.browser = newSecret(browserPrefix)
	}
	if !b.cookies.isSet(w, b.cookies.browser) {
		b.cookies.set(w, b.cookies.browser, v.browser, browserAge)
	}
	return storage.NewDigest(storage.BrowserSecret, v.browser), nil
}

// Known is the digest of this browser's secret, for reading only: one that has
// none yet owns nothing.
func (b *Browser) Known(r *http.Request) storage.Digest {
	secret, _ := b.cookies.secret(r, b.cookies.browser, browserPrefix)
	return storage.NewDigest(storage.BrowserSecret, secret)
}

// The addresses that steps are taken at, below the issuer's path.
const (
	HomePath      = "/"
	LoginPath     = "/login"
	ConsentPath   = "/consent"
	LogoutPath    = "/logout/confirm"
	SignedOutPath = "/signed-out"
	SetupPath     = "/setup"
	// UpstreamPath and the id of an upstream lead there, and with CallbackPath behind
	// it back.
	UpstreamPath = "/login/upstream/"
	CallbackPath = "/callback"
	LinkPath     = "/login/link"
	AccountPath  = "/account"
)

var stepPaths = map[provider.Step]string{
	provider.SignIn:  LoginPath,
	provider.Consent: ConsentPath,
	provider.Logout:  LogoutPath,
	provider.Gone:    SignedOutPath,
}

// URL is where a person takes this step for the request with this ID. Responding
// is the provider's own step, at its own address.
func (b *Browser) URL(step provider.Step, requestID string) string {
	u := b.At(stepPaths[step])
	if requestID != "" {
		u += "?request=" + url.QueryEscape(requestID)
	}
	return u
}

// At is the whole address of one of our paths.
func (b *Browser) At(path string) string { return b.origin.issuer + path }

// Base is the issuer's path, in front of every path of ours.
func (b *Browser) Base() string { return b.origin.path }
