package provider_test

import (
	"context"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/provider"
	"gatehouse/provider/providertest"
	"gatehouse/storage"
)

// refused reports an answer that is not this error, or that somebody may keep.
func refused(t *testing.T, a *providertest.Answer, code string) {
	t.Helper()
	if got := a.Tokens().Error; got != code || a.Status < 400 || a.Status > 499 {
		t.Errorf("got %d %s, want %s", a.Status, a.Body, code)
	}
	if a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("Cache-Control is %q", a.Header.Get("Cache-Control"))
	}
	if (a.Status == http.StatusUnauthorized) != (a.Header.Get("WWW-Authenticate") != "") {
		t.Errorf("status %d with WWW-Authenticate %q", a.Status, a.Header.Get("WWW-Authenticate"))
	}
}

func TestAC049_ASecondUseOfACodeEndsWhatTheFirstGave(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w := h.Client("w", providertest.Trusted)
	code, verifier := w.Code(h.Browser(), "alice")
	tokens := w.Token(w.Redemption(code, verifier)).Tokens()
	if !h.Alive(tokens.Access) {
		t.Fatal("the access token does not work")
	}
	refused(t, w.Token(w.Redemption(code, verifier)), "invalid_grant")
	if h.Alive(tokens.Access) {
		t.Error("the access token lives")
	}
	refused(t, w.Refresh(tokens.Refresh), "invalid_grant")
}

func TestAC050_L2_Of32RedemptionsOfOneCodeOneWorks(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w := h.Client("w", providertest.Trusted)
	form := w.Redemption(w.Code(h.Browser(), "alice"))
	var won atomic.Int32
	var tokens providertest.Tokens
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			if a := w.Token(form); a.Status == http.StatusOK {
				won.Add(1)
				tokens = a.Tokens()
			} else if a.Tokens().Error != "invalid_grant" {
				t.Errorf("a replay got %d %s", a.Status, a.Body)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Fatalf("%d redemptions worked", won.Load())
	}
	if h.Alive(tokens.Access) {
		t.Error("the rest were replays, and the grant lives")
	}
	refused(t, w.Refresh(tokens.Refresh), "invalid_grant")
}

func TestACodeIsBoundToItsClientRedirectAndVerifier(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w, p := h.Client("w", providertest.Trusted), h.Client("p", providertest.Public, providertest.Trusted)
	other := h.Client("other", providertest.Trusted)
	for _, c := range []struct {
		name   string
		of, by *providertest.Party
		pairs  []string
		error  string
		spent  bool
	}{
		{"AC-053 redeemed by a public client", w, p, nil, "invalid_grant", true},
		{"AC-053 redeemed by another client with its own secret", w, other, nil, "invalid_grant", true},
		{"AC-054 another redirect_uri", w, w, []string{"redirect_uri", "https://rp.test/other"}, "invalid_grant", true},
		{"AC-054 no redirect_uri", w, w, []string{"redirect_uri", ""}, "invalid_request", false},
		{"AC-056 no verifier, public client", p, p, []string{"code_verifier", ""}, "invalid_grant", true},
		{"L1 no verifier, confidential client", w, w, []string{"code_verifier", ""}, "invalid_grant", true},
		{"AC-266 somebody else's verifier", p, p, []string{"code_verifier", strings.Repeat("v", 43)}, "invalid_grant", true},
		{"AC-059 a verifier of 42 characters", w, w, []string{"code_verifier", strings.Repeat("v", 42)}, "invalid_grant", true},
		{"AC-059 a verifier of 129 characters", w, w, []string{"code_verifier", strings.Repeat("v", 129)}, "invalid_grant", true},
		{"AC-059 a verifier of another alphabet", w, w, []string{"code_verifier", strings.Repeat("v", 43) + "!"}, "invalid_grant", true},
		{"L6 the challenge itself, as plain", w, w, []string{"code_verifier", "challenge"}, "invalid_grant", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := c.of.Request()
			code := h.Browser().Authorize(q, "alice").Location().Query().Get("code")
			form := c.of.Redemption(code, q.Verifier)
			wrong := url.Values{}
			for k, v := range form {
				wrong[k] = v
			}
			for i := 0; i+1 < len(c.pairs); i += 2 {
				wrong.Set(c.pairs[i], c.pairs[i+1])
			}
			if wrong.Get("code_verifier") == "challenge" {
				wrong.Set("code_verifier", q.Get("code_challenge"))
			}
			refused(t, c.by.Token(wrong), c.error)
			if worked := c.of.Token(form).Status == http.StatusOK; worked == c.spent {
				t.Errorf("the right request then worked: %v", worked)
			}
		})
	}
}

