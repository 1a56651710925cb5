package main

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"gatehouse/cmd/gatehouse/config"
	"gatehouse/provider"
	"gatehouse/storage"
	"gatehouse/storage/sqlstore"
	"gatehouse/storage/storagetest"
)

const (
	upstreamClient = "gatehouse"
	upstreamSecret = "Zt0Wm3VbE1yKc9RfLs2HuN5dXaq7"
	upstreamBack   = "https://id.example.com/login/upstream/partner/callback"
	oneKey         = `{"keys":[{"kty":"EC","crv":"P-256","kid":"k","use":"sig","alg":"ES256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}`
)

// A fakeOP is a provider over TLS that knows us, and lies as the test wishes.
type fakeOP struct {
	*httptest.Server
	document map[string]any
	answers  map[string]http.HandlerFunc // by path, in place of the good one
	method   string                      // of client authentication
	now      func() time.Time
}

func newFakeOP(t *testing.T) *fakeOP {
	t.Helper()
	op := &fakeOP{answers: map[string]http.HandlerFunc{}, method: "client_secret_basic", now: time.Now}
	good := map[string]http.HandlerFunc{
		"/.well-known/openid-configuration": func(w http.ResponseWriter, _ *http.Request) { json.NewEncoder(w).Encode(op.document) },
		"/jwks":                             func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(oneKey)) },
		"/token":                            op.token,
		"/authorize":                        op.authorize,
	}
	op.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", op.now().UTC().Format(http.TimeFormat))
		answer := op.answers[r.URL.Path]
		if answer == nil {
			answer = good[r.URL.Path]
		}
		if answer == nil {
			answer = http.NotFound
		}
		answer(w, r)
	}))
	op.Config.ErrorLog = log.New(io.Discard, "", 0) // refused certificates are what is tested
	op.StartTLS()
	t.Cleanup(op.Close)
	op.document = map[string]any{
		"issuer": op.URL, "authorization_endpoint": op.URL + "/authorize", "token_endpoint": op.URL + "/token", "jwks_uri": op.URL + "/jwks",
	}
	return op
}

func (op *fakeOP) token(w http.ResponseWriter, r *http.Request) {
	id, secret, basic := r.BasicAuth()
	if op.method == "client_secret_post" {
		id, secret, basic = r.PostFormValue("client_id"), r.PostFormValue("client_secret"), true
	}
	w.Header().Set("Content-Type", "application/json")
	if !basic || id != upstreamClient || secret != upstreamSecret {
		refuses(http.StatusUnauthorized, "invalid_client")(w, r)
		return
	}
	refuses(http.StatusBadRequest, "invalid_grant")(w, r)
}

func (op *fakeOP) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	switch {
	case q.Get("client_id") != upstreamClient:
		says(http.StatusBadRequest, "<h1>Unknown client</h1>")(w, r)
	case q.Get("redirect_uri") != upstreamBack:
		says(http.StatusBadRequest, "<h1>invalid redirect_uri</h1>")(w, r)
	case q.Get("prompt") != "none":
		says(http.StatusOK, "<form>")(w, r)
	default:
		w.Header().Set("Location", upstreamBack+"?error=login_required&state="+q.Get("state"))
		w.WriteHeader(http.StatusFound)
	}
}

func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		w.Write([]byte(body))
	}
}

func refuses(status int, code string) http.HandlerFunc {
	return says(status, `{"error":"`+code+`","error_description":"as the test wishes"}`)
}

func leads(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusFound)
	}
}

// trusted is the file with the certificate of op.
func (op *fakeOP) trusted(t *testing.T) string {
	t.Helper()
	return pemFile(t, op.Certificate())
}

func pemFile(t *testing.T, c *x509.Certificate) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	writeFile(t, path, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})))
	return path
}

// A partner is the upstream as it is configured here.
type partner struct {
	issuer, client, secret, more string
	set                          map[string]string
}

