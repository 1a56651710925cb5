package signin_test

import (
	"cmp"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse/identity"
	"gatehouse/outbound"
	"gatehouse/storage"
	"gatehouse/templates"
	"gatehouse/upstream"
	"gatehouse/upstream/upstreamtest"
	"gatehouse/web/signin"
)

// reaching is a client that reaches providers on this machine.
func reaching(t *testing.T) *outbound.Client {
	t.Helper()
	out, err := outbound.New(outbound.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, AllowHTTP: true})
	must(t, err)
	return out
}

// partnerAt is what a house knows of the provider op, under this id.
func partnerAt(op *upstreamtest.OP, id, issuer string) upstream.Config {
	return upstream.Config{
		ID: id, Name: strings.ToUpper(id[:1]) + id[1:], Issuer: op.URL, ClientID: upstreamtest.ClientID, ClientSecret: upstreamtest.ClientSecret,
		AuthMethod: "client_secret_basic", RedirectURI: issuer + "/login/upstream/" + id + "/callback",
		Scopes: []string{"openid", "email", "profile"}, TrustEmail: true,
	}
}

// withPartner is a house with an open door and one upstream, "partner".
func withPartner(t *testing.T, change ...func(*plans)) (*house, *upstreamtest.OP) {
	t.Helper()
	op := upstreamtest.New(t)
	h := newHouse(t, append([]func(*plans){func(p *plans) {
		p.open = true
		p.upstreams = func(issuer string) []upstream.Config { return []upstream.Config{partnerAt(op, "partner", issuer)} }
	}}, change...)...)
	op.Now = h.now
	return h, op
}

// somebody is who signs in at the partner, with an address that it vouches for.
func somebody(name string) upstreamtest.Person {
	return upstreamtest.Person{
		Subject:  "subject-of-" + name,
		Userinfo: map[string]any{"name": name + " Liddell", "email": name + "@example.com", "email_verified": true},
	}
}

// leave presses the button of an upstream; pairs are the fields of its form.
func (b *browser) leave(id string, pairs ...string) string {
	b.h.t.Helper()
	a := b.post("/login/upstream/"+id, pairs...)
	if a.status != http.StatusSeeOther || strings.HasPrefix(a.location(), b.h.issuer) {
		b.h.t.Fatalf("leaving ended with %d %q at %q", a.status, a.title(), a.location())
	}
	return a.location()
}

// federate is the whole way to an upstream and back.
func (b *browser) federate(op *upstreamtest.OP, who upstreamtest.Person, pairs ...string) answer {
	b.h.t.Helper()
	return b.get(op.SignIn(b.leave("partner", pairs...), who))
}

// failures are what is kept of the error page that an answer is.
func (h *house) failure(a answer) *storage.Failure {
	h.t.Helper()
	_, rest, _ := strings.Cut(a.body, `<dd><code>`)
	code, _, _ := strings.Cut(rest, "</code>")
	f, err := h.store.Failures.Get(h.t.Context(), code)
	if err != nil {
		h.t.Fatalf("nothing is kept under the code %q of %q: %v", code, a.title(), err)
	}
	return f
}

// failed fails the test unless the answer is a page of this kind of fault, from
// which one can go on.
func (h *house) failed(a answer, status int, title, kind string) *storage.Failure {
	h.t.Helper()
	shows(h.t, a, status, title)
	f := h.failure(a)
	if f.Kind != "upstream."+kind {
		h.t.Errorf("kept as %s, want upstream.%s", f.Kind, kind)
	}
	if !strings.Contains(a.body, `class="main" href="/login?`) && !strings.Contains(a.body, `class="main" href="/account"`) {
		h.t.Errorf("the page leads nowhere: %s", a.body)
	}
	return f
}

const notWorked = "Signing in with Partner did not work"

