package signin_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse/storage"
)

// leadsTo fails where an answer is no redirect to an address that begins so.
func leadsTo(t *testing.T, a answer, prefix string) {
	t.Helper()
	if a.status != http.StatusSeeOther || !strings.HasPrefix(a.location(), prefix) {
		t.Fatalf("%d to %q (%s), want 303 to %s…", a.status, a.location(), a.title(), prefix)
	}
}

// shows fails where an answer is no page with this status and heading.
func shows(t *testing.T, a answer, status int, title string) {
	t.Helper()
	if a.status != status || a.title() != title {
		t.Fatalf("%d %q to %q, want %d %q", a.status, a.title(), a.location(), status, title)
	}
}

// field is the value of a hidden field of a form.
func (a answer) field(name string) string {
	_, rest, _ := strings.Cut(a.body, `name="`+name+`" value="`)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// agree answers the consent page of a request.
func (b *browser) agree(request, decision string) answer {
	b.h.t.Helper()
	page := b.get("/consent?request=" + request)
	return b.post("/consent", "request", request, "user", page.field("user"), "decision", decision)
}

func TestSomebodySignsInAgreesAndGoesBackWithACode(t *testing.T) {
	h := newHouse(t)
	h.user("alice")
	h.client("web")
	b := h.browser()

	a := b.get(authorize("web"))
	leadsTo(t, a, h.issuer+"/login?request=")
	id := a.request()
	page := b.get(a.location())
	shows(t, page, http.StatusOK, "Sign in")
	for _, part := range []string{"Wonderland", "rp.test", `action="/login"`, `name="username"`, `name="password"`} {
		if !strings.Contains(page.body, part) {
			t.Errorf("the sign-in page lacks %s", part)
		}
	}
	a = b.signIn("alice", id)
	leadsTo(t, a, h.provider.ResumeURL(id))
	a = b.get(a.location())
	leadsTo(t, a, h.issuer+"/consent?request="+id)
	shows(t, b.get(a.location()), http.StatusOK, "Allow Wonderland?")
	a = b.agree(id, "allow")
	leadsTo(t, a, h.provider.ResumeURL(id))
	a = b.get(a.location())
	leadsTo(t, a, "https://rp.test/cb?code=")
	if !strings.Contains(a.location(), "state=the-state") || !strings.Contains(a.location(), "iss=") {
		t.Errorf("the answer is %s", a.location())
	}

	// Asked for nothing new, nobody is asked again.
	leadsTo(t, b.get(authorize("web")), "https://rp.test/cb?code=")
	// Asked for one thing more, only that is asked.
	a = b.get(authorize("web", "scope", "openid profile email"))
	leadsTo(t, a, h.issuer+"/consent?request=")
	page = b.get(a.location())
	before, known, found := strings.Cut(page.body, "<details")
	if !found || !strings.Contains(before, "See your e-mail address") || strings.Contains(before, "See your profile") || !strings.Contains(known, "See your profile") {
		t.Errorf("the page does not tell new from known: %s", page.body)
	}
}

func TestSomebodyDeclinesAndTheApplicationIsTold(t *testing.T) {
	h := newHouse(t)
	h.user("alice")
	h.client("web")
	b := h.browser()
	id := b.begin(authorize("web"))
	b.signIn("alice", id)
	a := b.agree(id, "deny")
	leadsTo(t, a, h.provider.ResumeURL(id))
	leadsTo(t, b.get(a.location()), "https://rp.test/cb?error=access_denied")
}

func TestAnAnswerThatIsNoneIsAskedForAgain(t *testing.T) {
	h := newHouse(t)
	h.user("alice")
	h.client("web")
	b := h.browser()
	id := b.begin(authorize("web"))
	b.signIn("alice", id)
	a := b.agree(id, "maybe")
	shows(t, a, http.StatusUnprocessableEntity, "Allow Wonderland?")
	if !strings.Contains(a.body, "Choose Allow or Deny.") {
		t.Error("the page does not say what is missing")
	}
	shows(t, b.get("/consent?request="+id), http.StatusOK, "Allow Wonderland?")
}

func TestSignInWithoutAnApplication(t *testing.T) {
	h := newHouse(t)
	h.user("alice")
	b := h.browser()
	shows(t, b.get("/"), http.StatusOK, "gatehouse")
	shows(t, b.get("/login"), http.StatusOK, "Sign in")
	leadsTo(t, b.signIn("alice", ""), h.issuer+"/")
	shows(t, b.get("/"), http.StatusOK, "Welcome, alice Liddell")
	leadsTo(t, b.get("/login"), h.issuer+"/") // there is nothing to do there
	leadsTo(t, b.get("/signed-out"), h.issuer+"/")
	leadsTo(t, b.post("/logout/confirm"), h.issuer+"/signed-out")
	shows(t, b.get("/signed-out"), http.StatusOK, "You are signed out")
	shows(t, b.get("/"), http.StatusOK, "gatehouse")
}

func TestWhatWasTypedIsKeptButNotThePassword(t *testing.T) {
	h := newHouse(t)
	h.user("alice")
	b := h.browser()
	for name, c := range map[string]struct{ username, password, text string }{
		"a wrong password":      {"alice", "wrong-one", "That name and password do not match."},
		"no password":           {"alice", "", "Enter your password."},
		"no name":               {"", "wrong-one", "Enter your user name or e-mail address."},
		"a name that is markup": {`"><b>`, "wrong-one", "That name and password do not match."},
	} {
		a := b.post("/login", "username", c.username, "password", c.password)
		shows(t, a, http.StatusUnprocessableEntity, "Sign in")
		if !strings.Contains(a.body, c.text) || strings.Contains(a.body, "wrong-one") || strings.Contains(a.body, `"><b>`) {
			t.Errorf("%s: %s", name, a.body)
		}
		if c.username == "alice" && !strings.Contains(a.body, `value="alice"`) {
			t.Errorf("%s: the name is gone", name)
		}
	}
}

func TestASignInCannotDeadEnd(t *testing.T) {
	h := newHouse(t)
	h.user("alice")
	h.user("bob")
	h.client("web")
	h.client("own", skipConsent)
	const wayBack = `href="https://rp.test/"`

	t.Run("back button: the sign-in page of somebody signed in leads on", func(t *testing.T) {
		b := h.browser()
		id := b.begin(authorize("web"))
		b.signIn("alice", id)
		leadsTo(t, b.get("/login?request="+id), h.provider.ResumeURL(id))
	})
	t.Run("back button: the consent page of an answered request names the way back", func(t *testing.T) {
		b := h.browser()
		id := b.begin(authorize("web"))
		b.signIn("alice", id)
		b.agree(id, "allow")
		b.get(h.provider.ResumeURL(id))
		for _, address := range []string{"/consent?request=" + id, "/login?request=" + id, h.provider.ResumeURL(id)} {
			a := b.get(address)
			shows(t, a, http.StatusBadRequest, "That is done already")
			if !strings.Contains(a.body, wayBack) {
				t.Errorf("%s leads nowhere: %s", address, a.body)
			}
		}
		a := b.signIn("alice", id)
		shows(t, a, http.StatusBadRequest, "That is done already")
	})
	t.Run("double click: the second form does what the first did", func(t *testing.T) {
		b := h.browser()
		id := b.begin(authorize("web"))
		leadsTo(t, b.signIn("alice", id), h.provider.ResumeURL(id))
		leadsTo(t, b.signIn("alice", id), h.provider.ResumeURL(id))
		leadsTo(t, b.agree(id, "allow"), h.provider.ResumeURL(id))
		leadsTo(t, b.post("/consent", "request", id, "user", "x", "decision", "allow"), h.provider.ResumeURL(id))
		leadsTo(t, b.get(h.provider.ResumeURL(id)), "https://rp.test/cb?code=")
	})
	t.Run("expired: the page names the way back", func(t *testing.T) {
		b := h.browser()
		id := b.begin(authorize("web"))
		h.skip(2 * time.Hour)
		defer h.skip(-2 * time.Hour)
		a := b.get("/login?request=" + id)
		shows(t, a, http.StatusBadRequest, "That took too long")
		if !strings.Contains(a.body, wayBack) {
			t.Error("it leads nowhere")
		}
		shows(t, b.signIn("alice", id), http.StatusBadRequest, "That took too long")
	})
	t.Run("second tab: both go on", func(t *testing.T) {
		b := h.browser()
		first, second := b.begin(authorize("web")), b.begin(authorize("own", "state", "two"))
		b.signIn("alice", second)
		leadsTo(t, b.get(h.provider.ResumeURL(second)), "https://rp.test/cb?code=")
		leadsTo(t, b.get("/login?request="+first), h.provider.ResumeURL(first))
		leadsTo(t, b.get(h.provider.ResumeURL(first)), "https://rp.test/cb?code=") // alice allowed it above
	})
	t.Run("second tab: consent asked of alice is not given by bob", func(t *testing.T) {
		b := h.browser()
		id := b.begin(authorize("web", "prompt", "consent"))
		b.signIn("alice", id)
		page := b.get("/consent?request=" + id)
		b.signIn("bob", "")
		a := b.post("/consent", "request", id, "user", page.field("user"), "decision", "allow")
		leadsTo(t, a, h.issuer+"/consent?request="+id)
		if !strings.Contains(b.get(a.location()).body, ">bob<") {
			t.Error("bob is not asked")
		}
	})
	t.Run("lost cookie: the page says so and names the way back", func(t *testing.T) {
		id := h.browser().begin(authorize("web"))
		a := h.browser().get("/login?request=" + id)
		shows(t, a, http.StatusBadRequest, "Started in another browser")
		if !strings.Contains(a.body, wayBack) {
			t.Error("it leads nowhere")
		}
	})
	t.Run("nonsense: a request that never was", func(t *testing.T) {
		b := h.browser()
		for _, address := range []string{"/login?request=x", "/consent?request=x", "/consent", "/login?request=%3Cscript%3E"} {
			a := b.get(address)
			shows(t, a, http.StatusBadRequest, "This sign-in is over")
			if !strings.Contains(a.body, `href="/"`) {
				t.Errorf("%s leads nowhere", address)
			}
		}
	})
	t.Run("sign-out twice", func(t *testing.T) {
		b := h.browser()
		b.signIn("alice", "")
		a := b.get("/logout?client_id=web")
		leadsTo(t, a, h.issuer+"/logout/confirm?request=")
		shows(t, b.get(a.location()), http.StatusOK, "Sign out?")
		leadsTo(t, b.post("/logout/confirm", "request", a.request()), h.issuer+"/signed-out")
		leadsTo(t, b.post("/logout/confirm", "request", a.request()), h.issuer+"/signed-out")
		leadsTo(t, b.get(a.location()), h.issuer+"/signed-out")
	})
	t.Run("an old sign-out page of a new sign-in still asks", func(t *testing.T) {
		b := h.browser()
		b.signIn("alice", "")
		a := b.get("/logout?client_id=web")
		b.post("/logout/confirm", "request", a.request())
		b.signIn("alice", "")
		shows(t, b.get(a.location()), http.StatusOK, "Sign out?")
	})
}

func TestSomebodySignedInProvesItAgainOrIsSomebodyElse(t *testing.T) {
	h := newHouse(t)
	h.user("alice")
	h.user("bob")
	h.client("own", skipConsent)
	b := h.browser()
	b.signIn("alice", "")
	id := b.begin(authorize("own", "prompt", "login"))
	page := b.get("/login?request=" + id)
	shows(t, page, http.StatusOK, "Confirm it is you")
	if !strings.Contains(page.body, `value="alice"`) || !strings.Contains(page.body, "readonly") {
		t.Error("the page does not say who")
	}
	other := "/login?account=other&request=" + id
	if !strings.Contains(page.body, strings.ReplaceAll(other, "&", "&amp;")) {
		t.Error("there is no way to use another account")
	}
	page = b.get(other)
	shows(t, page, http.StatusOK, "Sign in")
	if strings.Contains(page.body, `value="alice"`) {
		t.Error("whoever wants to be somebody else finds alice's name")
	}
	a := b.post("/login", "request", id, "account", "other", "username", "bob", "password", "wrong")
	shows(t, a, http.StatusUnprocessableEntity, "Sign in")
	if a.field("account") != "other" {
		t.Error("a refused form forgets that somebody else was meant")
	}
	leadsTo(t, b.post("/login", "request", id, "account", "other", "username", "bob", "password", goodPassword), h.provider.ResumeURL(id))
	leadsTo(t, b.get(h.provider.ResumeURL(id)), "https://rp.test/cb?code=")
	shows(t, b.get("/"), http.StatusOK, "Welcome, bob Liddell")
}

func TestTheLanguageIsTheApplicationsWishThenTheBrowsersAndThePersonsFirst(t *testing.T) {
	h := newHouse(t)
	h.client("web")
	in := func(a answer) string { return a.header.Get("Content-Language") }

	b := h.browser("Accept-Language", "vi-VN,vi;q=0.9")
	if got := in(b.get("/login")); got != "vi" {
		t.Errorf("Accept-Language vi: %s", got)
	}
	b = h.browser("Accept-Language", "en")
	id := b.begin(authorize("web", "ui_locales", "fr vi"))
	if got := in(b.get("/login?request=" + id)); got != "vi" {
		t.Errorf("ui_locales fr vi: %s", got)
	}
	if got := in(b.signIn("nobody", id)); got != "vi" {
		t.Errorf("ui_locales fr vi, after a wrong password: %s", got)
	}
	if got := in(b.get("/login?lang=en&request=" + id)); got != "en" {
		t.Errorf("chosen by hand: %s", got)
	}
	if got := in(b.signIn("nobody", id)); got != "en" {
		t.Errorf("chosen by hand, after a wrong password: %s", got)
	}
	if got := in(h.browser().get("/nope?lang=xx")); got != "en" {
		t.Errorf("an unknown language: %s", got)
	}
}

func TestSetUpMakesTheFirstAdministratorOnce(t *testing.T) {
	h := newHouse(t)
	token, _, err := h.people.NewSetupLink(t.Context())
	must(t, err)
	b := h.browser()
	a := b.get("/setup?token=" + token)
	shows(t, a, http.StatusOK, "Set up gatehouse")
	a = b.post("/setup", "token", a.field("token"), "email", "alice@example.com", "name", "Alice", "password", goodPassword)
	leadsTo(t, a, h.issuer+"/setup")
	shows(t, b.get(a.location()), http.StatusOK, "gatehouse is set up")
	u, err := h.people.Find(t.Context(), "alice@example.com")
	must(t, err)
	if !u.Admin || u.Profile.Name != "Alice" {
		t.Errorf("the account is %+v", u)
	}
	leadsTo(t, b.signIn("alice@example.com", ""), h.issuer+"/")

	// The link again, by back button or by somebody else, makes nobody.
	leadsTo(t, b.post("/setup", "token", token, "email", "eve@example.com", "password", goodPassword), h.issuer+"/setup")
	if n, err := h.store.Users.Count(t.Context()); err != nil || n != 1 {
		t.Errorf("there are %d accounts: %v", n, err)
	}
}

func TestASetUpLinkThatIsOverSaysHowToGetAnother(t *testing.T) {
	h := newHouse(t)
	old, _, err := h.people.NewSetupLink(t.Context())
	must(t, err)
	_, _, err = h.people.NewSetupLink(t.Context())
	must(t, err)
	b := h.browser()
	for name, token := range map[string]string{"none": "", "nonsense": "gho_x", "replaced": old} {
		a := b.get("/setup?token=" + token)
		shows(t, a, http.StatusGone, "This link is no longer good")
		if !strings.Contains(a.body, "gatehouse setup-link") {
			t.Errorf("%s: the page does not say how to get another", name)
		}
		a = b.post("/setup", "token", token, "email", "eve@example.com", "password", goodPassword)
		shows(t, a, http.StatusGone, "This link is no longer good")
	}
}

func TestASetUpFormThatIsRefusedKeepsTheLinkAndWhatWasTyped(t *testing.T) {
	h := newHouse(t)
	token, _, err := h.people.NewSetupLink(t.Context())
	must(t, err)
	b := h.browser()
	for name, c := range map[string]struct{ email, person, password, text string }{
		"no address":         {"", "Alice", goodPassword, "Enter your e-mail address."},
		"no address at all":  {"alice", "Alice", goodPassword, "Enter an e-mail address such as"},
		"a name of 201":      {"alice@example.com", strings.Repeat("a", 201), goodPassword, "at most 200 characters"},
		"a weak password":    {"alice@example.com", "Alice", "short", "at least 8 characters"},
		"no password at all": {"alice@example.com", "Alice", "", "at least 8 characters"},
	} {
		a := b.post("/setup", "token", token, "email", c.email, "name", c.person, "password", c.password)
		shows(t, a, http.StatusUnprocessableEntity, "Set up gatehouse")
		if !strings.Contains(a.body, c.text) || !strings.Contains(a.body, `value="`+c.email+`"`) || a.field("token") != token {
			t.Errorf("%s: %s", name, a.body)
		}
	}
	leadsTo(t, b.post("/setup", "token", token, "email", "alice@example.com", "password", goodPassword), h.issuer+"/setup")
}

func TestADatabaseThatDoesNotAnswerIsAPageThatSaysSo(t *testing.T) {
	h := newHouse(t, func(p *plans) {
		p.store = func(s *storage.Store) { s.Sessions = brokenSessions{s.Sessions} }
	})
	b := h.browser("Cookie", "gatehouse-session=ghi_"+strings.Repeat("A", 52))
	for _, address := range []string{"/", "/login", "/signed-out", "/logout/confirm"} {
		a := b.get(address)
		shows(t, a, http.StatusServiceUnavailable, "Not available at the moment")
		if a.header.Get("Retry-After") == "" || strings.Contains(a.body, "disk") {
			t.Errorf("%s: %v %s", address, a.header, a.body)
		}
	}
	if !strings.Contains(h.log.String(), "disk full") {
		t.Error("the log does not say what broke")
	}
}