func TestAC266_AStolenCodeLeavesAnAlert(t *testing.T) {
	h := providertest.New(t)
	user := h.User("alice")
	w := h.Client("w", providertest.Trusted)
	code, _ := w.Code(h.Browser(), "alice")
	refused(t, w.Token(w.Redemption(code, strings.Repeat("v", 43))), "invalid_grant")
	events, err := h.Store.Events.List(t.Context(), time.Time{}, 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if e.Name == "grant.revoked" && e.Subject == user.ID && e.ClientID == "w" && strings.Contains(e.Details["reason"], "verifier") {
			return
		}
	}
	t.Errorf("no such line in %v", events)
}

func TestAC060_ACodeIsOverAfterAMinute(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w := h.Client("w", providertest.Trusted)
	form := w.Redemption(w.Code(h.Browser(), "alice"))
	h.Skip(61 * time.Second)
	refused(t, w.Token(form), "invalid_grant")
}

func TestAC063_L9_ParametersOfTheTokenEndpointStandInTheBody(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w := h.Client("w", providertest.Trusted, func(m *storage.ClientMetadata) { m.TokenEndpointAuthMethod = "client_secret_post" })
	form := w.Redemption(w.Code(h.Browser(), "alice"))
	form.Set("client_id", w.ID)
	form.Set("client_secret", w.Secret)
	refused(t, h.Browser().Post("/token?"+form.Encode(), url.Values{}), "invalid_request")
	refused(t, h.Browser().Post("/token?x=y", form), "invalid_request")
	if a := h.Browser().Get("/token?" + form.Encode()); a.Status != http.StatusMethodNotAllowed && a.Status != http.StatusNotFound && strings.Contains(a.Body, "access_token") {
		t.Errorf("GET got %d %s", a.Status, a.Body)
	}
	if strings.Contains(h.Log.String(), w.Secret) {
		t.Error("the secret is in the log")
	}
	t.Run("R2 a repeated parameter", func(t *testing.T) {
		twice := url.Values{"grant_type": {"authorization_code", "authorization_code"}, "client_id": {w.ID}, "client_secret": {w.Secret}}
		refused(t, h.Browser().Post("/token", twice), "invalid_request")
	})
	if a := w.Token(w.Redemption(form.Get("code"), form.Get("code_verifier"))); a.Status != http.StatusOK {
		t.Errorf("the code is spent: %s", a.Body)
	}
}

func TestAC064_TheTokenEndpointReadsFormsAlone(t *testing.T) {
	h := providertest.New(t)
	w := h.Client("w")
	for contentType, body := range map[string]string{
		"application/json":                  `{"grant_type":"client_credentials"}`,
		"multipart/form-data; boundary=x":   "--x\r\nContent-Disposition: form-data; name=\"grant_type\"\r\n\r\nclient_credentials\r\n--x--\r\n",
		"":                                  "grant_type=client_credentials",
		"text/plain":                        "grant_type=client_credentials",
		"application/x-www-form-urlencoded": "grant_type=client_credentials&" + strings.Repeat("a=b&", 100),
	} {
		t.Run(contentType, func(t *testing.T) {
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, h.Issuer+"/token", strings.NewReader(body))
			r.Header["Content-Type"] = []string{contentType}
			r.SetBasicAuth(w.ID, w.Secret)
			refused(t, h.Send(http.DefaultClient, r), "invalid_request")
		})
	}
}