func TestSomebodySignsInAtAnUpstreamAndGoesBackWithACode(t *testing.T) {
	h, op := withPartner(t)
	h.client("web")
	b := h.browser()
	id := b.begin(authorize("web"))
	page := b.get("/login?request=" + id)
	for _, part := range []string{"Sign in with Partner", `action="/login/upstream/partner"`, `name="request" value="` + id + `"`} {
		if !strings.Contains(page.body, part) {
			t.Errorf("the sign-in page lacks %s", part)
		}
	}
	who := somebody("alice")
	yesterday := h.now().Add(-24 * time.Hour).Truncate(time.Second)
	who.Claims = map[string]any{"auth_time": yesterday.Unix(), "amr": []string{"pwd", "otp"}}
	a := b.federate(op, who, "request", id)
	leadsTo(t, a, h.provider.ResumeURL(id))
	leadsTo(t, b.get(a.location()), h.issuer+"/consent?request=")
	a = b.agree(id, "allow")
	leadsTo(t, b.get(a.location()), "https://rp.test/cb?code=")

	u, err := h.people.Find(t.Context(), "alice@example.com")
	must(t, err)
	if u.Profile.Name != "alice Liddell" || !u.EmailVerified {
		t.Errorf("the account is %+v", *u)
	}
	sessions, err := h.store.Sessions.ListByUser(t.Context(), u.ID, h.now())
	must(t, err)
	// Our auth_time is the upstream's: nobody was asked here.
	if s := sessions[0]; !s.AuthTime.Equal(yesterday) || strings.Join(s.AMR, " ") != "fed pwd otp" || s.ACR != "1" {
		t.Errorf("the session is %+v", *s)
	}
	if e := h.events("session.created"); len(e) != 1 || e[0].Details["upstream"] != "partner" {
		t.Errorf("the event is %+v", e)
	}
	// Another browser finds the same account.
	leadsTo(t, h.browser().federate(op, who), h.issuer+"/")
	if n, err := h.store.Users.Count(t.Context()); n != 1 || err != nil {
		t.Errorf("%d accounts, %v", n, err)
	}
}

func TestAClientMaySkipThePageWithAHint(t *testing.T) {
	h, op := withPartner(t)
	h.client("web", skipConsent)
	b := h.browser()
	a := b.get(authorize("web", "idp_hint", "partner", "login_hint", "alice@example.com", "ui_locales", "vi"))
	id := a.request()
	a = b.get(a.location())
	leadsTo(t, a, h.issuer+"/login/upstream/partner?request=")
	a = b.get(a.location())
	leadsTo(t, a, op.URL+"/authorize?")
	q := query(t, a.location())
	if q.Get("login_hint") != "alice@example.com" || q.Get("ui_locales") != "vi" {
		t.Errorf("the upstream is asked %v", q)
	}
	who := somebody("alice")
	who.Answer = func(q url.Values) { q.Set("error", "access_denied"); q.Del("code") }
	a = b.get(op.SignIn(a.location(), who))
	h.failed(a, http.StatusForbidden, "Bạn chưa đăng nhập bằng Partner", "declined")
	// The way on does not lead to the upstream again.
	_, rest, _ := strings.Cut(a.body, `class="main" href="`)
	again, _, _ := strings.Cut(rest, `"`)
	shows(t, b.get(strings.ReplaceAll(again, "&amp;", "&"), "Accept-Language", "en"), http.StatusOK, "Đăng nhập")
	leadsTo(t, b.federate(op, somebody("alice"), "request", id), h.provider.ResumeURL(id))

	// A hint that names nobody is none.
	shows(t, h.browser().get(h.browser().get(authorize("web", "idp_hint", "nobody")).location()), http.StatusBadRequest, "Started in another browser")
	c := h.browser()
	shows(t, c.get(c.get(authorize("web", "idp_hint", "nobody")).location()), http.StatusOK, "Sign in")
}

func query(t *testing.T, address string) url.Values {
	t.Helper()
	u, err := url.Parse(address)
	must(t, err)
	return u.Query()
}

func TestAC175_AStateThatIsNotThisBrowsersIsRefusedAndSpent(t *testing.T) {
	h, op := withPartner(t)
	h.client("web")
	b, other := h.browser(), h.browser()
	other.get("/login")

	h.failed(b.get("/login/upstream/partner/callback?code=x"), http.StatusBadRequest, "This sign-in is over", "state_unknown")
	h.failed(b.get("/login/upstream/partner/callback?code=x&state=made-up"), http.StatusBadRequest, "This sign-in is over", "state_unknown")
	h.failed(b.get("/login/upstream/partner/callback?code=x&state=a&state=b"), http.StatusBadRequest, "This sign-in is over", "state_unknown")

	stolen := op.SignIn(b.leave("partner"), somebody("alice"))
	h.failed(other.get(stolen), http.StatusBadRequest, "Started in another browser", "state_browser")
	h.failed(b.get(stolen), http.StatusBadRequest, "That is done already", "state_spent")

	id := b.begin(authorize("web"))
	used := op.SignIn(b.leave("partner", "request", id), somebody("alice"))
	leadsTo(t, b.get(used), h.provider.ResumeURL(id))
	a := b.get(used)
	h.failed(a, http.StatusBadRequest, "That is done already", "state_spent")
	if !strings.Contains(a.body, id) {
		t.Error("there is no way back to what they came for")
	}

	late := op.SignIn(b.leave("partner", "account", "other"), somebody("alice"))
	h.skip(16 * time.Minute)
	h.failed(b.get(late), http.StatusBadRequest, "That took too long", "state_expired")
	if n := op.Asked("/token"); n != 1 {
		t.Errorf("%d codes were exchanged, one was good", n)
	}
}

