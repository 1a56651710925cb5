package signin

import (
	"context"
	"net/http"

	"gatehouse/storage"
	"gatehouse/web"
)

// Rates are how much a network may get wrong; the zero Rate is no limit.
type Rates struct {
	Forms storage.Rate // any form
	Codes storage.Rate // of devices, which are short: rarer than forms
}

// A count is one form that was counted as wrong before it was looked at, so
// that forms in parallel cannot outrun the count. What turns out right is
// given back.
type count struct {
	pages *Pages
	key   string
	rate  storage.Rate
}

// count counts a form against its network. Where there were too many, the page
// that says so is shown, and ok is false.
func (p *Pages) count(w http.ResponseWriter, r *http.Request) (c count, ok bool) {
	return p.countAs(w, r, "form", web.Network(web.Address(r)), p.rates.Forms)
}

// countAs counts against somebody else, under the name of another limit.
func (p *Pages) countAs(w http.ResponseWriter, r *http.Request, name, who string, rate storage.Rate) (c count, ok bool) {
	c = count{pages: p, key: name + ":" + who, rate: rate}
	d, err := p.limits.Allow(r.Context(), c.key, c.rate)
	switch {
	case err != nil:
		p.broken(w, r, "count a form", err)
		return c, false
	case !d.Allowed:
		p.browser.SlowDown(w, r, name, c.rate, d)
		return c, false
	}
	return c, true
}

// refund gives the form back. It does so even where the browser has gone: the
// work is done.
func (c count) refund(r *http.Request) {
	if err := c.pages.limits.Refund(context.WithoutCancel(r.Context()), c.key, c.rate); err != nil {
		c.pages.log.WarnContext(r.Context(), "give a counted form back", "error", err, "request_id", storage.OriginOf(r.Context()).RequestID)
	}
}