func TestOIDCCore9_OnlyTheRegisteredMethodAuthenticatesAClient(t *testing.T) {
	h := providertest.New(t)
	basic := h.Client("basic")
	post := h.Client("post", func(m *storage.ClientMetadata) { m.TokenEndpointAuthMethod = "client_secret_post" })
	public := h.Client("public", providertest.Public)
	grant := url.Values{"grant_type": {"client_credentials"}}
	send := func(header, body *providertest.Party, extra ...string) *providertest.Answer {
		form := url.Values{"grant_type": {"client_credentials"}}
		if body != nil {
			form.Set("client_id", body.ID)
			form.Set("client_secret", body.Secret)
		}
		for i := 0; i+1 < len(extra); i += 2 {
			form.Set(extra[i], extra[i+1])
		}
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, h.Issuer+"/token", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if header != nil {
			r.SetBasicAuth(header.ID, header.Secret)
		}
		return h.Send(http.DefaultClient, r)
	}
	for _, c := range []struct {
		name, error string
		answer      *providertest.Answer
	}{
		{"client_secret_basic", "", basic.Token(grant)},
		{"client_secret_post", "", post.Token(grant)},
		{"AC-065 both", "invalid_request", send(basic, basic)},
		{"AC-065 another client_id beside the header", "invalid_request", send(basic, nil, "client_id", "other")},
		{"the same client_id beside the header", "", send(basic, nil, "client_id", "basic")},
		{"AC-067 registered for basic, sent in the body", "invalid_client", send(nil, basic)},
		{"AC-067 registered for post, sent in the header", "invalid_client", send(post, nil)},
		{"a confidential client without a secret", "invalid_client", send(nil, nil, "client_id", "basic")},
		{"a public client with a secret", "invalid_client", send(nil, nil, "client_id", "public", "client_secret", "anything")},
		{"AC-080 client_credentials by a public client", "invalid_client", public.Token(grant)},
		{"nobody", "invalid_client", send(nil, nil)},
		{"an assertion, which nobody registered", "invalid_client", send(nil, nil, "client_assertion", "a.b.c",
			"client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")},
		{"an assertion beside a secret", "invalid_request", send(basic, nil, "client_assertion", "a.b.c")},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.error != "" {
				refused(t, c.answer, c.error)
			} else if c.answer.Status != http.StatusOK {
				t.Errorf("got %d %s", c.answer.Status, c.answer.Body)
			}
		})
	}
}

// A counting drawer counts the reads of clients.
type counting struct {
	storage.Clients
	reads *atomic.Int64
}

func (c counting) Get(ctx context.Context, id string) (*storage.Client, error) {
	c.reads.Add(1)
	return c.Clients.Get(ctx, id)
}

func TestAC068_L3_WhoIsNoClientLooksLikeAWrongSecret(t *testing.T) {
	var reads atomic.Int64
	h := providertest.New(t, func(c *provider.Config) { c.Store.Clients = counting{c.Store.Clients, &reads} })
	h.Run()
	right, disabled := h.Client("right"), h.Client("disabled")
	c, err := h.Store.Clients.Get(t.Context(), "disabled")
	if err != nil {
		t.Fatal(err)
	}
	c.DisabledAt = h.Now()
	if err := h.Store.Clients.Update(t.Context(), c, h.Now(), nil); err != nil {
		t.Fatal(err)
	}
	wrong, unknown := *right, *right
	wrong.Secret = "ghs_wrong"
	unknown.ID = "unknown"
	time.Sleep(1100 * time.Millisecond) // the memory has seen the change
	right.Token(url.Values{"grant_type": {"client_credentials"}})

	type look struct {
		status int
		body   string
		header string
		reads  int64
	}
	looks := make(map[string]look)
	for name, party := range map[string]*providertest.Party{"wrong secret": &wrong, "unknown": &unknown, "disabled": disabled} {
		for _, form := range []url.Values{{"grant_type": {"client_credentials"}}, {"grant_type": {"authorization_code"}, "code": {"live?"}}} {
			before := reads.Load()
			a := party.Token(form)
			refused(t, a, "invalid_client")
			a.Header.Del("Date")
			looks[name+form.Get("grant_type")] = look{a.Status, a.Body, strings.Join(keysOf(a.Header), ","), reads.Load() - before}
		}
	}
	want := looks["wrong secretclient_credentials"]
	for name, got := range looks {
		if got != want {
			t.Errorf("%s looks like %+v, a wrong secret like %+v", name, got, want)
		}
	}
	if want.reads != 1 {
		t.Errorf("%d reads of a client, want 1", want.reads)
	}
}

func keysOf(h http.Header) []string {
	var all []string
	for _, k := range []string{"Cache-Control", "Content-Length", "Content-Type", "Pragma", "Www-Authenticate", "Vary", "Set-Cookie"} {
		all = append(all, k+"="+strings.Join(h.Values(k), ";"))
	}
	return all
}

func TestAC077_OnlyGrantTypesThatTheClientRegistered(t *testing.T) {
	h := providertest.New(t)
	w := h.Client("w")
	codeOnly := h.Client("code-only", func(m *storage.ClientMetadata) { m.GrantTypes = []string{"authorization_code"} })
	for _, c := range []struct {
		name      string
		party     *providertest.Party
		grantType string
		error     string
	}{
		{"password", w, "password", "unsupported_grant_type"},
		{"unknown", w, "bogus", "unsupported_grant_type"},
		{"missing", w, "", "invalid_request"},
		{"implicit", w, "implicit", "unsupported_grant_type"},
		{"one that it did not register", codeOnly, "client_credentials", "unauthorized_client"},
		{"another that it did not register", codeOnly, "refresh_token", "unauthorized_client"},
	} {
		t.Run(c.name, func(t *testing.T) { refused(t, c.party.Token(url.Values{"grant_type": {c.grantType}}), c.error) })
	}
}

