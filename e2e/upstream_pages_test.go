package e2e

import (
	"net/url"
	"strings"
	"testing"
)

const googleSecret = "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"

func TestUpstream_GoogleNeedsItsTwoSettingsAndComesBackWhereItIsTold(t *testing.T) {
	t.Parallel()
	s := prepare(t, "GOOGLE_OAUTH_CLIENT_ID=1234.apps.googleusercontent.com", "GOOGLE_OAUTH_CLIENT_SECRET="+googleSecret)
	s.hide("the secret of Google", googleSecret)
	back := s.issuer + "/auth/google/callback"
	for _, n := range s.nodes {
		n.env = append(n.env, "GOOGLE_OAUTH_REDIRECT_URI="+back)
	}
	s.start()
	p := newPerson(t, account{})
	p.stopAt = "https://accounts.google.com"
	at := p.presses(p.visit(s.issuer+"/login"), "google")
	q := at.address.Query()
	for name, want := range map[string]string{
		"client_id": "1234.apps.googleusercontent.com", "redirect_uri": back, "scope": "openid email profile", "response_type": "code", "code_challenge_method": "S256",
	} {
		if q.Get(name) != want {
			t.Errorf("Google is asked %s=%s, not %s", name, q.Get(name), want)
		}
	}
	declined := url.Values{"error": {"access_denied"}, "state": {q.Get("state")}}
	s.explained(p.visit(back+"?"+declined.Encode()), "You did not sign in with Google", "upstream.declined")
}

// button is that of an upstream.
func button(id string) string { return `form[action="/login/upstream/` + id + `"] button` }

// signInAt goes through the pages of oidc-provider.
func (b *tab) signInAt(sub string) {
	b.t.Helper()
	b.fill("login", sub)
	b.fill("password", "any")
	b.press(`button[type="submit"]`)
	if strings.Contains(b.address(), "/interaction/") {
		b.press(`button[type="submit"]`) // it asks whether gatehouse may
	}
}

func TestAC136_ThePagesOfUpstreamsAreAccessibleInBothLanguages(t *testing.T) {
	t.Parallel()
	for _, language := range []string{"en", "vi"} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			var op *upstreamOP
			s := withUpstreams(t, func(s *server) string {
				op = startOP(t, "partner", s.issuer, partnerPeople)
				return entry("partner", op.issuer, upstreamSecret, trusted) + entry("university", "https://login.university.example", upstreamSecret)
			}, "GATEHOUSE_REGISTRATION=closed", "GATEHOUSE_EMAIL_DOMAINS=people.example",
				"GOOGLE_OAUTH_CLIENT_ID=1234.apps.googleusercontent.com", "GOOGLE_OAUTH_CLIENT_SECRET="+googleSecret)
			a := newApp(t, s, "garden", "--name", "Garden planner")
			alice := s.addUser("alice")
			b := openTab(t)
			b.speak(language)
			shown := func(page string) { t.Helper(); b.look(language + "-upstream-" + page) }

			b.open(a.http.URL + "/signin")
			shown("login")
			b.press(button("partner"))
			b.signInAt("u-hatta")
			shown("failed-domain")
			b.press(`a.main`)
			b.press(button("partner"))
			b.signInAt("u-dora")
			shown("failed-closed")
			b.press(`a.main`)
			b.press(button("university"))
			shown("failed-unavailable")
			b.press(`a.main`)
			b.press(button("partner"))
			b.signInAt("u-alice")
			shown("link")
			b.press(`a.main`)
			b.fill("password", alice.password)
			b.press(`form[action="/login"] button`)
			shown("link-confirm")
			b.press(`button[name="decision"][value="link"]`)
			b.press(allowButton)
			if b.heading() != "Signed in" {
				t.Fatalf("the app says %q", b.text())
			}
			b.open(s.issuer + "/account")
			shown("account")
			b.open(s.issuer + "/")
			shown("home")
			b.open(s.issuer + "/account")
			b.press(`form[action="/account/unlink"] button`)
			shown("account-unlinked")
			b.press(button("partner"))
			b.signInAt("u-alice")
			shown("account-linked")
			b.forget()
			b.open(s.issuer + "/login/upstream/partner/callback?state=made-up&code=x")
			shown("failed-state")
			b.mustBeContent()
		})
	}
}
