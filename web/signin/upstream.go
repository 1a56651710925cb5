package signin

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/a-h/templ"

	"gatehouse/identity"
	"gatehouse/provider"
	"gatehouse/storage"
	"gatehouse/templates"
	"gatehouse/upstream"
	"gatehouse/web"
)

// federated is the sign-in at another OpenID Connect provider.
type federated struct{ desk *Pages }

// Routes implements Method. Addresses of our own that an upstream was told to
// come back to, beside those below /login/upstream, are served too.
func (m *federated) Routes(mux *http.ServeMux, base string) {
	there := base + web.UpstreamPath + "{id}"
	back := there + web.CallbackPath
	mux.HandleFunc("GET "+there, m.start)
	mux.HandleFunc("POST "+there, m.start)
	m.routeBack(mux, back, func(r *http.Request) string { return r.PathValue("id") })
	// To Go's router HEAD is GET; these do more than show something.
	mux.HandleFunc("HEAD "+there, m.desk.refuseHead)
	for path, id := range m.desk.callbacks() {
		if strings.HasSuffix(path, "/") {
			path += "{$}"
		}
		m.routeBack(mux, path, func(*http.Request) string { return id })
	}
}

// Callbacks are the paths that upstreams come back to, beside those below
// web.UpstreamPath.
func (p *Pages) Callbacks() []string { return slices.Sorted(maps.Keys(p.callbacks())) }

// callbacks are the same, and whose they are.
func (p *Pages) callbacks() map[string]string {
	all := make(map[string]string)
	for _, u := range p.upstreams.List() {
		if path := redirectPath(u.RedirectURI); path != p.browser.Base()+web.UpstreamPath+u.ID+web.CallbackPath {
			all[path] = u.ID
		}
	}
	return all
}

func (m *federated) routeBack(mux *http.ServeMux, path string, id func(*http.Request) string) {
	mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) { m.callback(w, r, id(r)) })
	mux.HandleFunc("HEAD "+path, m.desk.refuseHead)
}

func redirectPath(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return ""
	}
	return u.Path
}

func (p *Pages) refuseHead(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Allow", "GET")
	p.browser.Error(w, r, provider.PageError{Status: http.StatusMethodNotAllowed, Message: provider.WrongMethod})
}

// Offer implements Method. Who must prove themselves again is offered where
// their account can be proved, and nothing else.
func (m *federated) Offer(a *arrival, _ refusal) templ.Component {
	v := templates.UpstreamsView{Errand: a.hidden(), Beside: a.password}
	for _, u := range m.desk.upstreams.List() {
		if a.again() == nil || a.identityAt(u) != nil {
			v.Upstreams = append(v.Upstreams, templates.Upstream{ID: u.ID, Name: u.Name, Google: u.ID == upstream.Google})
		}
	}
	if len(v.Upstreams) == 0 {
		return nil
	}
	return templates.Upstreams(v)
}

// identityAt is who they are at the upstream, as far as their account says.
func (a *arrival) identityAt(u *upstream.Provider) *storage.Identity {
	i := slices.IndexFunc(a.identities, func(i *storage.Identity) bool { return i.Upstream == u.ID && i.Issuer == u.Issuer })
	if i < 0 {
		return nil
	}
	return a.identities[i]
}

// start sends a browser to an upstream. By GET it does no more than that: what
// changes an account comes by POST, from a page of ours.
func (m *federated) start(w http.ResponseWriter, r *http.Request) {
	get := func(name string) string { return web.Query(r, name) }
	if r.Method == http.MethodPost {
		f, ok := m.desk.browser.Form(w, r)
		if !ok {
			return
		}
		get = fieldOf(f)
	}
	e := errandOf(get)
	switch {
	case e.To != toLink:
	case r.Method == http.MethodPost:
		e = errand{To: toLink} // nothing else is done on the same way
	default:
		e = errand{To: toAccount}
	}
	a, ok := m.desk.arrive(w, r, e)
	if !ok {
		return
	}
	u := m.desk.upstreams.Find(r.PathValue("id"))
	switch {
	case u == nil:
		m.desk.failed(w, r, a.errand, trouble(r.PathValue("id"), "gone"))
	case a.To == toLink && !a.needsNone():
		a.To = toAccount // they change how they sign in: who they are comes first
		web.SeeOther(w, m.desk.browser.At(a.at(web.LoginPath)))
	case a.To != toLink && a.needsNone():
		web.SeeOther(w, m.desk.onward(a))
	default:
		m.leave(w, r, a, u)
	}
}

// wayThere is how long a person may take at an upstream.
const wayThere = 15 * time.Minute

