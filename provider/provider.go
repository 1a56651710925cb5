// Package provider is the protocol: OAuth 2.0 and OpenID Connect, one file for
// each endpoint and one for each grant type. It knows storage, keys and the
// specifications; it knows no page, no SQL and no cookie. Whoever owns the
// browser answers through Pages.
package provider

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"gatehouse/keys"
	"gatehouse/storage"
)

// A Step is what a person has to do next for a request.
type Step string

// The steps.
const (
	SignIn  Step = "sign in"
	Consent Step = "consent"
	Respond Step = "respond"
	Logout  Step = "log out"    // asked, by /logout
	Gone    Step = "signed out" // the page that says so
)

// Pages is what the provider asks of the side that owns the browser.
type Pages interface {
	// Session returns the live sign-in session of this browser and its user, or storage.ErrNotFound.
	Session(r *http.Request) (*storage.Session, *storage.User, error)
	// Browser returns the digest of this browser's one random secret, and sets the
	// cookie where there is none yet. Parked requests are tied to it.
	Browser(w http.ResponseWriter, r *http.Request) (storage.Digest, error)
	// URL is where a person takes this step for the request with this ID.
	URL(step Step, requestID string) string
	// SignOut drops the session cookie of this browser.
	SignOut(w http.ResponseWriter, r *http.Request)
	// Error shows an error that must not be sent to a redirect URI.
	Error(w http.ResponseWriter, r *http.Request, e PageError)
	// FormPost shows the page that posts an authorization response to action.
	FormPost(w http.ResponseWriter, r *http.Request, action string, fields map[string]string)
}

// A PageError is an error for a person. Message is a message id that pages
// translate; Parameter names the request parameter that was wrong, or is empty.
type PageError struct {
	Status    int
	Message   string
	Parameter string
	// ClientURI leads back to the application, where it is known; else empty.
	ClientURI string
}

// Lifetimes are the defaults that a client's metadata may change.
type Lifetimes struct {
	Code, AccessToken, IDToken time.Duration
	RefreshIdle, RefreshMax    time.Duration
	RefreshGrace               time.Duration // confidential clients
	RefreshGracePublic         time.Duration
	AuthRequest                time.Duration // how long a person may take
}

// DefaultLifetimes are the contract's.
func DefaultLifetimes() Lifetimes {
	return Lifetimes{
		Code: time.Minute, AccessToken: 10 * time.Minute, IDToken: 10 * time.Minute,
		RefreshIdle: 30 * 24 * time.Hour, RefreshMax: 90 * 24 * time.Hour,
		RefreshGrace: time.Minute, RefreshGracePublic: 10 * time.Second,
		AuthRequest: time.Hour,
	}
}

// Config is what a Provider is made from.
type Config struct {
	Issuer    string
	Store     *storage.Store
	Keys      *keys.Ring
	Master    *keys.Master
	Pages     Pages
	Lifetimes Lifetimes
	// Scopes are those a client may register beside the standard ones.
	Scopes []string
	Now    func() time.Time
	Log    *slog.Logger
}

// A Provider serves the protocol's endpoints.
type Provider struct{}

// New returns a provider; its Run keeps what it remembers fresh.
func New(c Config) (*Provider, error) { panic("stub") }

// Routes adds the protocol's endpoints to mux, with their methods, below the
// issuer's path.
func (p *Provider) Routes(mux *http.ServeMux) { panic("stub") }

// Run rereads the change counters each second until ctx ends.
func (p *Provider) Run(ctx context.Context) error { panic("stub") }

// Pending is a parked request as a page shows it.
type Pending struct {
	ID        string
	Step      Step // what next says now
	Client    *storage.Client
	Scopes    []string // asked for
	NewScopes []string // of these, not yet allowed by this user
	LoginHint string
	UILocales []string
	// Reauthenticate: somebody is signed in and must prove it again; Session's user is named.
	Session *storage.Session
	User    *storage.User
	// DenyURL-less: Deny is a POST of the consent page.
	Redirect string // the redirect URI's origin, for display ("http" is shown as development)
}

// Pending returns the parked request of this browser: the errors of storage.Flows.
func (p *Provider) Pending(r *http.Request, requestID string) (*Pending, error) { panic("stub") }

// SignedIn notes that session's user signed in for this request; the browser
// is then sent to ResumeURL.
func (p *Provider) SignedIn(ctx context.Context, requestID string, s *storage.Session) error {
	panic("stub")
}

// Approve notes the user's yes to what was asked for.
func (p *Provider) Approve(r *http.Request, requestID string) error { panic("stub") }

// Deny notes the user's no.
func (p *Provider) Deny(r *http.Request, requestID string) error { panic("stub") }

// ResumeURL is where every page sends the browser when it is done.
func (p *Provider) ResumeURL(requestID string) string { panic("stub") }

// PendingLogout is a parked end-session request as a page shows it.
type PendingLogout struct {
	ID     string
	Client *storage.Client // nil where none was named
}

// PendingLogout returns the parked end-session request of this browser.
func (p *Provider) PendingLogout(r *http.Request, requestID string) (*PendingLogout, error) {
	panic("stub")
}

// EndSession ends this browser's session and returns where to go: a
// registered post-logout redirect URI with state, or the signed-out page.
// requestID may be empty.
func (p *Provider) EndSession(w http.ResponseWriter, r *http.Request, requestID string) (location string, err error) {
	panic("stub")
}

// A Registrar is the one way a client is made or changed.
type Registrar struct {
	Store  *storage.Store
	Issuer string
	Scopes []string // beside the standard ones
	Now    func() time.Time
}

// A MetadataError says which metadata was refused; Code is RFC 7591's.
type MetadataError struct {
	Code, Field, Value, Description string
}

func (e *MetadataError) Error() string { return e.Field + ": " + e.Description }

// A Registration is a client with its secret, shown this once.
type Registration struct {
	Client *storage.Client
	Secret string // empty for public clients
}

// Register validates m and stores a new client. An empty id is made; an empty
// secret is made where the method needs one.
func (g *Registrar) Register(ctx context.Context, id, secret string, m storage.ClientMetadata) (*Registration, error) {
	panic("stub")
}

// Update validates m and writes it over the client's metadata.
func (g *Registrar) Update(ctx context.Context, c *storage.Client, m storage.ClientMetadata) error {
	panic("stub")
}

// RotateSecret gives the client a new secret; the one before stays good for overlap.
func (g *Registrar) RotateSecret(ctx context.Context, c *storage.Client, overlap time.Duration) (secret string, err error) {
	panic("stub")
}

// Delete removes the client and ends what it was granted.
func (g *Registrar) Delete(ctx context.Context, c *storage.Client) error { panic("stub") }

// A Declaration is a client from the configuration file.
type Declaration struct {
	ID       string
	Secret   string
	Metadata storage.ClientMetadata
}

// Declare makes the declared clients what the file says: creates, updates, and
// disables those that left it.
func (g *Registrar) Declare(ctx context.Context, ds []Declaration) error { panic("stub") }

// Response is the registration response (RFC 7591 §3.2.1) for c; secret may be empty.
func Response(c *storage.Client, secret string) map[string]any { panic("stub") }