func (p partner) sources(t *testing.T) config.Sources {
	t.Helper()
	set := map[string]string{"issuer": "https://id.example.com"}
	maps.Copy(set, p.set)
	s := settings(t, set)
	writeFile(t, s.File, fmt.Sprintf("upstreams:\n  - id: partner\n    issuer: %s\n    client_id: %s\n    client_secret: %s\n%s", p.issuer, p.client, p.secret, p.more))
	return s
}

// upstreamLines are what doctor says of the partner.
func upstreamLines(t *testing.T, s config.Sources) []finding {
	t.Helper()
	cfg, err := config.Load(s)
	if err != nil {
		t.Fatal(err)
	}
	return examineUpstreams(t.Context(), cfg)
}

func TestDoctorTellsUpstreamFaultsApart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil           func(t *testing.T, op *fakeOP, p *partner)
		says, fix, seen string
	}{
		"the name is unknown": {func(_ *testing.T, _ *fakeOP, p *partner) { p.issuer = "https://login.gatehouse.invalid" },
			"the host name of the upstream is unknown here", "make the name resolve", "login.gatehouse.invalid"},
		"nobody answers": {func(_ *testing.T, op *fakeOP, _ *partner) { op.Close() }, "nobody answers at the address", "let this machine through", "refused"},
		"it hangs": {func(t *testing.T, _ *fakeOP, p *partner) { p.issuer = "https://" + silentServer(t) },
			"does not answer in time", "let this machine through", "deadline exceeded"},
		"its certificate is of an unknown authority": {func(_ *testing.T, _ *fakeOP, p *partner) { delete(p.set, "outbound.ca_file") },
			"the certificate of the upstream is not accepted", "GATEHOUSE_OUTBOUND_CA_FILE", "x509"},
		"its certificate is for another name": {func(_ *testing.T, op *fakeOP, p *partner) {
			p.issuer = strings.Replace(op.URL, "127.0.0.1", "localhost", 1)
		},
			"the certificate of the upstream is not accepted", "GATEHOUSE_OUTBOUND_CA_FILE", "localhost"},
		"it speaks no TLS": {func(t *testing.T, _ *fakeOP, p *partner) {
			s := httptest.NewServer(http.NotFoundHandler())
			t.Cleanup(s.Close)
			p.issuer = strings.Replace(s.URL, "http:", "https:", 1)
		}, "the certificate of the upstream is not accepted", "", "HTTP"},
		"it has a private address": {func(_ *testing.T, _ *fakeOP, p *partner) { delete(p.set, "outbound.allow") },
			"the upstream has a private address", "GATEHOUSE_OUTBOUND_ALLOW", "127.0.0.1"},
		"there is no discovery document": {func(_ *testing.T, op *fakeOP, _ *partner) {
			op.answers["/.well-known/openid-configuration"] = http.NotFound
		},
			"the upstream has no document at this address", "/.well-known/openid-configuration", "404"},
		"discovery is redirected": {func(_ *testing.T, op *fakeOP, _ *partner) {
			op.answers["/.well-known/openid-configuration"] = leads("https://other.example/")
		},
			"the upstream sends us elsewhere", "exactly", "redirect"},
		"discovery is a page": {func(_ *testing.T, op *fakeOP, _ *partner) {
			op.answers["/.well-known/openid-configuration"] = says(200, "<html>")
		},
			"the discovery document of the upstream is not usable", "correct issuer", "not JSON"},
		"the issuer is another": {func(_ *testing.T, op *fakeOP, _ *partner) { op.document["issuer"] = op.URL + "/" },
			"the upstream calls itself by another issuer", "byte for byte", "/"},
		"an endpoint is http": {func(_ *testing.T, op *fakeOP, _ *partner) {
			op.document["token_endpoint"] = "http://login.example/token"
		},
			"the discovery document of the upstream is not usable", "correct issuer", "http://login.example/token"},
		"the keys are away":        {func(_ *testing.T, op *fakeOP, _ *partner) { op.answers["/jwks"] = says(503, "") }, "the keys of the upstream cannot be read", "jwks_uri", "503"},
		"the keys are no keys":     {func(_ *testing.T, op *fakeOP, _ *partner) { op.answers["/jwks"] = says(200, "<html>") }, "the keys of the upstream cannot be read", "jwks_uri", "keys"},
		"there are no keys":        {func(_ *testing.T, op *fakeOP, _ *partner) { op.answers["/jwks"] = says(200, `{"keys":[]}`) }, "publishes no key that can verify", "RS256", "without a key"},
		"the secret is wrong":      {func(_ *testing.T, _ *fakeOP, p *partner) { p.secret = "Another-Secret-Of-Another-Client" }, "refuses our client id or secret", "copy id and secret", "invalid_client"},
		"the secret is sent wrong": {func(_ *testing.T, op *fakeOP, _ *partner) { op.method = "client_secret_post" }, "presented in another way", "token_endpoint_auth_method", "client_secret_post"},
		"the client is unknown to the pages": {func(_ *testing.T, op *fakeOP, p *partner) {
			p.client, op.answers["/token"] = "getehouse", refuses(400, "invalid_grant")
		}, "does not know our client id", "copy client_id", "getehouse"},
		"our address is not registered": {func(_ *testing.T, _ *fakeOP, p *partner) {
			p.more = "    redirect_uri: https://id.example.com/oauth2/callback\n"
		},
			"our address to come back to is not registered", "paste exactly this address into the upstream's list of redirect URIs: https://id.example.com/oauth2/callback", "oauth2/callback"},
		"our address is not registered, as the token endpoint says": {func(_ *testing.T, op *fakeOP, _ *partner) {
			op.answers["/token"] = refuses(400, "redirect_uri_mismatch")
		},
			"our address to come back to is not registered", "paste exactly this address into the upstream's list of redirect URIs: " + upstreamBack, "as the test wishes"},
		"our address is not registered, as an address says": {func(_ *testing.T, op *fakeOP, _ *partner) {
			op.answers["/authorize"] = leads(op.URL + "/error?error=redirect_uri_mismatch")
		}, "our address to come back to is not registered", "paste exactly", upstreamBack},
		"the token endpoint is a page":      {func(_ *testing.T, op *fakeOP, _ *partner) { op.answers["/token"] = says(200, "<html>") }, "the token endpoint of the upstream does not answer as one", "from this machine", "200"},
		"the authorization endpoint breaks": {func(_ *testing.T, op *fakeOP, _ *partner) { op.answers["/authorize"] = says(502, "Bad Gateway") }, "the authorization endpoint of the upstream fails", "browser", "502"},
		"its clock is ahead": {func(_ *testing.T, op *fakeOP, _ *partner) {
			op.now = func() time.Time { return time.Now().Add(10 * time.Minute) }
		}, "the clocks of the upstream and of this machine differ", "time server", "ahead of ours"},
		"its clock is behind": {func(_ *testing.T, op *fakeOP, _ *partner) {
			op.now = func() time.Time { return time.Now().Add(-10 * time.Minute) }
		}, "the clocks of the upstream and of this machine differ", "time server", "behind ours"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			op := newFakeOP(t)
			p := &partner{issuer: op.URL, client: upstreamClient, secret: upstreamSecret,
				set: map[string]string{"outbound.allow": "127.0.0.0/8,::1/128", "outbound.ca_file": op.trusted(t)}}
			c.spoil(t, op, p)
			lines := upstreamLines(t, p.sources(t))
			if len(lines) != 1 || lines[0].OK || lines[0].Check != "upstream partner" {
				t.Fatalf("doctor says %+v, want one failing line", lines)
			}
			f := lines[0]
			if !strings.Contains(f.What, c.says) || !strings.Contains(f.Fix, c.fix) || !strings.Contains(f.Evidence, c.seen) || f.Cause == "" {
				t.Errorf("doctor says %+v, want %q, %q, %q", f, c.says, c.fix, c.seen)
			}
			if strings.Contains(fmt.Sprint(lines), upstreamSecret) {
				t.Error("the secret is in it")
			}
		})
	}
}

