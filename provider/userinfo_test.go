package provider_test

import (
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"gatehouse/provider/providertest"
	"gatehouse/storage"
)

func TestOIDCCore54_ScopesDeliverTheStandardClaims(t *testing.T) {
	h := providertest.New(t)
	u := h.User("alice")
	w := h.Client("w", providertest.Trusted)
	for scope, want := range map[string]map[string]any{
		"openid":         {"sub": u.ID},
		"openid email":   {"sub": u.ID, "email": "alice@example.com", "email_verified": true},
		"phone openid":   {"sub": u.ID, "phone_number": "+15551234567", "phone_number_verified": false},
		"openid address": {"sub": u.ID, "address": map[string]any{"locality": "Oxford", "country": "England"}},
		"openid profile": {"sub": u.ID, "name": "alice Liddell", "given_name": "alice", "family_name": "Liddell",
			"preferred_username": "alice", "locale": "en", "updated_at": float64(u.CreatedAt.Unix())},
	} {
		t.Run(scope, func(t *testing.T) {
			a := h.Userinfo(w.SignIn("alice", "scope", scope).Access)
			if got := a.JSON(); !reflect.DeepEqual(got, want) || a.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

func TestRFC6750S2_WhereAnAccessTokenMayStand(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	token := h.Client("w", providertest.Trusted).SignIn("alice").Access
	send := func(method, query, header string, form url.Values) *providertest.Answer {
		r, err := http.NewRequestWithContext(t.Context(), method, h.Issuer+"/userinfo"+query, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		if form != nil {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		if header != "" {
			r.Header.Set("Authorization", header)
		}
		return h.Send(http.DefaultClient, r)
	}
	for _, c := range []struct {
		name   string
		answer *providertest.Answer
		status int
	}{
		{"in the header of a GET", send("GET", "", "Bearer "+token, nil), 200},
		{"in the header of a POST", send("POST", "", "Bearer "+token, nil), 200},
		{"in the header, in lower case", send("GET", "", "bearer "+token, nil), 200},
		{"in the body of a POST", send("POST", "", "", url.Values{"access_token": {token}}), 200},
		{"AC-103 in the query", send("GET", "?access_token="+token, "", nil), 400},
		{"AC-103 in the query of a POST", send("POST", "?access_token="+token, "", url.Values{}), 400},
		{"in header and body", send("POST", "", "Bearer "+token, url.Values{"access_token": {token}}), 400},
		{"nowhere", send("GET", "", "", nil), 401},
		{"under another scheme", send("GET", "", "Basic "+token, nil), 401},
		{"damaged", send("GET", "", "Bearer "+token[:len(token)-2], nil), 401},
		{"L10 garbage", send("GET", "", "Bearer \xff\xfe", nil), 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.answer.Status != c.status {
				t.Errorf("got %d %s, want %d", c.answer.Status, c.answer.Body, c.status)
			}
			if c.status != 200 && !strings.HasPrefix(c.answer.Header.Get("WWW-Authenticate"), "Bearer ") {
				t.Errorf("WWW-Authenticate is %q", c.answer.Header.Get("WWW-Authenticate"))
			}
		})
	}
}

func TestAC104_UserinfoIsForAccessTokensOfAPersonWithOpenID(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w := h.Client("w", providertest.Trusted)
	tokens := w.SignIn("alice")
	for _, c := range []struct {
		name, token string
		status      int
	}{
		{"of the client itself", w.Token(url.Values{"grant_type": {"client_credentials"}}).Tokens().Access, 403},
		{"an ID token", tokens.ID, 401},
		{"a refresh token", tokens.Refresh, 401},
		{"without openid", w.SignIn("alice", "scope", "profile email").Access, 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			if a := h.Userinfo(c.token); a.Status != c.status {
				t.Errorf("got %d %s", a.Status, a.Body)
			}
		})
	}
	h.Skip(10 * time.Minute)
	if a := h.Userinfo(tokens.Access); a.Status != http.StatusUnauthorized || !strings.Contains(a.Body, "expired") {
		t.Errorf("expired: %d %s", a.Status, a.Body)
	}
}

func TestAC105_L8_OtherOriginsReadWhatTheirClientRegistered(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	spa := h.Client("spa", providertest.Public, providertest.Trusted, func(m *storage.ClientMetadata) {
		m.RedirectURIs = []string{"https://rp.test/cb"}
		m.AllowedOrigins = []string{"https://app.test"}
	})
	web := h.Client("web", providertest.Trusted)
	send := func(method, path, origin, token string) *providertest.Answer {
		r, _ := http.NewRequestWithContext(t.Context(), method, h.Issuer+path, nil)
		r.Header.Set("Origin", origin)
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		return h.Send(http.DefaultClient, r)
	}
	ours, theirs := spa.SignIn("alice").Access, web.SignIn("alice").Access
	for _, c := range []struct {
		name, method, path, origin, token, allowed string
	}{
		{"the client's own origin", "GET", "/userinfo", "https://app.test", ours, "https://app.test"},
		{"the origin of its redirect URI", "GET", "/userinfo", "https://rp.test", ours, "https://rp.test"},
		{"a stranger", "GET", "/userinfo", "https://evil.test", ours, ""},
		{"null", "GET", "/userinfo", "null", ours, ""},
		{"another client's token", "GET", "/userinfo", "https://app.test", theirs, ""},
		{"the preflight of a known origin", "OPTIONS", "/userinfo", "https://app.test", "", "https://app.test"},
		{"the preflight of the token endpoint", "OPTIONS", "/token", "https://app.test", "", "https://app.test"},
		{"the preflight of a stranger", "OPTIONS", "/token", "https://evil.test", "", ""},
		{"discovery", "GET", "/.well-known/openid-configuration", "https://evil.test", "", "*"},
		{"the keys", "GET", "/jwks", "https://evil.test", "", "*"},
		{"the authorization endpoint", "GET", "/authorize", "https://app.test", "", ""},
		{"the end-session endpoint", "GET", "/logout", "https://app.test", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := send(c.method, c.path, c.origin, c.token)
			if got := a.Header.Get("Access-Control-Allow-Origin"); got != c.allowed {
				t.Errorf("allowed is %q, want %q", got, c.allowed)
			}
			if a.Header.Get("Access-Control-Allow-Credentials") != "" {
				t.Error("it allows credentials")
			}
		})
	}
}

func TestAWithdrawnAccessTokenOpensNothing(t *testing.T) {
	h := providertest.New(t)
	u := h.User("alice")
	w := h.Client("w", providertest.Trusted)
	token := w.SignIn("alice", "scope", "openid offline_access").Access
	if err := h.Store.Users.Disable(t.Context(), u.ID, h.Now(), nil); err != nil {
		t.Fatal(err)
	}
	if a := h.Userinfo(token); a.Status != http.StatusUnauthorized || !strings.Contains(a.Body, "revoked") {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
}
