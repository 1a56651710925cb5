package e2e

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// byNode are one HTTP client for each node, which reaches that one alone.
func (s *server) byNode() []*http.Client {
	var all []*http.Client
	for _, n := range s.nodes {
		all = append(all, n.client())
	}
	return all
}

// stored is the one value that a query finds in a cluster's database.
func (s *server) stored(query string, args ...any) string {
	s.t.Helper()
	db, err := sql.Open("pgx", s.database)
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	rows, err := column(db, query, args...)
	if err != nil || len(rows) != 1 {
		s.t.Fatalf("%s: %v %v", query, rows, err)
	}
	return rows[0]
}

// revoked is how many grants were ever revoked, by the audit log.
func (s *server) revoked() string {
	s.t.Helper()
	return s.stored(`SELECT COUNT(*) FROM events WHERE name = 'grant.revoked'`)
}

func TestAC050_OfRedemptionsOfOneCodeAtBothNodesOneSucceedsAndTheGrantIsRevokedOnce(t *testing.T) {
	t.Parallel()
	s := cluster(t, 2)
	a := newApp(t, s, "racer")
	p := newPerson(t, s.addUser("rita"))
	for round := range 5 {
		won := ""
		for i, got := range a.race(a.redemption(a.code(p)), s.byNode()...) {
			switch {
			case got.status == 200 && won == "":
				won = got.Access
			case got.status == 400 && got.Error == "invalid_grant":
			default:
				t.Errorf("round %d: redemption %d was answered %d %s", round, i, got.status, got.body)
			}
		}
		if won == "" {
			t.Fatalf("round %d: nobody got tokens", round)
		}
		if n := s.revoked(); n != strconv.Itoa(round+1) {
			t.Errorf("after %d codes were replayed %s grants are revoked", round+1, n)
		}
		for _, by := range s.byNode() {
			if status := s.userinfoBy(by, won); status != 401 {
				t.Errorf("round %d: the access token still works after the code was replayed: %d", round, status)
			}
		}
	}
}

func TestAC083_RefreshesOfOneTokenAtBothNodesGetTheVerySameSuccessorAndRotateOnce(t *testing.T) {
	t.Parallel()
	s := cluster(t, 2)
	a := newApp(t, s, "racer", "--set", "refresh_grace=60")
	token := a.enter(newPerson(t, s.addUser("rosa"))).token.RefreshToken
	for round := range 5 {
		successor := ""
		for i, got := range a.race(refreshing(token), s.byNode()...) {
			if successor == "" {
				successor = got.Refresh
			}
			if got.status != 200 || got.Refresh != successor || got.Refresh == token {
				t.Fatalf("round %d: refresh %d was answered %d %s", round, i, got.status, got.body)
			}
		}
		if generation := s.stored(`SELECT generation FROM grants`); generation != strconv.Itoa(round+2) {
			t.Errorf("round %d: after one rotation the refresh token is of generation %s", round, generation)
		}
		token = successor
	}
}

func TestAC083_ReuseAtBothNodesAfterTheGraceRevokesTheGrantOnce(t *testing.T) {
	t.Parallel()
	s := cluster(t, 2)
	a := newApp(t, s, "racer", "--set", "refresh_grace=0")
	old := a.enter(newPerson(t, s.addUser("ruth"))).token.RefreshToken
	next := a.mustAsk(refreshing(old))
	for i, got := range a.race(refreshing(old), s.byNode()...) {
		if got.status != 400 || got.Error != "invalid_grant" {
			t.Errorf("reuse %d was answered %d %s", i, got.status, got.body)
		}
	}
	if n := s.revoked(); n != "1" {
		t.Errorf("the grant was revoked %s times", n)
	}
	for i, by := range s.byNode() {
		if got, err := a.client.askBy(t.Context(), by, a.oauth.Endpoint.TokenURL, refreshing(next.Refresh)); err != nil || got.Error != "invalid_grant" {
			t.Errorf("at node %d the successor outlived the reuse: %d %s %v", i+1, got.status, got.body, err)
		}
	}
}

// userinfoBy is what userinfo answers to an access token.
func (s *server) userinfoBy(by *http.Client, accessToken string) int {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.issuer+"/userinfo", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+accessToken)
	resp, err := by.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// heard is the promise of two seconds, on a machine that may be busy.
const heard = 2*time.Second + 2*time.Second

// within waits until something holds, and fails the test where that took
// longer than nodes may take to hear of a change.
func within(t testing.TB, what string, holds func() bool) {
	t.Helper()
	begun := time.Now()
	eventually(t, what, holds)
	if took := time.Since(begun); took > heard {
		t.Errorf("it took %v until %s", took.Round(time.Millisecond), what)
	}
}

