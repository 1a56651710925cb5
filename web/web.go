// Package web is the outer door: the browser's cookies and session, request
// budgets, security headers, the cross-origin guard, the host check, request
// ids and logs, and how pages and errors are drawn. It knows what a page is
// and not which pages there are.
package web

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"gatehouse/provider"
	"gatehouse/storage"
)

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
	Health         *Health // nil: its addresses are not there
	TrustedProxies []netip.Prefix
	Limits         storage.Limits // nil: nothing is counted
	Rates          Rates
	// Callbacks are the paths that upstreams come back to, beside those below UpstreamPath.
	Callbacks []string
	Parts     []Part
	Log       *slog.Logger
	Now       func() time.Time
}

// New returns the handler of the public listener. What a request passes, in
// this order: it gets an id and is logged; its path must be clean; its host
// must be ours; it must have come as safely as the issuer promises; it is
// bounded; a form must come from our own pages; its network must not have sent
// too many; only then a handler is found.
func New(c Config) (http.Handler, error) {
	origin, err := readOrigin(c.Issuer)
	if err != nil {
		return nil, err
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	d := &door{
		origin: origin, browser: c.Browser, proxies: c.TrustedProxies, limits: c.Limits, rates: c.Rates, callbacks: c.Callbacks,
		log: cmp.Or(c.Log, slog.New(slog.DiscardHandler)), now: c.Now,
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+origin.path+assetPattern, serveAsset)
	if c.Provider != nil {
		c.Provider.Routes(mux)
	}
	for _, part := range c.Parts {
		part.Routes(mux)
	}
	door := d.observe(d.cleanPaths(d.ownHost(d.secure(d.bounded(d.sameSite(c.Provider, d.limited(d.route(mux))))))))
	if c.Health != nil {
		c.Health.Routes(mux)
		door = c.Health.parting(door)
	}
	return door, nil
}

// A door is what every request passes.
type door struct {
	origin    origin
	browser   *Browser
	proxies   []netip.Prefix
	limits    storage.Limits
	rates     Rates
	callbacks []string
	log       *slog.Logger
	now       func() time.Time
}

// An origin is the one place where this provider is: nothing is ever read from
// the Host header or from forwarded ones.
type origin struct {
	issuer string
	scheme string
	host   string // with the port, where it is not the scheme's own
	path   string // empty, or begins with a slash and does not end with one
}

func readOrigin(issuer string) (origin, error) {
	u, err := url.Parse(issuer)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || strings.HasSuffix(issuer, "/") {
		return origin{}, fmt.Errorf("issuer %q must be a URL with a host and without query, fragment or trailing slash", issuer)
	}
	if u.Scheme != "https" && u.Scheme != "http" {
		return origin{}, fmt.Errorf("issuer %q must be https, or http on a loopback name", issuer)
	}
	return origin{issuer: issuer, scheme: u.Scheme, host: plainHost(u.Scheme, u.Host), path: u.Path}, nil
}

func (o origin) secure() bool { return o.scheme == "https" }

// String is scheme and host, to put a path behind.
func (o origin) String() string { return o.scheme + "://" + o.host }

// plainHost is a host as it is compared: lower case, without the port that
// goes without saying.
func plainHost(scheme, host string) string {
	host = strings.ToLower(host)
	if scheme == "https" {
		return strings.TrimSuffix(host, ":443")
	}
	return strings.TrimSuffix(host, ":80")
}