// leave notes what the browser leaves for, and sends it there.
func (m *federated) leave(w http.ResponseWriter, r *http.Request, a *arrival, u *upstream.Provider) {
	ctx := r.Context()
	browser, err := m.desk.browser.Browser(w, r)
	if err != nil {
		m.desk.browser.Broken(w, r, "read the browser", err)
		return
	}
	ask, err := m.ask(w, r, a, u)
	if err != nil {
		m.desk.browser.Broken(w, r, "read how somebody signs in", err)
		return
	}
	l, err := u.Leave(ctx, ask)
	if err != nil {
		m.desk.failed(w, r, a.errand, err)
		return
	}
	now, state := m.desk.now(), storage.NewDigest(storage.StateSecret, l.State)
	flow := &storage.UpstreamFlow{
		Browser: browser, Upstream: u.ID, Issuer: u.Issuer, Purpose: a.purpose(),
		Sealed:    m.desk.master.Seal(sealedFor(state), []byte(l.Nonce+" "+l.Verifier)),
		CreatedAt: now, ExpiresAt: now.Add(wayThere),
	}
	if a.To == toLink {
		flow.LinkUser = a.user.ID
	}
	if err := m.desk.flows.Leave(ctx, state, flow); err != nil {
		m.desk.browser.Broken(w, r, "note who leaves for an upstream", err)
		return
	}
	web.SeeOther(w, l.Address)
}

// sealedFor binds what is sealed to the state that it belongs to.
func sealedFor(state storage.Digest) string { return "upstream flow " + hex.EncodeToString(state[:]) }

// purpose is the errand as it is kept while somebody is away.
func (e errand) purpose() string {
	b, err := json.Marshal(e)
	if err != nil {
		panic("signin: encode an errand: " + err.Error()) // texts
	}
	return string(b)
}

// purposeOf reads what purpose wrote.
func purposeOf(kept string) (e errand) {
	if json.Unmarshal([]byte(kept), &e) != nil {
		return errand{} // nothing else writes it: then they came by themselves
	}
	return e
}

// ask is what is wished of the upstream: what the application asks of us, as
// far as an upstream can answer it, and what we ask ourselves.
func (m *federated) ask(w http.ResponseWriter, r *http.Request, a *arrival, u *upstream.Provider) (upstream.Ask, error) {
	ask := upstream.Ask{UILocales: []string{m.desk.text(w, r, a).Tag()}}
	recent := int64(web.RecentSignIn / time.Second)
	if again := a.again(); again != nil {
		var err error
		if a.password, a.identities, err = m.desk.people.Ways(r.Context(), again); err != nil {
			return ask, err
		}
		if i := a.identityAt(u); i != nil && a.To != toLink {
			ask.LoginHint = i.Label
		}
	}
	switch {
	case a.To == toLink, a.Account == otherAccount, a.Choose != "":
		ask.Prompt = "select_account"
	case a.linking != nil, a.To == toAccount:
		ask.Prompt, ask.MaxAge = "login", &recent
	}
	if a.pending == nil {
		return ask, nil
	}
	if ask.LoginHint == "" && a.Account != otherAccount && a.linking == nil {
		ask.LoginHint = a.pending.LoginHint
	}
	for _, value := range []string{"login", "select_account"} {
		if slices.Contains(a.pending.Prompt, value) && !strings.Contains(ask.Prompt, value) {
			ask.Prompt = strings.TrimSpace(ask.Prompt + " " + value)
		}
	}
	if a.pending.MaxAge != nil {
		ask.MaxAge = a.pending.MaxAge
	}
	if slices.Contains(a.pending.Prompt, "login") {
		ask.MaxAge = new(int64(0))
	}
	return ask, nil
}

// callback is where a browser comes back from an upstream. Whatever it brings,
// its state is spent first.
func (m *federated) callback(w http.ResponseWriter, r *http.Request, id string) {
	answer := answerOf(r)
	browser, err := m.desk.browser.Browser(w, r)
	if err != nil {
		m.desk.browser.Broken(w, r, "read the browser", err)
		return
	}
	state := storage.NewDigest(storage.StateSecret, answer.Get("state"))
	flow, err := m.desk.flows.Return(r.Context(), state, browser, m.desk.now())
	if err != nil {
		m.astray(w, r, id, flow, err)
		return
	}
	came := purposeOf(flow.Purpose)
	u := m.desk.upstreams.Find(flow.Upstream)
	switch {
	case u == nil || u.Issuer != flow.Issuer:
		m.desk.failed(w, r, came, trouble(flow.Upstream, "gone"))
		return
	case u.ID != id:
		// RFC 9700 §4.4: the answer to one provider's request is none to another's.
		m.desk.failed(w, r, came, &upstream.Fault{Upstream: id, Kind: "callback", Sent: "the answer to a request at " + u.ID, Expected: "one at " + id})
		return
	}
	sealed, err := m.desk.master.Open(sealedFor(state), flow.Sealed)
	if err != nil {
		m.desk.browser.Broken(w, r, "open what was sealed for an upstream", err)
		return
	}
	nonce, verifier, _ := strings.Cut(string(sealed), " ")
	who, err := u.Arrive(r.Context(), upstream.Answer{
		Code: answer.Get("code"), Issuer: answer.Get("iss"), Error: answer.Get("error"), ErrorDescription: answer.Get("error_description"),
	}, &upstream.Leaving{Nonce: nonce, Verifier: verifier})
	if err != nil {
		m.desk.failed(w, r, came, err)
		return
	}
	if flow.LinkUser != "" {
		m.linkTo(w, r, flow.LinkUser, u, who)
		return
	}
	if a, ok := m.desk.arrive(w, r, came); ok {
		m.signIn(w, r, a, u, who, browser)
	}
}

