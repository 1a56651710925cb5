package e2e

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatehouse/upstream/upstreamtest"
)

const upstreamSecret = "Vq7Zt0Wm3VbE1yKc9RfLs2HuN5dXaPgJ"

// An upstreamOP is a provider made of oidc-provider, at which gatehouse is a
// relying party.
type upstreamOP struct {
	id, issuer string
}

// startOP starts a provider that knows these people, by their sub; gatehouse at
// issuer calls it id.
func startOP(t testing.TB, id, issuer string, people map[string]any) *upstreamOP {
	t.Helper()
	known, err := json.Marshal(people)
	if err != nil {
		t.Fatal(err)
	}
	op := &upstreamOP{id: id, issuer: "http://127.0.0.1:" + freePort(t)}
	n := startProgram(t, exec.Command("node", "op/oidc-provider.mjs"), map[string]string{
		"issuer": op.issuer, "people": string(known), "client_id": "gatehouse", "client_secret": upstreamSecret,
		"redirect_uri": issuer + "/login/upstream/" + id + "/callback",
	})
	n.next("ready")
	return op
}

// entry is what the file says of an upstream; more are lines beside the usual.
func entry(id, issuer, secret string, more ...string) string {
	lines := append([]string{"id: " + id, "issuer: " + issuer, "name: " + strings.ToUpper(id[:1]) + id[1:], "client_id: gatehouse", "client_secret: " + secret}, more...)
	return "  - " + strings.Join(lines, "\n    ") + "\n"
}

const trusted = "trust_email_verified: true"

// withUpstreams prepares a server that reads its upstreams from a file; list
// writes the file once the issuer is known.
func withUpstreams(t testing.TB, list func(s *server) string, settings ...string) *server {
	t.Helper()
	file := filepath.Join(t.TempDir(), "gatehouse.yaml")
	s := prepare(t, append([]string{"GATEHOUSE_CONFIG=" + file, "GATEHOUSE_OUTBOUND_ALLOW=127.0.0.0/8"}, settings...)...)
	s.declare(file, list(s))
	s.hide("the secret of an upstream", upstreamSecret)
	s.start()
	return s
}

