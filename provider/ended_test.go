package provider_test

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/provider/providertest"
	"gatehouse/storage"
)

// What ends, and how.
var ends = map[string]func(h *providertest.House, u *storage.User, g string) error{
	"user disabled": func(h *providertest.House, u *storage.User, _ string) error {
		return h.Store.Users.Disable(h.T.Context(), u.ID, h.Now(), nil)
	},
	"user deleted": func(h *providertest.House, u *storage.User, _ string) error {
		return h.Store.Users.Delete(h.T.Context(), u.ID, h.Now(), nil)
	},
	"grant revoked": func(h *providertest.House, _ *storage.User, g string) error {
		return h.Store.Grants.Revoke(h.T.Context(), g, h.Now(), nil)
	},
	"client disabled": func(h *providertest.House, _ *storage.User, _ string) error {
		c, err := h.Store.Clients.Get(h.T.Context(), "w")
		if err != nil {
			return err
		}
		c.DisabledAt = h.Now()
		return h.Store.Clients.Update(h.T.Context(), c, h.Now(), nil)
	},
	"client deleted": func(h *providertest.House, _ *storage.User, _ string) error {
		return h.Store.Clients.Delete(h.T.Context(), "w", h.Now(), nil)
	},
}

func TestAC269_EnablingAClientAgainBringsNoneOfItsTokensBack(t *testing.T) {
	for format, change := range formats {
		t.Run(format, func(t *testing.T) {
			h := providertest.New(t)
			w := h.Client("w", forAPI, change)
			own := func() string { return w.Token(url.Values{"grant_type": {"client_credentials"}}).Tokens().Access }
			before := own()
			if !strings.Contains(w.Introspect(before).Body, `"active":true`) {
				t.Fatal("a new token is dead")
			}
			for range 2 {
				h.Skip(2 * time.Second)
				if err := ends["client disabled"](h, nil, ""); err != nil {
					t.Fatal(err)
				}
				c, err := h.Store.Clients.Get(t.Context(), "w")
				if err != nil {
					t.Fatal(err)
				}
				c.DisabledAt = time.Time{}
				if err := h.Store.Clients.Update(t.Context(), c, h.Now(), nil); err != nil {
					t.Fatal(err)
				}
				h.Skip(2 * time.Second)
				dead(t, w.Introspect(before))
				before = own()
				if !strings.Contains(w.Introspect(before).Body, `"active":true`) {
					t.Fatal("a new token is dead")
				}
			}
		})
	}
}

func TestAC269_WhatIsSwitchedOffIsRefusedInEveryCell(t *testing.T) {
	for format, change := range formats {
		for name, end := range ends {
			t.Run(format+", "+name, func(t *testing.T) {
				h := providertest.New(t)
				u := h.User("alice")
				w, api := h.Client("w", providertest.Trusted, forAPI, change), h.Client("api")
				b := h.Browser()
				tokens := w.SignInWith(b, "alice", "scope", "openid offline_access")
				code := w.Redemption(w.Code(b, "alice"))
				grants, err := h.Store.Grants.ListByUser(t.Context(), u.ID)
				if err != nil {
					t.Fatal(err)
				}
				for _, g := range grants {
					if err := end(h, u, g.ID); err != nil && !strings.Contains(err.Error(), "not found") && name == "grant revoked" {
						t.Fatal(err)
					}
				}
				want := "invalid_grant"
				if strings.HasPrefix(name, "client") {
					want = "invalid_client"
				}
				refused(t, w.Token(code), want)
				refused(t, w.Refresh(tokens.Refresh), want)
				if h.Alive(tokens.Access) {
					t.Error("userinfo answers")
				}
				dead(t, api.Introspect(tokens.Access))
				if own := w.Token(url.Values{"grant_type": {"client_credentials"}}); strings.HasPrefix(name, "client") {
					refused(t, own, "invalid_client")
				}
				if a := b.Get(w.Request("prompt", "none").URL()); name != "grant revoked" && a.Location() != nil && a.Location().Query().Get("code") != "" {
					t.Error("the authorization endpoint gives a code")
				}
			})
		}
	}
}

func TestAC269_AnotherNodeHearsOfItWithinTwoSeconds(t *testing.T) {
	h := providertest.New(t)
	w := h.Client("w")
	w = w.At(h.Node())
	grant := url.Values{"grant_type": {"client_credentials"}}
	if a := w.Token(grant); a.Status != http.StatusOK {
		t.Fatalf("the other node: %s", a.Body)
	}
	if err := ends["client disabled"](h, nil, ""); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second)
	refused(t, w.Token(grant), "invalid_client")
}

func TestAC268_ALongTokenDiesAtItsParentsEnd(t *testing.T) {
	for format, change := range formats {
		t.Run(format, func(t *testing.T) {
			h := providertest.New(t)
			h.User("alice")
			w := h.Client("w", providertest.Trusted, change, func(m *storage.ClientMetadata) { m.AccessTokenLifetime = 23 * 3600 })
			token := w.SignIn("alice").Access
			h.Skip(7 * time.Hour)
			if !h.Alive(token) || w.Introspect(token).JSON()["active"] != true {
				t.Fatal("it died early")
			}
			h.Skip(time.Hour + time.Minute) // nobody used the session for eight hours
			if h.Alive(token) {
				t.Error("userinfo answers after the session")
			}
			dead(t, w.Introspect(token))
		})
	}
}

func TestAC089_ARefreshTokenDiesWithTheGrantTypeOfItsClient(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w := h.Client("w", providertest.Trusted)
	tokens := w.SignIn("alice")
	c, err := h.Store.Clients.Get(t.Context(), "w")
	if err != nil {
		t.Fatal(err)
	}
	m := c.Metadata
	m.GrantTypes = []string{"authorization_code"}
	if err := h.Registrar.Update(t.Context(), c, m); err != nil {
		t.Fatal(err)
	}
	refused(t, w.Refresh(tokens.Refresh), "unauthorized_client")
}