func TestAC176_TheAnswerOfOneProviderIsNoneOfAnother(t *testing.T) {
	honest, evil := upstreamtest.New(t), upstreamtest.New(t)
	h := newHouse(t, func(p *plans) {
		p.open = true
		p.upstreams = func(issuer string) []upstream.Config {
			return []upstream.Config{partnerAt(honest, "partner", issuer), partnerAt(evil, "evil", issuer)}
		}
	})
	b := h.browser()
	// The mix-up: begun at evil, it comes back with a code of the honest one.
	state := query(t, b.leave("evil")).Get("state")
	code := query(t, honest.SignIn(b.leave("partner"), somebody("alice"))).Get("code")
	a := b.get("/login/upstream/evil/callback?" + url.Values{"state": {state}, "code": {code}, "iss": {honest.URL}}.Encode())
	h.failed(a, http.StatusBadGateway, "Signing in with Evil did not work", "answer_issuer")
	// An answer to evil's request at the honest one's address.
	state = query(t, b.leave("evil")).Get("state")
	a = b.get("/login/upstream/partner/callback?" + url.Values{"state": {state}, "code": {code}, "iss": {evil.URL}}.Encode())
	h.failed(a, http.StatusBadGateway, notWorked, "callback")
	if evil.Asked("/token")+honest.Asked("/token") != 0 {
		t.Error("a code was shown to somebody")
	}
	if _, err := h.people.Find(t.Context(), "alice@example.com"); err == nil {
		t.Error("an account was made")
	}
}

func TestAC177_WhoIsNotWhomTheTokenNamesDoesNotGetIn(t *testing.T) {
	h, op := withPartner(t)
	for claim, kind := range map[string]string{"nonce": "nonce", "aud": "audience", "iss": "issuer"} {
		b := h.browser()
		who := somebody("alice")
		who.Claims = map[string]any{claim: "https://evil.example/other"}
		address := b.leave("partner")
		a := b.get(op.SignIn(address, who))
		f := h.failed(a, http.StatusBadGateway, notWorked, kind)
		leadsTo(t, b.get("/account"), h.issuer+"/login")
		// Neither what is kept nor what is logged or shown has a secret.
		q := query(t, address)
		everything := a.body + h.log.String() + f.Sent + f.Expected + cmp.Or(f.Details["reason"])
		for _, secret := range []string{q.Get("state"), q.Get("nonce"), "access-", "code-", "eyJ", upstreamtest.ClientSecret} {
			if strings.Contains(everything, secret) {
				t.Errorf("%s: %q is told", claim, secret)
			}
		}
	}
}

func TestAnUpstreamThatRefusesUsIsExplained(t *testing.T) {
	h, op := withPartner(t)
	for refusal, kind := range map[string]string{"invalid_client": "invalid_client", "redirect_uri_mismatch": "redirect_uri", "invalid_grant": "exchange"} {
		who := somebody("alice")
		who.Refuse = refusal
		f := h.failed(h.browser().federate(op, who), http.StatusBadGateway, notWorked, kind)
		if f.Upstream != "partner" || f.Details["status"] != "400" {
			t.Errorf("kept is %+v", f)
		}
	}
	op.Close()
	h.upstreams.Replace([]upstream.Config{partnerAt(&upstreamtest.OP{Server: op.Server}, "other", h.issuer)})
	a := h.browser().post("/login/upstream/other")
	h.failed(a, http.StatusBadGateway, "Other does not answer", "unreachable")
}

func TestWhoHasNoAccountIsLetInWhereRegistrationIsOpenAlone(t *testing.T) {
	h, op := withPartner(t, func(p *plans) { p.open = false })
	h.failed(h.browser().federate(op, somebody("alice")), http.StatusForbidden, "There is no account for you here", "closed")
	// Who has the same address, and proves it, may link the two all the same.
	h.verified("bob")
	a := h.browser().federate(op, somebody("bob"))
	leadsTo(t, a, h.issuer+"/login/link?link=")
}

func TestOnlyAddressesOfTheDomainsGetIn(t *testing.T) {
	h, op := withPartner(t, func(p *plans) {
		before := p.upstreams
		p.upstreams = func(issuer string) []upstream.Config {
			all := before(issuer)
			all[0].Domains = [][]string{{"example.org"}}
			return all
		}
	})
	f := h.failed(h.browser().federate(op, somebody("alice")), http.StatusForbidden, "That account is not let in here", "email_domain")
	if f.Sent != "example.com" || f.Expected != "example.org" {
		t.Errorf("kept is %+v", f)
	}
}

