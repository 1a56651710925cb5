package e2e

import (
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatehouse/storage/storagetest"
)

// fetch sends a request with these headers, follows no redirect, and returns
// status and body.
func fetch(t testing.TB, method, address string, header http.Header) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if host := header.Get("Host"); host != "" {
		req.Host = host
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestAC063_SecretsInAnAddressAreRefusedAndNotLogged(t *testing.T) {
	t.Parallel()
	s := serve(t, "GATEHOUSE_LOG_LEVEL=debug")
	who := s.addUser("lena")
	a := newApp(t, s, "careless")
	response := a.code(newPerson(t, who))
	query := a.redemption(response)
	query.Set("client_id", a.client.id)
	query.Set("client_secret", a.client.secret)
	for _, method := range []string{http.MethodPost, http.MethodGet} {
		if status, body := fetch(t, method, s.endpoint("token_endpoint")+"?"+query.Encode(), nil); status != 400 && status != 405 {
			t.Errorf("%s with everything in the address: %d %s", method, status, body)
		}
	}
	status, _ := fetch(t, http.MethodPost, s.issuer+"/login?"+url.Values{"username": {who.username}, "password": {who.password}}.Encode(), nil)
	if status < 400 {
		t.Errorf("a password in the address: %d", status)
	}
	s.hide("a code", response.Get("code"))
	if found := s.secretIn(s.stderr.String()); found != "" {
		t.Errorf("the log has %s", found)
	}
	if !strings.Contains(s.stderr.String(), `"/token"`) {
		t.Error("the log does not have the requests at all")
	}
}

func TestR21_PlantedSecretsStandInNoOutputAndNoFile(t *testing.T) {
	t.Parallel()
	s := serve(t, "GATEHOUSE_LOG_LEVEL=debug", "GATEHOUSE_LOG_FILE=gatehouse.log")
	who := s.addUser("cora")
	a := newApp(t, s, "canary")
	p := newPerson(t, who)
	response := a.code(p)
	s.hide("a code", response.Get("code"))
	v, err := a.redeem(t.Context(), response)
	if err != nil {
		t.Fatal(err)
	}
	s.hide("an access token", v.token.AccessToken)
	s.hide("a refresh token", v.token.RefreshToken)
	s.hide("an ID token", v.raw)
	begun, _ := a.attempt(response.Get("state"))
	s.hide("a code verifier", begun.verifier)
	link, err := url.Parse(s.setupLink())
	if err != nil {
		t.Fatal(err)
	}
	for _, cookie := range p.http.Jar.Cookies(&url.URL{Scheme: "http", Host: s.host(), Path: "/"}) {
		if len(cookie.Value) > 16 {
			s.hide("cookie "+cookie.Name, cookie.Value)
		}
	}
	wrong := newPerson(t, account{username: who.username, password: "Canary-Guess-4711"})
	s.hide("a wrong password", wrong.who.password)
	wrong.submit(wrong.visit(s.issuer+"/login"), map[string]string{"username": wrong.who.username, "password": wrong.who.password})
	if _, err := a.client.ask(t.Context(), a.oauth.Endpoint.TokenURL, a.redemption(response)); err != nil { // a replay
		t.Fatal(err)
	}
	if _, err := (client{a.client.id, "ghs_canaryCanaryCanaryCanary"}).ask(t.Context(), a.oauth.Endpoint.TokenURL, refreshing("ghr_canaryCanaryCanary")); err != nil {
		t.Fatal(err)
	}
	explainEach(s, failEverywhere(p, a))
	for _, args := range [][]string{
		{"config", "show"}, {"doctor", "-o", "json"}, {"client", "list"}, {"client", "show", a.client.id, "-o", "json"}, {"user", "list", "-o", "json"}, {"user", "show", who.username}, {"keys", "list"},
	} {
		if found := s.secretIn(s.run("", args...)); found != "" {
			t.Errorf("gatehouse %s prints %s", strings.Join(args, " "), found)
		}
	}
	if found, err := s.secretInStore(); found != "" || err != nil { // with what SQLite has not moved into its file yet
		t.Error(found, err)
	}
	s.stop()
	s.hide("the set-up link's token", link.Query().Get("token"))
	if found := s.secretIn(s.stderr.String()); found != "" {
		t.Errorf("the log has %s", found)
	}
	delete(s.secrets, link.Query().Get("token")) // it is printed once, for whoever starts the server
	found, err := s.secretInStore()
	if err != nil {
		t.Fatal(err)
	}
	if found != "" {
		t.Error(found)
	}
}

func TestAC109_DiscoveryAndKeysAreTheSameUnderForgedHosts(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for _, address := range []string{s.issuer + "/.well-known/openid-configuration", s.issuer + "/.well-known/oauth-authorization-server", s.endpoint("jwks_uri")} {
		_, want := fetch(t, http.MethodGet, address, nil)
		for _, forged := range []http.Header{
			{"X-Forwarded-Host": {"evil.test"}}, {"X-Forwarded-Proto": {"https"}}, {"Forwarded": {"host=evil.test;proto=https"}},
			{"X-Original-Url": {"/evil"}}, {"X-Rewrite-Url": {"/evil"}}, {"X_Forwarded_Host": {"evil.test"}}, {"X-Forwarded-Prefix": {"/evil"}},
			{"Origin": {"https://evil.test"}}, {"X-Host": {"evil.test"}}, {"X-Forwarded-Port": {"9"}},
		} {
			if status, got := fetch(t, http.MethodGet, address, forged); status != 200 || got != want {
				t.Errorf("%s with %v: %d %s", address, forged, status, got)
			}
		}
		for _, host := range []string{"evil.test", s.host() + ".evil.test", "evil.test:80", "localhost.evil.test"} {
			if status, got := fetch(t, http.MethodGet, address, http.Header{"Host": {host}}); status != 421 || strings.Contains(got, "evil") {
				t.Errorf("%s as %s: %d %s", address, host, status, got)
			}
		}
	}
}

func TestAC144_AddressesToReturnToAreIgnored(t *testing.T) {
	t.Parallel()
	s := serve(t)
	who := s.addUser("vera")
	for _, evil := range []string{"//evil.test", `/\evil.test`, "/%09/evil.test", "https:evil.test", "https://evil.test/"} {
		for _, name := range []string{"next", "return_to", "returnTo", "redirect", "redirect_uri", "url", "continue", "rd"} {
			p := newPerson(t, who)
			p.stopAt = "https:"
			at := p.visit(s.issuer + "/login?" + url.Values{name: {evil}}.Encode())
			if strings.Contains(at.body, "evil") {
				t.Fatalf("%s=%s stands in the page", name, evil)
			}
			if evil == "//evil.test" { // signing in costs a slow hash
				at = p.submit(at, map[string]string{"username": who.username, "password": who.password, name: evil})
				if at.address.Host != s.host() || at.status != 200 {
					t.Errorf("%s=%s leads to %s (%d)", name, evil, at.address, at.status)
				}
			}
		}
	}
}

// telling are words that say how the inside looks.
var telling = regexp.MustCompile(`(?i)sqlite|postgres|pgx|select |gatehouse\.db|/data|/tmp|127\.0\.0\.1|go1\.|malformed|disk image|dial tcp|goroutine|\.go:`)

func TestAC216_MetricsAndProfilesAreNotPublicAndHealthTellsLittle(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/heap", "/debug/vars", "/debug/requests", "/.env", "/.git/config", "/data/gatehouse.db"} {
		if status, _ := fetch(t, http.MethodGet, s.issuer+path, nil); status != 404 {
			t.Errorf("%s: %d", path, status)
		}
	}
	for _, path := range []string{"/healthz", "/readyz", "/api/health/"} {
		status, body := fetch(t, http.MethodGet, s.issuer+path, http.Header{"Host": {"10.0.0.1:8000"}})
		if status != 200 {
			t.Errorf("%s under any host: %d", path, status)
		}
		if told := telling.FindString(body); told != "" {
			t.Errorf("%s tells %q: %s", path, told, body)
		}
		if path == "/api/health/" {
			for _, part := range []string{`"service":"gatehouse"`, `"status"`, `"checks"`, `"database"`, `"cache"`, `"signing_keys"`, `"upstreams"`} {
				if !strings.Contains(body, part) {
					t.Errorf("%s lacks %s: %s", path, part, body)
				}
			}
		}
	}
}