func TestAC269_WhatIsDisabledOrChangedByACommandIsSoAtBothNodes(t *testing.T) {
	t.Parallel()
	s := cluster(t, 2)
	address := s.endpoint("token_endpoint")
	service := s.addClient("worker", "--grant-type", "client_credentials", "--scope", "jobs:run jobs:stop", "--set", "redirect_uris=")
	credentials := url.Values{"grant_type": {"client_credentials"}}
	asked := func(c client, by *http.Client, scope string) answer {
		form := url.Values{"scope": {scope}, "grant_type": credentials["grant_type"]}
		got, err := c.askBy(t.Context(), by, address, form)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	tokens := map[*http.Client]string{}
	nodes := s.byNode()
	for _, by := range nodes { // so that each has the client in its memory
		tokens[by] = asked(service, by, "jobs:stop").Access
	}

	s.run("", "client", "update", "worker", "--scope", "jobs:run")
	for i, by := range nodes {
		within(t, fmt.Sprintf("node %d knows the new scope", i+1), func() bool { return asked(service, by, "jobs:stop").Error == "invalid_scope" })
	}
	out := s.run("", "client", "rotate-secret", "worker", "--overlap", "0s", "-o", "json")
	_, secret, _ := strings.Cut(out, `"client_secret":`)
	next := client{"worker", strings.Split(secret, `"`)[1]}
	s.hide("the next secret", next.secret)
	for i, by := range nodes {
		within(t, fmt.Sprintf("node %d knows the new secret", i+1), func() bool { return asked(next, by, "jobs:run").status == 200 })
		within(t, fmt.Sprintf("node %d refuses the old secret", i+1), func() bool { return asked(service, by, "jobs:run").Error == "invalid_client" })
	}

	// What hangs from a person is read at each request.
	a := newApp(t, s, "app")
	alice := s.addUser("alice")
	p := newPerson(t, alice)
	v := a.enter(p)
	s.run("", "user", "disable", "alice")
	for i, by := range nodes {
		if status := s.userinfoBy(by, v.token.AccessToken); status != 401 {
			t.Errorf("node %d: userinfo of a disabled account: %d", i+1, status)
		}
		if got, err := a.client.askBy(t.Context(), by, s.endpoint("introspection_endpoint"), url.Values{"token": {v.token.AccessToken}}); err != nil || !strings.Contains(got.body, `"active":false`) {
			t.Errorf("node %d: introspection for a disabled account: %s %v", i+1, got.body, err)
		}
		if got, err := a.client.askBy(t.Context(), by, address, refreshing(v.token.RefreshToken)); err != nil || got.Error != "invalid_grant" {
			t.Errorf("node %d: a refresh for a disabled account: %s %v", i+1, got.body, err)
		}
		p.http.Transport, p.stopAt = by.Transport, a.callbackURL()
		if address, _ := a.begin(); !p.visit(address).asks("password") {
			t.Errorf("node %d: the session of a disabled account goes on", i+1)
		}
	}

	s.run("", "client", "delete", "worker", "--yes")
	for i, by := range nodes {
		within(t, fmt.Sprintf("node %d refuses the client that is gone", i+1), func() bool { return asked(next, by, "jobs:run").Error == "invalid_client" })
		if tokens[by] == "" {
			t.Errorf("node %d gave no token to begin with", i+1)
		}
	}
}

func TestAC246_KeysThatACommandMakesAndRetiresAreSoAtBothNodes(t *testing.T) {
	t.Parallel()
	s := cluster(t, 2, quickKeys...)
	service := s.addClient("worker", "--grant-type", "client_credentials", "--set", "redirect_uris=")
	credentials := url.Values{"grant_type": {"client_credentials"}}
	address := s.endpoint("token_endpoint")
	// Both rotate at once: the next key is one.
	rotated := make(chan string, 2)
	for range cap(rotated) {
		go func() {
			out, _, _ := s.try("", "keys", "rotate", "ES256")
			rotated <- out
		}()
	}
	made := <-rotated + <-rotated
	if strings.Count(made, "ES256") > 1 {
		t.Fatalf("two keys were made at once: %s", made)
	}
	kids := func(by *http.Client) (all string) {
		resp, err := by.Get(s.issuer + "/jwks")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	nodes := s.byNode()
	if made != "" { // the timetable may have been first
		kid := strings.Fields(made)[1]
		for i, by := range nodes {
			within(t, fmt.Sprintf("node %d publishes the next key", i+1), func() bool { return strings.Contains(kids(by), kid) })
		}
	}
	token, err := service.askBy(t.Context(), nodes[0], address, url.Values{"grant_type": credentials["grant_type"]})
	if err != nil || token.status != 200 {
		t.Fatalf("%d %s %v", token.status, token.body, err)
	}
	signedBy := header(t, token.Access)["kid"].(string)
	eventually(t, "another key signs", func() bool {
		_, _, err := s.try("", "keys", "retire", signedBy, "--yes")
		return err == nil
	})
	for i, by := range nodes {
		within(t, fmt.Sprintf("node %d leaves the retired key out", i+1), func() bool { return !strings.Contains(kids(by), signedBy) })
		got, err := service.askBy(t.Context(), by, s.endpoint("introspection_endpoint"), url.Values{"token": {token.Access}})
		if err != nil || !strings.Contains(got.body, `"active":false`) {
			t.Errorf("node %d: what the retired key signed: %s %v", i+1, got.body, err)
		}
	}
}

// header reads a token's header; nobody verified it.
func header(t testing.TB, token string) (object map[string]any) {
	t.Helper()
	first, _, _ := strings.Cut(token, ".")
	raw, err := base64.RawURLEncoding.DecodeString(first)
	if err == nil {
		err = json.Unmarshal(raw, &object)
	}
	if err != nil {
		t.Fatal(err)
	}
	return object
}

// from is client, but with connections that come from this address.
func (n *node) from(address string) *http.Client {
	c := n.client()
	from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	c.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return from.DialContext(ctx, network, n.address)
	}
	return c
}

func TestAC154_OneNetworkHasOneBudgetOverBothNodesWhateverItSaysOfItself(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string][]string{"in Redis": nil, "in the database": {"REDIS_URL="}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const budget = 6
			s := cluster(t, 2, append(settings, "GATEHOUSE_RATE_LIMIT_AUTHORIZE_PER_MINUTE="+strconv.Itoa(budget))...)
			begun := time.Now()
			viaBalancer := []*http.Client{s.nodes[0].from(balancerAddress), s.nodes[1].from(balancerAddress)}
			for _, c := range []struct {
				name string
				by   []*http.Client // in turn
				said func(i int) string
				want int // budgets
			}{
				{"strangers who call themselves differently each time", s.byNode(), func(i int) string { return fmt.Sprint("203.0.113.", i) }, 1},
				// 127.0.0.1, as above: its budget is spent.
				{"the same through the balancer", []*http.Client{{}}, func(i int) string { return fmt.Sprint("198.51.100.", i) }, 0},
				{"one /64 behind the balancer", viaBalancer, func(i int) string { return fmt.Sprintf("2001:db8:1:2:%x::%x", i, i) }, 1},
				{"another /64", viaBalancer, func(int) string { return "2001:db8:1:3::1" }, 1},
				{"what a client wrote in front of its own address", viaBalancer, func(i int) string { return fmt.Sprintf("203.0.113.%d, 192.0.2.7", i) }, 1},
				{"a person each", viaBalancer, func(i int) string { return fmt.Sprint("192.0.2.", 20+i) }, 3 * budget},
			} {
				let := 0
				for i := range 3 * budget {
					req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.issuer+"/authorize", nil)
					if err != nil {
						t.Fatal(err)
					}
					req.Header.Set("X-Forwarded-For", c.said(i))
					resp, err := c.by[i%len(c.by)].Do(req)
					if err != nil {
						t.Fatal(err)
					}
					resp.Body.Close()
					switch {
					case resp.StatusCode != http.StatusTooManyRequests:
						let++
					case resp.Header.Get("Retry-After") == "":
						t.Errorf("%s: 429 without Retry-After", c.name)
					}
				}
				want := min(c.want*budget, 3*budget)
				again := int(time.Since(begun)/(time.Minute/budget)) + 1 // a budget fills while it is spent
				if let < want || let > want+again {
					t.Errorf("%s: %d of %d were let through, want %d", c.name, let, 3*budget, want)
				}
			}
		})
	}
}