// verified makes an account whose address is verified.
func (h *house) verified(name string) *storage.User {
	h.t.Helper()
	u, err := h.people.Create(h.t.Context(), identity.NewAccount{Username: name, Email: name + "@example.com", EmailVerified: true, Password: goodPassword})
	must(h.t, err)
	return u
}

// identities are what a user may sign in with elsewhere.
func (h *house) identities(u *storage.User) []*storage.Identity {
	h.t.Helper()
	_, all, err := h.people.Ways(h.t.Context(), u)
	must(h.t, err)
	return all
}

func TestAC179_TheOwnerOfTheAddressSignsInAndLinks(t *testing.T) {
	h, op := withPartner(t)
	alice := h.verified("alice")
	h.client("web", skipConsent)
	b := h.browser()
	id := b.begin(authorize("web"))
	a := b.federate(op, somebody("alice"), "request", id)
	leadsTo(t, a, h.issuer+"/login/link?link=")
	link := query(t, a.location()).Get("link")
	page := b.get(a.location())
	shows(t, page, http.StatusOK, "You have an account already")
	if len(h.identities(alice)) != 0 {
		t.Fatal("the address was enough")
	}
	// Before the owner has signed in, a yes is none.
	leadsTo(t, b.post("/login/link", "link", link, "decision", "link"), h.issuer+"/login/link?link=")
	page = b.get("/login?link=" + link)
	shows(t, page, http.StatusOK, "Sign in")
	if page.field("username") != "" && !strings.Contains(page.body, `value="alice@example.com"`) {
		t.Error("the address is not filled in")
	}
	a = b.post("/login", "link", link, "username", "alice@example.com", "password", goodPassword)
	leadsTo(t, a, h.issuer+"/login/link?link=")
	shows(t, b.get(a.location()), http.StatusOK, "Link Partner to your account?")
	a = b.post("/login/link", "link", link, "decision", "link")
	leadsTo(t, a, h.provider.ResumeURL(id))
	leadsTo(t, b.get(a.location()), "https://rp.test/cb?code=")
	if all := h.identities(alice); len(all) != 1 || all[0].Subject != "subject-of-alice" {
		t.Errorf("linked is %+v", all)
	}
	if len(h.events("identity.linked")) != 1 {
		t.Error("nothing tells of the link")
	}
	// From then on either signs in.
	c := h.browser()
	leadsTo(t, c.federate(op, somebody("alice")), h.issuer+"/")
	shows(t, c.get("/"), http.StatusOK, "Welcome, alice")
}

func TestAC180_AnUnverifiedAddressIsNotEvenOfferedForLinking(t *testing.T) {
	h, op := withPartner(t)
	attacker := h.user("alice") // registered before its owner came
	b := h.browser()
	h.failed(b.federate(op, somebody("alice")), http.StatusConflict, "This address has an account already", "taken")
	if len(h.identities(attacker)) != 0 {
		t.Error("the attacker's account was adopted")
	}
	leadsTo(t, b.get("/account"), h.issuer+"/login")
}

func TestR16_AnOldSessionOfTheOwnerIsNotEnoughToLink(t *testing.T) {
	h, op := withPartner(t)
	alice := h.verified("alice")
	b := h.browser()
	leadsTo(t, b.signIn("alice", ""), h.issuer+"/")
	h.skip(time.Minute)
	a := b.federate(op, somebody("alice"), "account", "other")
	leadsTo(t, a, h.issuer+"/login/link?link=")
	link := query(t, a.location()).Get("link")
	shows(t, b.get(a.location()), http.StatusOK, "You have an account already")
	leadsTo(t, b.post("/login/link", "link", link, "decision", "link"), h.issuer+"/login/link")
	if len(h.identities(alice)) != 0 {
		t.Fatal("an old session was enough")
	}
	page := b.get("/login?link=" + link)
	shows(t, page, http.StatusOK, "Confirm it is you")
	b.post("/login", "link", link, "username", "alice", "password", goodPassword)
	leadsTo(t, b.post("/login/link", "link", link, "decision", "link"), h.issuer+"/")
	if len(h.identities(alice)) != 1 {
		t.Error("it was not linked")
	}
}

