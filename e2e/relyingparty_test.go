package e2e

import (
	"bufio"
	"encoding/json"
	"io"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"gatehouse/storage/storagetest"
)

func TestRelyingParty_GoOIDCSignsInRefreshesReadsUserinfoAndSignsOut(t *testing.T) {
	t.Parallel()
	t.Run("where this run is", func(t *testing.T) { signsInRefreshesAndSignsOut(t, serve(t)) })
	t.Run("on PostgreSQL over TCP", func(t *testing.T) {
		signsInRefreshesAndSignsOut(t, serve(t, startCable(t, storagetest.PostgresURL(t)).settings()...))
	})
}

func signsInRefreshesAndSignsOut(t *testing.T, s *server) {
	alice := s.addUser("alice")
	for _, kind := range []struct {
		name string
		args []string
	}{
		{"a web application with a secret", nil},
		{"a public client", []string{"--public"}},
		{"a client that wants EdDSA", []string{"--set", "id_token_signed_response_alg=EdDSA"}},
	} {
		t.Run(kind.name, func(t *testing.T) {
			a := newApp(t, s, strings.ReplaceAll(kind.name, " ", "-"), kind.args...)
			p := newPerson(t, alice)

			if at := p.signIn(a.http.URL + "/signin"); !strings.Contains(at.body, alice.sub) {
				t.Fatalf("signing in ended at %s:\n%s", at.address, at.body)
			}
			if at := p.visit(a.http.URL + "/refresh"); !strings.Contains(at.body, "<h1>Refreshed</h1>") {
				t.Fatalf("refreshing ended with %s", at.body)
			}
			v := a.onlyVisit()
			status, claims := s.userinfo(v.token.AccessToken)
			if status != 200 || claims["sub"] != alice.sub || claims["email"] != alice.email || claims["email_verified"] != true {
				t.Errorf("userinfo answers %d %v", status, claims)
			}
			if at := p.visit(a.http.URL + "/signout"); !strings.Contains(at.body, "state farewell") {
				t.Fatalf("signing out ended at %s:\n%s", at.address, at.body)
			}
			if at := p.visit(a.http.URL + "/signin"); !at.asks("password") {
				t.Errorf("after signing out nobody is asked for a password: %s\n%s", at.address, at.body)
			}
			if _, err := a.renew(t.Context(), v); err == nil {
				t.Error("a refresh token without offline_access outlived the session")
			}
			if status, _ := s.userinfo(v.token.AccessToken); status != 401 {
				t.Errorf("userinfo answers %d to an access token of the ended session", status)
			}
		})
	}
}

// onlyVisit is the one sign-in that the app has seen.
func (a *app) onlyVisit() *visit {
	a.t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.visits) != 1 {
		a.t.Fatalf("the app has seen %d sign-ins", len(a.visits))
	}
	for _, v := range a.visits {
		return v
	}
	return nil
}

func TestRelyingParty_OfflineAccessOutlivesTheSession(t *testing.T) {
	t.Parallel()
	s := serve(t)
	p := newPerson(t, s.addUser("olga"))
	a := newApp(t, s, "offline")
	a.oauth.Scopes = append(a.oauth.Scopes, "offline_access")
	v := a.enter(p, oauth2.SetAuthURLParam("prompt", "consent"))

	at := p.visit(s.issuer + "/")
	if !strings.Contains(at.body, "/logout/confirm") {
		t.Fatalf("the home page offers no way to sign out:\n%s", at.body)
	}
	p.submit(at, nil)
	if _, err := a.renew(t.Context(), v); err != nil {
		t.Errorf("refreshing after the sign-out: %v", err)
	}
}

func TestRelyingParty_OpenIDClientSignsInRefreshesReadsUserinfoAndSignsOut(t *testing.T) {
	t.Parallel()
	s := serve(t)
	mai := s.addUser("mai")
	const callback, bye = "http://127.0.0.1:9/callback", "http://127.0.0.1:9/bye"
	for _, kind := range []struct {
		name string
		args []string
	}{
		{"client_secret_basic", []string{"--auth-method", "client_secret_basic"}},
		{"client_secret_post", []string{"--auth-method", "client_secret_post"}},
		{"none", []string{"--public"}},
	} {
		t.Run(kind.name, func(t *testing.T) {
			c := s.addClient("npm-"+kind.name, append([]string{
				"--name", "Node", "--redirect-uri", callback, "--set", "post_logout_redirect_uris=" + bye,
				"--grant-type", "authorization_code", "--grant-type", "refresh_token", "--scope", "openid profile email",
			}, kind.args...)...)
			p := newPerson(t, mai)
			node := startNode(t, "openid-client.mjs", map[string]string{
				"issuer": s.issuer, "client_id": c.id, "client_secret": c.secret, "auth_method": kind.name,
				"redirect_uri": callback, "post_logout_redirect_uri": bye,
			})

			p.stopAt = callback
			at := p.signIn(node.next("authorize"))
			if !hasCode(at) {
				t.Fatalf("signing in ended at %s:\n%s", at.address, at.body)
			}
			node.say(at.address.String())
			if sub := node.next("id_token_sub"); sub != mai.sub {
				t.Errorf("the ID token is about %s", sub)
			}
			if email := node.next("userinfo_email"); email != mai.email {
				t.Errorf("userinfo says %s", email)
			}
			if sub := node.next("refreshed_sub"); sub != mai.sub {
				t.Errorf("after refreshing, userinfo is about %s", sub)
			}
			p.stopAt = bye
			if at := p.visit(node.next("end_session")); !strings.HasPrefix(at.address.String(), bye) {
				t.Errorf("signing out ended at %s:\n%s", at.address, at.body)
			}
			node.say("")
		})
	}
}

// A program is one of rp at work: one line of JSON for each thing it has
// done, one line of text for each thing it waits for.
type program struct {
	t     testing.TB
	in    io.WriteCloser
	lines *bufio.Scanner
	err   record
}

// startNode starts a program in JavaScript.
func startNode(t testing.TB, name string, settings map[string]string) *program {
	t.Helper()
	return startProgram(t, exec.Command("node", "rp/"+name), settings)
}

func startProgram(t testing.TB, cmd *exec.Cmd, settings map[string]string) *program {
	t.Helper()
	n := &program{t: t}
	cmd.Stderr = &n.err
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	n.in, n.lines = in, bufio.NewScanner(out)
	n.lines.Buffer(nil, 1<<20)
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: run scripts/deps", err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the relying party: %v\n%s", err, n.err.String())
		}
	})
	first, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	n.say(string(first))
	return n
}

func (n *program) say(line string) {
	n.t.Helper()
	if _, err := io.WriteString(n.in, line+"\n"); err != nil {
		n.t.Fatalf("%v\n%s", err, n.err.String())
	}
}

// next reads one line and returns the value that must be in it.
func (n *program) next(name string) string {
	n.t.Helper()
	if !n.lines.Scan() {
		n.t.Fatalf("no %s from the relying party\n%s", name, n.err.String())
	}
	var said map[string]string
	if err := json.Unmarshal(n.lines.Bytes(), &said); err != nil || said[name] == "" {
		n.t.Fatalf("waited for %s, got %s", name, n.lines.Text())
	}
	return said[name]
}
