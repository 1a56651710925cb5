package provider_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse/provider"
	"gatehouse/provider/providertest"
	"gatehouse/storage"
)

func native(m *storage.ClientMetadata) {
	m.ApplicationType = "native"
	m.RedirectURIs = []string{"http://127.0.0.1/cb"}
	providertest.Public(m)
}

// stays reports a request that left our origin, or made a code, where it must
// have been an error page that names the parameter.
func stays(t *testing.T, a *providertest.Answer, parameter string) {
	t.Helper()
	if a.Status < 400 || a.Status > 499 || a.Header.Get("Location") != "" {
		t.Errorf("status %d, Location %q: want an error page", a.Status, a.Header.Get("Location"))
	}
	if got := a.Header.Get("Page-Parameter"); got != parameter {
		t.Errorf("the page names parameter %q, want %q", got, parameter)
	}
	if strings.Contains(a.Body, "ghc_") {
		t.Error("the page has a code")
	}
}

func TestRedirectURIsMatchByteForByte(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w, n := h.Client("w", providertest.Trusted), h.Client("n", native)
	h.Client("p", providertest.Public, func(m *storage.ClientMetadata) { m.RedirectURIs = []string{"https://spa.test/cb"} })
	b := h.Browser()
	b.SignIn("alice")
	for _, c := range []struct{ name, uri string }{
		{"AC-001 a slash more", "https://rp.test/cb/"},
		{"AC-002 another case in the path", "https://rp.test/CB"},
		{"AC-003 a query that is not registered", "https://rp.test/cb?x=1"},
		{"AC-003 an empty query", "https://rp.test/cb?"},
		{"AC-004 a fragment", "https://rp.test/cb#f"},
		{"AC-005 the default port", "https://rp.test:443/cb"},
		{"AC-005 another case in the host", "https://RP.TEST/cb"},
		{"a percent-encoded letter", "https://rp.test/%63b"},
		{"another scheme", "http://rp.test/cb"},
		{"AC-007 user information", "https://rp.test@evil.test/cb"},
		{"AC-013 a loopback address that it never registered", "http://127.0.0.1/cb"},
		{"AC-013 a loopback address with a port", "http://127.0.0.1:5000/cb"},
		{"AC-014 none, where one is registered", ""},
		{"AC-015 a script", "javascript:alert(1)"},
		{"AC-260 localhost as a label", "https://localhost.evil.test/cb"},
		{"AC-260 a loopback literal as a label", "http://127.0.0.1.evil.test/"},
		{"AC-260 the host as a label", "https://rp.test.evil.test/cb"},
		{"AC-260 a longer host", "https://evilrp.test/cb"},
		{"AC-261 a dot is a dot", "https://rpxtest/cb"},
		{"AC-261 a longer path", "https://rp.test/cbb"},
		{"AC-261 a shorter path", "https://rp.test/c"},
		{"AC-262 another client's", "https://spa.test/cb"},
		{"a dot segment", "https://rp.test/x/../cb"},
		{"a backslash", `https://rp.test\@evil.test/cb`},
		{"a line break", "https://rp.test/cb\r\nSet-Cookie: a=b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			stays(t, b.Get(w.Request("redirect_uri", c.uri).URL()), "redirect_uri")
			if c.uri != "http://127.0.0.1/cb" && c.uri != "http://127.0.0.1:5000/cb" {
				stays(t, b.Get(n.Request("redirect_uri", c.uri).URL()), "redirect_uri")
			}
		})
	}
}

