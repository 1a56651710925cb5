package signin

import (
	"net/http"
	"slices"

	"gatehouse/provider"
	"gatehouse/templates"
	"gatehouse/web"
)

// showConsent asks what the application may do. Where nothing needs to be
// asked, the browser is led on.
func (p *Pages) showConsent(w http.ResponseWriter, r *http.Request) {
	pending, ok := p.asking(w, r, web.Query(r, "request"))
	if ok {
		p.showScopes(w, r, pending, 0, nil)
	}
}

// asking returns the request where it asks for consent now; else the browser
// is sent to what it needs, and ok is false.
func (p *Pages) asking(w http.ResponseWriter, r *http.Request, requestID string) (pending *provider.Pending, ok bool) {
	pending, err := p.provider.Pending(r, requestID)
	switch {
	case err != nil:
		p.over(w, r, pending, err)
	case pending.Step == provider.SignIn:
		web.SeeOther(w, p.browser.URL(provider.SignIn, requestID))
	case pending.Step != provider.Consent:
		web.SeeOther(w, p.provider.ResumeURL(requestID))
	default:
		return pending, true
	}
	return nil, false
}

func (p *Pages) showScopes(w http.ResponseWriter, r *http.Request, pending *provider.Pending, status int, problems templates.Problems) {
	view := templates.ConsentView{
		Request: pending.ID, App: application(pending.Client, pending.Redirect),
		Person: person(pending.User), User: pending.User.ID,
		Scopes: pending.NewScopes, Problems: problems,
	}
	if len(view.Scopes) == 0 {
		view.Scopes = pending.Scopes // asked again on purpose (prompt=consent)
	} else {
		view.Known = slices.DeleteFunc(slices.Clone(pending.Scopes), func(s string) bool { return slices.Contains(view.Scopes, s) })
	}
	p.browser.Show(w, r, web.Page{
		Status: status, Body: templates.Consent(view), Locales: pending.UILocales,
		Here: here(web.ConsentPath, pending.ID), LeadsAway: true,
	})
}

// answerConsent takes the answer of whom the page asked. Another tab may have
// signed somebody else in since: they are asked themselves.
func (p *Pages) answerConsent(w http.ResponseWriter, r *http.Request) {
	f, ok := p.browser.Form(w, r)
	if !ok {
		return
	}
	pending, ok := p.asking(w, r, f["request"])
	if !ok {
		return
	}
	if f["user"] != pending.User.ID {
		web.SeeOther(w, p.browser.URL(provider.Consent, pending.ID))
		return
	}
	answers := map[string]func(*http.Request, string) error{"allow": p.provider.Approve, "deny": p.provider.Deny}
	answer, known := answers[f["decision"]]
	if !known {
		if _, ok := p.countAs(w, r, web.UserForms, pending.User.ID, p.rates.Users); !ok {
			return
		}
		text := p.browser.Text(w, r, pending.UILocales...).Say("consent.choose")
		p.showScopes(w, r, pending, http.StatusUnprocessableEntity, templates.Problems{{Text: text}})
		return
	}
	if err := answer(r, pending.ID); err != nil && !isOver(err) {
		p.over(w, r, &provider.Pending{ID: pending.ID, Client: pending.Client}, err)
		return
	}
	web.SeeOther(w, p.provider.ResumeURL(pending.ID))
}
