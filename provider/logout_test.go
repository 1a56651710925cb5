package provider_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"gatehouse/provider/providertest"
)

// signedIn reports whether this browser still has its session.
func signedIn(b *providertest.Browser, w *providertest.Party) bool {
	return b.Get(w.Request("prompt", "none").URL()).Location().Query().Get("error") != "login_required"
}

func TestRPInitiatedLogout2_AC116_NobodyIsSignedOutWithoutAskingUnlessTheHintNamesTheSession(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	h.User("bob")
	w := h.Client("w", providertest.Trusted)
	for _, c := range []struct {
		name string
		hint func(own, other providertest.Tokens) string
		ends bool
	}{
		{"no hint", func(own, other providertest.Tokens) string { return "" }, false},
		{"garbage", func(own, other providertest.Tokens) string { return "x.y.z" }, false},
		{"L13 another user's", func(own, other providertest.Tokens) string { return other.ID }, false},
		{"an access token", func(own, other providertest.Tokens) string { return own.Access }, false},
		{"one without a signature", func(own, other providertest.Tokens) string { return unsigned(own.ID) }, false},
		{"one that another key signed", func(own, other providertest.Tokens) string { return foreign(t, own.ID) }, false},
		{"this session's", func(own, other providertest.Tokens) string { return own.ID }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := h.Browser()
			own, other := w.SignInWith(b, "alice"), w.SignIn("bob")
			a := b.Get("/logout?" + url.Values{"id_token_hint": {c.hint(own, other)}, "post_logout_redirect_uri": {"https://rp.test/bye"}, "state": {"s&1"}}.Encode())
			if ended := !signedIn(b, w); ended != c.ends {
				t.Errorf("ended: %v, want %v; it led to %v", ended, c.ends, a.Location())
			}
			want := "/logout/confirm?request="
			if c.ends {
				want = "https://rp.test/bye?state=s%261"
			}
			if !strings.Contains(a.Header.Get("Location"), want) {
				t.Errorf("it leads to %s, want %s", a.Header.Get("Location"), want)
			}
		})
	}
}

func unsigned(token string) string {
	parts := strings.Split(token, ".")
	return "eyJhbGciOiJub25lIn0." + parts[1] + "."
}

// foreign signs the same claims with a key of its own.
func foreign(t *testing.T, token string) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(strings.Repeat("k", 32))},
		(&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", providertest.Header(token)["kid"]))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := jwt.Signed(signer).Claims(providertest.Claims(token)).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func TestTheQuestionEndsTheSessionAndLeadsBack(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w := h.Client("w", providertest.Trusted)
	b := h.Browser()
	w.SignInWith(b, "alice")
	older := w.SignIn("alice").ID // of another session of hers
	a := b.Get("/logout?" + url.Values{"id_token_hint": {older}, "post_logout_redirect_uri": {"https://rp.test/bye"}}.Encode())
	id := a.Location().Query().Get("request")
	if id == "" || !signedIn(b, w) {
		t.Fatalf("it leads to %v", a.Location())
	}
	stranger := h.Browser()
	stranger.SignIn("alice")
	if a := stranger.Post("/logout/confirm", url.Values{"request": {id}}); strings.HasPrefix(a.Header.Get("Location"), "https://rp.test") {
		t.Error("another browser answered it")
	}
	if a := b.Post("/logout/confirm", url.Values{"request": {id}}); a.Header.Get("Location") != "https://rp.test/bye" {
		t.Errorf("it leads to %s", a.Header.Get("Location"))
	}
	if signedIn(b, w) {
		t.Error("the session lives")
	}
	if a := b.Post("/logout/confirm", url.Values{"request": {id}}); a.Header.Get("Location") != h.Issuer+"/signed-out" {
		t.Errorf("a double click leads to %s", a.Header.Get("Location"))
	}
}

func TestRPInitiatedLogout3_AC118_OnlyRegisteredPostLogoutRedirects(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w := h.Client("w", providertest.Trusted)
	h.Client("other")
	b := h.Browser()
	hint := w.SignInWith(b, "alice").ID
	for _, c := range []struct {
		name      string
		parameter string
		query     url.Values
	}{
		{"one that is not registered", "post_logout_redirect_uri", url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {"https://rp.test/bye2"}}},
		{"a redirect_uri", "post_logout_redirect_uri", url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {"https://rp.test/cb"}}},
		{"a script", "post_logout_redirect_uri", url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {"javascript:alert(1)"}}},
		{"another client's hint", "client_id", url.Values{"id_token_hint": {hint}, "client_id": {"other"}, "post_logout_redirect_uri": {"https://rp.test/bye"}}},
		{"an unknown client", "client_id", url.Values{"client_id": {"nobody"}, "post_logout_redirect_uri": {"https://rp.test/bye"}}},
	} {
		t.Run(c.name, func(t *testing.T) { stays(t, b.Get("/logout?"+c.query.Encode()), c.parameter) })
	}
	for name, query := range map[string]url.Values{
		"with state and no client":      {"post_logout_redirect_uri": {"https://rp.test/bye"}, "state": {"s"}},
		"with a client and no hint":     {"post_logout_redirect_uri": {"https://rp.test/bye"}, "client_id": {"w"}},
		"elsewhere, and without a hint": {"post_logout_redirect_uri": {"https://evil.test/"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := b.Walk(b.Get("/logout?"+query.Encode()), "alice", "allow")
			if strings.Contains(a.Header.Get("Location"), ".test") {
				t.Errorf("it leads to %s", a.Header.Get("Location"))
			}
		})
	}
	if !signedIn(b, w) {
		t.Error("the session is gone")
	}
}

func TestASignOutMayBePosted(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w := h.Client("w", providertest.Trusted)
	b := h.Browser()
	hint := w.SignInWith(b, "alice").ID
	// Across sites the cookie is not shown with the POST, and is with the GET after it.
	posted := h.Browser().Post("/logout", url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {"https://rp.test/bye"}, "state": {"s"}})
	if posted.Status != http.StatusSeeOther || strings.Contains(posted.Header.Get("Location"), hint) {
		t.Fatalf("%d to %s", posted.Status, posted.Header.Get("Location"))
	}
	if a := b.Get(posted.Header.Get("Location")); a.Header.Get("Location") != "https://rp.test/bye?state=s" || signedIn(b, w) {
		t.Errorf("it leads to %s", a.Header.Get("Location"))
	}
	if a := b.Get(posted.Header.Get("Location")); a.Status != http.StatusBadRequest {
		t.Errorf("once more: %d to %s", a.Status, a.Header.Get("Location"))
	}
}

func TestAnExpiredHintIsGoodEnough(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w := h.Client("w", providertest.Trusted)
	b := h.Browser()
	hint := w.SignInWith(b, "alice").ID
	h.Skip(2 * time.Hour)
	if a := b.Get("/logout?id_token_hint=" + hint); a.Header.Get("Location") != h.Issuer+"/signed-out" || signedIn(b, w) {
		t.Errorf("it leads to %s", a.Header.Get("Location"))
	}
}

func TestSigningOutTwiceLeadsTheSameWay(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w := h.Client("w", providertest.Trusted)
	b := h.Browser()
	query := url.Values{"id_token_hint": {w.SignInWith(b, "alice").ID}, "post_logout_redirect_uri": {"https://rp.test/bye"}}.Encode()
	for range 2 {
		if a := b.Get("/logout?" + query); a.Header.Get("Location") != "https://rp.test/bye" {
			t.Errorf("it leads to %s", a.Header.Get("Location"))
		}
	}
}
