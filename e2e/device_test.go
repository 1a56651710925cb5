package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
)

// newDevice registers a client for devices, as golang.org/x/oauth2 knows one.
func newDevice(s *server, id string) *oauth2.Config {
	s.t.Helper()
	c := s.addClient(id, "--name", "Wonder TV", "--grant-type", "urn:ietf:params:oauth:grant-type:device_code", "--grant-type", "refresh_token",
		"--set", "policy_uri=https://tv.example/privacy", "--public")
	return &oauth2.Config{
		ClientID: c.id, Scopes: []string{"openid", "profile", "email"},
		Endpoint: oauth2.Endpoint{
			DeviceAuthURL: s.endpoint("device_authorization_endpoint"), TokenURL: s.endpoint("token_endpoint"), AuthStyle: oauth2.AuthStyleInParams,
		},
	}
}

// ask asks for a device code.
func (s *server) ask(device *oauth2.Config) *oauth2.DeviceAuthResponse {
	s.t.Helper()
	waiting, err := device.DeviceAuth(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	s.hide("a device code", waiting.DeviceCode)
	return waiting
}

// A collected is what a device was given in the end.
type collected struct {
	token *oauth2.Token
	err   error
}

// collect polls until there is an answer, as x/oauth2 does it.
func collect(t testing.TB, device *oauth2.Config, waiting *oauth2.DeviceAuthResponse) <-chan collected {
	done := make(chan collected, 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	go func() {
		token, err := device.DeviceAccessToken(ctx, waiting)
		done <- collected{token, err}
	}()
	return done
}

func TestChromium_ADeviceIsConnectedByTheCodeThatSomebodyTypesAndLooksRightOnTheWay(t *testing.T) {
	t.Parallel()
	for _, language := range []string{"en", "vi"} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			s := serve(t)
			mia := s.addUser("mia")
			device := newDevice(s, "tv")
			waiting := s.ask(device)
			answer := collect(t, device, waiting)
			b := openTab(t)
			b.speak(language)
			shown := func(page string) { t.Helper(); b.look(language + "-device-" + page) }

			b.open(waiting.VerificationURI)
			shown("code")
			b.fill("user_code", "bcdf")
			b.press(submitButton)
			shown("code-refused")
			b.fill("user_code", strings.ToLower(strings.ReplaceAll(waiting.UserCode, "-", " ")))
			b.press(submitButton)
			shown("login")
			b.signIn(mia)
			shown("confirm")
			b.press(allowButton)
			shown("allowed")
			b.mustBeContent()

			got := <-answer
			if got.err != nil {
				t.Fatal(got.err)
			}
			if status, claims := s.userinfo(got.token.AccessToken); status != 200 || claims["sub"] != mia.sub || claims["email"] != mia.email {
				t.Errorf("userinfo answers %d %v", status, claims)
			}
			next, err := device.TokenSource(t.Context(), &oauth2.Token{RefreshToken: got.token.RefreshToken}).Token()
			if err != nil {
				t.Fatal(err)
			}
			if status, _ := s.userinfo(next.AccessToken); status != 200 {
				t.Errorf("after a refresh userinfo answers %d", status)
			}
		})
	}
}

func TestRelyingParty_OpenIDClientConnectsADevice(t *testing.T) {
	t.Parallel()
	s := serve(t)
	mai := s.addUser("mai")
	c := s.addClient("npm-tv", "--name", "Node TV", "--grant-type", "urn:ietf:params:oauth:grant-type:device_code", "--grant-type", "refresh_token")
	settings := map[string]string{"issuer": s.issuer, "client_id": c.id, "client_secret": c.secret, "scope": "openid profile offline_access"}
	p := newPerson(t, mai)
	for _, decision := range []string{"allow", "deny"} {
		node := startNode(t, "openid-client-device.mjs", settings)
		at := p.visit(node.next("verification_uri_complete"))
		if at.asks("password") {
			at = p.submit(at, map[string]string{"username": mai.username, "password": mai.password})
		}
		if !at.asks("decision") || !strings.Contains(at.body, "Node TV") {
			t.Fatalf("at %s nobody is asked:\n%s", at.address, at.body)
		}
		p.submit(at, map[string]string{"decision": decision})
		if decision == "deny" {
			if got := node.next("error"); got != "access_denied" {
				t.Errorf("after a no the device is told %s", got)
			}
			continue
		}
		if sub := node.next("id_token_sub"); sub != mai.sub {
			t.Errorf("the ID token is about %s", sub)
		}
		if sub := node.next("refreshed_sub"); sub != mai.sub {
			t.Errorf("after refreshing, userinfo is about %s", sub)
		}
	}
}

// AC-285, RFC 8628 §5.4.
func TestChromium_AScannedCodeAsksAndTheDeviceHearsOfARefusal(t *testing.T) {
	t.Parallel()
	s := serve(t)
	mia := s.addUser("mia")
	device := newDevice(s, "tv")
	waiting := s.ask(device)
	answer := collect(t, device, waiting)
	b := openTab(t)
	b.open(waiting.VerificationURIComplete)
	b.signIn(mia)
	if !b.has(allowButton) || !strings.Contains(b.text(), waiting.UserCode) {
		t.Fatalf("at %s somebody who scanned a code is not asked:\n%s", b.address(), b.text())
	}
	select {
	case got := <-answer:
		t.Fatalf("without a click the device was told %v", got.err)
	case <-time.After(6 * time.Second): // one poll
	}
	b.press(`button[name="decision"][value="deny"]`)
	b.look("en-device-denied")
	b.back()
	if b.has(allowButton) {
		b.press(allowButton) // the page from the browser's memory answers nothing any more
	}
	if got := <-answer; got.err == nil || !strings.Contains(got.err.Error(), "access_denied") {
		t.Errorf("the device was told %v", got.err)
	}
	b.mustBeContent()
}