func TestDoctorFindsNothingWrongWithAGoodUpstream(t *testing.T) {
	t.Parallel()
	op := newFakeOP(t)
	p := &partner{issuer: op.URL, client: upstreamClient, secret: upstreamSecret,
		set: map[string]string{"outbound.allow": "127.0.0.0/8", "outbound.ca_file": op.trusted(t)}}
	if lines := upstreamLines(t, p.sources(t)); len(lines) != 1 || !lines[0].OK || !strings.Contains(lines[0].What, upstreamBack) {
		t.Errorf("doctor says %+v", lines)
	}
	// What its answers do not tell is said to be left open.
	op.answers["/authorize"] = says(200, "<form>")
	if lines := upstreamLines(t, p.sources(t)); len(lines) != 1 || !lines[0].OK || !strings.Contains(lines[0].What, "leaves open whether "+upstreamBack+" is registered") {
		t.Errorf("doctor says %+v", lines)
	}
}

var faultKind = regexp.MustCompile(`\.(?:differs|fault|unanswered)\("([a-z_]+)"|trouble\([^"()]*(?:\([^"()]*"[a-z]+"\))?[^"()]*"([a-z_]+)"\)|Fault\{[^}]*Kind: "([a-z_]+)"|"(state_[a-z]+)"`)