func TestReload_BothNodesDeclareTheClientsOfTheFileAtOnce(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "gatehouse.yaml")
	declare := func(names ...string) {
		t.Helper()
		text := "clients:\n"
		for _, name := range names {
			text += "  - {client_id: " + name + ", token_endpoint_auth_method: none, redirect_uris: [\"https://app.example/callback\"]}\n"
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	declare("one", "two", "three")
	s := cluster(t, 2, "GATEHOUSE_CONFIG="+file) // both start, and declare, at the same moment
	known := func(by *http.Client, name string) bool {
		query := url.Values{"client_id": {name}, "redirect_uri": {"https://app.example/callback"}, "prompt": {"none"}}
		by.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		resp, err := by.Get(s.issuer + "/authorize?" + query.Encode())
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return strings.HasPrefix(resp.Header.Get("Location"), "https://app.example/")
	}
	nodes := s.byNode()
	for i, by := range nodes {
		if !known(by, "three") {
			t.Errorf("node %d does not know a client that was declared at its start", i+1)
		}
	}
	declare("one", "two", "four")
	for _, n := range s.nodes {
		n.signal(syscall.SIGHUP)
	}
	for i, by := range nodes {
		eventually(t, "every node has reloaded", func() bool { return strings.Contains(s.nodes[i].stderr.String(), `"reloaded"`) })
		within(t, fmt.Sprintf("node %d knows the new client and not the old", i+1), func() bool { return known(by, "four") && !known(by, "three") })
	}
}
