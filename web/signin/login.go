package signin

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"gatehouse/provider"
	"gatehouse/storage"
	"gatehouse/templates"
	"gatehouse/web"
)

// An errand is what somebody comes to the sign-in page for. Its fields are what
// addresses and forms of the page carry: names of things, never an address
// (SECURITY-RULES R3).
type errand struct {
	Request  string `json:"request,omitempty"`   // the parked authorization request
	UserCode string `json:"user_code,omitempty"` // of the device that they came to connect
	Account  string `json:"account,omitempty"`   // otherAccount: they want to be somebody else
	To       string `json:"to,omitempty"`        // toAccount, toLink: they came by themselves
	Link     string `json:"link,omitempty"`      // the pending identity that they may link
	Choose   string `json:"choose,omitempty"`    // not empty: they choose how, and as whom, whatever was hinted
}

// The values of an errand's fields.
const (
	otherAccount = "other"   // the sign-in of another person
	toAccount    = "account" // the page about oneself
	toLink       = "link"    // an upstream, to link who they are there
)

// errandOf reads an errand from an address or a form.
func errandOf(get func(name string) string) errand {
	return errand{Request: get("request"), UserCode: get("user_code"), Account: get("account"), To: get("to"), Link: get("link"), Choose: get("choose")}
}

// fieldOf reads the fields of a form.
func fieldOf(f web.Form) func(name string) string { return func(name string) string { return f[name] } }

// values are the fields of the errand that have a value.
func (e errand) values() url.Values {
	q := url.Values{}
	for name, value := range map[string]string{"request": e.Request, "user_code": e.UserCode, "account": e.Account, "to": e.To, "link": e.Link, "choose": e.Choose} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q
}

// at is path with the errand behind it.
func (e errand) at(path string) string {
	return (&url.URL{Path: path, RawQuery: e.values().Encode()}).String()
}

// hidden are the fields of a form that carry the errand.
func (e errand) hidden() []templates.Hidden {
	var all []templates.Hidden
	q := e.values()
	for _, name := range slices.Sorted(maps.Keys(q)) {
		all = append(all, templates.Hidden{Name: name, Value: q.Get(name)})
	}
	return all
}

// An arrival is somebody at the sign-in page, and what they came for.
type arrival struct {
	errand
	pending *provider.Pending        // nil: they came by themselves
	linking *storage.PendingIdentity // nil: there is nothing that they may link
	session *storage.Session
	user    *storage.User // signed in already; nil: nobody
	// since: they must prove themselves after it; zero: whenever they did.
	since time.Time
	// password and identities are the ways of who must prove it again.
	password   bool
	identities []*storage.Identity
}

// arrive finds what somebody came to sign in for. Where that is over, or
// another browser's, the page that says so is shown, and ok is false.
func (p *Pages) arrive(w http.ResponseWriter, r *http.Request, e errand) (a *arrival, ok bool) {
	a = &arrival{errand: e, password: true}
	if a.Link != "" {
		linking, err := p.linking(r, a.Link)
		if err != nil {
			p.over(w, r, nil, err)
			return nil, false
		}
		a.linking, a.since = linking, linking.CreatedAt
		came := purposeOf(linking.Purpose)
		a.Request, a.UserCode, a.To = came.Request, came.UserCode, came.To
	}
	if a.To == toAccount || a.To == toLink {
		a.since = later(a.since, p.now().Add(-web.RecentSignIn))
	}
	if a.Request == "" {
		a.UserCode = provider.ReadUserCode(a.UserCode)
		a.session, a.user, ok = p.signedIn(w, r)
		return a.forItsOwner(), ok
	}
	pending, err := p.provider.Pending(r, a.Request)
	if err != nil {
		p.over(w, r, pending, err)
		return nil, false
	}
	a.pending, a.session, a.user = pending, pending.Session, pending.User
	return a.forItsOwner(), true
}

// forItsOwner asks for the owner of the address where somebody else is signed in.
func (a *arrival) forItsOwner() *arrival {
	if a.linking != nil && a.user != nil && a.user.ID != a.linking.UserID {
		a.Account = otherAccount
	}
	return a
}

// signedIn is who is signed in in this browser, or nil. Where that cannot be
// read, the page that says so is shown, and ok is false.
func (p *Pages) signedIn(w http.ResponseWriter, r *http.Request) (s *storage.Session, u *storage.User, ok bool) {
	s, u, err := p.browser.Session(r)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		p.browser.Broken(w, r, "read the session", err)
		return nil, nil, false
	}
	return s, u, true
}

// since reports whether somebody signed in after an instant. An upstream says
// when in whole seconds.
func since(authTime, instant time.Time) bool { return !authTime.Before(instant.Add(-time.Second)) }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// over shows that a request cannot go on, and the way back to its application.
func (p *Pages) over(w http.ResponseWriter, r *http.Request, pending *provider.Pending, err error) {
	page := provider.PendingError(pending, err)
	if page.Status >= http.StatusInternalServerError {
		p.browser.Note(r.Context(), "read a request", err)
	}
	p.browser.Error(w, r, page)
}

