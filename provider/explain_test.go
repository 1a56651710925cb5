package provider_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/provider"
	"gatehouse/provider/providertest"
	"gatehouse/storage"
)

func codesOf(e *provider.Explanation) []string {
	var codes []string
	for _, f := range e.Findings {
		codes = append(codes, f.Code)
	}
	return codes
}

// whole reports a finding that leaves out what an administrator needs.
func whole(t *testing.T, e *provider.Explanation) {
	t.Helper()
	for _, f := range e.Findings {
		if f.What == "" || f.Evidence == "" || f.Cause == "" || f.Fix == "" || strings.ContainsAny(f.What+f.Cause+f.Fix, "{}") {
			t.Errorf("the finding %s is not whole: %+v", f.Code, f)
		}
	}
}

func TestARefusedRedirectURIIsExplained(t *testing.T) {
	h := providertest.New(t)
	h.Client("web", redirects("https://app.example/callback"))
	h.Client("many", redirects("https://app.example/callback", "https://app.example/other", "https://staging.example/callback"))
	h.Client("local", redirects("http://localhost:3000/callback"))
	h.Client("literal", native)
	h.Client("query", redirects("https://app.example/callback?tenant=a"))
	h.Client("service", func(m *storage.ClientMetadata) {
		m.RedirectURIs, m.GrantTypes = nil, []string{"client_credentials"}
	})
	b := h.Browser()
	for _, c := range []struct {
		name, client, sent string
		codes              string
		nearest            string // empty: not looked at
		position           int
		characters         string // what is there, and what should be
		fix                string
	}{
		{"the scheme was lost behind a proxy", "web", "http://app.example/callback", "redirect_scheme_lost", "https://app.example/callback", 5, ":s", "X-Forwarded-Proto"},
		{"the scheme was lost, and the inner port came through", "web", "http://app.example:8080/callback", "redirect_scheme_lost redirect_port", "", 5, ":s", "X-Forwarded-Proto"},
		{"a slash too many", "web", "https://app.example/callback/", "redirect_slash", "", 29, "/", "gatehouse client update web --redirect-uri https://app.example/callback --redirect-uri https://app.example/callback/"},
		{"capitals in the path", "web", "https://app.example/Callback", "redirect_path_case", "", 21, "Cc", "as it is registered"},
		{"capitals in the host", "web", "https://App.example/callback", "redirect_host_case", "", 9, "Aa", "lower case"},
		{"another port", "web", "https://app.example:8443/callback", "redirect_port", "", 20, ":/", "gatehouse client update web"},
		{"the default port", "web", "https://app.example:443/callback", "redirect_default_port", "", 20, ":/", "leave the port out"},
		{"with www", "web", "https://www.app.example/callback", "redirect_www", "", 9, "wa", "one name only"},
		{"a query", "web", "https://app.example/callback?next=%2Fhome", "redirect_query_added", "", 29, "?", "state"},
		{"another query", "query", "https://app.example/callback?tenant=b", "redirect_query", "https://app.example/callback?tenant=a", 37, "*a", "state"},
		{"a fragment", "web", "https://app.example/callback#/home", "redirect_fragment", "", 29, "#", "without #"},
		{"another path", "web", "https://app.example/auth/callback", "redirect_path", "", 21, "ac", "gatehouse client update web"},
		{"a letter encoded", "web", "https://app.example/%63allback", "redirect_path_encoding", "", 21, "%c", "as it is registered"},
		{"encoded twice", "web", "https%3A%2F%2Fapp.example%2Fcallback", "redirect_encoded_twice", "", 6, "%:", "plain address"},
		{"a space", "web", "https://app.example/callback ", "redirect_space", "", 29, " ", "take it out"},
		{"no scheme", "web", "app.example/callback", "redirect_malformed", "", 1, "ah", "whole address"},
		{"a password", "web", "https://user:pass@app.example/callback", "redirect_user_information", "", 9, "*a", "take it out"},
		{"127.0.0.1 for localhost", "local", "http://127.0.0.1:3000/callback", "redirect_loopback", "", 8, "1l", "--redirect-uri http://127.0.0.1:3000/callback"},
		{"localhost for 127.0.0.1", "literal", "http://localhost:5000/cb", "redirect_loopback redirect_port", "", 8, "l1", "registered name"},
		{"another host", "web", "https://evil.example/callback", "redirect_host", "", 9, "ea", "only if that host is the application's own"},
		{"the nearest of several", "many", "https://app.example/othre", "redirect_path", "https://app.example/other", 24, "re", "gatehouse client update many"},
		{"the nearest of several hosts", "many", "http://staging.example/callback", "redirect_scheme_lost", "https://staging.example/callback", 5, ":s", "X-Forwarded-Proto"},
		{"none is registered", "service", "https://app.example/callback", "redirect_none_registered", "", 0, "", "--redirect-uri https://app.example/callback"},
		{"one that a shell would run", "web", "https://app.example/$(reboot)';x", "redirect_path", "", 21, "$c", `'https://app.example/$(reboot)'\'';x'`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &providertest.Party{ID: c.client}
			a := b.Get(w.Request("redirect_uri", c.sent).URL())
			stays(t, a, "redirect_uri")
			e := h.Explain(a.Header.Get("X-Request-Id"))
			whole(t, e)
			if got := strings.Join(codesOf(e), " "); got != c.codes {
				t.Fatalf("the findings are %q, want %q", got, c.codes)
			}
			if c.nearest != "" && e.Expected != c.nearest {
				t.Errorf("the nearest is %q, want %q", e.Expected, c.nearest)
			}
			if c.position > 0 && (e.Difference == nil || e.Difference.Position != c.position || e.Difference.Sent+e.Difference.Expected != c.characters) {
				t.Errorf("the first difference is %+v, want character %d, %q", e.Difference, c.position, c.characters)
			}
			if !slices.ContainsFunc(e.Findings, func(f provider.Finding) bool { return strings.Contains(f.Fix, c.fix) }) {
				t.Errorf("no fix has %q: %+v", c.fix, e.Findings)
			}
			if e.Kind != "redirect_uri" || e.ClientID != c.client || e.Answered {
				t.Errorf("it is explained as %+v", e)
			}
		})
	}
}

