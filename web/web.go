// Package web is the outer door: the browser's cookies and session, request
// budgets, security headers, the cross-origin guard, the host check, request
// ids and logs, and how pages and errors are drawn. It knows what a page is
// and not which pages there are.
package web

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"gatehouse/provider"
	"gatehouse/storage"
)

// BrowserConfig is what a Browser is made from.
type BrowserConfig struct {
	Issuer          string
	Sessions        storage.Sessions
	SessionIdle     time.Duration // default 8 h
	SessionLifetime time.Duration // default 24 h
	Now             func() time.Time
	Log             *slog.Logger
}

// A Browser owns the cookies: the browser's one random secret, and the
// sign-in session (gorilla/sessions over storage.Sessions). It implements
// provider.Pages.
type Browser struct{}

// NewBrowser returns the browser side of c.Issuer.
func NewBrowser(c BrowserConfig) (*Browser, error) { panic("stub") }

var _ provider.Pages = (*Browser)(nil)

func (b *Browser) Session(r *http.Request) (*storage.Session, *storage.User, error) { panic("stub") }
func (b *Browser) Browser(w http.ResponseWriter, r *http.Request) (storage.Digest, error) {
	panic("stub")
}
func (b *Browser) URL(step provider.Step, requestID string) string                    { panic("stub") }
func (b *Browser) SignOut(w http.ResponseWriter, r *http.Request)                     { panic("stub") }
func (b *Browser) Error(w http.ResponseWriter, r *http.Request, e provider.PageError) { panic("stub") }
func (b *Browser) FormPost(w http.ResponseWriter, r *http.Request, action string, fields map[string]string) {
	panic("stub")
}

// A Part is a set of pages: web/signin, later web/account, web/admin, web/api.
type Part interface {
	// Routes adds its pages to mux, below the issuer's path.
	Routes(mux *http.ServeMux)
}

// Config is what the door is made from.
type Config struct {
	Issuer         string
	Browser        *Browser
	Provider       *provider.Provider
	Health         *Health
	TrustedProxies []netip.Prefix
	Parts          []Part
	Log            *slog.Logger
	Now            func() time.Time
}

// New returns the handler of the public listener.
func New(c Config) (http.Handler, error) { panic("stub") }

// NewServer returns an http.Server around h with the budgets of headers,
// bodies and time.
func NewServer(addr string, h http.Handler, log *slog.Logger) *http.Server { panic("stub") }

// A Check looks at one part of the system. Its report never holds a secret;
// Detail is shown only to callers who may see error texts.
type Check struct {
	Name string // database, cache, signing_keys, upstreams
	Run  func(ctx context.Context) (status, detail string)
}

// Health runs checks in the background and serves their last results:
// /healthz, /readyz and /api/health/.
type Health struct{}

// NewHealth returns the health of these checks, run each interval.
func NewHealth(interval time.Duration, now func() time.Time, checks ...Check) *Health { panic("stub") }

// Run runs the checks until ctx ends; the first round is done when it returns
// from its first pass.
func (h *Health) Run(ctx context.Context) error { panic("stub") }

// Drain makes /readyz answer 503: the server is stopping.
func (h *Health) Drain() { panic("stub") }

// Routes adds the three addresses to mux.
func (h *Health) Routes(mux *http.ServeMux) { panic("stub") }