// showLogin is the sign-in page. Whoever needs none is led on.
func (p *Pages) showLogin(w http.ResponseWriter, r *http.Request) {
	a, ok := p.arrive(w, r, errandOf(func(name string) string { return web.Query(r, name) }))
	switch {
	case !ok:
	case a.needsNone():
		web.SeeOther(w, p.onward(a))
	case p.hinted(a):
		web.SeeOther(w, p.browser.At(a.at(web.UpstreamPath+a.pending.IDPHint)))
	default:
		p.showOffers(w, r, a, refusal{})
	}
}

// hinted reports whether the application wants people to sign in at an upstream
// that there is.
func (p *Pages) hinted(a *arrival) bool {
	return a.pending != nil && a.linking == nil && a.Choose == "" && a.pending.IDPHint != "" && p.upstreams.Find(a.pending.IDPHint) != nil
}

// needsNone reports whether somebody is signed in as they need to be.
func (a *arrival) needsNone() bool {
	switch {
	case a.Account == otherAccount:
		return false
	case a.user != nil && !since(a.session.AuthTime, a.since):
		return false
	case a.pending != nil:
		return a.pending.Step != provider.SignIn
	}
	return a.user != nil
}

// again is who must prove themselves once more, or nil.
func (a *arrival) again() *storage.User {
	if a.Account == otherAccount || a.pending == nil && a.since.IsZero() {
		return nil
	}
	return a.user
}

// onward is where a sign-in leads: to the question whether to link, back to the
// request, to the question about the device, to the page about oneself, or to
// the start page.
func (p *Pages) onward(a *arrival) string {
	if a.linking != nil {
		return p.browser.At(errand{Link: a.Link}.at(web.LinkPath))
	}
	return p.browser.At(a.goOn())
}

// goOn is the path, below the issuer's, that an errand leads to once somebody is
// signed in and there is nothing to link.
func (e errand) goOn() string {
	switch {
	case e.Request != "":
		return provider.ResumePath + "?id=" + url.QueryEscape(e.Request)
	case e.UserCode != "":
		return deviceHere(e.UserCode)
	case e.To != "":
		return web.AccountPath
	}
	return web.HomePath
}

// text is the language of the pages for who came.
func (p *Pages) text(w http.ResponseWriter, r *http.Request, a *arrival) *templates.Text {
	if a.pending == nil {
		return p.browser.Text(w, r)
	}
	return p.browser.Text(w, r, a.pending.UILocales...)
}

// showOffers shows every way to sign in.
func (p *Pages) showOffers(w http.ResponseWriter, r *http.Request, a *arrival, why refusal) {
	view := templates.SignInView{Request: a.Request, Device: provider.ShowUserCode(a.UserCode), Problems: why.problems}
	page := web.Page{Status: why.status, Here: a.at(web.LoginPath), LeadsAway: true}
	if a.pending != nil {
		view.App = new(application(a.pending.Client, a.pending.Redirect))
		page.Locales = a.pending.UILocales
	}
	if u := a.again(); u != nil {
		view.Again = new(person(u))
		var err error
		if a.password, a.identities, err = p.people.Ways(r.Context(), u); err != nil {
			p.browser.Broken(w, r, "read how somebody signs in", err)
			return
		}
	}
	for _, m := range p.methods {
		if offer := m.Offer(a, why); offer != nil {
			view.Offers = append(view.Offers, offer)
		}
	}
	page.Body = templates.SignIn(view)
	p.browser.Show(w, r, page)
}

// refuse shows the sign-in page again, with what was wrong.
func (p *Pages) refuse(w http.ResponseWriter, r *http.Request, a *arrival, why refusal) {
	p.showOffers(w, r, a, why)
}

// done is the one ending of every method: u has proved who they are. It begins
// the session under a new cookie, notes the sign-in with the request it was
// for, and leads on.
func (p *Pages) done(w http.ResponseWriter, r *http.Request, a *arrival, u *storage.User, how web.Proof) error {
	session, err := p.browser.SignIn(w, r, u, how)
	if err != nil {
		return err
	}
	if a.Request != "" {
		if err := p.provider.SignedIn(r.Context(), a.Request, session); err != nil && !isOver(err) {
			return err
		}
	}
	web.SeeOther(w, p.onward(a))
	return nil
}

// isOver reports whether a request was answered or forgotten meanwhile: a
// second tab or a second click. Resuming it shows what became of it.
func isOver(err error) bool {
	return errors.Is(err, storage.ErrReused) || errors.Is(err, storage.ErrExpired) || errors.Is(err, storage.ErrNotFound)
}
