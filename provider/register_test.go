package provider_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/provider"
	"gatehouse/provider/providertest"
	"gatehouse/storage"
)

func TestWhatAClientMayNotRegister(t *testing.T) {
	h := providertest.New(t)
	for _, c := range []struct {
		name, field string
		change      func(*storage.ClientMetadata)
	}{
		{"AC-015 a script as redirect", "redirect_uris", redirects("javascript:alert(1)")},
		{"AC-015 data as redirect", "redirect_uris", redirects("data:text/html,x")},
		{"AC-260 localhost as a label", "redirect_uris", redirects("http://localhost.evil.test/cb")},
		{"AC-260 a loopback literal as a label", "redirect_uris", redirects("http://127.0.0.1.evil.test/")},
		{"http elsewhere", "redirect_uris", redirects("http://rp.test/cb")},
		{"a fragment", "redirect_uris", redirects("https://rp.test/cb#")},
		{"user information", "redirect_uris", redirects("https://a@rp.test/cb")},
		{"a wildcard", "redirect_uris", redirects("https://*.rp.test/cb")},
		{"a backslash", "redirect_uris", redirects(`https://rp.test\cb`)},
		{"outside ASCII", "redirect_uris", redirects("https://rp.tést/cb")},
		{"a control character", "redirect_uris", redirects("https://rp.test/\ncb")},
		{"a query that responses use", "redirect_uris", redirects("https://rp.test/cb?code=x")},
		{"no host", "redirect_uris", redirects("https:///cb")},
		{"no scheme", "redirect_uris", redirects("//rp.test/cb")},
		{"a private scheme for the web", "redirect_uris", redirects("com.example.app:/cb")},
		{"none", "redirect_uris", redirects()},
		{"a malformed port", "redirect_uris", redirects("https://rp.test:/cb")},
		{"too many", "redirect_uris", redirects(strings.Split(strings.Repeat("https://rp.test/cb ", 65), " ")[:65]...)},
		{"AC-278 a script as logo", "logo_uri", func(m *storage.ClientMetadata) { m.LogoURI = "javascript:alert(1)" }},
		{"AC-278 a script as terms", "tos_uri", func(m *storage.ClientMetadata) { m.TOSURI = "data:text/html,x" }},
		{"http for its home", "client_uri", func(m *storage.ClientMetadata) { m.ClientURI = "http://rp.test" }},
		{"a name with a line break", "client_name", func(m *storage.ClientMetadata) { m.ClientName = "a\r\nb" }},
		{"a name of 300 characters", "client_name", func(m *storage.ClientMetadata) { m.ClientName = strings.Repeat("a", 300) }},
		{"password", "grant_types", func(m *storage.ClientMetadata) { m.GrantTypes = []string{"password"} }},
		{"refresh alone", "grant_types", func(m *storage.ClientMetadata) { m.GrantTypes, m.RedirectURIs = []string{"refresh_token"}, nil }},
		{"client_credentials without a secret", "grant_types", func(m *storage.ClientMetadata) { m.TokenEndpointAuthMethod = "none" }},
		{"an implicit response", "response_types", func(m *storage.ClientMetadata) { m.ResponseTypes = []string{"id_token token"} }},
		{"client_secret_jwt", "token_endpoint_auth_method", func(m *storage.ClientMetadata) { m.TokenEndpointAuthMethod = "client_secret_jwt" }},
		{"no signature", "id_token_signed_response_alg", func(m *storage.ClientMetadata) { m.IDTokenSignedAlg = "none" }},
		{"HS256", "access_token_signed_response_alg", func(m *storage.ClientMetadata) { m.AccessTokenSignedAlg = "HS256" }},
		{"a scope with a quote", "scope", func(m *storage.ClientMetadata) { m.Scope = `openid a"b` }},
		{"an origin with a path", "allowed_origins", func(m *storage.ClientMetadata) { m.AllowedOrigins = []string{"https://app.test/"} }},
		{"every origin", "allowed_origins", func(m *storage.ClientMetadata) { m.AllowedOrigins = []string{"*"} }},
		{"an audience that is neither a URI nor a client", "audience", func(m *storage.ClientMetadata) { m.Audience = []string{"a b"} }},
		{"an access token of no format", "access_token_format", func(m *storage.ClientMetadata) { m.AccessTokenFormat = "saml" }},
		{"private_key_jwt without keys", "jwks", func(m *storage.ClientMetadata) { m.TokenEndpointAuthMethod = "private_key_jwt" }},
		{"keys by value and by address", "jwks", func(m *storage.ClientMetadata) {
			m.JWKS, m.JWKSURI = json.RawMessage(`{"keys":[]}`), "https://rp.test/jwks"
		}},
		{"a symmetric key", "jwks", func(m *storage.ClientMetadata) { m.JWKS = json.RawMessage(`{"keys":[{"kty":"oct","k":"AAAA"}]}`) }},
		{"keys at an http address", "jwks_uri", func(m *storage.ClientMetadata) { m.JWKSURI = "http://rp.test/jwks" }},
		{"assertions signed with a secret", "token_endpoint_auth_signing_alg", func(m *storage.ClientMetadata) { m.TokenEndpointAuthSigningAlg = "HS256" }},
		{"a nonce instead of PKCE without a secret", "nonce_instead_of_pkce", func(m *storage.ClientMetadata) {
			m.NonceInsteadOfPKCE, m.TokenEndpointAuthMethod, m.GrantTypes = true, "none", []string{"authorization_code"}
		}},
		{"a token of a year", "access_token_lifetime", func(m *storage.ClientMetadata) { m.AccessTokenLifetime = 365 * 86400 }},
		{"a grace of an hour", "refresh_grace", func(m *storage.ClientMetadata) { hour := int64(3600); m.RefreshGrace = &hour }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := storage.ClientMetadata{RedirectURIs: []string{"https://rp.test/cb"}, GrantTypes: []string{"authorization_code", "client_credentials"}}
			c.change(&m)
			_, err := h.Registrar.Register(t.Context(), "", "", m)
			refusal, ok := errors.AsType[*provider.MetadataError](err)
			if !ok || refusal.Field != c.field || refusal.Code == "" {
				t.Errorf("got %v, want a refusal of %s", err, c.field)
			}
		})
	}
	clients, err := h.Store.Clients.List(t.Context(), "", 10)
	if err != nil || len(clients) > 0 {
		t.Errorf("registered all the same: %v %v", clients, err)
	}
}

