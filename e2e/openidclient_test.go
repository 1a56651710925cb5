package e2e

import (
	"encoding/json"
	"encoding/pem"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A nodeApp is a web application made of openid-client, on a port of its own.
type nodeApp struct {
	*program
	server *server
	base   string
	client client
}

// newNodeApp starts the application and registers it. settings are for it,
// args for `client create`; JWKS in these stands for its public keys, and BASE
// for its address.
func newNodeApp(t testing.TB, s *server, id string, settings map[string]string, args ...string) *nodeApp {
	t.Helper()
	a := &nodeApp{program: startNode(t, "openid-client-web.mjs", nil), server: s}
	a.base = a.next("base")
	fill := strings.NewReplacer("BASE", a.base, "JWKS", a.next("jwks"))
	for i := range args {
		args[i] = fill.Replace(args[i])
	}
	a.client = s.addClient(id, append([]string{
		"--name", "Node", "--redirect-uri", a.base + "/callback", "--set", "post_logout_redirect_uris=" + a.base + "/bye",
		"--grant-type", "authorization_code", "--grant-type", "refresh_token", "--scope", "openid profile email",
	}, args...)...)
	told := map[string]string{
		"issuer": s.issuer, "client_id": id, "client_secret": a.client.secret,
		"auth_method": "client_secret_basic", "response_mode": "query",
	}
	for name, value := range settings {
		told[name] = value
	}
	line, err := json.Marshal(told)
	if err != nil {
		t.Fatal(err)
	}
	a.say(string(line))
	a.next("ready")
	return a
}

// A frontDoor is what stands before an application and speaks TLS for it.
type frontDoor struct {
	http *httptest.Server
	ca   string // its root, as a file
	to   atomic.Pointer[url.URL]
}

func newFrontDoor(t testing.TB) *frontDoor {
	t.Helper()
	d := &frontDoor{ca: filepath.Join(t.TempDir(), "ca.pem")}
	d.http = httptest.NewTLSServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(d.to.Load()) }})
	t.Cleanup(d.http.Close)
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: d.http.Certificate().Raw})
	if err := os.WriteFile(d.ca, root, 0o600); err != nil {
		t.Fatal(err)
	}
	return d
}

// leadTo names the application behind the door, before anybody comes.
func (d *frontDoor) leadTo(base string) {
	to, err := url.Parse(base)
	if err != nil {
		panic(err) // the application's own address
	}
	d.to.Store(to)
}

// shows visits a page of the application and expects this line on it.
func (a *nodeApp) shows(p *person, path, line string) {
	a.t.Helper()
	if at := p.visit(a.base + path); !strings.Contains(at.body, "<h1>"+line+"</h1>") {
		a.t.Errorf("%s ended at %s (%d), which does not say %q:\n%s", path, at.address, at.status, line, at.body)
	}
}

// signsIn signs the person in to the application, by a redirect.
func (a *nodeApp) signsIn(p *person) {
	a.t.Helper()
	if at := p.signIn(a.base + "/signin"); !strings.Contains(at.body, "<h1>Signed in "+p.who.sub+" "+p.who.email+" by GET</h1>") {
		a.t.Fatalf("signing in ended at %s:\n%s", at.address, at.body)
	}
}

func TestRelyingParty_OpenIDClientTakesFormPost(t *testing.T) {
	t.Parallel()
	s := serve(t)
	mai := s.addUser("mai")
	a := newNodeApp(t, s, "node", map[string]string{"response_mode": "form_post"})
	signedIn := "<h1>Signed in " + mai.sub + " " + mai.email + " by POST</h1>"

	t.Run("without JavaScript", func(t *testing.T) {
		p := newPerson(t, mai)
		at := p.signIn(a.base + "/signin")
		if !at.asks("code") || at.status != 200 {
			t.Fatalf("no form leads back, but %d at %s:\n%s", at.status, at.address, at.body)
		}
		if at = p.submit(at, nil); !strings.Contains(at.body, signedIn) {
			t.Errorf("the form leads to %s:\n%s", at.address, at.body)
		}
		a.shows(p, "/refresh", "Refreshed "+mai.sub)
	})
	t.Run("in Chromium", func(t *testing.T) {
		b := openTab(t)
		b.open(a.base + "/signin")
		b.signIn(mai)
		if b.has(allowButton) {
			b.press(allowButton)
		}
		b.in(waitFor(b, `document.title === 'Node' && document.readyState === 'complete'`))
		if want := strings.TrimSuffix(strings.TrimPrefix(signedIn, "<h1>"), "</h1>"); b.heading() != want {
			t.Errorf("at %s it says %q", b.address(), b.heading())
		}
		b.mustBeContent()
	})
	t.Run("an error too", func(t *testing.T) {
		p := newPerson(t, mai)
		at := p.visit(a.base + "/signin?prompt=none")
		if at = p.submit(at, nil); !strings.Contains(at.body, "login_required") {
			t.Errorf("nobody is signed in, and the application is told at %s:\n%s", at.address, at.body)
		}
	})
}