// maxAnswer is the longest value of an answer that is read: a code may hold a
// whole token.
const maxAnswer = 8 << 10

// answerOf reads an authorization response. A parameter that is repeated, or
// too long, is none (RFC 6749 §3.1).
func answerOf(r *http.Request) url.Values {
	q := url.Values{}
	for name, all := range r.URL.Query() {
		if len(all) == 1 && len(all[0]) <= maxAnswer && !strings.ContainsRune(all[0], 0) {
			q[name] = all
		}
	}
	return q
}

// strays are the ways in which a state is none, and what a person reads.
var strays = []struct {
	err           error
	kind, message string
}{
	{storage.ErrNotFound, "state_unknown", provider.RequestUnknown},
	{storage.ErrReused, "state_spent", provider.RequestSpent},
	{storage.ErrExpired, "state_expired", provider.RequestExpired},
	{storage.ErrMismatch, "state_browser", provider.OtherBrowser},
}

// astray shows that a browser came back with no state that is its own. flow is
// what it had left for, where that is known.
func (m *federated) astray(w http.ResponseWriter, r *http.Request, id string, flow *storage.UpstreamFlow, err error) {
	for _, s := range strays {
		if !errors.Is(err, s.err) {
			continue
		}
		var came errand
		if flow != nil {
			came = purposeOf(flow.Purpose)
		}
		m.desk.showFailed(w, r, came, trouble(id, s.kind), ending{http.StatusBadRequest, s.message})
		return
	}
	m.desk.browser.Broken(w, r, "read who comes back from an upstream", err)
}

// signIn ends the sign-in of somebody whom an upstream names.
func (m *federated) signIn(w http.ResponseWriter, r *http.Request, a *arrival, u *upstream.Provider, who *upstream.Assertion, browser storage.Digest) {
	if err := m.stale(a, who); err != nil {
		m.desk.failed(w, r, a.errand, err)
		return
	}
	user, err := m.desk.people.Federated(r.Context(), who)
	if taken, ok := errors.AsType[*identity.AddressTaken](err); ok && taken.Linkable && a.linking == nil {
		m.await(w, r, a, taken.User, who, browser)
		return
	}
	if err == nil {
		err = m.desk.done(w, r, a, user, web.Proof{AMR: append([]string{"fed"}, who.AMR...), At: who.AuthTime, Upstream: u.ID})
	}
	if err != nil {
		m.desk.failed(w, r, a.errand, refusedHere(u.ID, err))
	}
}

// stale is the fault of a sign-in that is not as recent as the application asks
// (ASVS 6.8.4), or as we do: what the upstream does not say is not taken for
// good. Of who changes their own account it is enough that it says nothing.
func (m *federated) stale(a *arrival, who *upstream.Assertion) error {
	silent := who.AuthTime.IsZero()
	asked := a.pending != nil && a.pending.Recent()
	switch {
	case silent && (asked || a.linking != nil):
		return &upstream.Fault{Upstream: who.Upstream, Kind: "too_old", Sent: "no auth_time", Expected: "one, as a recent sign-in is asked for"}
	case silent:
		return nil
	case asked && !a.pending.Accepts(who.AuthTime, m.desk.now()), !since(who.AuthTime, a.since):
		return &upstream.Fault{Upstream: who.Upstream, Kind: "too_old", Sent: who.AuthTime.UTC().Format(time.RFC3339), Expected: "a sign-in as recent as is asked for"}
	}
	return nil
}

// refusedHere is the fault of somebody whom the upstream names and who does not
// get in. Any other error stays what it is.
func refusedHere(id string, err error) error {
	taken, isTaken := errors.AsType[*identity.AddressTaken](err)
	switch {
	case isTaken && taken.Linkable:
		return &upstream.Fault{Upstream: id, Kind: "taken", Sent: "an address that has an account", Expected: "the owner of that account, to link the two"}
	case isTaken:
		return &upstream.Fault{Upstream: id, Kind: "taken", Sent: "an address that has an account where it is not verified", Expected: "an address that is free"}
	case errors.Is(err, identity.ErrClosed):
		return &upstream.Fault{Upstream: id, Kind: "closed", Sent: "somebody without an account", Expected: "registration: open"}
	case errors.Is(err, identity.ErrDisabled), errors.Is(err, storage.ErrNotFound):
		return &upstream.Fault{Upstream: id, Kind: "disabled", Sent: "an account that is switched off", Expected: "one that is not"}
	case errors.Is(err, identity.ErrLinked):
		return &upstream.Fault{Upstream: id, Kind: "linked", Sent: "an identity that another account has", Expected: "one that is linked to nobody"}
	}
	return err
}

func trouble(id, kind string) *upstream.Fault { return &upstream.Fault{Upstream: id, Kind: kind} }
