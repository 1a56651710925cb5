package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/storage/storagetest"
)

// What an operation costs: the processor time of the provider and of PostgreSQL,
// with everything synced. Time on a clock says more about the machine and about
// what else runs on it; that is reported for a busy server alone.

// BenchmarkCost reports the CPU of each operation, eight at once, beside that of
// a handler that answers nothing.
func BenchmarkCost(b *testing.B) {
	h := newCosts(b)
	b.Run("nothing", func(b *testing.B) { h.nothing(b) })
	for _, o := range operations {
		b.Run(o.name, func(b *testing.B) { h.cost(b, 8, o) })
	}
}

// BenchmarkBusy is 64 at once on a pool of ten connections. No request fails.
func BenchmarkBusy(b *testing.B) {
	h := newCosts(b, "GATEHOUSE_DATABASE_MAX_CONNECTIONS=10")
	for _, o := range operations {
		b.Run(o.name, func(b *testing.B) { h.cost(b, 64, o) })
	}
}

// An operation is what a relying party, or somebody at one, does again and again.
type operation struct {
	name string
	// begin prepares one of those who do it.
	begin func(c *caller) (again func() error, err error)
}

var operations = []operation{
	{"discovery", func(c *caller) (func() error, error) { return c.get("/.well-known/openid-configuration", "") }},
	{"jwks", func(c *caller) (func() error, error) { return c.get("/jwks", "") }},
	{"client_credentials", func(c *caller) (func() error, error) {
		return func() error { _, err := c.token("es256", url.Values{"grant_type": {"client_credentials"}}); return err }, nil
	}},
	{"introspect_opaque", func(c *caller) (func() error, error) { return c.introspects("opaque") }},
	{"introspect_jwt", func(c *caller) (func() error, error) { return c.introspects("es256") }},
	{"userinfo_opaque", func(c *caller) (func() error, error) { return c.userinfo("opaque") }},
	{"userinfo_jwt", func(c *caller) (func() error, error) { return c.userinfo("es256") }},
	{"refresh_es256", func(c *caller) (func() error, error) { return c.refreshes("es256") }},
	{"refresh_rs256", func(c *caller) (func() error, error) { return c.refreshes("rs256") }},
	{"session_sign_in", func(c *caller) (func() error, error) {
		_, err := c.signIn("es256")
		return func() error { _, err := c.signIn("es256"); return err }, err
	}},
	{"password_sign_in", func(c *caller) (func() error, error) {
		return func() error {
			c.forget()
			_, err := c.signIn("es256")
			return err
		}, nil
	}},
}

// costs is a server on a PostgreSQL of its own.
type costs struct {
	server   *server
	postgres *storagetest.PostgresServer
	secrets  map[string]string // of the clients
	password string
	wire     *http.Transport
}

const workers = 64 // who sign in, each as somebody else

func newCosts(b *testing.B, settings ...string) *costs {
	b.Helper()
	h := &costs{
		postgres: storagetest.Postgres(b), secrets: map[string]string{}, password: "Lantern-4711-wick",
		wire: &http.Transport{MaxIdleConns: 2 * workers, MaxIdleConnsPerHost: 2 * workers, DisableCompression: true},
	}
	b.Cleanup(h.wire.CloseIdleConnections)
	port := freePort(b)
	h.server = assemble(b, "http://localhost:"+port, []*node{newNode(b, port)}, append([]string{
		"DATABASE_URL=" + h.postgres.URL, "GATEHOUSE_MASTER_KEY=" + masterKey, "GATEHOUSE_RATE_LIMIT_ANONYMOUS_PER_HOUR=0",
		"GATEHOUSE_PASSWORD_HASH_QUEUE=" + strconv.Itoa(workers),
	}, settings...))
	h.server.start()
	for id, formats := range map[string][]string{
		"es256":  {"--set", "id_token_signed_response_alg=ES256"},
		"rs256":  {"--set", "id_token_signed_response_alg=RS256"},
		"opaque": {"--set", "id_token_signed_response_alg=ES256", "--access-token", "opaque"},
	} {
		h.secrets[id] = h.server.addClient(id, append([]string{"--redirect-uri", redirectURI, "--skip-consent",
			"--grant-type", "authorization_code", "--grant-type", "refresh_token", "--grant-type", "client_credentials"}, formats...)...).secret
	}
	for i := range workers {
		h.server.run(h.password, "user", "create", "--username", worker(i), "--email", worker(i)+"@people.example", "--password-stdin")
	}
	return h
}

