// Package signin is the pages on the way in and out: set-up, sign-in, consent,
// devices, sign-out. It knows the provider's steps and the people; which page
// follows is the provider's to say.
package signin

import (
	"cmp"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"gatehouse/identity"
	"gatehouse/keys"
	"gatehouse/provider"
	"gatehouse/storage"
	"gatehouse/templates"
	"gatehouse/upstream"
	"gatehouse/web"
)

// Config is what the pages are made from.
type Config struct {
	Issuer   string
	Browser  *web.Browser
	Provider *provider.Provider
	People   *identity.People
	Limits   storage.Limits
	Rates    Rates
	Log      *slog.Logger
	// Upstreams are where people may sign in besides; nil: nowhere.
	Upstreams *upstream.Set
	Master    *keys.Master // seals what is kept while somebody is at an upstream
	Flows     storage.Flows
	Now       func() time.Time // default time.Now
}

// Pages is the sign-in part of the site.
type Pages struct {
	browser  *web.Browser
	provider *provider.Provider
	people   *identity.People
	limits   storage.Limits
	rates    Rates
	log      *slog.Logger
	methods  []Method

	upstreams *upstream.Set
	master    *keys.Master
	flows     storage.Flows
	now       func() time.Time
}

// New returns the pages. Its list of methods is the order on the sign-in page.
func New(c Config) *Pages {
	p := &Pages{
		browser: c.Browser, provider: c.Provider, people: c.People, limits: c.Limits, rates: c.Rates,
		log:       cmp.Or(c.Log, slog.New(slog.DiscardHandler)),
		upstreams: cmp.Or(c.Upstreams, new(upstream.Set)), master: c.Master, flows: c.Flows, now: c.Now,
	}
	if p.now == nil {
		p.now = time.Now
	}
	p.methods = []Method{&password{desk: p}, &federated{desk: p}}
	return p
}

var _ web.Part = (*Pages)(nil)

// Routes adds the pages to mux, below the issuer's path.
func (p *Pages) Routes(mux *http.ServeMux) {
	base := p.browser.Base()
	if base != "" {
		mux.HandleFunc("GET "+base, p.showHome)
	}
	mux.HandleFunc("GET "+base+web.HomePath+"{$}", p.showHome)
	mux.HandleFunc("GET "+base+web.LoginPath, p.showLogin)
	mux.HandleFunc("GET "+base+web.LinkPath, p.showLink)
	mux.HandleFunc("POST "+base+web.LinkPath, p.link)
	mux.HandleFunc("GET "+base+web.ConsentPath, p.showConsent)
	mux.HandleFunc("POST "+base+web.ConsentPath, p.answerConsent)
	mux.HandleFunc("GET "+base+provider.DevicePath, p.showDevice)
	mux.HandleFunc("POST "+base+provider.DevicePath, p.answerDevice)
	mux.HandleFunc("GET "+base+deviceAllowedPath, p.showDeviceAnswered(true))
	mux.HandleFunc("GET "+base+deviceDeniedPath, p.showDeviceAnswered(false))
	mux.HandleFunc("GET "+base+web.LogoutPath, p.showLogout)
	mux.HandleFunc("POST "+base+web.LogoutPath, p.signOut)
	mux.HandleFunc("GET "+base+web.SignedOutPath, p.showSignedOut)
	mux.HandleFunc("GET "+base+web.SetupPath, p.showSetup)
	mux.HandleFunc("POST "+base+web.SetupPath, p.setUp)
	for _, m := range p.methods {
		m.Routes(mux, base)
	}
}

// showHome is the start page: who is signed in, and the way in or out.
func (p *Pages) showHome(w http.ResponseWriter, r *http.Request) {
	_, u, err := p.browser.Session(r)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		p.browser.Broken(w, r, "read the session", err)
		return
	}
	var who *templates.Person
	if u != nil {
		who = new(person(u))
	}
	p.browser.Show(w, r, web.Page{Body: templates.Home(who), Here: web.HomePath})
}