func TestAC041_L12_NothingIsFetchedForARequestObject(t *testing.T) {
	h := providertest.New(t)
	w := h.Client("w")
	var connections atomic.Int64
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			c.Close()
		}
	}()
	b := h.Browser()
	for uri, want := range map[string]string{
		"http://" + listener.Addr().String() + "/":  "request_uri_not_supported",
		"https://" + listener.Addr().String() + "/": "request_uri_not_supported",
		"urn:ietf:params:oauth:request_uri:x":       "request_uri_not_supported",
	} {
		if got := sent(t, h, b.Get(w.Request("request_uri", uri).URL()), "state of w"); got != want {
			t.Errorf("%s: %q", uri, got)
		}
	}
	if got := sent(t, h, b.Get(w.Request("request", unsigned("e30.eyJyZWRpcmVjdF91cmkiOiJodHRwczovL2V2aWwudGVzdCJ9.")).URL()), "state of w"); got != "request_not_supported" {
		t.Errorf("by value: %q", got)
	}
	if connections.Load() > 0 {
		t.Errorf("%d connections", connections.Load())
	}
}

func TestAC070_OnlyTheDigestOfASecretIsCompared(t *testing.T) {
	h := providertest.New(t)
	w := h.Client("w")
	c, err := h.Store.Clients.Get(t.Context(), "w")
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Secrets) != 1 || c.Secrets[0].Digest != storage.NewDigest(storage.ClientSecret, w.Secret) {
		t.Errorf("stored is %v", c.Secrets)
	}
	for name, secret := range map[string]string{
		"all but the last character": w.Secret[:len(w.Secret)-1],
		"one character more":         w.Secret + "A",
		"the digest itself":          string(c.Secrets[0].Digest[:]),
		"another case":               strings.ToLower(w.Secret),
	} {
		wrong := *w
		wrong.Secret = secret
		t.Run(name, func(t *testing.T) {
			refused(t, wrong.Token(url.Values{"grant_type": {"client_credentials"}}), "invalid_client")
		})
	}
}

func TestAC220_DeepJSONIsRefusedAtOnce(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w := h.Client("w", providertest.Trusted)
	b := h.Browser()
	deep := strings.Repeat(`{"a":`, 3000) + "1" + strings.Repeat("}", 3000)
	for name, claims := range map[string]string{
		"deep":               "{\"userinfo\":" + deep[:12000] + "}",
		"a number too large": `{"id_token":{"acr":{"value":1e9999}}}`,
		"a repeated member":  `{"userinfo":{"email":null},"userinfo":[]}`,
		"a list where no is": `{"userinfo":[{"email":null}]}`,
		"cut":                `{"userinfo":{`,
	} {
		t.Run(name, func(t *testing.T) {
			if got := sent(t, h, b.Get(w.Request("claims", claims).URL()), "state of w"); got != "invalid_request" {
				t.Errorf("error is %q", got)
			}
		})
	}
}

func TestFormPostResponseMode_L14_AFormPostResponseCarriesTheIssuerAndGoesToOneTarget(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w := h.Client("w", providertest.Trusted)
	b := h.Browser()
	b.SignIn("alice")
	for _, pairs := range [][]string{{"response_mode", "form_post"}, {"response_mode", "form_post", "prompt", "none login"}} {
		a := b.Get(w.Request(pairs...).URL())
		if a.Header.Get("Form-Action") != w.Redirect || a.JSON()["iss"] != h.Issuer || a.Header.Get("Location") != "" {
			t.Errorf("%v: %v %s", pairs, a.Header, a.Body)
		}
	}
}

// Drawers that do not answer.
type brokenTokens struct{ storage.AccessTokens }

func (brokenTokens) Find(context.Context, storage.Digest, time.Time) (*storage.AccessToken, error) {
	return nil, errDisk
}

func (brokenTokens) Live(context.Context, storage.Digest, time.Time) (*storage.AccessToken, *storage.Grant, *storage.User, error) {
	return nil, nil, nil, errDisk
}

type brokenLive struct{ storage.Grants }

func (brokenLive) Live(context.Context, string, string, time.Time) (*storage.Grant, *storage.User, error) {
	return nil, nil, errDisk
}

func (brokenLive) Alive(context.Context, string, string, time.Time) (bool, error) {
	return false, errDisk
}

func (brokenLive) FindByHandle(context.Context, string) (*storage.Grant, error) { return nil, errDisk }

func (brokenLive) Current(context.Context, string, storage.Digest, time.Time) (*storage.Grant, error) {
	return nil, errDisk
}

func TestR10_WithoutStorageNothingIsActiveAndNothingRevoked(t *testing.T) {
	for format, change := range formats {
		t.Run(format, func(t *testing.T) {
			h := providertest.New(t)
			h.User("alice")
			w := h.Client("w", providertest.Trusted, change)
			tokens := w.SignIn("alice")
			h.Store.AccessTokens, h.Store.Grants = brokenTokens{h.Store.AccessTokens}, brokenLive{h.Store.Grants}
			for name, a := range map[string]*providertest.Answer{
				"introspect an access token": w.Introspect(tokens.Access), "introspect a refresh token": w.Introspect(tokens.Refresh),
				"revoke a refresh token": w.Revoke(tokens.Refresh), "userinfo": h.Userinfo(tokens.Access),
			} {
				if a.Status != http.StatusServiceUnavailable || strings.Contains(a.Body, "disk") || strings.Contains(a.Body, "active") {
					t.Errorf("%s: %d %s", name, a.Status, a.Body)
				}
			}
		})
	}
}