const redirectURI = "http://localhost:9/callback" // nobody goes there

func worker(i int) string { return "worker" + strconv.Itoa(i) }

// cost measures an operation that so many do at once.
func (h *costs) cost(b *testing.B, atOnce int, o operation) {
	again := make([]func() error, atOnce)
	for i := range again {
		var err error
		if again[i], err = o.begin(h.caller(b, i)); err != nil {
			b.Fatal(err)
		}
		if err := again[i](); err != nil { // statements are prepared, memory is warm
			b.Fatal(err)
		}
	}
	h.count(b)
	provider, postgres := h.server.nodes[0].cpu(b), h.postgres.CPU()
	took := together(b, again)
	b.ReportMetric(perOperation(b, h.server.nodes[0].cpu(b)-provider), "provider-ms/op")
	b.ReportMetric(perOperation(b, h.postgres.CPU()-postgres), "postgres-ms/op")
	if atOnce > 8 {
		slices.Sort(took)
		b.ReportMetric(milliseconds(took[len(took)/2]), "p50-ms")
		b.ReportMetric(milliseconds(took[len(took)*99/100]), "p99-ms")
	}
}

// count lets PostgreSQL count what its tables hold, as it does by itself within
// a minute: what was planned for empty ones costs more, and is planned anew.
func (h *costs) count(b *testing.B) {
	db, err := sql.Open("pgx", h.postgres.URL)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(b.Context(), `ANALYZE`); err != nil {
		b.Fatal(err)
	}
}

// together does b.N operations, shared among all, and says how long each took.
func together(b *testing.B, again []func() error) []time.Duration {
	var next atomic.Int64
	took := make([][]time.Duration, len(again))
	var all sync.WaitGroup
	b.ResetTimer()
	for i, act := range again {
		all.Go(func() {
			for next.Add(1) <= int64(b.N) {
				since := time.Now()
				if err := act(); err != nil {
					b.Error(err)
					return
				}
				took[i] = append(took[i], time.Since(since))
			}
		})
	}
	all.Wait()
	b.StopTimer()
	if b.Failed() {
		b.FailNow()
	}
	return slices.Concat(took...)
}

func perOperation(b *testing.B, used time.Duration) float64 { return milliseconds(used) / float64(b.N) }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// cpu is the processor time that the node has used.
func (n *node) cpu(b *testing.B) time.Duration {
	b.Helper()
	used, err := storagetest.ProcessCPU(n.cmd.Process.Pid)
	if err != nil {
		b.Fatal(err)
	}
	return used
}

// nothingAt tells this program, by its environment, to be a server that answers nothing.
const nothingAt = "GATEHOUSE_TEST_NOTHING"

// serveNothing is that server: what any handler costs.
func serveNothing() error {
	return http.ListenAndServe(os.Getenv(nothingAt), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
}

func (h *costs) nothing(b *testing.B) {
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	address := "127.0.0.1:" + freePort(b)
	server := exec.CommandContext(b.Context(), self)
	server.Env = append(os.Environ(), nothingAt+"="+address)
	if err := server.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		server.Process.Kill()
		server.Wait()
	}()
	for deadline := time.Now().Add(time.Minute); !ready("http://" + address); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatal("the empty server does not answer")
		}
	}
	c := h.caller(b, 0)
	c.issuer = "http://" + address
	again := make([]func() error, 8)
	for i := range again {
		again[i], _ = c.get("/", "")
	}
	before, err := storagetest.ProcessCPU(server.Process.Pid)
	if err != nil {
		b.Fatal(err)
	}
	together(b, again)
	after, err := storagetest.ProcessCPU(server.Process.Pid)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(perOperation(b, after-before), "provider-ms/op")
}

// A caller is one worker's browser, and the relying party that it uses.
type caller struct {
	ctx      context.Context
	issuer   string
	username string
	password string
	secrets  map[string]string
	http     *http.Client
}