func TestARedirectURIThatWasRegisteredSinceIsSaidToBe(t *testing.T) {
	h := providertest.New(t)
	w := h.Client("web", redirects("https://app.example/a"))
	code := h.Browser().Get(w.Request("redirect_uri", "https://app.example/b").URL()).Header.Get("X-Request-Id")
	c, err := h.Store.Clients.Get(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	m := c.Metadata
	m.RedirectURIs = []string{"https://app.example/a", "https://app.example/b"}
	if err := h.Registrar.Update(t.Context(), c, m); err != nil {
		t.Fatal(err)
	}
	if got := codesOf(h.Explain(code)); !slices.Equal(got, []string{"redirect_registered_since"}) {
		t.Errorf("the findings are %q", got)
	}
}

func TestAnUnknownClientIsExplained(t *testing.T) {
	h := providertest.New(t)
	w := h.Client("Web-App")
	declared := storage.ClientMetadata{RedirectURIs: []string{"https://rp.test/cb"}, TokenEndpointAuthMethod: "none"}
	if err := h.Registrar.Declare(t.Context(), []provider.Declaration{{ID: "filed", Metadata: declared}}); err != nil {
		t.Fatal(err)
	}
	if err := h.Registrar.Declare(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	b := h.Browser()
	refused := func(id string) *provider.Explanation {
		a := b.Get(w.Request("client_id", id).URL())
		stays(t, a, "client_id")
		e := h.Explain(a.Header.Get("X-Request-Id"))
		whole(t, e)
		return e
	}
	if e := refused("web-app"); codesOf(e)[0] != "client_not_there" || !strings.Contains(e.Findings[0].Evidence, `"Web-App"`) {
		t.Errorf("an id in other letters is explained as %+v", e.Findings)
	}
	if e := refused("nobody"); codesOf(e)[0] != "client_not_there" || strings.Contains(e.Findings[0].Evidence, "there is one") {
		t.Errorf("an unknown id is explained as %+v", e.Findings)
	}
	if e := refused("filed"); codesOf(e)[0] != "client_undeclared" {
		t.Errorf("a client that left the file is explained as %+v", e.Findings)
	}
	early := b.Get(w.Request("client_id", "late").URL()).Header.Get("X-Request-Id")
	h.Skip(time.Minute)
	h.Client("late")
	if e := h.Explain(early); codesOf(e)[0] != "client_came_later" {
		t.Errorf("a client that was made later is explained as %+v", e.Findings)
	}
}

// Every error that goes to the client is explained too, under the id that the log has.
func TestAnErrorThatTheClientWasSentIsExplained(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w := h.Client("w")
	h.Client("service", func(m *storage.ClientMetadata) { m.GrantTypes = []string{"client_credentials"} })
	signedIn := h.Browser()
	signedIn.SignIn("alice")
	for _, c := range []struct {
		name  string
		pairs []string
		code  string
		fix   string
	}{
		{"no PKCE", []string{"code_challenge", "", "code_challenge_method", ""}, "code_challenge", "PKCE with S256"},
		{"a challenge that is none", []string{"code_challenge", "short"}, "code_challenge", "PKCE"},
		{"PKCE by plain", []string{"code_challenge_method", "plain"}, "code_challenge_method", "S256"},
		{"a scope that is not registered", []string{"scope", "openid admin"}, "scope", `gatehouse client update w --scope 'openid profile email address phone offline_access api admin'`},
		{"no scope", []string{"scope", ""}, "scope_missing", "openid"},
		{"a scope with quotation marks", []string{"scope", `"openid"`}, "scope_malformed", "one space"},
		{"no response_type", []string{"response_type", ""}, "response_type", "code"},
		{"the implicit flow", []string{"response_type", "id_token token"}, "response_type", "response_type=code"},
		{"a fragment asked for", []string{"response_mode", "fragment"}, "response_mode", "query or form_post"},
		{"a resource that is not registered", []string{"resource", "https://api.example"}, "resource", "gatehouse client update w --audience https://api.example"},
		{"prompt none and login", []string{"prompt", "none login"}, "prompt", "alone"},
		{"max_age in words", []string{"max_age", "1h"}, "max_age", "seconds"},
		{"a hint that is no ID token", []string{"id_token_hint", "eyJhbGciOiJub25lIn0.e30."}, "id_token_hint", "token inspect"},
		{"claims that are no JSON", []string{"claims", "{"}, "claims", "JSON"},
		{"a request object", []string{"request", "eyJhbGciOiJub25lIn0.e30."}, "request", "parameters themselves"},
		{"a reference to a request", []string{"request_uri", "https://rp.test/r"}, "request_uri", "parameters themselves"},
		{"a parameter that is too long", []string{"ui_locales", strings.Repeat("x", 3000)}, "parameter_malformed", "each parameter once"},
		{"nobody signed in, and no page allowed", []string{"prompt", "none"}, "login_required", "without prompt=none"},
		{"not yet allowed, and no page allowed", []string{"prompt", "none"}, "consent_required", "--skip-consent"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := h.Browser()
			if c.code == "consent_required" {
				b = signedIn
			}
			a := b.Get(w.Request(c.pairs...).URL())
			sent(t, h, a, "state of w")
			e := h.Explain(a.Header.Get("X-Request-Id"))
			whole(t, e)
			if got := codesOf(e); !slices.Equal(got, []string{c.code}) {
				t.Fatalf("the findings are %q, want %q", got, c.code)
			}
			if !strings.Contains(e.Findings[0].Fix, c.fix) {
				t.Errorf("the fix is %q, want %q in it", e.Findings[0].Fix, c.fix)
			}
			if !e.Answered || e.ClientID != "w" || e.Details["error"] == "" {
				t.Errorf("it is explained as %+v", e)
			}
		})
	}
}

func TestAPersonWhoDeclinesIsNoMistake(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w := h.Client("w")
	b := h.Browser()
	a := b.Walk(b.Get(w.Request().URL()), "alice", "deny")
	if got := sent(t, h, a, "state of w"); got != "access_denied" {
		t.Fatalf("the error is %q", got)
	}
	if got := codesOf(h.Explain(a.Header.Get("X-Request-Id"))); !slices.Equal(got, []string{"access_denied"}) {
		t.Errorf("the findings are %q", got)
	}
}

func TestAParkedRequestThatCannotGoOnIsExplained(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w := h.Client("w", providertest.Trusted)
	resume := func(b *providertest.Browser, login *url.URL) string {
		t.Helper()
		a := b.Get("/authorize/resume?id=" + login.Query().Get("request"))
		if a.Status != 400 {
			t.Fatalf("status %d", a.Status)
		}
		return codesOf(h.Explain(a.Header.Get("X-Request-Id")))[0]
	}
	b := h.Browser()
	login := b.Get(w.Request().URL()).Location()
	stranger := h.Browser()
	stranger.SignIn("alice")
	if got := resume(stranger, login); got != "other_browser" {
		t.Errorf("another browser: %s", got)
	}
	if got := resume(b, &url.URL{RawQuery: "request=nothing"}); got != "request.unknown" {
		t.Errorf("an unknown one: %s", got)
	}
	h.Skip(61 * time.Minute)
	if got := resume(b, login); got != "request.expired" {
		t.Errorf("an expired one: %s", got)
	}
	a := b.Authorize(w.Request(), "alice")
	if a.Location() == nil {
		t.Fatal("no code")
	}
	begun := b.Get(w.Request("prompt", "login").URL())
	login = begun.Location()
	b.Walk(begun, "alice", "allow")
	if got := resume(b, login); got != "request.spent" {
		t.Errorf("a spent one: %s", got)
	}
}

func TestARefusedSignOutIsExplained(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w := h.Client("w", providertest.Trusted)
	b := h.Browser()
	code, verifier := w.Code(b, "alice")
	hint := w.Token(url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {w.Redirect}, "code_verifier": {verifier}}).JSON()["id_token"].(string)
	for _, c := range []struct {
		name  string
		query url.Values
		code  string
	}{
		{"a URI that is not registered", url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {"http://rp.test/bye"}}, "redirect_scheme_lost"},
		{"an unknown client", url.Values{"client_id": {"nobody"}}, "client_not_there"},
		{"another client's hint", url.Values{"id_token_hint": {hint}, "client_id": {"nobody"}}, "id_token_hint"},
		{"a repeated parameter", url.Values{"state": {"a", "b"}}, "parameter_malformed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := b.Get("/logout?" + c.query.Encode())
			e := h.Explain(a.Header.Get("X-Request-Id"))
			whole(t, e)
			if got := codesOf(e); !slices.Equal(got, []string{c.code}) || e.Details["endpoint"] != "/logout" {
				t.Errorf("the findings are %q, the details %v", got, e.Details)
			}
		})
	}
}

