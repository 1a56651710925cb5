// Package provider is the protocol: one file for each endpoint, one for each
// grant type. It decides what comes next, judges what clients present and
// writes what they read. It knows storage and the keys; it knows no page, no
// cookie and no SQL.
package provider

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"gatehouse/jwks"
	"gatehouse/keys"
	"gatehouse/storage"
)

// Lifetimes are the defaults that a client's metadata may change.
type Lifetimes struct {
	Code, AccessToken, IDToken time.Duration
	RefreshIdle, RefreshMax    time.Duration
	RefreshGrace               time.Duration // confidential clients
	RefreshGracePublic         time.Duration
	AuthRequest                time.Duration // how long a person may take
}

// DefaultLifetimes are the promised ones.
func DefaultLifetimes() Lifetimes {
	return Lifetimes{
		Code: time.Minute, AccessToken: 10 * time.Minute, IDToken: 10 * time.Minute,
		RefreshIdle: 30 * 24 * time.Hour, RefreshMax: 90 * 24 * time.Hour,
		RefreshGrace: time.Minute, RefreshGracePublic: 10 * time.Second,
		AuthRequest: time.Hour,
	}
}

// The longest lifetimes that a client may register. Signing keys stay
// published for longer than MaxToken after their last signature.
const (
	MaxToken        = 24 * time.Hour
	MaxRefresh      = 366 * 24 * time.Hour
	MaxRefreshGrace = 5 * time.Minute
)

// Config is what a Provider is made from.
type Config struct {
	Issuer    string
	Store     *storage.Store
	Keys      *keys.Ring
	Master    *keys.Master
	Pages     Pages
	Lifetimes Lifetimes        // zero: DefaultLifetimes
	UILocales []string         // of the pages, for discovery
	Outbound  jwks.Fetcher     // nil: no jwks_uri is read
	Tell      Poster           // nil: no client is told of sign-outs; what is queued waits
	Scopes    []string         // shown by discovery beside the standard ones
	Now       func() time.Time // default time.Now
	Log       *slog.Logger     // default: nothing is logged
}

// A Provider serves the protocol's endpoints.
type Provider struct {
	issuer    string
	path      string // of the issuer, without a trailing slash
	store     *storage.Store
	keys      *keys.Ring
	pages     Pages
	lifetimes Lifetimes
	locales   []string
	scopes    []string
	now       func() time.Time
	log       *slog.Logger

	clients *memory
	refresh refreshKeys
	fetched *jwks.Keeper
	tell    Poster
	found   atomic.Pointer[document] // discovery, as finished bytes
}

// New returns a provider; its Run keeps what it remembers fresh.
func New(c Config) (*Provider, error) {
	issuer, err := url.Parse(c.Issuer)
	if err != nil || issuer.Host == "" || issuer.RawQuery != "" || issuer.Fragment != "" || strings.HasSuffix(c.Issuer, "/") {
		return nil, fmt.Errorf("issuer %q must be a URL with a host and without query, fragment or trailing slash", c.Issuer)
	}
	if c.Store == nil || c.Keys == nil || c.Master == nil || c.Pages == nil {
		return nil, errors.New("a provider needs Store, Keys, Master and Pages")
	}
	p := &Provider{
		issuer: c.Issuer, path: issuer.Path, store: c.Store, keys: c.Keys, pages: c.Pages,
		lifetimes: c.Lifetimes, locales: c.UILocales, scopes: c.Scopes, now: c.Now, log: c.Log,
		refresh: newRefreshKeys(c.Master), tell: c.Tell,
	}
	if p.lifetimes == (Lifetimes{}) {
		p.lifetimes = DefaultLifetimes()
	}
	if p.now == nil {
		p.now = time.Now
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	p.clients = newMemory(c.Store, p.now)
	p.fetched = jwks.NewKeeper(c.Outbound, p.now)
	return p, nil
}

// The protocol's addresses, below the issuer's path. Other origins call them
// by design.
const (
	AuthorizePath  = "/authorize"
	ResumePath     = "/authorize/resume"
	TokenPath      = "/token"
	UserinfoPath   = "/userinfo"
	DeviceAuthPath = "/device_authorization"
	IntrospectPath = "/introspect"
	RevokePath     = "/revoke"
	JWKSPath       = "/jwks"
	LogoutPath     = "/logout"
	discoveryPath  = "/.well-known/openid-configuration"
	metadataPath   = "/.well-known/oauth-authorization-server"
)

// Routes adds the protocol's endpoints to mux, with their methods, below the
// issuer's path. RFC 8414 §3 puts the path of the issuer last, so the metadata
// document stands outside it.
func (p *Provider) Routes(mux *http.ServeMux) {
	mux.HandleFunc("GET "+p.path+discoveryPath, p.serveDiscovery)
	mux.HandleFunc("GET "+metadataPath+p.path, p.serveDiscovery)
	mux.HandleFunc("GET "+p.path+JWKSPath, p.serveJWKS)
	for _, path := range []string{AuthorizePath, ResumePath, LogoutPath} {
		// To Go's router HEAD is GET; these do more than show something.
		mux.HandleFunc("HEAD "+p.path+path, p.refuseHead)
	}
	mux.HandleFunc("GET "+p.path+AuthorizePath, p.serveAuthorize)
	mux.HandleFunc("POST "+p.path+AuthorizePath, p.serveAuthorize)
	mux.HandleFunc("GET "+p.path+ResumePath, p.serveResume)
	mux.HandleFunc("POST "+p.path+TokenPath, p.serveToken)
	mux.HandleFunc("OPTIONS "+p.path+TokenPath, p.preflight("POST"))
	mux.HandleFunc("GET "+p.path+UserinfoPath, p.serveUserinfo)
	mux.HandleFunc("POST "+p.path+UserinfoPath, p.serveUserinfo)
	mux.HandleFunc("OPTIONS "+p.path+UserinfoPath, p.preflight("GET, POST"))
	mux.HandleFunc("POST "+p.path+DeviceAuthPath, p.serveDevice)
	mux.HandleFunc("POST "+p.path+IntrospectPath, p.serveIntrospect)
	mux.HandleFunc("POST "+p.path+RevokePath, p.serveRevoke)
	mux.HandleFunc("OPTIONS "+p.path+RevokePath, p.preflight("POST"))
	mux.HandleFunc("GET "+p.path+LogoutPath, p.serveLogout)
	mux.HandleFunc("POST "+p.path+LogoutPath, p.serveLogout)
}

func (p *Provider) refuseHead(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Allow", "GET, POST")
	p.pages.Error(w, r, PageError{Status: http.StatusMethodNotAllowed, Message: WrongMethod, Failure: at(r.URL.Path, &storage.Failure{Kind: "method", Sent: r.Method, Expected: "GET, POST"})})
}

// Endpoints lists the paths that other origins may call; everything else that
// changes something is for our own pages alone.
func (p *Provider) Endpoints() []string {
	return []string{
		p.path + discoveryPath, metadataPath + p.path, p.path + JWKSPath, p.path + AuthorizePath, p.path + ResumePath,
		p.path + TokenPath, p.path + UserinfoPath, p.path + DeviceAuthPath, p.path + IntrospectPath, p.path + RevokePath, p.path + LogoutPath,
	}
}

// Run rereads the change counters each second until ctx ends.
func (p *Provider) Run(ctx context.Context) error { return p.clients.run(ctx, p.log) }
