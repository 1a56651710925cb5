package signin

import (
	"errors"
	"net/http"
	"net/url"

	"gatehouse/storage"
	"gatehouse/templates"
	"gatehouse/upstream"
	"gatehouse/web"
)

// await keeps who somebody is at the upstream, and asks the owner of the account
// that has their address whether the two are one.
func (m *federated) await(w http.ResponseWriter, r *http.Request, a *arrival, owner *storage.User, who *upstream.Assertion, browser storage.Digest) {
	came := errand{Request: a.Request, UserCode: a.UserCode, To: a.To}
	id, err := m.desk.people.Await(r.Context(), owner, who, browser, came.purpose(), wayThere)
	if err != nil {
		m.desk.browser.Broken(w, r, "keep who somebody is at an upstream", err)
		return
	}
	web.SeeOther(w, m.desk.browser.At(errand{Link: id}.at(web.LinkPath)))
}

// showLink asks the owner to sign in, and then whether to link.
func (p *Pages) showLink(w http.ResponseWriter, r *http.Request) {
	a, ok := p.arrive(w, r, errand{Link: web.Query(r, "link")})
	if !ok {
		return
	}
	if a.linking == nil {
		p.over(w, r, nil, storage.ErrNotFound)
		return
	}
	session, u, ok := p.signedIn(w, r)
	if !ok {
		return
	}
	came := purposeOf(a.linking.Purpose)
	view := templates.LinkView{
		ID: a.Link, Upstream: p.nameOf(a.linking.Upstream), Label: a.linking.Label,
		SignIn: errand{Link: a.Link, Account: a.Account}.at(web.LoginPath), Onward: came.again(),
	}
	if u != nil {
		view.Person, view.Mine, view.Onward = new(person(u)), u.ID == a.linking.UserID, came.goOn()
		view.Fresh = provedSince(a.linking, session)
	}
	page := web.Page{Here: errand{Link: a.Link}.at(web.LinkPath), Body: templates.Link(view), LeadsAway: true}
	if a.pending != nil {
		page.Locales = a.pending.UILocales
	}
	p.browser.Show(w, r, page)
}

// provedSince reports whether the owner of the account has signed in since the
// upstream named somebody (SECURITY-RULES R16).
func provedSince(linking *storage.PendingIdentity, s *storage.Session) bool {
	return s != nil && s.UserID == linking.UserID && since(s.AuthTime, linking.CreatedAt)
}

// nameOf is what people read of an upstream; empty where there is none with this
// id, which anybody may have put into an address.
func (p *Pages) nameOf(id string) string {
	if u := p.upstreams.Find(id); u != nil {
		return u.Name
	}
	return ""
}

// link takes the owner's yes.
func (p *Pages) link(w http.ResponseWriter, r *http.Request) {
	f, ok := p.browser.Form(w, r)
	if !ok {
		return
	}
	a, ok := p.arrive(w, r, errand{Link: f["link"]})
	if !ok {
		return
	}
	if a.linking == nil {
		p.over(w, r, nil, storage.ErrNotFound)
		return
	}
	session, owner, ok := p.signedIn(w, r)
	if !ok {
		return
	}
	if f["decision"] != "link" || !provedSince(a.linking, session) {
		web.SeeOther(w, p.browser.At(errand{Link: a.Link}.at(web.LinkPath)))
		return
	}
	came := purposeOf(a.linking.Purpose)
	if u := p.upstreams.Find(a.linking.Upstream); u == nil || u.Issuer != a.linking.Issuer {
		p.failed(w, r, came, trouble(a.linking.Upstream, "gone"))
		return
	}
	err := p.people.Confirm(r.Context(), owner, a.linking)
	switch {
	case err == nil:
		web.SeeOther(w, p.browser.At(came.goOn()))
	case isOver(err), errors.Is(err, storage.ErrMismatch):
		p.over(w, r, nil, err)
	default:
		p.failed(w, r, came, refusedHere(a.linking.Upstream, err))
	}
}

// linkTo links who somebody is at the upstream to the account that asked for
// it, where that is still who is signed in here.
func (m *federated) linkTo(w http.ResponseWriter, r *http.Request, userID string, u *upstream.Provider, who *upstream.Assertion) {
	_, user, ok := m.desk.signedIn(w, r)
	if !ok {
		return
	}
	came := errand{To: toAccount}
	if user == nil || user.ID != userID {
		m.desk.failed(w, r, came, &upstream.Fault{Upstream: u.ID, Kind: "other_user", Sent: "another session", Expected: "that of user " + userID})
		return
	}
	if err := m.desk.people.Link(r.Context(), user, who); err != nil {
		m.desk.failed(w, r, came, refusedHere(u.ID, err))
		return
	}
	web.SeeOther(w, m.desk.browser.At(web.AccountPath+"?linked="+url.QueryEscape(u.ID)))
}
