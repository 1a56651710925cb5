package signin

import (
	"errors"
	"net/http"
	"net/url"

	"gatehouse/identity"
	"gatehouse/storage"
	"gatehouse/templates"
	"gatehouse/web"
)

// showSetup is the page of a set-up link.
func (p *Pages) showSetup(w http.ResponseWriter, r *http.Request) {
	token := web.Query(r, "token")
	if err := p.people.CheckSetupLink(r.Context(), token); err != nil {
		p.setupOver(w, r, err)
		return
	}
	p.showSetupForm(w, r, templates.SetupView{Token: token}, 0)
}

// setupOver shows why a link is of no use, and what is.
func (p *Pages) setupOver(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, identity.ErrSetUp):
		p.browser.Show(w, r, web.Page{Body: templates.SetupDone(), Here: web.SetupPath})
	case errors.Is(err, identity.ErrLinkUsed):
		p.browser.Show(w, r, web.Page{Status: http.StatusGone, Body: templates.SetupUsed(), Here: web.SetupPath})
	default:
		p.browser.Broken(w, r, "check a set-up link", err)
	}
}

func (p *Pages) showSetupForm(w http.ResponseWriter, r *http.Request, v templates.SetupView, status int) {
	v.Rules = passwordRules(p.browser.Text(w, r), p.people.Policy)
	p.browser.Show(w, r, web.Page{
		Status: status, Body: templates.Setup(v), Here: web.SetupPath + "?token=" + url.QueryEscape(v.Token),
	})
}

// setUp makes the first administrator. Its page is shown by GET afterwards, so
// that loading it again sends nothing twice.
func (p *Pages) setUp(w http.ResponseWriter, r *http.Request) {
	f, ok := p.browser.Form(w, r)
	if !ok {
		return
	}
	counted, ok := p.count(w, r)
	if !ok {
		return
	}
	_, err := p.people.SetUp(r.Context(), f["token"], identity.NewAccount{
		Email: f["email"], Password: f["password"], Profile: storage.Profile{Name: f["name"]},
	})
	if err == nil || errors.Is(err, identity.ErrSetUp) {
		counted.Refund(r)
		web.SeeOther(w, p.browser.At(web.SetupPath))
		return
	}
	t := p.browser.Text(w, r)
	status, problems := setupProblems(t, err)
	if status != http.StatusUnprocessableEntity && !errors.Is(err, identity.ErrLinkUsed) {
		counted.Refund(r) // our own trouble: nobody's failure
	}
	if problems == nil {
		p.setupOver(w, r, err)
		return
	}
	if slow, ok := errors.AsType[*identity.SlowDown](err); ok {
		retryAfter(w, slow.RetryAfter)
	}
	p.showSetupForm(w, r, templates.SetupView{Token: f["token"], Email: f["email"], Name: f["name"], Problems: problems}, status)
}

// setupProblems says what is wrong with the form, field by field; nil where
// the form is not at fault.
func setupProblems(t *templates.Text, err error) (status int, ps templates.Problems) {
	if broken, ok := errors.AsType[*identity.PolicyError](err); ok {
		for _, rule := range broken.Rules {
			ps = append(ps, templates.Problem{Field: "password", Text: t.Say(string(rule), "Count", broken.Policy.MinLength)})
		}
		return http.StatusUnprocessableEntity, ps
	}
	if wrong, ok := errors.AsType[*identity.FieldError](err); ok {
		field := wrong.Field
		if field == "username" {
			field = "email" // this form has no name of its own to sign in with
		}
		return http.StatusUnprocessableEntity, templates.Problems{{Field: field, Text: t.Say(wrong.Message)}}
	}
	if slow, ok := errors.AsType[*identity.SlowDown](err); ok && slow.Busy {
		return http.StatusServiceUnavailable, templates.Problems{{Text: t.Say("login.busy")}}
	}
	return 0, nil
}

// passwordRules says what a password must be, before one is chosen.
func passwordRules(t *templates.Text, policy identity.PasswordPolicy) []string {
	var rules []string
	add := func(applies bool, id string, pairs ...any) {
		if applies {
			rules = append(rules, t.Say(id, pairs...))
		}
	}
	add(policy.MinLength > 0, "password.hint.length", "Count", policy.MinLength)
	add(policy.Upper, "password.hint.upper")
	add(policy.Lower, "password.hint.lower")
	add(policy.Digit, "password.hint.digit")
	add(policy.Special, "password.hint.special")
	add(policy.RefuseCommon, "password.hint.common")
	return rules
}