func TestAC286_ErrorsTellNothingWhileTheDatabaseIsDown(t *testing.T) {
	t.Parallel()
	database := startCable(t, storagetest.PostgresURL(t))
	s := serve(t, database.settings()...)
	who := s.addUser("dana")
	a := newApp(t, s, "blind")
	p := newPerson(t, who)
	v := a.enter(p)
	login := p.visit(s.issuer + "/login?account=other")
	database.cut()

	check := func(what string, status int, body string) {
		t.Helper()
		if status < 500 || status > 503 {
			t.Errorf("%s: %d %s", what, status, body)
		}
		if told := telling.FindString(body); told != "" {
			t.Errorf("%s tells %q: %s", what, told, body)
		}
	}
	got, err := a.client.ask(t.Context(), a.oauth.Endpoint.TokenURL, refreshing(v.token.RefreshToken))
	if err != nil {
		t.Fatal(err)
	}
	check("a refresh", got.status, got.body)
	at := p.submit(login, map[string]string{"username": who.username, "password": who.password})
	check("the sign-in page", at.status, at.body)
	address, _ := a.begin()
	p.stopAt = a.http.URL
	at = p.visit(address)
	if said := at.address.Query(); said.Get("error") != "server_error" && said.Get("error") != "temporarily_unavailable" {
		t.Errorf("the authorization endpoint sends the app %v (%d)", at.address, at.status)
	} else if told := telling.FindString(said.Get("error_description")); told != "" {
		t.Errorf("the authorization endpoint tells %q", told)
	}
	status, body := fetch(t, http.MethodGet, s.endpoint("userinfo_endpoint"), http.Header{"Authorization": {"Bearer " + v.token.AccessToken}})
	check("userinfo", status, body)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		if status, body = fetch(t, http.MethodGet, s.issuer+"/readyz", nil); status == 503 {
			check("readyz", status, body)
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("still ready without a database: %s", body)
		}
	}
	status, body = fetch(t, http.MethodGet, s.issuer+"/api/health/", nil)
	check("health", status, body)
	if status, _ = fetch(t, http.MethodGet, s.issuer+"/healthz", nil); status != 200 {
		t.Errorf("healthz: %d, though the process is alive", status)
	}

	database.mend()
	for deadline := time.Now().Add(30 * time.Second); !ready(s.issuer + "/readyz"); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not ready again with the database back")
		}
	}
	if got := a.mustAsk(refreshing(v.token.RefreshToken)); got.status != 200 {
		t.Errorf("a refresh, with the database back: %d %s", got.status, got.body)
	}
}