// Whatever can go wrong at an upstream has words of its own.
func TestEveryFaultOfAnUpstreamIsExplained(t *testing.T) {
	t.Parallel()
	kinds := make(map[string]bool)
	for _, dir := range []string{"../../upstream", "../../web/signin"} {
		files, err := filepath.Glob(dir + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range faultKind.FindAllStringSubmatch(string(source), -1) {
				kinds[strings.Join(m[1:], "")] = true
			}
		}
	}
	if len(kinds) < 40 || !kinds["gone"] || !kinds["state_spent"] || !kinds["taken"] {
		t.Fatalf("only %d kinds were found: %v", len(kinds), kinds)
	}
	for kind := range kinds {
		if f := provider.UpstreamFinding(&storage.Failure{Kind: "upstream." + kind}); f.Code != "upstream."+kind || f.Cause == "" || f.Fix == "" {
			t.Errorf("%s is explained as %+v", kind, f)
		}
	}
}

// Whom an upstream's rules keep out is no fault of the installation, and asked about all the same.
func TestDoctorTellsWhoWasRefusedLately(t *testing.T) {
	t.Parallel()
	path := storagetest.File(t)
	db, err := sqlstore.Open(t.Context(), sqlstore.Options{URL: "sqlite://" + path})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for i, f := range []storage.Failure{
		{Kind: "upstream.email_domain", Sent: "other.example", Expected: "example.com"}, {Kind: "upstream.email_domain", Sent: "gmail.com", Expected: "example.com"},
		{Kind: "upstream.disabled"}, {Kind: "upstream.hosted_domain", Sent: "", Expected: "example.com"}, {Kind: "upstream.nonce"},
	} {
		f.Code, f.At, f.Upstream = fmt.Sprint("CODE-", i), time.Now().Add(time.Duration(i-10)*time.Minute), "partner"
		if err := db.Store().Failures.Note(t.Context(), &f); err != nil {
			t.Fatal(err)
		}
	}
	lines := lately(t.Context(), "partner", db.Store().Failures, time.Now())
	var all []string
	for _, f := range lines {
		if !f.OK || f.Evidence == "" || f.Cause == "" || f.Fix == "" {
			t.Errorf("the line is %+v", f)
		}
		all = append(all, f.What+" ("+f.Evidence+")")
	}
	text := strings.Join(all, "\n")
	for _, want := range []string{
		"2 sign-ins failed in 7 days: the address is of a domain that may not sign in", `sent: "gmail.com"; expected: "example.com"; gatehouse explain CODE-1`,
		"1 sign-ins failed in 7 days: the account of the person is disabled", "Google Workspace", "(nonce)",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("doctor does not say %q:\n%s", want, text)
		}
	}
}