func TestL5_ANativeClientMayVaryThePortOfItsLoopbackLiteralAndNothingElse(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	n := h.Client("n", native)
	b := h.Browser()
	t.Run("AC-009 another port", func(t *testing.T) {
		a := b.Authorize(n.Request("redirect_uri", "http://127.0.0.1:51234/cb"), "alice")
		if to := a.Location(); to == nil || !strings.HasPrefix(to.String(), "http://127.0.0.1:51234/cb?code=ghc_") {
			t.Errorf("it leads to %v", to)
		}
	})
	for _, uri := range []string{
		"https://[::1]:9/cb", "http://[::1]:9/cb", "http://localhost:1/cb", "http://evil@127.0.0.1:80/cb", "http://127.0.0.2:80/cb",
		"http://127.0.0.1:80/cb#f", "http://127.0.0.1:80/cb?x=1", "http://127.0.0.1:80/cb/", "https://127.0.0.1:80/cb", "http://127.0.0.1:/cb",
		"http://127.0.0.1:800000/cb", "http://127.1:80/cb", "http://127.0.0.1:80\\@evil.test/cb", "http://127.0.0.1:80@evil.test/cb",
	} {
		t.Run(uri, func(t *testing.T) { stays(t, b.Get(n.Request("redirect_uri", uri).URL()), "redirect_uri") })
	}
}

func TestAC018_AnUnknownClientGetsThePageOfAWrongRedirect(t *testing.T) {
	h := providertest.New(t)
	w := h.Client("w")
	b := h.Browser()
	unknown, wrong := b.Get(w.Request("client_id", "nobody").URL()), b.Get(w.Request("redirect_uri", "https://rp.test/x").URL())
	stays(t, unknown, "client_id")
	stays(t, wrong, "redirect_uri")
	if unknown.Status != wrong.Status || unknown.Body != wrong.Body || unknown.Header.Get("Page-Message") != wrong.Header.Get("Page-Message") {
		t.Errorf("the pages differ: %v and %v", unknown, wrong)
	}
	stays(t, b.Get(w.Request("client_id", "").URL()), "client_id")
}

// sent reads the error that a redirect carries to the client, which must name
// state and issuer too.
func sent(t *testing.T, h *providertest.House, a *providertest.Answer, state string) string {
	t.Helper()
	to := a.Location()
	if to == nil || !strings.HasPrefix(to.String(), "https://rp.test/cb?") {
		t.Fatalf("status %d, Location %v: want the client's redirect URI; %s", a.Status, to, a.Body)
	}
	q := to.Query()
	if q.Get("iss") != h.Issuer {
		t.Errorf("iss is %q", q.Get("iss"))
	}
	if q.Get("state") != state {
		t.Errorf("state is %q, want %q", q.Get("state"), state)
	}
	if q.Get("code") != "" && q.Get("error") != "" {
		t.Error("a code and an error")
	}
	return q.Get("error")
}

