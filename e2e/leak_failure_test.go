package e2e

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/upstream/upstreamtest"
)

// failEverywhere makes the requests of an application fail in many ways, with
// secrets wherever one can be, and returns the codes under which that is kept.
func failEverywhere(p *person, a *app) (codes []string) {
	p.t.Helper()
	const canary = "CanaryState4711"
	a.server.hide("a state, a nonce or another value of a request", canary)
	p.stopAt = "https:"
	good := url.Values{
		"client_id": {a.client.id}, "redirect_uri": {a.oauth.RedirectURL}, "response_type": {"code"}, "scope": {"openid"}, "state": {canary}, "nonce": {canary},
		"code_challenge": {strings.Repeat("x", 43)}, "code_challenge_method": {"S256"},
	}
	for name, value := range map[string]string{
		"redirect_uri":   "https://user:" + canary + "@app.example/cb?code=" + canary + "#access_token=" + canary,
		"client_id":      "ghs_" + canary + "AAAA",
		"scope":          "openid ghr_" + canary + "AAAA",
		"response_type":  "token",
		"code_challenge": canary,
		"id_token_hint":  "eyJhbGciOiJub25lIn0.eyJub25jZSI6Im4ifQ." + canary,
		"login_hint":     canary + "\x00",
		"resource":       "https://api.example/?key=" + canary,
		"prompt":         "none login",
	} {
		bad := url.Values{}
		for n, v := range good {
			bad[n] = v
		}
		bad.Set(name, value)
		resp, err := http.DefaultTransport.RoundTrip(requestFor(p.t, a.server.endpoint("authorization_endpoint")+"?"+bad.Encode()))
		if err != nil {
			p.t.Fatal(err)
		}
		resp.Body.Close()
		codes = append(codes, resp.Header.Get("X-Request-Id"))
	}
	p.stopAt = ""
	return codes
}

func requestFor(t testing.TB, address string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// explainEach fails the test where what explain says of a code has a secret.
func explainEach(s *server, codes []string) {
	s.t.Helper()
	for _, code := range codes {
		for _, format := range []string{"text", "json"} {
			if found := s.secretIn(s.run("", "explain", code, "-o", format)); found != "" {
				s.t.Errorf("explain %s -o %s prints %s", code, format, found)
			}
		}
	}
}

func TestR21_SecretsOfUpstreamsStandInNoOutputAndNoStore(t *testing.T) {
	t.Parallel()
	op := upstreamtest.New(t)
	elsewhere := t.TempDir()
	secret, file := filepath.Join(elsewhere, "secret"), filepath.Join(elsewhere, "gatehouse.yaml")
	for path, content := range map[string]string{
		secret: upstreamtest.ClientSecret,
		file:   "upstreams:\n  - id: partner\n    issuer: " + op.URL + "\n    client_id: " + upstreamtest.ClientID + "\n    client_secret_file: " + secret + "\n",
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := serve(t, "GATEHOUSE_LOG_LEVEL=debug", "GATEHOUSE_LOG_FILE=gatehouse.log", "GATEHOUSE_CONFIG="+file,
		"GATEHOUSE_OUTBOUND_ALLOW=127.0.0.0/8,::1/128", "GATEHOUSE_REGISTRATION=open")
	s.hide("the client secret at the upstream", upstreamtest.ClientSecret)
	var codes []string
	for name, somebody := range map[string]upstreamtest.Person{
		"good":            {Subject: "good"},
		"another nonce":   {Subject: "nonce", Claims: map[string]any{"nonce": "CanaryNonce4711"}},
		"a refused code":  {Subject: "refused", Refuse: "invalid_grant"},
		"a wrong secret":  {Subject: "secret", Refuse: "invalid_client"},
		"another person":  {Subject: "one", Userinfo: map[string]any{"sub": "two"}, Claims: map[string]any{"email": nil}},
		"an error":        {Subject: "error", Answer: func(q url.Values) { q.Set("error", "server_error"); q.Set("error_description", "ghc_CanaryCanary4711") }},
		"another state":   {Subject: "state", Answer: func(q url.Values) { q.Set("state", "ghu_CanaryCanary4711") }},
		"another issuer":  {Subject: "issuer", Claims: map[string]any{"iss": "https://evil.example"}},
		"nobody's answer": {Subject: "iss", Answer: func(q url.Values) { q.Set("iss", "https://evil.example") }},
	} {
		p := newPerson(t, account{})
		p.stopAt = op.URL
		away := p.visit(s.issuer + "/login/upstream/partner")
		if !strings.HasPrefix(away.address.String(), op.URL) {
			t.Fatalf("%s: the way there leads to %s (%d)", name, away.address, away.status)
		}
		s.hide("a state", away.address.Query().Get("state"))
		s.hide("a nonce", away.address.Query().Get("nonce"))
		back := p.visit(op.SignIn(away.address.String(), somebody))
		if code := pageCode.FindString(back.body); name != "good" {
			if back.status < 400 || code == "" {
				t.Errorf("%s: status %d, code %q", name, back.status, code)
				continue
			}
			codes = append(codes, code)
		}
	}
	for _, given := range op.Given() {
		s.hide("a code or access token of the upstream", given)
	}
	s.hide("a nonce of the upstream", "CanaryNonce4711")
	explainEach(s, codes)
	for _, args := range [][]string{{"doctor"}, {"doctor", "-o", "json"}, {"config", "show"}, {"config", "show", "-o", "json"}, {"user", "list", "-o", "json"}} {
		out, complaint, _ := s.try("", args...) // doctor has something to say of an upstream without pages
		if found := s.secretIn(out + complaint); found != "" || out == "" {
			t.Errorf("gatehouse %s prints %q: %s", strings.Join(args, " "), found, out)
		}
	}
	if found, err := s.secretInStore(); found != "" || err != nil {
		t.Error(found, err)
	}
	s.stop()
	if found := s.secretIn(s.stderr.String()); found != "" {
		t.Errorf("the log has %s", found)
	}
}
