// Package account is what people see of themselves, and how they change the
// ways in which they sign in. It knows the people; how somebody proves who
// they are is for web/signin.
package account

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"time"

	"gatehouse/identity"
	"gatehouse/storage"
	"gatehouse/templates"
	"gatehouse/upstream"
	"gatehouse/web"
)

// Config is what the pages are made from.
type Config struct {
	Browser   *web.Browser
	People    *identity.People
	Upstreams *upstream.Set // nil: there are none
	Limits    storage.Limits
	Forms     storage.Rate     // how many somebody may get wrong
	Now       func() time.Time // default time.Now
}

// Pages is the part of the site that is about oneself.
type Pages struct {
	browser   *web.Browser
	people    *identity.People
	upstreams *upstream.Set
	limits    storage.Limits
	forms     storage.Rate
	now       func() time.Time
}

// New returns the pages.
func New(c Config) *Pages {
	p := &Pages{
		browser: c.Browser, people: c.People, upstreams: cmp.Or(c.Upstreams, new(upstream.Set)),
		limits: c.Limits, forms: c.Forms, now: c.Now,
	}
	if p.now == nil {
		p.now = time.Now
	}
	return p
}

var _ web.Part = (*Pages)(nil)

const unlinkPath = web.AccountPath + "/unlink"

// signInPath leads back here once somebody has proved who they are.
const signInPath = web.LoginPath + "?to=account"

// Routes adds the pages to mux, below the issuer's path.
func (p *Pages) Routes(mux *http.ServeMux) {
	base := p.browser.Base()
	mux.HandleFunc("GET "+base+web.AccountPath, p.show)
	mux.HandleFunc("POST "+base+unlinkPath, p.unlink)
}

// whose returns who is signed in. Where nobody is, they are sent to sign in;
// recently: and so is whose sign-in was too long ago.
func (p *Pages) whose(w http.ResponseWriter, r *http.Request, recently bool) (u *storage.User, ok bool) {
	s, u, err := p.browser.Session(r)
	switch {
	case errors.Is(err, storage.ErrNotFound), err == nil && recently && p.now().Sub(s.AuthTime) > web.RecentSignIn:
		web.SeeOther(w, p.browser.At(signInPath))
		return nil, false
	case err != nil:
		p.browser.Broken(w, r, "read the session", err)
		return nil, false
	}
	return u, true
}

func (p *Pages) show(w http.ResponseWriter, r *http.Request) {
	u, ok := p.whose(w, r, false)
	if !ok {
		return
	}
	var notice notice
	for name, linked := range map[string]bool{"linked": true, "unlinked": false} {
		if at := p.upstreams.Find(web.Query(r, name)); at != nil {
			notice.at, notice.linked = at, linked
		}
	}
	p.page(w, r, u, notice)
}

// A notice is what the page says has just happened, or cannot.
type notice struct {
	at      *upstream.Provider // nil: nothing has happened
	linked  bool               // there; or unlinked
	problem string             // a message id
	status  int
}

// done is the message of what has happened. Anybody can make an address that says
// so: it is said where it is true.
func (p *Pages) done(n notice, identities []*storage.Identity) (message, name string) {
	switch {
	case n.at == nil || p.has(identities, n.at) != n.linked:
		return "", ""
	case n.linked:
		return "account.now_linked", n.at.Name
	}
	return "account.unlinked", n.at.Name
}

func (p *Pages) page(w http.ResponseWriter, r *http.Request, u *storage.User, n notice) {
	password, identities, err := p.people.Ways(r.Context(), u)
	if err != nil {
		p.browser.Broken(w, r, "read how somebody signs in", err)
		return
	}
	view := templates.AccountView{
		Person: templates.Person{Name: u.Profile.Name, Login: u.Username}, Email: u.Email, EmailVerified: u.EmailVerified,
		Password: password,
	}
	view.Notice, view.NoticeName = p.done(n, identities)
	if n.problem != "" {
		view.Problems = templates.Problems{{Text: p.browser.Text(w, r).Say(n.problem)}}
	}
	view.Identities, view.Offers = p.linked(password, identities), p.offers(identities)
	p.browser.Show(w, r, web.Page{Status: n.status, Body: templates.Account(view), Here: web.AccountPath, LeadsAway: true})
}

