package provider_test

import (
	"strings"
	"testing"

	"gatehouse/provider/providertest"
	"gatehouse/storage"
)

func TestOIDCCore55_ClaimsAreDeliveredWhereTheyWereAskedFor(t *testing.T) {
	h := providertest.New(t)
	user := h.User("alice")
	for format, change := range formats {
		t.Run(format, func(t *testing.T) {
			w := h.Client("w-"+format, providertest.Trusted, change)
			tokens := w.SignIn("alice", "scope", "openid", "claims",
				`{"userinfo":{"name":{"essential":true},"nothing":null},"id_token":{"email":null,"address":{"value":"x"},"auth_time":{"essential":true}}}`)
			id, info := providertest.Claims(tokens.ID), h.Userinfo(tokens.Access).JSON()
			if id["email"] != "alice@example.com" || id["address"] == nil || id["name"] != nil || id["auth_time"] == nil {
				t.Errorf("the ID token is %v", id)
			}
			if info["name"] != "alice Liddell" || info["email"] != nil || info["sub"] != user.ID || len(info) != 2 {
				t.Errorf("userinfo is %v", info)
			}
			if again := providertest.Claims(w.Refresh(tokens.Refresh).Tokens().ID); again["email"] != "alice@example.com" {
				t.Errorf("after a refresh the ID token is %v", again)
			}
		})
	}
}

func TestOIDCCore55_ANarrowedTokenGivesUpTheClaimsOfTheScopesThatItLost(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w := h.Client("w", providertest.Trusted)
	tokens := w.SignIn("alice", "scope", "openid email", "claims", `{"userinfo":{"email":null,"name":null},"id_token":{"email":null}}`)
	narrow := w.Refresh(tokens.Refresh, "scope", "openid").Tokens()
	if info := h.Userinfo(narrow.Access).JSON(); info["email"] != nil || info["name"] == nil {
		t.Errorf("userinfo is %v", info)
	}
	if id := providertest.Claims(narrow.ID); id["email"] != nil {
		t.Errorf("the ID token is %v", id)
	}
	if info := h.Userinfo(w.Refresh(narrow.Refresh).Tokens().Access).JSON(); info["email"] == nil {
		t.Errorf("with all its scopes again: %v", info)
	}
}

func TestOIDCCore55_ClaimsNeedRegistrationAndConsentLikeTheirScope(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	narrow := h.Client("narrow", providertest.Trusted, func(m *storage.ClientMetadata) { m.Scope = "openid" })
	if info := h.Userinfo(narrow.SignIn("alice", "scope", "openid", "claims", `{"userinfo":{"email":null}}`).Access).JSON(); info["email"] != nil {
		t.Errorf("a claim whose scope the client did not register: %v", info)
	}
	w, b := h.Client("w"), h.Browser()
	b.Authorize(w.Request("scope", "openid"), "alice")
	a := b.Get(w.Request("scope", "openid", "claims", `{"userinfo":{"email":null}}`).URL())
	if !strings.Contains(a.Header.Get("Location"), "/consent?") {
		t.Errorf("it led to %s without asking", a.Header.Get("Location"))
	}
	b.Walk(a, "alice", "allow")
	if a := b.Get(w.Request("scope", "openid email").URL()); strings.Contains(a.Header.Get("Location"), "/consent?") {
		t.Error("it asks for the scope although the person allowed its claims")
	}
}

func TestOIDCCore55_ClaimsThatCannotBeMet(t *testing.T) {
	h := providertest.New(t)
	user, other := h.User("alice"), h.User("bob")
	w := h.Client("w", providertest.Trusted)
	b := h.Browser()
	b.SignIn("alice")
	for _, c := range []struct{ name, claims, want string }{
		{"no JSON", `{`, "invalid_request"},
		{"no object", `[1]`, "invalid_request"},
		{"deep", `{"userinfo":` + strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 200) + "}", "invalid_request"},
		{"an essential acr out of reach", `{"id_token":{"acr":{"essential":true,"values":["9"]}}}`, "unmet_authentication_requirements"},
		{"an essential acr that we have", `{"id_token":{"acr":{"essential":true,"values":["9","1"]}}}`, ""},
		{"a voluntary acr out of reach", `{"id_token":{"acr":{"values":["9"]}}}`, ""},
		{"this user's sub", `{"id_token":{"sub":{"value":"` + user.ID + `"}}}`, ""},
		{"a sub that is no text", `{"id_token":{"sub":{"value":1}}}`, "invalid_request"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := sent(t, h, b.Authorize(w.Request("claims", c.claims), "alice"), "state of w"); got != c.want {
				t.Errorf("error is %q, want %q", got, c.want)
			}
		})
	}
	a := b.Get(w.Request("prompt", "none", "claims", `{"id_token":{"sub":{"value":"`+other.ID+`"}}}`).URL())
	if got := sent(t, h, a, "state of w"); got != "login_required" {
		t.Errorf("somebody else's sub: %q", got)
	}
}

func TestOIDCCore3121_ACRValuesComeBackAsWhatWasReached(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w := h.Client("w", providertest.Trusted)
	if got := providertest.Claims(w.SignIn("alice", "acr_values", "2 1").ID)["acr"]; got != "1" {
		t.Errorf("acr is %v", got)
	}
}

func TestTheSwitchForANonceInsteadOfPKCE(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w := h.Client("w", providertest.Trusted, func(m *storage.ClientMetadata) { m.NonceInsteadOfPKCE = true })
	b := h.Browser()
	b.SignIn("alice")
	without := []string{"code_challenge", "", "code_challenge_method", ""}
	t.Run("a code without a challenge is redeemed without a verifier", func(t *testing.T) {
		code, _ := w.Code(b, "alice", without...)
		if a := w.Token(w.Redemption(code, "")); a.Status != 200 {
			t.Errorf("got %s", a.Body)
		}
	})
	t.Run("L1 a code with a challenge needs its verifier all the same", func(t *testing.T) {
		code, _ := w.Code(b, "alice")
		refused(t, w.Token(w.Redemption(code, "")), "invalid_grant")
	})
	t.Run("a verifier without a challenge is refused", func(t *testing.T) {
		code, _ := w.Code(b, "alice", without...)
		refused(t, w.Token(w.Redemption(code, strings.Repeat("v", 43))), "invalid_grant")
	})
	for name, pairs := range map[string][]string{
		"no nonce":               append([]string{"nonce", ""}, without...),
		"no openid":              append([]string{"scope", "profile"}, without...),
		"plain, without a value": {"code_challenge", "", "code_challenge_method", "plain"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := sent(t, h, b.Get(w.Request(pairs...).URL()), "state of w"); got != "invalid_request" {
				t.Errorf("error is %q", got)
			}
		})
	}
	t.Run("a switch leaves a line in the audit log", func(t *testing.T) {
		c, err := h.Store.Clients.Get(t.Context(), "w")
		if err != nil {
			t.Fatal(err)
		}
		m := c.Metadata
		m.AssertionAudTokenEndpoint, m.NonceInsteadOfPKCE = false, false
		if err := h.Registrar.Update(t.Context(), c, m); err != nil {
			t.Fatal(err)
		}
		if got := switched(t, h); len(got) != 2 || got[0] != "" || got[1] != "nonce_instead_of_pkce" {
			t.Errorf("the lines say %q", got)
		}
	})
}

// switched are the switches that each line about a client names, newest first.
func switched(t *testing.T, h *providertest.House) []string {
	t.Helper()
	var all []string
	for _, e := range h.Events() {
		if strings.HasPrefix(e.Name, "client.") {
			all = append(all, e.Details["switches"])
		}
	}
	return all
}