func TestErrorsGoToTheClientOnceItsRedirectStands(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w := h.Client("w", func(m *storage.ClientMetadata) { m.Audience = []string{"https://api.test"} })
	b := h.Browser()
	b.SignIn("alice")
	for _, c := range []struct {
		name, error string
		pairs       []string
	}{
		{"AC-019 an unknown response type", "unsupported_response_type", []string{"response_type", "bogus"}},
		{"AC-019 none", "invalid_request", []string{"response_type", ""}},
		{"AC-020 token", "unsupported_response_type", []string{"response_type", "token"}},
		{"AC-020 id_token token", "unsupported_response_type", []string{"response_type", "id_token token"}},
		{"AC-020 id_token", "unsupported_response_type", []string{"response_type", "id_token"}},
		{"AC-020 code id_token", "unsupported_response_type", []string{"response_type", "code id_token"}},
		{"AC-024 no challenge, though the client has a secret", "invalid_request", []string{"code_challenge", ""}},
		{"AC-025 plain", "invalid_request", []string{"code_challenge_method", "plain"}},
		{"L6 no method means plain", "invalid_request", []string{"code_challenge_method", ""}},
		{"L6 an unknown method", "invalid_request", []string{"code_challenge_method", "s256"}},
		{"L6 a challenge of 42 characters", "invalid_request", []string{"code_challenge", strings.Repeat("a", 42)}},
		{"L6 a challenge of another alphabet", "invalid_request", []string{"code_challenge", strings.Repeat("a", 42) + "="}},
		{"AC-029 an unknown scope", "invalid_scope", []string{"scope", "openid admin"}},
		{"AC-029 no scope", "invalid_scope", []string{"scope", ""}},
		{"AC-029 a malformed scope", "invalid_scope", []string{"scope", `openid "x"`}},
		{"AC-032 none and login", "invalid_request", []string{"prompt", "none login"}},
		{"max_age that is no number", "invalid_request", []string{"max_age", "soon"}},
		{"max_age below zero", "invalid_request", []string{"max_age", "-1"}},
		{"AC-039 a request object", "request_not_supported", []string{"request", "e30.e30."}},
		{"AC-041 a request object elsewhere", "request_uri_not_supported", []string{"request_uri", "http://127.0.0.1:1/"}},
		{"registration", "registration_not_supported", []string{"registration", "{}"}},
		{"AC-043 fragment", "invalid_request", []string{"response_mode", "fragment"}},
		{"AC-043 web_message", "invalid_request", []string{"response_mode", "web_message"}},
		{"a resource that is not the client's", "invalid_target", []string{"resource", "https://other.test"}},
		{"a resource that is no URI", "invalid_target", []string{"resource", "api"}},
		{"a hint that is no ID token", "invalid_request", []string{"id_token_hint", "x.y.z"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := sent(t, h, b.Get(w.Request(c.pairs...).URL()), "state of w"); got != c.error {
				t.Errorf("error is %q, want %q", got, c.error)
			}
		})
	}
	t.Run("L9 a parameter that is repeated", func(t *testing.T) {
		a := b.Get(w.Request().URL() + "&scope=openid")
		if got := sent(t, h, a, "state of w"); got != "invalid_request" {
			t.Errorf("error is %q", got)
		}
	})
	t.Run("L9 a parameter that is repeated, once without a value", func(t *testing.T) {
		for _, query := range []string{"&prompt=&prompt=none", "&prompt=none&prompt="} {
			if got := sent(t, h, b.Get(w.Request().URL()+query), "state of w"); got != "invalid_request" {
				t.Errorf("%s: error is %q", query, got)
			}
		}
	})
	t.Run("L9 HEAD", func(t *testing.T) {
		for _, path := range []string{w.Request().URL(), "/authorize/resume?id=x", "/logout"} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodHead, h.Issuer+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Cookie", "session="+b.Cookie("session"))
			if a := h.Send(&http.Client{}, r); a.Status != http.StatusMethodNotAllowed || a.Header.Get("Location") != "" {
				t.Errorf("%s: %d %s", path, a.Status, a.Header.Get("Location"))
			}
		}
	})
	t.Run("L9 a client_id that is repeated", func(t *testing.T) { stays(t, b.Get(w.Request().URL()+"&client_id=w"), "client_id") })
	t.Run("L9 a redirect_uri that is repeated", func(t *testing.T) {
		stays(t, b.Get(w.Request().URL()+"&redirect_uri=https%3A%2F%2Fevil.test"), "redirect_uri")
	})
	t.Run("a value of 3000 bytes", func(t *testing.T) {
		if got := sent(t, h, b.Get(w.Request("nonce", strings.Repeat("n", 3000)).URL()), "state of w"); got != "invalid_request" {
			t.Errorf("error is %q", got)
		}
	})
	t.Run("too many parameters", func(t *testing.T) { stays(t, b.Get(w.Request().URL()+strings.Repeat("&a=b", 100)), "") })
	t.Run("bytes that are no text", func(t *testing.T) { stays(t, b.Get("/authorize?client_id=%ff"), "client_id") })
}

func TestOIDCCore3121_AC031_PromptNoneNeverAsks(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w := h.Client("w")
	b := h.Browser()
	none := func() string { return sent(t, h, b.Get(w.Request("prompt", "none").URL()), "state of w") }
	if got := none(); got != "login_required" {
		t.Errorf("without a session: %q", got)
	}
	b.SignIn("alice")
	if got := none(); got != "consent_required" {
		t.Errorf("without consent: %q", got)
	}
	b.Authorize(w.Request(), "alice")
	if got := none(); got != "" {
		t.Errorf("with both: %q", got)
	}
}

