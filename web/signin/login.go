package signin

import (
	"errors"
	"net/http"
	"net/url"

	"gatehouse/provider"
	"gatehouse/storage"
	"gatehouse/templates"
	"gatehouse/web"
)

// An arrival is somebody at the sign-in page, and what they came for.
type arrival struct {
	requestID string
	pending   *provider.Pending // nil: they came by themselves
	userCode  string            // of the device that they came to connect; or empty
	user      *storage.User     // signed in already; nil: nobody
	other     bool              // they want to be somebody else
}

// otherAccount is the value of the parameter account that asks for another
// person's sign-in.
const otherAccount = "other"

// arrive finds what somebody came to sign in for. Where that is over, or
// another browser's, the page that says so is shown, and ok is false.
func (p *Pages) arrive(w http.ResponseWriter, r *http.Request, requestID, account, userCode string) (a *arrival, ok bool) {
	a = &arrival{requestID: requestID, other: account == otherAccount}
	if requestID == "" {
		a.userCode = provider.ReadUserCode(userCode)
		_, u, err := p.browser.Session(r)
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			p.broken(w, r, "read the session", err)
			return nil, false
		}
		a.user = u
		return a, true
	}
	pending, err := p.provider.Pending(r, requestID)
	if err != nil {
		p.over(w, r, pending, err)
		return nil, false
	}
	a.pending, a.user = pending, pending.User
	return a, true
}

// over shows that a request cannot go on, and the way back to its application.
func (p *Pages) over(w http.ResponseWriter, r *http.Request, pending *provider.Pending, err error) {
	page := provider.PendingError(pending, err)
	if page.Status >= http.StatusInternalServerError {
		p.note(r.Context(), "read a request", err)
	}
	p.browser.Error(w, r, page)
}

// showLogin is the sign-in page. Whoever needs none is led on.
func (p *Pages) showLogin(w http.ResponseWriter, r *http.Request) {
	a, ok := p.arrive(w, r, web.Query(r, "request"), web.Query(r, "account"), web.Query(r, "user_code"))
	switch {
	case !ok:
	case a.needsNone():
		seeOther(w, p.onward(a))
	default:
		p.showOffers(w, r, a, refusal{})
	}
}

// needsNone reports whether somebody is signed in as they need to be.
func (a *arrival) needsNone() bool {
	if a.other {
		return false
	}
	if a.pending != nil {
		return a.pending.Step != provider.SignIn
	}
	return a.user != nil
}

// again is who must prove themselves once more, or nil.
func (a *arrival) again() *storage.User {
	if a.other || a.pending == nil {
		return nil
	}
	return a.user
}

// onward is where a sign-in leads: back to the request, to the question about
// the device, or to the start page.
func (p *Pages) onward(a *arrival) string {
	switch {
	case a.requestID != "":
		return p.provider.ResumeURL(a.requestID)
	case a.userCode != "":
		return p.browser.At(deviceHere(a.userCode))
	}
	return p.browser.At(web.HomePath)
}

// showOffers shows every way to sign in.
func (p *Pages) showOffers(w http.ResponseWriter, r *http.Request, a *arrival, why refusal) {
	view := templates.SignInView{Request: a.requestID, Device: provider.ShowUserCode(a.userCode), Problems: why.problems}
	page := web.Page{Status: why.status, Here: a.here(), LeadsAway: true}
	if a.pending != nil {
		view.App = new(application(a.pending.Client, a.pending.Redirect))
		page.Locales = a.pending.UILocales
	}
	if u := a.again(); u != nil {
		view.Again = new(person(u))
	}
	for _, m := range p.methods {
		view.Offers = append(view.Offers, m.Offer(a, why))
	}
	page.Body = templates.SignIn(view)
	p.browser.Show(w, r, page)
}

func (a *arrival) here() string {
	q := url.Values{}
	for name, value := range map[string]string{"request": a.requestID, "user_code": a.userCode} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if a.other {
		q.Set("account", otherAccount)
	}
	return (&url.URL{Path: web.LoginPath, RawQuery: q.Encode()}).String()
}

// refuse shows the sign-in page again, with what was wrong.
func (p *Pages) refuse(w http.ResponseWriter, r *http.Request, a *arrival, why refusal) {
	p.showOffers(w, r, a, why)
}

// done is the one ending of every method: u has proved who they are. It begins
// the session under a new cookie, notes the sign-in with the request it was
// for, and leads on.
func (p *Pages) done(w http.ResponseWriter, r *http.Request, a *arrival, u *storage.User, by Method) error {
	session, err := p.browser.SignIn(w, r, u, amr[by.Name()]...)
	if err != nil {
		return err
	}
	if a.requestID != "" {
		if err := p.provider.SignedIn(r.Context(), a.requestID, session); err != nil && !isOver(err) {
			return err
		}
	}
	seeOther(w, p.onward(a))
	return nil
}

// isOver reports whether a request was answered or forgotten meanwhile: a
// second tab or a second click. Resuming it shows what became of it.
func isOver(err error) bool {
	return errors.Is(err, storage.ErrReused) || errors.Is(err, storage.ErrExpired) || errors.Is(err, storage.ErrNotFound)
}