func TestAC184_WhoIsKnownElsewhereIsInNoFormAndNoAddress(t *testing.T) {
	h, op := withPartner(t)
	alice, mallory := h.verified("alice"), h.verified("mallory")
	b := h.browser()
	b.signIn("mallory", "")
	for _, link := range []string{"made-up", ""} {
		a := b.post("/login/link", "link", link, "decision", "link", "upstream", "partner", "issuer", op.URL, "subject", "subject-of-alice", "user", mallory.ID)
		shows(t, a, http.StatusBadRequest, "This sign-in is over")
	}
	// What another browser waits for is not this one's.
	victim := h.browser()
	link := query(t, victim.federate(op, somebody("alice")).location()).Get("link")
	for _, a := range []answer{
		b.get("/login/link?link=" + link), b.get("/login?link=" + link), b.post("/login/link", "link", link, "decision", "link"),
		b.post("/login", "link", link, "username", "mallory", "password", goodPassword),
	} {
		shows(t, a, http.StatusBadRequest, "Started in another browser")
	}
	if len(h.identities(alice))+len(h.identities(mallory)) != 0 {
		t.Error("something was linked")
	}
}

func TestAC277_WhatWaitsForOneUserIsNotLinkedToAnother(t *testing.T) {
	h, op := withPartner(t)
	alice, mallory := h.verified("alice"), h.verified("mallory")
	b := h.browser()
	link := query(t, b.federate(op, somebody("alice")).location()).Get("link")
	leadsTo(t, b.post("/login", "link", link, "username", "mallory", "password", goodPassword), h.issuer+"/login/link")
	page := b.get("/login/link?link=" + link)
	shows(t, page, http.StatusOK, "You have an account already")
	if !strings.Contains(page.body, "which is another account") {
		t.Error("the page does not say that somebody else is signed in")
	}
	leadsTo(t, b.post("/login/link", "link", link, "decision", "link"), h.issuer+"/login/link")
	b.post("/login", "link", link, "account", "other", "username", "alice", "password", goodPassword)
	leadsTo(t, b.post("/login/link", "link", link, "decision", "link"), h.issuer+"/")
	shows(t, b.post("/login/link", "link", link, "decision", "link"), http.StatusBadRequest, "That is done already")
	if len(h.identities(alice)) != 1 || len(h.identities(mallory)) != 0 {
		t.Error("it is linked to somebody else")
	}
}

func TestAC277_AnIntentionToLinkIsItsUsersAlone(t *testing.T) {
	h, op := withPartner(t)
	alice, mallory := h.verified("alice"), h.verified("mallory")
	b := h.browser()
	b.signIn("alice", "")
	back := op.SignIn(b.leave("partner", "to", "link"), somebody("elsewhere"))
	b.signIn("mallory", "") // meanwhile, in another tab
	h.failed(b.get(back), http.StatusForbidden, "Somebody else is signed in now", "other_user")
	h.failed(b.get(back), http.StatusBadRequest, "That is done already", "state_spent")
	if len(h.identities(alice))+len(h.identities(mallory)) != 0 {
		t.Error("something was linked")
	}
}

func TestAC185_WhatWasSwitchedOffMeanwhileStaysOff(t *testing.T) {
	h, op := withPartner(t)
	b := h.browser()
	back := op.SignIn(b.leave("partner"), somebody("alice"))
	h.upstreams.Replace(nil)
	h.failed(b.get(back), http.StatusNotFound, "That provider is not offered here", "gone")
	h.failed(b.post("/login/upstream/partner"), http.StatusNotFound, "That provider is not offered here", "gone")

	h.upstreams.Replace([]upstream.Config{partnerAt(op, "partner", h.issuer)})
	back = op.SignIn(b.leave("partner"), somebody("alice"))
	other := partnerAt(op, "partner", h.issuer)
	other.Issuer = "https://another.example"
	h.upstreams.Replace([]upstream.Config{other})
	h.failed(b.get(back), http.StatusNotFound, "Partner is not offered here", "gone")

	h.upstreams.Replace([]upstream.Config{partnerAt(op, "partner", h.issuer)})
	leadsTo(t, b.federate(op, somebody("alice")), h.issuer+"/")
	u, err := h.people.Find(t.Context(), "alice@example.com")
	must(t, err)
	must(t, h.people.Disable(t.Context(), u))
	h.failed(b.federate(op, somebody("alice")), http.StatusForbidden, "This account is switched off", "disabled")
	if u, err = h.people.Find(t.Context(), u.ID); err != nil || !u.Disabled() {
		t.Errorf("it is enabled again: %v", err)
	}
}