func TestOIDCCore3121_AC037_AHintThatNamesSomebodyElseIsLoginRequired(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	h.User("bob")
	w := h.Client("w", providertest.Trusted)
	hint := w.SignIn("bob").ID
	b := h.Browser()
	b.SignIn("alice")
	if got := sent(t, h, b.Get(w.Request("prompt", "none", "id_token_hint", hint).URL()), "state of w"); got != "login_required" {
		t.Errorf("with prompt=none: %q", got)
	}
	t.Run("and so it is when she signs in once more", func(t *testing.T) {
		if got := sent(t, h, b.Authorize(w.Request("id_token_hint", hint), "alice"), "state of w"); got != "login_required" {
			t.Errorf("error is %q", got)
		}
	})
	t.Run("but bob may", func(t *testing.T) {
		if got := sent(t, h, b.Authorize(w.Request("id_token_hint", hint), "bob"), "state of w"); got != "" {
			t.Errorf("error is %q", got)
		}
	})
	t.Run("another client's ID token is no hint", func(t *testing.T) {
		other := h.Client("other", providertest.Trusted).SignIn("bob").ID
		if got := sent(t, h, b.Get(w.Request("id_token_hint", other).URL()), "state of w"); got != "invalid_request" {
			t.Errorf("error is %q", got)
		}
	})
	t.Run("AC-114 an access token is no hint", func(t *testing.T) {
		if got := sent(t, h, b.Get(w.Request("id_token_hint", w.SignIn("bob").Access).URL()), "state of w"); got != "invalid_request" {
			t.Errorf("error is %q", got)
		}
	})
}

func TestOIDCCore3121_AC035_MaxAgeAndPromptLoginAskAgainOnce(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w := h.Client("w", providertest.Trusted)
	for _, c := range []struct {
		name  string
		pairs []string
		again bool
	}{
		{"max_age=0", []string{"max_age", "0"}, true},
		{"a max_age that is over", []string{"max_age", "3"}, true},
		{"a max_age that is not", []string{"max_age", "3600"}, false},
		{"prompt=login", []string{"prompt", "login"}, true},
		{"prompt=select_account", []string{"prompt", "select_account"}, true},
		{"an unknown prompt", []string{"prompt", "create"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := h.Browser()
			before := authTime(w.SignInWith(b, "alice").ID)
			h.Skip(5 * time.Second)
			q := w.Request(c.pairs...)
			a := b.Get(q.URL())
			if asked := strings.Contains(a.Header.Get("Location"), "/login?"); asked != c.again {
				t.Fatalf("asked to sign in: %v, want %v", asked, c.again)
			}
			after := authTime(w.Token(w.Redemption(b.Walk(a, "alice", "allow").Location().Query().Get("code"), q.Verifier)).Tokens().ID)
			if (after > before) != c.again {
				t.Errorf("auth_time went from %v to %v", before, after)
			}
		})
	}
}

func authTime(idToken string) float64 {
	at, _ := providertest.Claims(idToken)["auth_time"].(float64)
	return at
}

func TestRFC9207S2_AC047_L11_EveryResponseCarriesTheIssuer(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w := h.Client("w", providertest.Trusted)
	b := h.Browser()
	document := b.Get("/.well-known/openid-configuration").JSON()
	if document["authorization_response_iss_parameter_supported"] != true || document["issuer"] != h.Issuer {
		t.Errorf("discovery says %v", document)
	}
	if got := sent(t, h, b.Authorize(w.Request(), "alice"), "state of w"); got != "" {
		t.Errorf("error %q", got)
	}
	for _, c := range []struct {
		name  string
		pairs []string
		want  string
	}{
		{"a code by form_post", []string{"response_mode", "form_post"}, "code"},
		{"an error by form_post", []string{"response_mode", "form_post", "scope", "bogus"}, "error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := b.Get(w.Request(c.pairs...).URL())
			fields := a.JSON()
			if a.Header.Get("Form-Action") != "https://rp.test/cb" || fields["iss"] != h.Issuer || fields["state"] != "state of w" || fields[c.want] == nil {
				t.Errorf("posted to %q: %v", a.Header.Get("Form-Action"), fields)
			}
		})
	}
}