func TestRelyingParty_OpenIDClientSignsInByPrivateKeyJWTWithItsKeysByValue(t *testing.T) {
	t.Parallel()
	s := serve(t)
	mai := s.addUser("mai")
	a := newNodeApp(t, s, "node", map[string]string{"auth_method": "private_key_jwt"}, "--auth-method", "private_key_jwt", "--set", "jwks=JWKS")
	p := newPerson(t, mai)
	a.signsIn(p)
	a.shows(p, "/refresh", "Refreshed "+mai.sub)
	a.shows(p, "/new-key", "key-2")
	if at := p.visit(a.base + "/refresh"); !strings.Contains(at.body, "<h1>401 ") {
		t.Errorf("a key that nobody registered was taken: %s", at.body)
	}
}

func TestRelyingParty_OpenIDClientChangesTheKeysAtItsAddressWithoutAWord(t *testing.T) {
	t.Parallel()
	door := newFrontDoor(t)
	s := serve(t, "GATEHOUSE_OUTBOUND_ALLOW=127.0.0.1", "GATEHOUSE_OUTBOUND_CA_FILE="+door.ca)
	mai := s.addUser("mai")
	a := newNodeApp(t, s, "node", map[string]string{"auth_method": "private_key_jwt"}, "--auth-method", "private_key_jwt", "--set", "jwks_uri="+door.http.URL+"/jwks")
	door.leadTo(a.base)
	p := newPerson(t, mai)
	a.signsIn(p)
	time.Sleep(11 * time.Second) // keys are fetched at most every ten seconds
	a.shows(p, "/new-key", "key-2")
	a.shows(p, "/refresh", "Refreshed "+mai.sub)
	if at := p.visit(a.base + "/old-key"); !strings.Contains(at.body, "<h1>401 ") {
		t.Errorf("the key that the application took away was taken: %s", at.body)
	}
	a.shows(p, "/introspect", "access token true "+mai.sub+", refresh token true "+mai.sub)
}

func TestRelyingParty_OpenIDClientIntrospectsAndRevokes(t *testing.T) {
	t.Parallel()
	s := serve(t)
	mai := s.addUser("mai")
	for _, format := range []string{"jwt", "opaque"} {
		t.Run(format, func(t *testing.T) {
			a := newNodeApp(t, s, "node-"+format, nil, "--access-token", format)
			p := newPerson(t, mai)
			a.signsIn(p)
			a.shows(p, "/introspect", "access token true "+mai.sub+", refresh token true "+mai.sub)
			a.shows(p, "/revoke?token=access_token", "Revoked")
			a.shows(p, "/introspect", "access token false of nobody, refresh token true "+mai.sub)
			a.shows(p, "/refresh", "Refreshed "+mai.sub)
			a.shows(p, "/introspect", "access token true "+mai.sub+", refresh token true "+mai.sub)
			a.shows(p, "/revoke?token=refresh_token", "Revoked")
			a.shows(p, "/introspect", "access token false of nobody, refresh token false of nobody")
			if at := p.visit(a.base + "/refresh"); !strings.Contains(at.body, "invalid_grant") {
				t.Errorf("a revoked token was refreshed: %s", at.body)
			}
		})
	}
}

func TestRelyingParty_OpenIDClientHearsOfSignOutsByTheBackChannel(t *testing.T) {
	t.Parallel()
	s := serve(t, "GATEHOUSE_OUTBOUND_ALLOW=127.0.0.1")
	mai := s.addUser("mai")
	first := newNodeApp(t, s, "first", nil, "--skip-consent", "--set", "backchannel_logout_uri=BASE/backchannel")
	second := newNodeApp(t, s, "second", nil, "--skip-consent", "--set", "backchannel_logout_uri=BASE/backchannel")
	p, elsewhere := newPerson(t, mai), newPerson(t, mai)
	first.signsIn(p)
	first.signsIn(elsewhere)
	second.signsIn(p)

	first.shows(p, "/signout", "Bye, state farewell")
	for _, a := range []*nodeApp{first, second} {
		if heard := a.next("heard"); heard == "nothing that verifies" {
			t.Errorf("%s was told %s", a.client.id, heard)
		}
	}
	first.shows(p, "/", "Nobody is signed in")
	second.shows(p, "/", "Nobody is signed in")
	first.shows(elsewhere, "/", "Signed in")
	if at := p.visit(first.base + "/signin"); !at.asks("password") {
		t.Errorf("after signing out nobody is asked for a password: %s\n%s", at.address, at.body)
	}

	s.run("", "user", "disable", "mai")
	if heard := first.next("heard"); heard == "nothing that verifies" {
		t.Errorf("after the account was disabled, %s", heard)
	}
	first.shows(elsewhere, "/", "Nobody is signed in")
}
