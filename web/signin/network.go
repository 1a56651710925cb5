package signin

import (
	"net/http"

	"gatehouse/storage"
	"gatehouse/web"
)

// Rates are how much a network, or somebody signed in, may get wrong; the zero
// Rate is no limit.
type Rates struct {
	Forms storage.Rate // of a network, any form
	Codes storage.Rate // of devices, which are short: rarer than forms
	Users storage.Rate // of somebody signed in, any form
}

// count counts a form against its network, as wrong. Where there were too many,
// the page that says so is shown, and ok is false.
func (p *Pages) count(w http.ResponseWriter, r *http.Request) (c web.Count, ok bool) {
	return p.countAs(w, r, "form", web.Network(web.Address(r)), p.rates.Forms)
}

// countAs counts against somebody else, under the name of another limit.
func (p *Pages) countAs(w http.ResponseWriter, r *http.Request, name, who string, rate storage.Rate) (c web.Count, ok bool) {
	return p.browser.Count(w, r, p.limits, name, who, rate)
}
