package e2e

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// A listener is the back-channel logout endpoint of an app, over TLS that only
// its own root vouches for.
type listener struct {
	t      *testing.T
	http   *httptest.Server
	ca     string       // its root, as a file
	tokens chan string  // those that it was told
	busy   sync.RWMutex // while it is locked, nothing is answered
}

func newListener(t *testing.T) *listener {
	t.Helper()
	l := &listener{t: t, tokens: make(chan string, 16), ca: filepath.Join(t.TempDir(), "ca.pem")}
	l.http = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.tokens <- r.PostFormValue("logout_token")
		l.busy.RLock()
		defer l.busy.RUnlock()
	}))
	l.http.Config.ErrorLog = log.New(io.Discard, "", 0)
	l.http.StartTLS()
	t.Cleanup(l.http.Close)
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: l.http.Certificate().Raw})
	if err := os.WriteFile(l.ca, root, 0o600); err != nil {
		t.Fatal(err)
	}
	return l
}

// hears waits for a logout token, at most so long, and verifies it as the app does.
func (l *listener) hears(a *app, within time.Duration) (claims map[string]any) {
	l.t.Helper()
	select {
	case raw := <-l.tokens:
		token, err := a.provider.Verifier(&oidc.Config{ClientID: a.client.id}).Verify(l.t.Context(), raw)
		if err == nil {
			err = token.Claims(&claims)
		}
		if err != nil {
			l.t.Fatalf("the logout token: %v", err)
		}
		if _, ok := claims["events"].(map[string]any)["http://schemas.openid.net/event/backchannel-logout"]; !ok {
			l.t.Fatalf("the logout token says %v", claims)
		}
		return claims
	case <-time.After(within):
		l.t.Fatalf("the app was told nothing in %s", within)
		return nil
	}
}

func TestBackChannelLogout_TheAppHearsOfWhateverEndsASession(t *testing.T) {
	t.Parallel()
	l := newListener(t)
	s := serve(t, "GATEHOUSE_OUTBOUND_ALLOW=127.0.0.1", "GATEHOUSE_OUTBOUND_CA_FILE="+l.ca)
	alice, bob := s.addUser("alice"), s.addUser("bob")
	a := newApp(t, s, "app", "--skip-consent", "--set", "backchannel_logout_uri="+l.http.URL+"/logout")

	p := newPerson(t, alice)
	v := a.enter(p)
	p.visit(s.issuer + "/logout?id_token_hint=" + v.raw)
	if c := l.hears(a, 10*time.Second); c["sub"] != alice.sub || c["sid"] != v.claims["sid"] {
		t.Errorf("told of %v, of whom the session %v was", c, v.claims["sid"])
	}

	v = a.enter(newPerson(t, alice))
	s.run("", "user", "disable", "alice")
	if c := l.hears(a, 10*time.Second); c["sub"] != alice.sub || c["sid"] != v.claims["sid"] {
		t.Errorf("told of %v after the account was disabled", c)
	}

	v = a.enter(newPerson(t, bob))
	l.busy.Lock()
	s.run("", "user", "invalidate-tokens", "bob")
	first := l.hears(a, 10*time.Second)
	s.kill() // before it knows whether the app heard
	l.busy.Unlock()
	s.start()
	again := l.hears(a, time.Minute)
	if again["sid"] != v.claims["sid"] || again["jti"] == first["jti"] {
		t.Errorf("told of %v, and after the kill of %v", first, again)
	}
	select {
	case <-l.tokens:
		t.Error("the app was told once more")
	case <-time.After(3 * time.Second):
	}
}

func TestBackChannelLogout_APrivateAddressMustBeListed(t *testing.T) {
	t.Parallel()
	l := newListener(t)
	s := serve(t, "GATEHOUSE_OUTBOUND_CA_FILE="+l.ca)
	a := newApp(t, s, "app", "--skip-consent", "--set", "backchannel_logout_uri="+l.http.URL+"/logout")
	p := newPerson(t, s.addUser("alice"))
	v := a.enter(p)
	p.visit(s.issuer + "/logout?id_token_hint=" + v.raw)
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(s.stderr.String(), "outbound.allow"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the log does not say why nobody is told")
		}
	}
	if len(l.tokens) != 0 {
		t.Error("the app was told all the same")
	}
}