// What is kept of a failure is read by administrators and stands in backups.
func TestNoSecretIsKeptWithAFailure(t *testing.T) {
	h := providertest.New(t)
	w := h.Client("w")
	b := h.Browser()
	const planted = "PLANTED"
	for _, pairs := range [][]string{
		{"redirect_uri", "https://user:PLANTED@rp.test/cb?code=PLANTED&x=PLANTED#token=PLANTED"},
		{"redirect_uri", "https://PLANTED@evil.test:80:90/?PLANTED=PLANTED"}, // the name of a query is kept: it says what was added
		{"client_id", "ghs_PLANTEDPLANTED"},
		{"scope", "openid openid PLANTED\x00"},
		{"response_type", "token"}, {"code_challenge", "PLANTED"}, {"prompt", "none"}, {"ui_locales", "\xffPLANTED"},
		{"id_token_hint", "eyJPLANTEDPLANTED.eyJPLANTED.PLANTED"}, {"claims", `{"id_token":{"sub":{"value":1},"PLANTED":null}}`},
		{"login_hint", "PLANTED\x00"}, {"resource", "https://api.test/?key=PLANTED"},
	} {
		a := b.Get(w.Request(append(pairs, "state", planted, "nonce", planted)...).URL())
		kept, err := json.Marshal(h.Explain(a.Header.Get("X-Request-Id")))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(strings.ReplaceAll(string(kept), "?PLANTED=***", ""), planted) {
			t.Errorf("%q: it is kept: %s", pairs, kept)
		}
	}
}

// No page and no answer waits for, or fails with, what it is explained by.
func TestAPageComesWhereItsReasonCannotBeKept(t *testing.T) {
	h := providertest.New(t, func(c *provider.Config) { c.Store.Failures = brokenFailures{c.Store.Failures} })
	w := h.Client("w")
	a := h.Browser().Get(w.Request("scope", "openid nothing").URL())
	if got := sent(t, h, a, "state of w"); got != "invalid_scope" {
		t.Errorf("the error is %q", got)
	}
}

type brokenFailures struct{ storage.Failures }

func (brokenFailures) Note(context.Context, *storage.Failure) error { return errors.New("disk full") }