// AC-189: an upstream whose issuer is another is another provider, whatever its
// id and its secret: nobody whom the old one named is found through it.
func TestAC189_NobodyOfTheOldIssuerIsFoundThroughTheNewOne(t *testing.T) {
	h, op := withPartner(t)
	alice := h.browser()
	alice.federate(op, somebody("alice"))
	evil := upstreamtest.New(t)
	h.upstreams.Replace([]upstream.Config{partnerAt(evil, "partner", h.issuer)})
	who := somebody("alice")
	who.Userinfo = nil
	b := h.browser()
	leadsTo(t, b.federate(evil, who), h.issuer+"/")
	if n, err := h.store.Users.Count(t.Context()); n != 2 || err != nil {
		t.Errorf("%d accounts, %v: the new provider's subject got the old one's", n, err)
	}
}

func TestAC191_ASignInElsewhereIsAsRecentAsTheApplicationAsks(t *testing.T) {
	h, op := withPartner(t)
	h.client("web", skipConsent)
	const title = "Partner did not ask who you are"
	for name, c := range map[string]struct {
		ask      []string
		authTime any // seconds ago
		in       bool
	}{
		"max_age, and longer ago":                    {[]string{"max_age", "60"}, 3600, false},
		"max_age, and it does not say":               {[]string{"max_age", "60"}, nil, false},
		"max_age, and recent enough":                 {[]string{"max_age", "300"}, 120, true},
		"prompt=login, and signed in all the time":   {[]string{"prompt", "login"}, 3600, false},
		"prompt=login, and it does not say":          {[]string{"prompt", "login"}, nil, false},
		"prompt=login, and asked":                    {[]string{"prompt", "login"}, 0, true},
		"max_age=0, and signed in all the time":      {[]string{"max_age", "0"}, 3600, false},
		"nothing is asked, and it was long ago":      {nil, 3600, true},
		"nothing is asked, and it does not say when": {nil, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := h.browser()
			id := b.begin(authorize("web", c.ask...))
			address := b.leave("partner", "request", id)
			if asked := query(t, address); len(c.ask) == 2 && asked.Get(c.ask[0]) != c.ask[1] {
				t.Errorf("the upstream is asked %s=%s, not %s", c.ask[0], asked.Get(c.ask[0]), c.ask[1])
			}
			who := somebody("alice")
			who.Claims = map[string]any{"auth_time": nil}
			if ago, ok := c.authTime.(int); ok {
				who.Claims["auth_time"] = h.now().Add(-time.Duration(ago) * time.Second).Unix()
			}
			a := b.get(op.SignIn(address, who))
			if !c.in {
				h.failed(a, http.StatusForbidden, title, "too_old")
				leadsTo(t, b.get("/account"), h.issuer+"/login")
				return
			}
			leadsTo(t, a, h.provider.ResumeURL(id))
			leadsTo(t, b.get(a.location()), "https://rp.test/cb?code=")
		})
	}
}

func TestAC191_ASessionThatNobodySaysTheAgeOfIsNotRecent(t *testing.T) {
	h, op := withPartner(t)
	h.client("web", skipConsent)
	for _, ask := range [][]string{{"max_age", "3600"}, {"prompt", "login"}} {
		b := h.browser()
		id := b.begin(authorize("web", ask...))
		// In another tab, where nothing is asked, an upstream that does not say when is good enough.
		who := somebody("alice")
		who.Claims = map[string]any{"auth_time": nil}
		leadsTo(t, b.federate(op, who), h.issuer+"/")
		for _, address := range []string{"/authorize/resume?id=" + id, authorize("web", ask...)} {
			leadsTo(t, b.get(address), h.issuer+"/login?request=")
		}
		// Whoever signs in where it is said goes on.
		leadsTo(t, b.federate(op, somebody("alice"), "request", id), h.provider.ResumeURL(id))
		leadsTo(t, b.get("/authorize/resume?id="+id), "https://rp.test/cb?code=")
	}
}

func TestR8_NobodyElsesPageLinksAndNoHeadGoesAnywhere(t *testing.T) {
	h, op := withPartner(t)
	alice := h.verified("alice")
	b := h.browser()
	b.signIn("alice", "")
	for _, path := range []string{"/login/upstream/partner", "/login/link", "/account/unlink"} {
		a := b.do(http.MethodPost, path, url.Values{"to": {"link"}}, "Sec-Fetch-Site", "cross-site")
		shows(t, a, http.StatusForbidden, "Sent from another site")
	}
	// Nobody links who is not signed in, whatever else they bring.
	h.client("web")
	c := h.browser()
	id := c.begin(authorize("web"))
	leadsTo(t, c.post("/login/upstream/partner", "to", "link", "request", id), h.issuer+"/login?to=account")
	c.signIn("alice", id)
	c.agree(id, "deny")
	c.post("/logout/confirm")
	leadsTo(t, c.post("/login/upstream/partner", "to", "link", "request", id), h.issuer+"/login?to=account")
	// By GET nobody asks to link.
	a := b.get("/login/upstream/partner?to=link")
	leadsTo(t, a, h.issuer+"/account")
	address := b.leave("partner", "to", "link")
	for _, path := range []string{"/login/upstream/partner", strings.TrimPrefix(op.SignIn(address, somebody("x")), h.issuer)} {
		if a := b.do(http.MethodHead, path, nil); a.status != http.StatusMethodNotAllowed {
			t.Errorf("HEAD %s answers %d", path, a.status)
		}
	}
	leadsTo(t, b.get(op.SignIn(address, somebody("x"))), h.issuer+"/account?linked=partner")
	if len(h.identities(alice)) != 1 {
		t.Error("HEAD spent the state")
	}
}

