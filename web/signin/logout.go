package signin

import (
	"errors"
	"net/http"

	"gatehouse/storage"
	"gatehouse/templates"
	"gatehouse/web"
)

// showLogout asks before somebody is signed out. Where nobody is signed in
// there is nothing to ask.
func (p *Pages) showLogout(w http.ResponseWriter, r *http.Request) {
	requestID := web.Query(r, "request")
	_, u, err := p.browser.Session(r)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		p.endSession(w, r, requestID)
		return
	case err != nil:
		p.browser.Broken(w, r, "read the session", err)
		return
	}
	view := templates.SignOutView{Person: person(u)}
	if requestID != "" {
		pending, err := p.provider.PendingLogout(r, requestID)
		switch {
		case err == nil:
			view.Request = requestID
			if pending.Client != nil {
				view.App = new(application(pending.Client, ""))
			}
		case !isOver(err) && !errors.Is(err, storage.ErrMismatch):
			p.browser.Broken(w, r, "read a sign-out", err)
			return
		}
		// Where the application's request is over, the question still is ours to ask.
	}
	p.browser.Show(w, r, web.Page{Body: templates.SignOut(view), Here: here(web.LogoutPath, view.Request), LeadsAway: true})
}

// signOut is the yes.
func (p *Pages) signOut(w http.ResponseWriter, r *http.Request) {
	if f, ok := p.browser.Form(w, r); ok {
		p.endSession(w, r, f["request"])
	}
}

func (p *Pages) endSession(w http.ResponseWriter, r *http.Request, requestID string) {
	location, err := p.provider.EndSession(w, r, requestID)
	if err != nil {
		p.browser.Broken(w, r, "end the session", err)
		return
	}
	web.SeeOther(w, location)
}

// showSignedOut says that nobody is signed in any more, where that is so.
func (p *Pages) showSignedOut(w http.ResponseWriter, r *http.Request) {
	_, _, err := p.browser.Session(r)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		p.browser.Show(w, r, web.Page{Body: templates.SignedOut(), Here: web.SignedOutPath})
	case err != nil:
		p.browser.Broken(w, r, "read the session", err)
	default:
		web.SeeOther(w, p.browser.At(web.HomePath))
	}
}
