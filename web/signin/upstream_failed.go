package signin

import (
	"errors"
	"net/http"

	"gatehouse/storage"
	"gatehouse/templates"
	"gatehouse/upstream"
	"gatehouse/web"
)

// An ending is what a person reads of a fault.
type ending struct {
	status  int
	message string
}

// endings are the faults that a person can do something about, or must know.
var endings = map[string]ending{
	"declined":      {http.StatusForbidden, "upstream.declined"},
	"unreachable":   {http.StatusBadGateway, "upstream.unavailable"},
	"hosted_domain": {http.StatusForbidden, "upstream.domain"},
	"email_domain":  {http.StatusForbidden, "upstream.domain"},
	"closed":        {http.StatusForbidden, "upstream.closed"},
	"disabled":      {http.StatusForbidden, "upstream.disabled"},
	"gone":          {http.StatusNotFound, "upstream.gone"},
	"too_old":       {http.StatusForbidden, "upstream.too_old"},
	"taken":         {http.StatusConflict, "upstream.taken"},
	"linked":        {http.StatusConflict, "upstream.linked"},
	"other_user":    {http.StatusForbidden, "upstream.other_user"},
}

// misunderstood is all others: an administrator must look.
var misunderstood = ending{http.StatusBadGateway, "upstream.misunderstood"}

// Messages lists the message ids of how a sign-in at an upstream may fail.
func Messages() []string {
	all := []string{misunderstood.message}
	for _, e := range endings {
		all = append(all, e.message)
	}
	return all
}

// failed shows why nobody was signed in at an upstream, and the way on; the
// fault is kept for an administrator. What is no fault is our own trouble.
func (p *Pages) failed(w http.ResponseWriter, r *http.Request, came errand, err error) {
	f, ok := errors.AsType[*upstream.Fault](err)
	if !ok {
		p.browser.Broken(w, r, "sign in at an upstream", err)
		return
	}
	end, known := endings[f.Kind]
	if !known {
		end = misunderstood
	}
	p.showFailed(w, r, came, f, end)
}

func (p *Pages) showFailed(w http.ResponseWriter, r *http.Request, came errand, f *upstream.Fault, end ending) {
	kept := &storage.Failure{Kind: "upstream." + f.Kind, Upstream: f.Upstream, Sent: f.Sent, Expected: f.Expected, Details: f.Details}
	view := templates.UpstreamFailedView{Message: end.message, Name: p.nameOf(f.Upstream), GoOn: "upstream.again", Again: came.again()}
	if came.To != "" {
		view.GoOn, view.Again = "upstream.account", web.AccountPath
	}
	page := web.Page{Status: end.status}
	if pending, err := p.provider.Pending(r, came.Request); err == nil {
		kept.ClientID, page.Locales = pending.Client.ID, pending.UILocales
	}
	view.Reference = p.browser.Keep(r, kept)
	p.log.InfoContext(r.Context(), "sign-in at an upstream failed", "upstream", f.Upstream, "reason", f, "request_id", view.Reference)
	page.Body = templates.UpstreamFailed(view)
	p.browser.Show(w, r, page)
}

// again is where somebody chooses how to sign in, for the same errand.
func (e errand) again() string {
	e.Choose = "1"
	return e.at(web.LoginPath)
}

// linking reads the pending identity that an address names.
func (p *Pages) linking(r *http.Request, id string) (*storage.PendingIdentity, error) {
	return p.flows.GetIdentity(r.Context(), id, p.browser.Known(r), p.now())
}