func redirects(uris ...string) func(*storage.ClientMetadata) {
	return func(m *storage.ClientMetadata) { m.RedirectURIs = uris }
}

func TestEverythingThatIsWrongIsSaidAtOnce(t *testing.T) {
	h := providertest.New(t)
	_, err := h.Registrar.Register(t.Context(), "a b", "short", storage.ClientMetadata{RedirectURIs: []string{"http://x"}, Scope: `"`, LogoURI: "x"})
	for _, want := range []string{"redirect_uris", "scope", "logo_uri", "client_id", "client_secret"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not speak of %s", err, want)
		}
	}
}

func TestTwoSecretsAreLiveWhileOneReplacesTheOther(t *testing.T) {
	h := providertest.New(t)
	w := h.Client("w")
	grant := url.Values{"grant_type": {"client_credentials"}}
	c, err := h.Store.Clients.Get(t.Context(), "w")
	if err != nil {
		t.Fatal(err)
	}
	next := *w
	if next.Secret, err = h.Registrar.RotateSecret(t.Context(), c, hour); err != nil {
		t.Fatal(err)
	}
	for name, party := range map[string]*providertest.Party{"old": w, "new": &next} {
		if a := party.Token(grant); a.Status != 200 {
			t.Errorf("%s: %s", name, a.Body)
		}
	}
	h.Skip(hour + 1)
	refused(t, w.Token(grant), "invalid_client")
	if a := next.Token(grant); a.Status != 200 {
		t.Errorf("new: %s", a.Body)
	}
}

func TestDeclaredClientsAreWhatTheFileSays(t *testing.T) {
	h := providertest.New(t)
	secret := strings.Repeat("s", 32)
	declare := func(ds ...provider.Declaration) error { return h.Registrar.Declare(t.Context(), ds) }
	one := provider.Declaration{ID: "one", Secret: secret, Metadata: storage.ClientMetadata{RedirectURIs: []string{"https://rp.test/cb"}}}
	if err := declare(one); err != nil {
		t.Fatal(err)
	}
	read := func() *storage.Client {
		c, err := h.Store.Clients.Get(t.Context(), "one")
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	version := read().Version
	if err := declare(one); err != nil || read().Version != version {
		t.Errorf("the same again: %v, version %d", err, read().Version)
	}
	if err := h.Registrar.Update(t.Context(), read(), one.Metadata); !errors.Is(err, provider.ErrDeclared) {
		t.Errorf("edited elsewhere: %v", err)
	}
	if err := declare(); err != nil || read().DisabledAt.IsZero() {
		t.Errorf("it left the file: %v, disabled at %v", err, read().DisabledAt)
	}
	if err := declare(one); err != nil || !read().DisabledAt.IsZero() {
		t.Errorf("it came back: %v, disabled at %v", err, read().DisabledAt)
	}
	weak := one
	weak.Secret = "short"
	if err := declare(weak); err == nil || !strings.Contains(err.Error(), "client one") {
		t.Errorf("AC-258 a short secret: %v", err)
	}
	h.Client("made")
	if err := declare(provider.Declaration{ID: "made", Secret: secret, Metadata: one.Metadata}); err == nil {
		t.Error("a client that was made by hand is taken over")
	}
}

// Nodes that start together, or are all told to reload, declare the same clients.
func TestDeclaredClientsAreMadeAndChangedByManyNodesAtOnce(t *testing.T) {
	h := providertest.New(t)
	uris := []string{"https://rp.test/cb"}
	for round := range 4 { // made, changed, changed again, gone
		var ds []provider.Declaration
		for i := range 3 {
			if round < 3 {
				m := storage.ClientMetadata{ClientName: fmt.Sprint("round ", round), RedirectURIs: uris}
				ds = append(ds, provider.Declaration{ID: fmt.Sprint("declared", i), Secret: strings.Repeat("s", 32), Metadata: m})
			}
		}
		errs := make([]error, 8)
		var nodes sync.WaitGroup
		for i := range errs {
			nodes.Go(func() { errs[i] = h.Registrar.Declare(t.Context(), ds) })
		}
		nodes.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		c, err := h.Store.Clients.Get(t.Context(), "declared2")
		if err != nil {
			t.Fatal(err)
		}
		if c.Version != int64(round+1) || c.DisabledAt.IsZero() != (round < 3) {
			t.Errorf("round %d: version %d, disabled at %v", round, c.Version, c.DisabledAt)
		}
	}
}

func TestTheIDOfADeletedClientIsNotGivenAgain(t *testing.T) {
	h := providertest.New(t)
	h.Client("w")
	c, err := h.Store.Clients.Get(t.Context(), "w")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Registrar.Delete(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Registrar.Register(t.Context(), "w", "", storage.ClientMetadata{RedirectURIs: []string{"https://rp.test/cb"}}); err == nil {
		t.Error("it was")
	}
}

const hour = time.Hour