func TestAC079_TokenResponsesAreNobodysToKeep(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w := h.Client("w", providertest.Trusted)
	a := w.Token(w.Redemption(w.Code(h.Browser(), "alice")))
	if a.Status != http.StatusOK || a.Header.Get("Content-Type") != "application/json" || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v", a.Status, a.Header)
	}
	if a.Header.Get("Access-Control-Allow-Credentials") != "" || a.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("it answers other origins: %v", a.Header)
	}
	if got := a.Tokens(); got.Type != "Bearer" || got.ExpiresIn != 600 || got.Scope != "openid profile email" {
		t.Errorf("the response is %+v", got)
	}
}

func TestRFC6749S44_ClientCredentials(t *testing.T) {
	h := providertest.New(t)
	w := h.Client("w", func(m *storage.ClientMetadata) {
		m.Scope = "openid api write"
		m.Audience = []string{"https://api.test", "https://other.test"}
	})
	ask := func(pairs ...string) *providertest.Answer {
		return w.Token(url.Values{"grant_type": {"client_credentials"}}, pairs...)
	}
	claims := providertest.Claims(ask().Tokens().Access)
	for name, want := range map[string]any{"iss": h.Issuer, "sub": "w", "client_id": "w", "scope": "api write", "gid": nil} {
		if claims[name] != want {
			t.Errorf("%s is %v, want %v", name, claims[name], want)
		}
	}
	if got := ask("scope", "write", "resource", "https://api.test").Tokens(); got.Scope != "write" || !reflect.DeepEqual(providertest.Claims(got.Access)["aud"], []any{"https://api.test"}) {
		t.Errorf("narrowed: %+v %v", got, providertest.Claims(got.Access)["aud"])
	}
	for _, c := range []struct {
		name, error string
		pairs       []string
	}{
		{"AC-080 a scope beyond registration", "invalid_scope", []string{"scope", "api admin"}},
		{"AC-080 openid, without a person", "invalid_scope", []string{"scope", "openid"}},
		{"a malformed scope", "invalid_scope", []string{"scope", `a"b`}},
		{"a resource that is not its own", "invalid_target", []string{"resource", "https://evil.test"}},
	} {
		t.Run(c.name, func(t *testing.T) { refused(t, ask(c.pairs...), c.error) })
	}
}

func TestNothingIsIssuedWhereStorageDoesNotAnswer(t *testing.T) {
	h := providertest.New(t, func(c *provider.Config) { c.Store.Grants = brokenGrants{c.Store.Grants} })
	h.User("alice")
	w := h.Client("w", providertest.Trusted)
	form := w.Redemption(w.Code(h.Browser(), "alice"))
	a := w.Token(form)
	if a.Status != http.StatusServiceUnavailable || a.Tokens().Error != "temporarily_unavailable" || a.Tokens().Access != "" || a.Header.Get("Retry-After") == "" {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
	if strings.Contains(a.Body, "disk") || !strings.Contains(h.Log.String(), "disk full at /var/secret") {
		t.Errorf("AC-286 the client reads %s; the log is\n%s", a.Body, h.Log)
	}
}

type brokenGrants struct{ storage.Grants }

func (brokenGrants) Redeem(context.Context, storage.Redemption) (*storage.Grant, error) {
	return nil, &url.Error{Op: "write", URL: "/var/secret", Err: errDisk}
}

type diskError struct{}

func (diskError) Error() string { return "disk full at /var/secret" }

var errDisk = diskError{}

func TestAC271_HostileCredentialsAreRefusedCheaply(t *testing.T) {
	h := providertest.New(t)
	w := h.Client("w")
	for name, header := range map[string]string{
		"a Basic of 6 kB":         "Basic " + strings.Repeat("QUFB", 1500),
		"a Basic without a colon": "Basic QUFB",
		"a Basic that is no text": "Basic /////w==",
		"another scheme":          "Digest x",
		"nothing":                 "",
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, h.Issuer+"/token", strings.NewReader("grant_type=client_credentials"))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Authorization", header)
			refused(t, h.Send(http.DefaultClient, r), "invalid_client")
		})
	}
	dots := h.Userinfo(strings.Repeat(".", 100_000))
	if dots.Status != http.StatusUnauthorized {
		t.Errorf("100,000 dots got %d", dots.Status)
	}
	if a := w.Refresh("ghr_" + strings.Repeat(".", 1500)); a.Tokens().Error != "invalid_grant" {
		t.Errorf("dots for a refresh token got %s", a.Body)
	}
}
