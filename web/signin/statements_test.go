package signin_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"gatehouse/keys"
	"gatehouse/storage"
	"gatehouse/storage/sqlstore"
	"gatehouse/storage/storagetest"
)

// statements are those that the house ran since the last look, but for what it
// reads each second whether anybody comes or not.
type statements struct {
	mu  sync.Mutex
	all []string
}

func (s *statements) add(statement string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !strings.Contains(statement, "FROM changes") {
		s.all = append(s.all, statement)
	}
}

func (s *statements) taken() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.all
	s.all = nil
	return all
}

func writing(all []string) (n int) {
	for _, s := range all {
		if !strings.HasPrefix(strings.TrimSpace(s), "SELECT") {
			n++
		}
	}
	return n
}

// Every statement is a way to the database and back. What relying parties ask
// for all day takes as few as it can, through the whole door, memory warm.
func TestHowManyStatementsARequestTakes(t *testing.T) {
	for name, address := range map[string]func(t *testing.T) string{
		"SQLite":     func(t *testing.T) string { return "sqlite://" + storagetest.File(t) },
		"PostgreSQL": func(t *testing.T) string { return storagetest.PostgresURL(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ran := new(statements)
			db, err := sqlstore.Open(t.Context(), sqlstore.Options{URL: address(t), MinConns: 1, Watch: ran.add})
			must(t, err)
			t.Cleanup(func() { must(t, db.Close()) })
			h := newHouse(t, func(p *plans) { p.db = db })
			w := newWorker(t, h)
			for _, c := range []struct {
				name        string
				all, writes int
				run         func()
			}{
				{"client_credentials", 0, 0, func() { w.ask("jwt", "/token", "grant_type", "client_credentials") }},
				{"introspection of a JWT", 1, 0, func() { w.ask("jwt", "/introspect", "token", w.access["jwt"]) }},
				{"introspection of an opaque token", 1, 0, func() { w.ask("opaque", "/introspect", "token", w.access["opaque"]) }},
				{"userinfo by a JWT", 1, 0, func() { w.userinfo("jwt") }},
				{"userinfo by an opaque token", 1, 0, func() { w.userinfo("opaque") }},
				{"refresh", 1, 1, func() { w.token("jwt", "grant_type", "refresh_token", "refresh_token", w.refresh["jwt"]) }},
				{"a sign-in with a session", 4, 2, func() { w.signIn("jwt") }},
			} {
				c.run() // whatever is remembered is remembered now
				ran.taken()
				c.run()
				if all := ran.taken(); len(all) > c.all || writing(all) > c.writes {
					t.Errorf("%s takes %d statements, %d of them writing; want %d and %d:\n%s",
						c.name, len(all), writing(all), c.all, c.writes, strings.Join(all, "\n"))
				}
			}
		})
	}
}

// A worker is a browser in which alice is signed in, and the applications that
// she uses, each of which she has allowed what it asks for.
type worker struct {
	*browser
	secrets, access, refresh map[string]string // by client
}

func newWorker(t *testing.T, h *house) *worker {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.provider.Run(ctx)
	}()
	t.Cleanup(func() { stop(); <-done })
	w := &worker{h.browser(), map[string]string{}, map[string]string{}, map[string]string{}}
	h.user("alice")
	for _, format := range []string{"jwt", "opaque"} {
		made, err := h.registrar.Register(t.Context(), format, "", storage.ClientMetadata{
			RedirectURIs: []string{"https://rp.test/cb"}, GrantTypes: []string{"authorization_code", "refresh_token", "client_credentials"},
			Scope: "openid profile", AccessTokenFormat: format, IDTokenSignedAlg: keys.ES256,
		})
		must(t, err)
		w.secrets[format] = made.Secret
		request := w.begin(authorize(format))
		if format == "jwt" {
			w.browser.signIn("alice", request)
		}
		w.agree(request, "allow")
		w.signIn(format)
	}
	return w
}

// ask sends a form as a client, which gets an answer.
func (w *worker) ask(client, path string, pairs ...string) answer {
	w.h.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	a := w.do(http.MethodPost, path, form, "Authorization",
		"Basic "+base64.StdEncoding.EncodeToString([]byte(client+":"+w.secrets[client])))
	if a.status != http.StatusOK || strings.Contains(a.body, `"active":false`) {
		w.h.t.Fatalf("%s %v: %d %s", path, pairs, a.status, a.body)
	}
	return a
}

func (w *worker) token(client string, pairs ...string) {
	w.h.t.Helper()
	answer := w.ask(client, "/token", pairs...).json()
	w.access[client] = fmt.Sprint(answer["access_token"])
	if token, ok := answer["refresh_token"].(string); ok {
		w.refresh[client] = token
	}
}

func (w *worker) userinfo(client string) {
	w.h.t.Helper()
	if a := w.get("/userinfo", "Authorization", "Bearer "+w.access[client]); a.status != http.StatusOK {
		w.h.t.Fatalf("userinfo: %d %s", a.status, a.body)
	}
}

// signIn goes from the authorization request to the tokens. Nobody is asked anything.
func (w *worker) signIn(client string) {
	w.h.t.Helper()
	location, err := url.Parse(w.get(authorize(client)).location())
	must(w.h.t, err)
	code := location.Query().Get("code")
	if code == "" {
		w.h.t.Fatalf("it leads to %s", location)
	}
	// The verifier of the challenge that authorize sends (RFC 7636, appendix B).
	w.token(client, "grant_type", "authorization_code", "code", code, "redirect_uri", "https://rp.test/cb",
		"code_verifier", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
}