// linked is the identities as the page shows them.
func (p *Pages) linked(password bool, identities []*storage.Identity) []templates.LinkedIdentity {
	open := func(i *storage.Identity) bool { return p.at(i) != nil }
	ways := len(slices.DeleteFunc(slices.Clone(identities), func(i *storage.Identity) bool { return !open(i) }))
	var all []templates.LinkedIdentity
	for _, i := range identities {
		l := templates.LinkedIdentity{ID: i.ID, Upstream: i.Upstream, Label: i.Label, LinkedAt: i.LinkedAt, UsedAt: i.UsedAt, Closed: !open(i)}
		if u := p.upstreams.Find(i.Upstream); u != nil {
			l.Upstream = u.Name
		}
		others := ways
		if !l.Closed {
			others--
		}
		l.Last = !password && others == 0
		all = append(all, l)
	}
	return all
}

// at is the upstream of an identity, or nil where it is no longer offered.
func (p *Pages) at(i *storage.Identity) *upstream.Provider {
	if u := p.upstreams.Find(i.Upstream); u != nil && u.Issuer == i.Issuer {
		return u
	}
	return nil
}

// has reports whether one of the identities is at the upstream.
func (p *Pages) has(identities []*storage.Identity, u *upstream.Provider) bool {
	return slices.ContainsFunc(identities, func(i *storage.Identity) bool { return p.at(i) == u })
}

// offers are the upstreams where nothing is linked yet.
func (p *Pages) offers(identities []*storage.Identity) []templates.Upstream {
	var all []templates.Upstream
	for _, u := range p.upstreams.List() {
		if !p.has(identities, u) {
			all = append(all, templates.Upstream{ID: u.ID, Name: u.Name, Google: u.ID == upstream.Google})
		}
	}
	return all
}

// unlink takes an identity from whoever is signed in.
func (p *Pages) unlink(w http.ResponseWriter, r *http.Request) {
	f, ok := p.browser.Form(w, r)
	if !ok {
		return
	}
	u, ok := p.whose(w, r, true)
	if !ok {
		return
	}
	_, identities, err := p.people.Ways(r.Context(), u)
	if err != nil {
		p.browser.Broken(w, r, "read how somebody signs in", err)
		return
	}
	switch err := p.people.Unlink(r.Context(), u, f["identity"], p.upstreams.List()); {
	case err == nil:
		web.SeeOther(w, p.browser.At(web.AccountPath+unlinkedFrom(identities, f["identity"])))
	case errors.Is(err, storage.ErrLastWay):
		p.failed(w, r, u, notice{problem: "account.unlink.last", status: http.StatusConflict})
	case errors.Is(err, storage.ErrNotFound):
		p.failed(w, r, u, notice{problem: "account.unlink.unknown", status: http.StatusNotFound})
	default:
		p.browser.Broken(w, r, "unlink an identity", err)
	}
}

// failed shows the page again, with why a form of u failed, and counts it.
func (p *Pages) failed(w http.ResponseWriter, r *http.Request, u *storage.User, why notice) {
	if _, ok := p.browser.Count(w, r, p.limits, web.UserForms, u.ID, p.forms); ok {
		p.page(w, r, u, why)
	}
}

// unlinkedFrom is the query by which the page says where something was unlinked.
func unlinkedFrom(identities []*storage.Identity, id string) string {
	i := slices.IndexFunc(identities, func(i *storage.Identity) bool { return i.ID == id })
	if i < 0 {
		return ""
	}
	return "?unlinked=" + identities[i].Upstream // an id has no character that must be escaped
}
