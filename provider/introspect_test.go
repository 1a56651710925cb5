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

func opaque(m *storage.ClientMetadata) { m.AccessTokenFormat = "opaque" }

func forAPI(m *storage.ClientMetadata) { m.Audience = []string{"api", "https://api.test"} }

// formats are the two formats of access tokens.
var formats = map[string]func(*storage.ClientMetadata){"jwt": func(*storage.ClientMetadata) {}, "opaque": opaque}

// dead reports an introspection that says more than that the token is not active.
func dead(t *testing.T, a *providertest.Answer) {
	t.Helper()
	if a.Status != http.StatusOK || a.Body != `{"active":false}` || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
}

func TestRFC7662_IntrospectionTellsClientAndAudience(t *testing.T) {
	h := providertest.New(t)
	user := h.User("alice")
	api := h.Client("api")
	for format, change := range formats {
		t.Run(format, func(t *testing.T) {
			w := h.Client("w-"+format, providertest.Trusted, forAPI, change)
			tokens := w.SignIn("alice")
			for name, caller := range map[string]*providertest.Party{"its client": w, "its audience": api} {
				got := caller.Introspect(tokens.Access).JSON()
				for member, want := range map[string]any{
					"active": true, "client_id": w.ID, "sub": user.ID, "scope": "openid profile email", "iss": h.Issuer, "token_type": "Bearer",
					"aud": []any{"api", "https://api.test"},
				} {
					if !reflect.DeepEqual(got[member], want) {
						t.Errorf("%s reads %s as %v, want %v", name, member, got[member], want)
					}
				}
				if exp, iat := got["exp"].(float64), got["iat"].(float64); exp-iat != 600 || got["jti"] == nil {
					t.Errorf("%s reads %v", name, got)
				}
			}
			if got := w.Introspect(tokens.Refresh).JSON(); got["active"] != true || got["sub"] != user.ID || got["token_type"] != nil {
				t.Errorf("the refresh token is %v", got)
			}
			dead(t, api.Introspect(tokens.Refresh))
		})
	}
}

func TestRFC7662S21_AC099_IntrospectionIsForClientsThatAuthenticate(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	token := h.Client("w", providertest.Trusted).SignIn("alice").Access
	refused(t, h.Browser().Post("/introspect", url.Values{"token": {token}}), "invalid_client")
	refused(t, h.Client("p", providertest.Public).Introspect(token), "invalid_client")
	refused(t, h.Client("other").Introspect(""), "invalid_request")
}

func TestRFC7662S22_AC100_AC101_ADeadOrForeignTokenIsInactiveAndNothingElse(t *testing.T) {
	for format, change := range formats {
		t.Run(format, func(t *testing.T) {
			h := providertest.New(t)
			user := h.User("alice")
			w, stranger := h.Client("w", providertest.Trusted, forAPI, change), h.Client("stranger")
			tokens, later := w.SignIn("alice"), w.SignIn("alice")
			t.Run("AC-100 a resource server that is not the audience", func(t *testing.T) {
				dead(t, stranger.Introspect(tokens.Access))
				dead(t, stranger.Introspect(tokens.Refresh))
			})
			for _, garbage := range []string{"x", "gha_" + strings.Repeat("A", 60), "ghr_x", "a.b.c", tokens.ID, tokens.Access + "x", "\xff"} {
				if a := w.Introspect(garbage); garbage != "\xff" {
					dead(t, a)
				} else {
					refused(t, a, "invalid_request")
				}
			}
			own := w.Token(url.Values{"grant_type": {"client_credentials"}}).Tokens().Access
			w.Revoke(own)
			dead(t, w.Introspect(own))
			w.Revoke(tokens.Refresh)
			dead(t, w.Introspect(tokens.Access))
			dead(t, w.Introspect(tokens.Refresh))
			replaced := later.Refresh
			later = w.Refresh(replaced).Tokens()
			dead(t, w.Introspect(replaced))
			if err := h.Store.Users.Disable(t.Context(), user.ID, h.Now(), nil); err != nil {
				t.Fatal(err)
			}
			dead(t, w.Introspect(later.Access))
			own = w.Token(url.Values{"grant_type": {"client_credentials"}}).Tokens().Access
			if got := w.Introspect(own).JSON(); got["active"] != true || got["sub"] != "w" {
				t.Errorf("the client's own token is %v", got)
			}
			h.Skip(10 * time.Minute)
			dead(t, w.Introspect(own))
		})
	}
}