func TestSomebodyLinksAndUnlinksOnTheirAccountPage(t *testing.T) {
	h, op := withPartner(t)
	alice := h.verified("alice")
	b := h.browser()
	leadsTo(t, b.get("/account"), h.issuer+"/login?to=account")
	leadsTo(t, b.post("/login", "to", "account", "username", "alice", "password", goodPassword), h.issuer+"/account")
	page := b.get("/account")
	shows(t, page, http.StatusOK, "Your account")
	if !strings.Contains(page.body, "Link Partner") || !strings.Contains(page.body, "Password") {
		t.Errorf("the page lacks something: %s", page.body)
	}
	// Who signed in long ago shows once more who they are.
	h.skip(11 * time.Minute)
	leadsTo(t, b.post("/login/upstream/partner", "to", "link"), h.issuer+"/login?to=account")
	shows(t, b.get("/login?to=account"), http.StatusOK, "Confirm it is you")
	leadsTo(t, b.post("/login", "to", "account", "username", "alice", "password", goodPassword), h.issuer+"/account")
	address := b.leave("partner", "to", "link")
	if query(t, address).Get("prompt") != "login" { // what comes nearest to select_account

		t.Error("they cannot choose which account they link")
	}
	a := b.get(op.SignIn(address, somebody("elsewhere")))
	leadsTo(t, a, h.issuer+"/account?linked=partner")
	page = b.get(a.location())
	for _, part := range []string{"is linked. It signs you in", "elsewhere@example.com", "Unlink"} {
		if !strings.Contains(page.body, part) {
			t.Errorf("the page lacks %q", part)
		}
	}
	// Linked once, it is nobody else's.
	h.verified("mallory")
	m := h.browser()
	m.signIn("mallory", "")
	h.failed(m.get(op.SignIn(m.leave("partner", "to", "link"), somebody("elsewhere"))), http.StatusConflict, "That account is linked to somebody else", "linked")

	id := page.field("identity")
	shows(t, m.post("/account/unlink", "identity", id), http.StatusNotFound, "Your account")
	h.skip(11 * time.Minute)
	leadsTo(t, b.post("/account/unlink", "identity", id), h.issuer+"/login?to=account")
	b.post("/login", "to", "account", "username", "alice", "password", goodPassword)
	leadsTo(t, b.post("/account/unlink", "identity", id), h.issuer+"/account?unlinked=partner")
	if len(h.identities(alice)) != 0 || len(h.events("identity.unlinked")) != 1 {
		t.Error("it is still linked")
	}
}

func TestRateLimit_WhoIsSignedInMayGetSoManyFormsWrong(t *testing.T) {
	h, _ := withPartner(t)
	h.verified("alice")
	h.verified("bob")
	a, b := h.browser(), h.browser()
	a.signIn("alice", "")
	b.signIn("bob", "")
	for range 3 {
		shows(t, a.post("/account/unlink", "identity", "none"), http.StatusNotFound, "Your account")
	}
	slow := a.post("/account/unlink", "identity", "none")
	shows(t, slow, http.StatusTooManyRequests, "Too many tries")
	if slow.header.Get("Retry-After") == "" || !strings.HasPrefix(slow.header.Get("RateLimit"), `"user_form";r=0;t=`) {
		t.Errorf("it does not say when to come back: %v", slow.header)
	}
	// Another session of theirs has the same limit, and somebody else their own.
	again := h.browser()
	again.signIn("alice", "")
	shows(t, again.post("/account/unlink", "identity", "none"), http.StatusTooManyRequests, "Too many tries")
	shows(t, b.post("/account/unlink", "identity", "none"), http.StatusNotFound, "Your account")
}

