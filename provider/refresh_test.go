package provider_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/provider/providertest"
	"gatehouse/storage"
)

func TestAC082_APresentedPredecessorEndsItsFamilyAndNoOther(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w := h.Client("w", providertest.Trusted)
	b := h.Browser()
	first, other := w.SignInWith(b, "alice"), w.SignInWith(b, "alice")
	second := w.Refresh(first.Refresh).Tokens()
	if second.Refresh == first.Refresh || !h.Alive(second.Access) {
		t.Fatalf("refreshed: %+v", second)
	}
	h.Skip(61 * time.Second)
	refused(t, w.Refresh(first.Refresh), "invalid_grant")
	refused(t, w.Refresh(second.Refresh), "invalid_grant")
	if h.Alive(first.Access) || h.Alive(second.Access) {
		t.Error("an access token of the family lives")
	}
	if !h.Alive(other.Access) || w.Refresh(other.Refresh).Status != http.StatusOK {
		t.Error("another grant of the user died too")
	}
}

func TestAC083_32RefreshesAtOnceGetOneSuccessor(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	for name, party := range map[string]*providertest.Party{
		"confidential": h.Client("w", providertest.Trusted),
		"public":       h.Client("p", providertest.Trusted, providertest.Public),
	} {
		t.Run(name, func(t *testing.T) {
			tokens := party.SignIn("alice")
			var mu sync.Mutex
			successors := make(map[string]int)
			var all sync.WaitGroup
			for range 32 {
				all.Go(func() {
					a := party.Refresh(tokens.Refresh)
					mu.Lock()
					defer mu.Unlock()
					successors[a.Tokens().Refresh]++
				})
			}
			all.Wait()
			if len(successors) != 1 || successors[""] > 0 {
				t.Fatalf("the successors are %v", successors)
			}
			h.Skip(61 * time.Second)
			refused(t, party.Refresh(tokens.Refresh), "invalid_grant")
			for successor := range successors {
				refused(t, party.Refresh(successor), "invalid_grant")
			}
		})
	}
}

func TestAC086_ARefreshTokenIsItsClientsOwn(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w, other := h.Client("w", providertest.Trusted), h.Client("other")
	tokens := w.SignIn("alice")
	refused(t, other.Refresh(tokens.Refresh), "invalid_grant")
	nobody := *w
	nobody.Secret = "wrong"
	refused(t, nobody.Refresh(tokens.Refresh), "invalid_client")
	if a := w.Refresh(tokens.Refresh); a.Status != http.StatusOK {
		t.Errorf("the stranger spent it: %s", a.Body)
	}
}

func TestRFC6749S6_AC087_ScopesNarrowAndNeverWiden(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w := h.Client("w", providertest.Trusted, func(m *storage.ClientMetadata) { m.Audience = []string{"https://api.test", "https://b.test"} })
	tokens := w.SignIn("alice", "scope", "openid email", "resource", "https://api.test")
	refused(t, w.Refresh(tokens.Refresh, "scope", "openid email address"), "invalid_scope")
	refused(t, w.Refresh(tokens.Refresh, "resource", "https://b.test"), "invalid_target")
	narrow := w.Refresh(tokens.Refresh, "scope", "openid").Tokens()
	if narrow.Scope != "openid" || providertest.Claims(narrow.Access)["scope"] != "openid" {
		t.Errorf("narrowed to %q", narrow.Scope)
	}
	if again := w.Refresh(narrow.Refresh).Tokens(); again.Scope != "openid email" {
		t.Errorf("the grant has %q now", again.Scope)
	}
}

func TestOIDCCore122_ARefreshKeepsAuthTimeAndDropsTheNonce(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w := h.Client("w", providertest.Trusted)
	tokens := w.SignIn("alice")
	h.Skip(time.Minute)
	before, after := providertest.Claims(tokens.ID), providertest.Claims(w.Refresh(tokens.Refresh).Tokens().ID)
	for _, same := range []string{"iss", "sub", "aud", "azp", "auth_time", "sid"} {
		if before[same] != after[same] {
			t.Errorf("%s was %v and is %v", same, before[same], after[same])
		}
	}
	if after["nonce"] != nil || after["iat"] == before["iat"] {
		t.Errorf("the new ID token is %v", after)
	}
}