func TestRFC7009S21_AC094_RevokingARefreshTokenEndsItsAccessTokensAtOnce(t *testing.T) {
	for format, change := range formats {
		t.Run(format, func(t *testing.T) {
			h := providertest.New(t)
			h.User("alice")
			w := h.Client("w", providertest.Trusted, change)
			tokens, other := w.SignIn("alice"), w.SignIn("alice")
			if a := w.Revoke(tokens.Refresh); a.Status != http.StatusOK || a.Body != "" {
				t.Errorf("got %d %s", a.Status, a.Body)
			}
			dead(t, w.Introspect(tokens.Access))
			if h.Alive(tokens.Access) {
				t.Error("it opens the userinfo endpoint")
			}
			refused(t, w.Refresh(tokens.Refresh), "invalid_grant")
			if !h.Alive(other.Access) {
				t.Error("another grant of the user died too")
			}
		})
	}
}

func TestRFC7009S22_AC095_AC096_WhatRevocationEndsAndWhatNot(t *testing.T) {
	for format, change := range formats {
		t.Run(format, func(t *testing.T) {
			h := providertest.New(t)
			h.User("alice")
			w, p := h.Client("w", providertest.Trusted, change), h.Client("p", providertest.Public, providertest.Trusted, change)
			tokens := w.SignIn("alice")
			for name, a := range map[string]*providertest.Answer{
				"AC-096 another client's access token":  p.Revoke(tokens.Access),
				"AC-096 another client's refresh token": p.Revoke(tokens.Refresh),
				"AC-095 an unknown token":               w.Revoke("unknown"),
				"an ID token":                           w.Revoke(tokens.ID),
			} {
				if a.Status != http.StatusOK {
					t.Errorf("%s: %d %s", name, a.Status, a.Body)
				}
			}
			if !h.Alive(tokens.Access) {
				t.Fatal("the access token died")
			}
			if a := w.Revoke(tokens.Access, "token_type_hint", "refresh_token"); a.Status != http.StatusOK || h.Alive(tokens.Access) {
				t.Errorf("AC-095 with the wrong hint: %d, alive %v", a.Status, h.Alive(tokens.Access))
			}
			if a := w.Refresh(tokens.Refresh); a.Status != http.StatusOK || !h.Alive(a.Tokens().Access) {
				t.Errorf("revoking an access token ended more than that token: %s", a.Body)
			}
			own := p.SignIn("alice")
			p.Revoke(own.Refresh)
			if h.Alive(own.Access) {
				t.Error("a public client cannot revoke its own")
			}
			refused(t, w.Revoke(""), "invalid_request")
			refused(t, h.Browser().Post("/revoke", url.Values{"token": {own.Access}}), "invalid_client")
		})
	}
}

func TestAReplacedRefreshTokenStillEndsItsGrant(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w := h.Client("w", providertest.Trusted)
	tokens := w.SignIn("alice")
	next := w.Refresh(tokens.Refresh).Tokens()
	w.Revoke(tokens.Refresh)
	if h.Alive(next.Access) {
		t.Error("the grant lives")
	}
}

func TestR11_OpaqueTokensAreRandomHandles(t *testing.T) {
	h := providertest.New(t)
	user := h.User("alice")
	w := h.Client("w", providertest.Trusted, opaque)
	tokens := w.SignIn("alice")
	if !strings.HasPrefix(tokens.Access, "gha_") || len(tokens.Access) != 64 {
		t.Errorf("the access token is %s", tokens.Access)
	}
	if got := h.Userinfo(tokens.Access).JSON(); got["sub"] != user.ID || got["email"] != "alice@example.com" {
		t.Errorf("userinfo is %v", got)
	}
	for _, damaged := range []string{tokens.Access[:63], tokens.Access + "A", strings.ToLower(tokens.Access), "gha_" + strings.Repeat("A", 60)} {
		if h.Alive(damaged) {
			t.Errorf("%s works", damaged)
		}
	}
	own := w.Token(url.Values{"grant_type": {"client_credentials"}}).Tokens().Access
	if a := h.Userinfo(own); a.Status != http.StatusForbidden {
		t.Errorf("AC-104 the client's own token got %d", a.Status)
	}
}