func TestTheAccountPageSaysOnlyWhatIsTrue(t *testing.T) {
	h, op := withPartner(t)
	h.verified("alice")
	b := h.browser()
	b.signIn("alice", "")
	if strings.Contains(b.get("/account?linked=partner").body, `class="notice"`) {
		t.Error("a link from anywhere lets the page say that an upstream is linked")
	}
	leadsTo(t, b.get(op.SignIn(b.leave("partner", "to", "link"), somebody("alice"))), h.issuer+"/account?linked=partner")
	if strings.Contains(b.get("/account?unlinked=partner").body, `class="notice"`) {
		t.Error("a link from anywhere lets the page say that an upstream is unlinked")
	}
}

func TestAC139_NoPageSaysWhatSomebodyPutIntoAnAddress(t *testing.T) {
	h, _ := withPartner(t)
	b := h.browser()
	for path, title := range map[string]string{
		"/login/upstream/Call%20555-0199%20now":                  "That provider is not offered here",
		"/login/upstream/Call%20555-0199%20now/callback?state=x": "This sign-in is over",
		"/login/link?link=Call%20555-0199%20now":                 "This sign-in is over",
	} {
		a := b.get(path)
		if !strings.Contains(a.body, title) || strings.Contains(a.body, "555-0199") {
			t.Errorf("%s is answered by %d %q, and says what was put into it: %t", path, a.status, a.title(), strings.Contains(a.body, "555-0199"))
		}
	}
}

func TestTheLastWayInIsNotUnlinked(t *testing.T) {
	h, op := withPartner(t)
	b := h.browser()
	b.federate(op, somebody("alice"))
	u, err := h.people.Find(t.Context(), "alice@example.com")
	must(t, err)
	page := b.get("/account")
	if strings.Contains(page.body, "/account/unlink") || !strings.Contains(page.body, "The only way in") {
		t.Error("the page offers to unlink the last way in")
	}
	a := b.post("/account/unlink", "identity", h.identities(u)[0].ID)
	shows(t, a, http.StatusConflict, "Your account")
	if !strings.Contains(a.body, "That is your only way in") || len(h.identities(u)) != 1 {
		t.Error("the last way in was unlinked")
	}
	// Who has no password is not asked for one.
	h.skip(11 * time.Minute)
	page = b.get("/login?to=account")
	shows(t, page, http.StatusOK, "Confirm it is you")
	if strings.Contains(page.body, `name="password"`) || !strings.Contains(page.body, "Sign in with Partner") {
		t.Errorf("they are asked for what they do not have: %s", page.body)
	}
	address := b.leave("partner", "to", "account")
	if q := query(t, address); q.Get("prompt") != "login" || q.Get("max_age") != "600" || q.Get("login_hint") != "alice@example.com" {
		t.Errorf("the upstream is asked %v", q)
	}
	leadsTo(t, b.get(op.SignIn(address, somebody("alice"))), h.issuer+"/account")
}

func TestAnUpstreamMayComeBackToAnyAddressOfOurs(t *testing.T) {
	op := upstreamtest.New(t)
	for _, path := range []string{"/auth/google/callback", "/accounts/google/login/callback/"} {
		h := newHouse(t, func(p *plans) {
			p.open = true
			p.upstreams = func(issuer string) []upstream.Config {
				c := partnerAt(op, "partner", issuer)
				c.RedirectURI = issuer + path
				return []upstream.Config{c}
			}
		})
		b := h.browser()
		back := op.SignIn(b.leave("partner"), somebody("alice"))
		if !strings.HasPrefix(back, h.issuer+path+"?") {
			t.Errorf("it comes back to %s", back)
		}
		leadsTo(t, b.get(back), h.issuer+"/")
	}
}

func TestEveryFaultHasATextInEveryLanguage(t *testing.T) {
	english := templates.Spoken("en")
	for _, id := range signin.Messages() {
		for _, id := range []string{id, id + ".title"} {
			if said := english.Say(id, "Name", "Partner"); said == id || templates.Spoken("vi").Say(id, "Name", "Partner") == said {
				t.Errorf("%s is not said in every language", id)
			}
		}
	}
}

func TestAnIssuerWithAPathHasItsUpstreamsBelowIt(t *testing.T) {
	h, op := withPartner(t, func(p *plans) { p.issuer += "/id" })
	b := h.browser()
	page := b.get("/login")
	if !strings.Contains(page.body, `action="/id/login/upstream/partner"`) {
		t.Errorf("the button leads elsewhere: %s", page.body)
	}
	back := op.SignIn(b.leave("partner"), somebody("alice"))
	if !strings.HasPrefix(back, h.issuer+"/login/upstream/partner/callback?") {
		t.Errorf("it comes back to %s", back)
	}
	leadsTo(t, b.get(back), h.issuer+"/")
	shows(t, b.get("/account"), http.StatusOK, "Your account")
}