func (s *server) declare(file, list string) {
	s.t.Helper()
	if err := os.WriteFile(file, []byte("upstreams:\n"+list), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

var partnerPeople = map[string]any{
	"u-alice": map[string]any{"name": "Alice Liddell", "email": "alice@people.example", "email_verified": true, "locale": "en-GB"},
	"u-dora":  map[string]any{"name": "Dora Dormouse", "email": "dora@people.example", "email_verified": true},
	"u-eve":   map[string]any{"name": "Eve", "email": "alice@people.example", "email_verified": false},
	"u-hatta": map[string]any{"name": "Hatta", "email": "hatta@elsewhere.example", "email_verified": true},
}

// through signs in at a provider's own pages as who has this sub there, from
// wherever the way there begins, and comes back.
func (p *person) through(at page, sub string) page {
	p.t.Helper()
	for range 4 {
		switch {
		case at.asks("login"):
			at = p.submit(at, map[string]string{"login": sub, "password": "any"})
		case strings.Contains(at.address.Path, "/interaction/"):
			at = p.submit(at, nil) // it asks whether gatehouse may
		default:
			return at
		}
	}
	p.t.Fatalf("the pages do not end; now at %s:\n%s", at.address, at.body)
	return page{}
}

// begins goes from an application's sign-in to the upstream.
func (p *person) begins(a *app, op *upstreamOP) page {
	p.t.Helper()
	at := p.visit(a.http.URL + "/signin")
	return p.presses(at, op.id)
}

// presses presses the button of an upstream.
func (p *person) presses(at page, id string) page {
	p.t.Helper()
	u, err := at.address.Parse("/login/upstream/" + id)
	if err != nil {
		p.t.Fatal(err)
	}
	if !strings.Contains(at.body, `action="`+u.Path+`"`) {
		p.t.Fatalf("there is no button of %s at %s:\n%s", id, at.address, at.body)
	}
	u.RawQuery = at.address.RawQuery
	return p.visit(u.String())
}

// explained fails the test unless the page has a code that explain knows as
// this kind.
func (s *server) explained(at page, heading, kind string) {
	s.t.Helper()
	_, rest, _ := strings.Cut(at.body, "<dd><code>")
	code, _, _ := strings.Cut(rest, "</code>")
	if !strings.Contains(at.body, heading) || code == "" {
		s.t.Fatalf("%s is no page %q with a code:\n%s", at.address, heading, at.body)
	}
	var said struct{ Kind, Upstream string }
	out, complaint, err := s.try("", "explain", code, "-o", "json")
	if err != nil {
		s.t.Fatalf("explain %s: %v %s", code, err, complaint)
	}
	if err := json.Unmarshal([]byte(out), &said); err != nil || said.Kind != kind || said.Upstream == "" {
		s.t.Errorf("explain says %s, want %s", out, kind)
	}
}

func TestUpstream_OIDCProviderSignsInLinksAndIsFoundAgain(t *testing.T) {
	t.Parallel()
	var op *upstreamOP
	s := withUpstreams(t, func(s *server) string {
		op = startOP(t, "partner", s.issuer, partnerPeople)
		return entry("partner", op.issuer, upstreamSecret, trusted)
	}, "GATEHOUSE_REGISTRATION=open")
	a := newApp(t, s, "garden", "--skip-consent")

	// A first sign-in makes the account; the application gets its claims.
	dora := newPerson(t, account{})
	if at := dora.through(dora.begins(a, op), "u-dora"); !strings.Contains(at.body, "Signed in") {
		t.Fatalf("it ended at %s:\n%s", at.address, at.body)
	}
	v := a.onlyVisit()
	status, claims := s.userinfo(v.token.AccessToken)
	if status != 200 || claims["name"] != "Dora Dormouse" || claims["email"] != "dora@people.example" || claims["email_verified"] != true {
		t.Errorf("userinfo answers %d %v", status, claims)
	}
	if amr := fmt.Sprint(v.claims["amr"]); amr != "[fed]" {
		t.Errorf("amr is %s", amr)
	}
	if at, _ := v.claims["auth_time"].(float64); time.Since(time.Unix(int64(at), 0)) > time.Minute {
		t.Errorf("auth_time is %v", v.claims["auth_time"])
	}

	// An address that has an account is not adopted: its owner links the two.
	alice := s.addUser("alice")
	p := newPerson(t, alice)
	at := p.through(p.begins(a, op), "u-alice")
	if !strings.Contains(at.body, "You have an account already") {
		t.Fatalf("it ended at %s:\n%s", at.address, at.body)
	}
	at = p.visit(s.issuer + "/login?" + at.address.RawQuery)
	at = p.submit(at, map[string]string{"username": alice.username, "password": alice.password})
	if !strings.Contains(at.body, "Link Partner to your account?") {
		t.Fatalf("it ended at %s:\n%s", at.address, at.body)
	}
	if at = p.submit(at, map[string]string{"decision": "link"}); !strings.Contains(at.body, alice.sub) {
		t.Fatalf("it ended at %s:\n%s", at.address, at.body)
	}
	again := newPerson(t, account{})
	if at := again.through(again.begins(a, op), "u-alice"); !strings.Contains(at.body, alice.sub) {
		t.Errorf("who is linked is not found again: %s\n%s", at.address, at.body)
	}

	if shown := s.run("", "user", "show", "alice"); !strings.Contains(shown, "u-alice at "+op.issuer) {
		t.Errorf("user show does not tell of the link:\n%s", shown)
	}

	// Another's unverified address is nobody's.
	eve := newPerson(t, account{})
	at = eve.through(eve.begins(a, op), "u-eve")
	if !strings.Contains(at.body, "Signed in") || strings.Contains(at.body, alice.sub) {
		t.Errorf("an unverified address signs in at %s:\n%s", at.address, at.body)
	}
}

func TestUpstream_OIDCProviderAndWhatGoesWrong(t *testing.T) {
	t.Parallel()
	var op, other *upstreamOP
	var lying *upstreamtest.OP
	s := withUpstreams(t, func(s *server) string {
		op = startOP(t, "partner", s.issuer, partnerPeople)
		other = startOP(t, "other", s.issuer, partnerPeople)
		lying = upstreamtest.New(t)
		return entry("partner", op.issuer, upstreamSecret, trusted, "email_domains: [people.example]") +
			entry("other", other.issuer, upstreamSecret, trusted) +
			entry("lying", lying.URL, upstreamtest.ClientSecret) +
			entry("mistaken", op.issuer, "Kc9RfLs2HuN5dXaPgJVq7Zt0Wm3VbE1y", "redirect_uri: "+s.issuer+"/auth/mistaken")
	}, "GATEHOUSE_REGISTRATION=open")
	a := newApp(t, s, "garden", "--skip-consent")
	const failed = "Signing in with Partner did not work"

	// altered begins a sign-in and changes the address of the upstream on the way.
	altered := func(p *person, id string, change func(q url.Values)) page {
		t.Helper()
		at := p.visit(a.http.URL + "/signin")
		p.stopAt = "http://127.0.0.1"
		gone := p.presses(at, id)
		p.stopAt = ""
		q := gone.address.Query()
		change(q)
		gone.address.RawQuery = q.Encode()
		return p.visit(gone.address.String())
	}

	t.Run("another domain", func(t *testing.T) {
		p := newPerson(t, account{})
		s.explained(p.through(p.begins(a, op), "u-hatta"), "That account is not let in here", "upstream.email_domain")
	})
	t.Run("an address that is not verified, where a domain is wanted", func(t *testing.T) {
		p := newPerson(t, account{})
		s.explained(p.through(p.begins(a, op), "u-eve"), "That account is not let in here", "upstream.email_domain")
	})
	t.Run("the person declines", func(t *testing.T) {
		p := newPerson(t, account{})
		at := p.begins(a, op)
		abort, err := at.address.Parse(at.address.Path + "/abort")
		if err != nil {
			t.Fatal(err)
		}
		s.explained(p.visit(abort.String()), "You did not sign in with Partner", "upstream.declined")
	})
	t.Run("the upstream answers with an error", func(t *testing.T) {
		p := newPerson(t, account{})
		at := altered(p, "partner", func(q url.Values) { q.Set("scope", "openid nothing-of-that-kind"); q.Set("prompt", "none") })
		s.explained(at, failed, "upstream.answer_error")
	})
	t.Run("another nonce", func(t *testing.T) {
		p := newPerson(t, account{})
		at := altered(p, "partner", func(q url.Values) { q.Set("nonce", "the-nonce-of-another-sign-in") })
		s.explained(p.through(at, "u-alice"), failed, "upstream.nonce")
	})
	t.Run("another verifier", func(t *testing.T) {
		p := newPerson(t, account{})
		at := altered(p, "partner", func(q url.Values) { q.Set("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM") })
		s.explained(p.through(at, "u-alice"), failed, "upstream.exchange")
	})
	t.Run("another audience", func(t *testing.T) {
		p := newPerson(t, account{})
		p.stopAt = lying.URL
		gone := p.presses(p.visit(a.http.URL+"/signin"), "lying")
		p.stopAt = ""
		at := p.visit(lying.SignIn(gone.address.String(), upstreamtest.Person{Subject: "x", Claims: map[string]any{"aud": "somebody-else"}}))
		s.explained(at, "Signing in with Lying did not work", "upstream.audience")
	})
	t.Run("a state that was used", func(t *testing.T) {
		p := newPerson(t, account{})
		at := p.begins(a, op)
		p.stopAt = s.issuer + "/login/upstream/partner/callback"
		back := p.through(at, "u-dora")
		p.stopAt = ""
		if at := p.visit(back.address.String()); !strings.Contains(at.body, "Signed in") {
			t.Fatalf("it ended at %s:\n%s", at.address, at.body)
		}
		s.explained(p.visit(back.address.String()), "That is done already", "upstream.state_spent")
		stranger := newPerson(t, account{})
		s.explained(stranger.visit(back.address.String()), "Started in another browser", "upstream.state_browser")
	})
	t.Run("the answer of another provider", func(t *testing.T) {
		p := newPerson(t, account{})
		p.stopAt = s.issuer + "/login/upstream/other/callback"
		back := p.through(p.begins(a, other), "u-alice")
		p.stopAt = op.issuer
		gone := p.begins(a, op)
		p.stopAt = ""
		// The state of one, and all else of the other.
		q := back.address.Query()
		q.Set("state", gone.address.Query().Get("state"))
		s.explained(p.visit(s.issuer+"/login/upstream/partner/callback?"+q.Encode()), failed, "upstream.answer_issuer")
	})
	t.Run("a redirect address that is not registered there", func(t *testing.T) {
		p := newPerson(t, account{})
		at := p.presses(p.visit(a.http.URL+"/signin"), "mistaken")
		if at.address.Host != strings.TrimPrefix(op.issuer, "http://") || !strings.Contains(at.body, "redirect_uri") {
			t.Errorf("the upstream says at %s:\n%s", at.address, at.body)
		}
	})
}

func TestUpstream_AWrongSecretAndAReloadedOne(t *testing.T) {
	t.Parallel()
	var op *upstreamOP
	var file string
	s := withUpstreams(t, func(s *server) string {
		op = startOP(t, "partner", s.issuer, partnerPeople)
		for _, e := range s.env {
			if path, ok := strings.CutPrefix(e, "GATEHOUSE_CONFIG="); ok {
				file = path
			}
		}
		return entry("partner", op.issuer, "Kc9RfLs2HuN5dXaPgJVq7Zt0Wm3VbE1y", trusted)
	}, "GATEHOUSE_REGISTRATION=open")
	a := newApp(t, s, "garden", "--skip-consent")
	p := newPerson(t, account{})
	s.explained(p.through(p.begins(a, op), "u-dora"), "Signing in with Partner did not work", "upstream.invalid_client")

	s.declare(file, entry("partner", op.issuer, upstreamSecret, trusted))
	s.hangUp()
	if at := p.through(p.begins(a, op), "u-dora"); !strings.Contains(at.body, "Signed in") {
		t.Fatalf("after a reload it ended at %s:\n%s", at.address, at.body)
	}
	// An upstream that leaves the file signs nobody in.
	s.declare(file, entry("another", op.issuer, upstreamSecret))
	s.hangUp()
	at := newPerson(t, account{}).visit(s.issuer + "/login/upstream/partner")
	s.explained(at, "is not offered here", "upstream.gone")
}

// hangUp sends SIGHUP, and waits until the settings were read again.
func (s *server) hangUp() {
	s.t.Helper()
	for _, n := range s.nodes {
		said := strings.Count(n.stderr.String(), "reloaded")
		n.signal(syscall.SIGHUP)
		for deadline := time.Now().Add(30 * time.Second); strings.Count(n.stderr.String(), "reloaded") == said; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				s.t.Fatalf("nothing was reloaded:\n%s", tail(n.stderr.String(), 4<<10))
			}
		}
	}
}
