package e2e

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// An apache is a web server whose mod_auth_openidc guards /protected/, and
// shows there what it knows of the person.
type apache struct {
	t      testing.TB
	server *server
	base   string
	log    string
}

// apacheModules is where Debian's apache2 has its modules.
const apacheModules = "/usr/lib/apache2/modules"

// startApache registers the module as a client and starts Apache. directives
// are for the module, args for `client create`; BASE in them stands for its address.
func startApache(t testing.TB, s *server, directives []string, args ...string) *apache {
	t.Helper()
	program, err := exec.LookPath("apache2")
	if err != nil { // it is root's, and not on everybody's PATH
		program, err = exec.LookPath("/usr/sbin/apache2")
	}
	if err != nil {
		t.Fatal("there is no apache2: apt-get install apache2-bin libapache2-mod-auth-openidc")
	}
	port, dir := freePort(t), readableDir(t)
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "BASE", "http://127.0.0.1:"+port)
	}
	a := &apache{t: t, server: s, base: "http://127.0.0.1:" + port, log: filepath.Join(dir, "error.log")}
	c := s.addClient("apache", append([]string{
		"--name", "Apache", "--skip-consent", "--redirect-uri", a.base + "/protected/callback", "--set", "post_logout_redirect_uris=" + a.base + "/bye.html",
		"--grant-type", "authorization_code", "--grant-type", "refresh_token", "--scope", "openid profile email",
	}, args...)...)

	for path, content := range map[string]string{
		"docs/bye.html":             "<h1>Bye</h1>",
		"docs/protected/page.shtml": "<pre><!--#printenv --></pre>",
		"apache.conf":               a.configuration(dir, port, c.secret, directives),
	} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(program, "-DFOREGROUND", "-f", filepath.Join(dir, "apache.conf"))
	var said record
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: run scripts/deps", err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait() // its status after a signal says nothing
		if t.Failed() {
			log, _ := os.ReadFile(a.log)
			t.Logf("Apache said:\n%s%s", said.String(), tail(string(log), 8<<10))
		}
	})
	for range 500 {
		if ready(a.base + "/bye.html") {
			return a
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("Apache does not answer:\n%s", said.String())
	return nil
}

// readableDir is a directory that Apache can read when it is no longer root.
func readableDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gatehouse-apache-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (a *apache) configuration(dir, port, secret string, directives []string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("ServerRoot %q", dir)
	line("ServerName 127.0.0.1")
	line("Listen 127.0.0.1:%s", port)
	line("PidFile %q", filepath.Join(dir, "apache.pid"))
	line("ErrorLog %q", a.log)
	line("DefaultRuntimeDir %q", dir)
	line("Mutex file:%s", dir)
	for _, m := range []string{"mpm_event", "authn_core", "authz_core", "authz_user", "mime", "dir", "filter", "include", "auth_openidc"} {
		line("LoadModule %s_module %s/mod_%s.so", m, apacheModules, m)
	}
	if u, err := user.Current(); err == nil && u.Uid == "0" {
		line("User www-data")
		line("Group www-data")
	}
	line("DocumentRoot %q", filepath.Join(dir, "docs"))
	line("TypesConfig /dev/null")
	line("AddType text/html .html .shtml")
	line("AddOutputFilter INCLUDES .shtml")
	line("OIDCProviderMetadataURL %s/.well-known/openid-configuration", a.server.issuer)
	line("OIDCClientID apache")
	if secret != "" {
		line("OIDCClientSecret %s", secret)
	}
	line("OIDCRedirectURI %s/protected/callback", a.base)
	line("OIDCCryptoPassphrase %s", rand.Text())
	line("OIDCScope %q", "openid profile email")
	line("OIDCPKCEMethod S256")
	line("OIDCPassClaimsAs environment")
	line("OIDCRemoteUserClaim sub")
	for _, d := range directives {
		line("%s", d)
	}
	line("<Location /protected/>\nAuthType openid-connect\nRequire valid-user\nOptions +Includes\n</Location>")
	return b.String()
}

var accessTokenShown = regexp.MustCompile(`OIDC_access_token=(\S+)`)

// signsIn opens the guarded page as p, and returns the access token that the
// module has.
func (a *apache) signsIn(p *person, submit bool) string {
	a.t.Helper()
	at := p.signIn(a.base + "/protected/page.shtml")
	if submit {
		if !at.asks("code") {
			a.t.Fatalf("no form leads back, but %d at %s:\n%s", at.status, at.address, at.body)
		}
		at = p.submit(at, nil)
	}
	for _, want := range []string{"REMOTE_USER=" + p.who.sub, "OIDC_CLAIM_email=" + p.who.email, "OIDC_CLAIM_iss=" + a.server.issuer} {
		if !strings.Contains(at.body, want) {
			a.t.Fatalf("%s is not at %s (%d):\n%s", want, at.address, at.status, at.body)
		}
	}
	return a.token(at)
}

func (a *apache) token(at page) string {
	a.t.Helper()
	shown := accessTokenShown.FindStringSubmatch(at.body)
	if shown == nil {
		a.t.Fatalf("no access token at %s (%d):\n%s", at.address, at.status, at.body)
	}
	return shown[1]
}

func TestRelyingParty_ModAuthOpenIDCSignsInRefreshesAndSignsOut(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a := startApache(t, s, []string{"OIDCRefreshAccessTokenBeforeExpiry 8"}, "--set", "access_token_lifetime=10")
	p := newPerson(t, s.addUser("ada"))
	first := a.signsIn(p, false)
	time.Sleep(3 * time.Second) // within eight seconds of its end
	at := p.visit(a.base + "/protected/page.shtml")
	if a.token(at) == first {
		t.Error("it was not refreshed")
	}
	if at := p.visit(a.base + "/protected/callback?logout=" + a.base + "/bye.html"); !strings.Contains(at.body, "<h1>Bye</h1>") {
		t.Errorf("signing out ended at %s (%d):\n%s", at.address, at.status, at.body)
	}
	if at := p.visit(a.base + "/protected/page.shtml"); !at.asks("password") {
		t.Errorf("after signing out nobody is asked for a password: %s\n%s", at.address, at.body)
	}
}

func TestRelyingParty_ModAuthOpenIDCTakesFormPost(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a := startApache(t, s, []string{"OIDCResponseMode form_post"})
	a.signsIn(newPerson(t, s.addUser("ada")), true)
}

func TestRelyingParty_ModAuthOpenIDCHearsOfSignOutsByTheBackChannel(t *testing.T) {
	t.Parallel()
	s := serve(t, "GATEHOUSE_OUTBOUND_ALLOW=127.0.0.1")
	a := startApache(t, s, nil, "--set", "backchannel_logout_uri=BASE/protected/callback?logout=backchannel")
	p := newPerson(t, s.addUser("ada"))
	a.signsIn(p, false)
	s.run("", "user", "invalidate-tokens", "ada")
	for range 100 {
		if at := p.visit(a.base + "/protected/page.shtml"); at.asks("password") {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Error("Apache was not told")
}