func TestAC089_ARefreshTokenDiesWithWhatItStandsOn(t *testing.T) {
	for name, end := range map[string]func(h *providertest.House, u *storage.User) error{
		"user disabled": func(h *providertest.House, u *storage.User) error {
			return h.Store.Users.Disable(h.T.Context(), u.ID, h.Now(), nil)
		},
		"user deleted": func(h *providertest.House, u *storage.User) error {
			return h.Store.Users.Delete(h.T.Context(), u.ID, h.Now(), nil)
		},
		"tokens invalidated": func(h *providertest.House, u *storage.User) error {
			return h.Store.Users.Invalidate(h.T.Context(), u.ID, h.Now(), nil)
		},
		"password set": func(h *providertest.House, u *storage.User) error {
			return h.Store.Credentials.SetPassword(h.T.Context(), storage.Password{UserID: u.ID, Hash: "$argon2id$x", ChangedAt: h.Now()}, nil)
		},
		"consent withdrawn": func(h *providertest.House, u *storage.User) error {
			return h.Store.Consents.Revoke(h.T.Context(), u.ID, "w", h.Now(), nil)
		},
		"client deleted": func(h *providertest.House, u *storage.User) error {
			return h.Store.Clients.Delete(h.T.Context(), "w", h.Now(), nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := providertest.New(t)
			u := h.User("alice")
			w := h.Client("w")
			tokens := w.SignIn("alice", "scope", "openid offline_access")
			if err := end(h, u); err != nil {
				t.Fatal(err)
			}
			want := "invalid_grant"
			if name == "client deleted" {
				want = "invalid_client"
			}
			refused(t, w.Refresh(tokens.Refresh), want)
			if h.Alive(tokens.Access) {
				t.Error("the access token lives")
			}
		})
	}
}

func TestAC090_ARefreshTokenHasAnEndHoweverOftenItIsUsed(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w := h.Client("w", providertest.Trusted)
	tokens := w.SignIn("alice", "scope", "openid offline_access")
	for range 89 {
		h.Skip(24 * time.Hour)
		a := w.Refresh(tokens.Refresh)
		if a.Status != http.StatusOK {
			t.Fatalf("it died early: %s", a.Body)
		}
		tokens = a.Tokens()
	}
	h.Skip(25 * time.Hour)
	refused(t, w.Refresh(tokens.Refresh), "invalid_grant")
}

func TestOIDCCore11_OfflineAccessOutlivesTheSession(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w := h.Client("w", providertest.Trusted)
	b := h.Browser()
	with, without := w.SignInWith(b, "alice", "scope", "openid offline_access"), w.SignInWith(b, "alice", "scope", "openid")
	if a := b.Get("/logout?id_token_hint=" + without.ID); a.Status != http.StatusSeeOther {
		t.Fatalf("sign-out got %d", a.Status)
	}
	if a := w.Refresh(with.Refresh); a.Status != http.StatusOK {
		t.Errorf("with offline_access: %s", a.Body)
	}
	refused(t, w.Refresh(without.Refresh), "invalid_grant")
}

func TestAC092_L10_ADamagedRefreshTokenReachesNoStorage(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w := h.Client("w", providertest.Trusted)
	tokens := w.SignIn("alice")
	good := tokens.Refresh
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(good, "ghr_"))
	if err != nil {
		t.Fatalf("%s: %v", good, err)
	}
	last := good[len(good)-1]
	for name, damaged := range map[string]string{
		"cut by one":           good[:len(good)-1],
		"one character more":   good + "A",
		"padded":               good + "==",
		"in upper case":        "ghr_" + strings.ToUpper(good[4:]),
		"in another encoding":  "ghr_" + base64.StdEncoding.EncodeToString(raw),
		"without its prefix":   good[4:],
		"with another prefix":  "ghc_" + good[4:],
		"with a space":         good + " ",
		"with a line break":    good[:30] + "\n" + good[30:],
		"the last unused bits": good[:len(good)-1] + string(next(last)),
		"the first bit":        "ghr_" + string(next(good[4])) + good[5:],
		"random":               "ghr_" + strings.Repeat("A", len(good)-4),
	} {
		t.Run(name, func(t *testing.T) { refused(t, w.Refresh(damaged), "invalid_grant") })
	}
	if a := w.Refresh(good); a.Status != http.StatusOK {
		t.Errorf("the good one died of it: %s", a.Body)
	}
}

// next is the base64url character after c, as the encoding counts.
func next(c byte) byte {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return alphabet[(strings.IndexByte(alphabet, c)+1)%len(alphabet)]
}