func TestAC286_AWrongDatabaseURLStopsTheStartWithoutTellingThePassword(t *testing.T) {
	t.Parallel()
	s := prepare(t, "DATABASE_URL=postgres://gate:Canary-Password-4711@127.0.0.1:1/gatehouse", "GATEHOUSE_MASTER_KEY="+masterKey)
	s.hide("the database password", "Canary-Password-4711")
	s.hide("the master key", masterKey)
	out, complaint, err := s.try("", "serve")
	if err == nil {
		t.Fatal("serve started")
	}
	if found := s.secretIn(out + complaint); found != "" {
		t.Errorf("it printed %s", found)
	}
	if complaint == "" {
		t.Error("it said nothing")
	}
}

func TestAC287_FilesAreClosedToOthersUnderAnyMask(t *testing.T) {
	storagetest.OnlySQLite(t)
	t.Parallel()
	s := prepare(t, "GATEHOUSE_LOG_FILE=gatehouse.log")
	shell := exec.Command("/bin/sh", "-c", `umask 0; exec "$0" serve`, gatehouse(t))
	shell.Env, shell.Dir, shell.Stderr = s.env, filepath.Dir(s.data), s.nodes[0].stderr
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); !ready(s.issuer + "/readyz"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not ready")
		}
	}
	s.addUser("mask")
	newPerson(t, account{}).visit(s.issuer + "/") // leaves a line in the log
	if info, err := os.Stat(filepath.Join(filepath.Dir(s.data), "gatehouse.log")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the log file: %v %v", info, err)
	}
	seen := 0
	err := filepath.WalkDir(s.data, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %o", d.Name(), info.Mode().Perm())
		}
		seen++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 4 {
		t.Errorf("only %d files are there", seen)
	}
	if err := shell.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := shell.Wait(); err != nil {
		t.Error(err)
	}
}