func TestRFC6749S412_StateAndNonceComeBackByteForByte(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w := h.Client("w", providertest.Trusted, func(m *storage.ClientMetadata) { m.RedirectURIs = []string{"https://rp.test/cb?tenant=a%2Fb&x"} })
	hostile := strings.Repeat(`"><script>x</script> +&=%20é;#?/\`, 12)
	q := w.Request("state", hostile, "nonce", hostile)
	a := h.Browser().Authorize(q, "alice")
	if !strings.HasPrefix(a.Header.Get("Location"), "https://rp.test/cb?tenant=a%2Fb&x&code=ghc_") {
		t.Errorf("Location is %s", a.Header.Get("Location"))
	}
	if got := a.Location().Query().Get("state"); got != hostile {
		t.Errorf("state came back as %q", got)
	}
	tokens := w.Token(w.Redemption(a.Location().Query().Get("code"), q.Verifier)).Tokens()
	if got := providertest.Claims(tokens.ID)["nonce"]; got != hostile {
		t.Errorf("nonce came back as %q", got)
	}
}

func TestOIDCCore3121_ARequestMayBePosted(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w := h.Client("w")
	b := h.Browser()
	q := w.Request()
	// A browser shows no Lax cookie with a cross-site POST: another browser stands for it.
	posted := h.Browser().Post("/authorize", q.Values)
	if posted.Status != http.StatusSeeOther || !strings.HasPrefix(posted.Header.Get("Location"), h.Issuer+"/authorize/resume?id=") {
		t.Fatalf("status %d, Location %s", posted.Status, posted.Header.Get("Location"))
	}
	if len(posted.Header.Values("Set-Cookie")) > 0 {
		t.Error("it sets a cookie over the one that the browser did not show")
	}
	if got := sent(t, h, b.Walk(posted, "alice", "allow"), "state of w"); got != "" {
		t.Errorf("error %q", got)
	}
	t.Run("L4 and belongs to the browser that came first", func(t *testing.T) {
		posted := h.Browser().Post("/authorize", w.Request().Values)
		first := b.Get(posted.Header.Get("Location"))
		if first.Status != http.StatusSeeOther {
			t.Fatalf("the first browser got %d", first.Status)
		}
		if second := h.Browser().Get(posted.Header.Get("Location")); second.Status != http.StatusBadRequest {
			t.Errorf("the second got %d to %s", second.Status, second.Header.Get("Location"))
		}
	})
	t.Run("R2 with its parameters in the body alone", func(t *testing.T) {
		stays(t, b.Post(w.Request().URL(), url.Values{}), "")
	})
}

func TestAC128_L4_ARequestIsWorthNothingInAnotherBrowser(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w := h.Client("w")
	attacker, victim := h.Browser(), h.Browser()
	login := attacker.Get(w.Request().URL())
	id := login.Location().Query().Get("request")
	if id == "" {
		t.Fatalf("no request in %v", login.Location())
	}
	t.Run("the victim is told so at the sign-in page", func(t *testing.T) {
		a := victim.Walk(login, "alice", "allow")
		if a.Status != http.StatusBadRequest || a.Header.Get("Page-Message") != provider.OtherBrowser {
			t.Errorf("status %d, message %q", a.Status, a.Header.Get("Page-Message"))
		}
	})
	t.Run("and resuming gives neither a code", func(t *testing.T) {
		victim.SignIn("alice")
		for name, b := range map[string]*providertest.Browser{"victim": victim, "attacker": attacker} {
			a := b.Get("/authorize/resume?id=" + id)
			if strings.Contains(a.Header.Get("Location"), "code=") || strings.HasPrefix(a.Header.Get("Location"), "https://rp.test") {
				t.Errorf("the %s got %s", name, a.Header.Get("Location"))
			}
		}
	})
}

func TestOIDCCore3124_ConsentIsAskedOnceForClientAndScope(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w := h.Client("w")
	b := h.Browser()
	b.SignIn("alice")
	asked := func(pairs ...string) bool {
		a := b.Get(w.Request(pairs...).URL())
		asked := strings.Contains(a.Header.Get("Location"), "/consent?")
		b.Walk(a, "alice", "allow")
		return asked
	}
	for _, step := range []struct {
		name  string
		pairs []string
		want  bool
	}{
		{"the first time", nil, true},
		{"not again", nil, false},
		{"not for less", []string{"scope", "openid"}, false},
		{"for more", []string{"scope", "openid address"}, true},
		{"not again for more", []string{"scope", "openid address email"}, false},
		{"when the client asks for it", []string{"prompt", "consent"}, true},
	} {
		if got := asked(step.pairs...); got != step.want {
			t.Errorf("%s: asked %v, want %v", step.name, got, step.want)
		}
	}
	t.Run("a no is access_denied, and is not remembered", func(t *testing.T) {
		a := b.Walk(b.Get(w.Request("prompt", "consent").URL()), "alice", "deny")
		if got := sent(t, h, a, "state of w"); got != "access_denied" {
			t.Errorf("error %q", got)
		}
		if asked() {
			t.Error("what was allowed before is forgotten")
		}
	})
}

func TestAParkedRequestAnswersOnceAndInTime(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w := h.Client("w", providertest.Trusted)
	b := h.Browser()
	login := b.Get(w.Request().URL())
	id := login.Location().Query().Get("request")
	if got := sent(t, h, b.Walk(login, "alice", "allow"), "state of w"); got != "" {
		t.Fatalf("error %q", got)
	}
	page := b.Get("/authorize/resume?id=" + id)
	if page.Status != http.StatusBadRequest || page.Header.Get("Page-Message") != provider.RequestSpent || page.Header.Get("Page-Client") != "https://rp.test/" {
		t.Errorf("resumed again: %d %q, the way on is %q", page.Status, page.Header.Get("Page-Message"), page.Header.Get("Page-Client"))
	}
	late := h.Browser()
	id = late.Get(w.Request().URL()).Location().Query().Get("request")
	h.Skip(61 * time.Minute)
	page = late.Get("/authorize/resume?id=" + id)
	if page.Status != http.StatusBadRequest || page.Header.Get("Page-Message") != provider.RequestExpired {
		t.Errorf("resumed late: %d %q", page.Status, page.Header.Get("Page-Message"))
	}
	page = b.Get("/authorize/resume?id=nothing")
	if page.Status != http.StatusBadRequest || page.Header.Get("Page-Message") != provider.RequestUnknown {
		t.Errorf("never parked: %d %q", page.Status, page.Header.Get("Page-Message"))
	}
}

func TestOIDCCore3121_WhatIsOptionalIsTolerated(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w := h.Client("w", providertest.Trusted)
	b := h.Browser()
	b.SignIn("alice")
	for _, pairs := range [][]string{
		{"display", "popup"}, {"display", "hologram"}, {"login_hint", "nobody@nowhere.test"}, {"ui_locales", "tlh fr-CA vi"}, {"ui_locales", "!!"},
		{"claims_locales", "se"}, {"acr_values", "9 8"}, {"a_parameter_of_tomorrow", "x"}, {"scope", "email profile openid"}, {"scope", "openid openid"},
		{"response_mode", "query"}, {"nonce", ""}, {"state", ""}, {"prompt", "create"}, {"max_age", "99999999"},
	} {
		t.Run(strings.Join(pairs, "="), func(t *testing.T) {
			state := "state of w"
			if pairs[0] == "state" {
				state = ""
			}
			if got := sent(t, h, b.Get(w.Request(pairs...).URL()), state); got != "" {
				t.Errorf("error is %q", got)
			}
		})
	}
}

func TestRFC8707S2_AResourceNarrowsTheAudience(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w := h.Client("w", providertest.Trusted, func(m *storage.ClientMetadata) { m.Audience = []string{"https://a.test", "https://b.test"} })
	b := h.Browser()
	b.SignIn("alice")
	aud := func(token string) []any { a, _ := providertest.Claims(token)["aud"].([]any); return a }
	if got := aud(w.SignInWith(b, "alice").Access); len(got) != 2 {
		t.Errorf("without resource: %v", got)
	}
	q := w.Request()
	q.Values["resource"] = []string{"https://a.test", "https://b.test"} // the one that may repeat
	code := b.Authorize(q, "alice").Location().Query().Get("code")
	if got := aud(w.Token(w.Redemption(code, q.Verifier), "resource", "https://b.test").Tokens().Access); len(got) != 1 || got[0] != "https://b.test" {
		t.Errorf("narrowed: %v", got)
	}
}