func (h *costs) caller(b *testing.B, i int) *caller {
	c := &caller{
		ctx: b.Context(), issuer: h.server.issuer, username: worker(i), password: h.password, secrets: h.secrets,
		http: &http.Client{
			Transport: h.wire, Timeout: time.Minute,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	c.forget()
	return c
}

// forget drops the browser's cookies.
func (c *caller) forget() { c.http.Jar, _ = cookiejar.New(nil) }

// send returns the body and the headers of an answer of this status.
func (c *caller) send(req *http.Request, status int) (http.Header, []byte, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != status {
		err = fmt.Errorf("%s %s: %d %s", req.Method, req.URL, resp.StatusCode, body)
	}
	return resp.Header, body, err
}

func (c *caller) get(path, accessToken string) (func() error, error) {
	return func() error {
		req, err := http.NewRequestWithContext(c.ctx, http.MethodGet, c.issuer+path, nil)
		if err != nil {
			return err
		}
		if accessToken != "" {
			req.Header.Set("Authorization", "Bearer "+accessToken)
		}
		_, _, err = c.send(req, http.StatusOK)
		return err
	}, nil
}

// post sends a form as a client.
func (c *caller) post(client, path string, form url.Values) ([]byte, error) {
	req, err := http.NewRequestWithContext(c.ctx, http.MethodPost, c.issuer+path, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(client, c.secrets[client])
	_, body, err := c.send(req, http.StatusOK)
	return body, err
}

// answered are the tokens of an answer.
type answered struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	ID      string `json:"id_token"`
}

func (c *caller) token(client string, form url.Values) (t answered, err error) {
	body, err := c.post(client, "/token", form)
	if err == nil {
		err = json.Unmarshal(body, &t)
	}
	return t, err
}

func (c *caller) introspects(client string) (func() error, error) {
	t, err := c.signIn(client)
	form := url.Values{"token": {t.Access}}
	return func() error {
		body, err := c.post(client, "/introspect", form)
		if err == nil && !bytes.Contains(body, []byte(`"active":true`)) {
			err = fmt.Errorf("introspection says %s", body)
		}
		return err
	}, err
}

func (c *caller) userinfo(client string) (func() error, error) {
	t, err := c.signIn(client)
	if err != nil {
		return nil, err
	}
	return c.get("/userinfo", t.Access)
}

func (c *caller) refreshes(client string) (func() error, error) {
	t, err := c.signIn(client)
	return func() (err error) {
		t, err = c.token(client, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {t.Refresh}})
		if err == nil && t.ID == "" {
			err = fmt.Errorf("no ID token came")
		}
		return err
	}, err
}

// signIn goes from the authorization request to the tokens, through the pages
// where nobody is signed in in this browser.
func (c *caller) signIn(client string) (answered, error) {
	verifier := rand.Text() + rand.Text()
	challenge := sha256.Sum256([]byte(verifier))
	at := c.issuer + "/authorize?" + url.Values{
		"client_id": {client}, "redirect_uri": {redirectURI}, "response_type": {"code"}, "scope": {"openid"}, "state": {"s"}, "nonce": {"n"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}.Encode()
	for range 6 {
		if code, ok := strings.CutPrefix(at, redirectURI+"?code="); ok {
			code, _, _ = strings.Cut(code, "&")
			return c.token(client, url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirectURI}, "code_verifier": {verifier}})
		}
		var err error
		if at, err = c.step(at); err != nil {
			return answered{}, err
		}
	}
	return answered{}, fmt.Errorf("it does not end: %s", at)
}

// step opens an address and says where that leads: from the login page, its
// form, to what follows it.
func (c *caller) step(address string) (string, error) {
	req, err := http.NewRequestWithContext(c.ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", err
	}
	form := url.Values{}
	if strings.HasPrefix(address, c.issuer+"/login?") {
		_, body, err := c.send(req, http.StatusOK)
		if err != nil {
			return "", err
		}
		if !bytes.Contains(body, []byte(`name="password"`)) {
			return "", fmt.Errorf("no form at %s", address)
		}
		form.Set("username", c.username)
		form.Set("password", c.password)
		form.Set("request", req.URL.Query().Get("request"))
		if req, err = http.NewRequestWithContext(c.ctx, http.MethodPost, c.issuer+"/login", strings.NewReader(form.Encode())); err != nil {
			return "", err
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	header, _, err := c.send(req, http.StatusSeeOther)
	return header.Get("Location"), err
}
