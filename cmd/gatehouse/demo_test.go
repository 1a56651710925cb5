package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// openDemo runs the whole demo on ports that are free, to the end of the test.
func openDemo(t *testing.T, change ...func(*demoOptions)) *demoRun {
	t.Helper()
	var log bytes.Buffer
	o := demoOptions{level: "warn"}
	for _, c := range change {
		c(&o)
	}
	d, err := startDemo(t.Context(), o, &log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.wait(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the demo ended with %v", err)
		}
		if _, err := os.Stat(d.dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the demo left %s behind: %v", d.dir, err)
		}
		if t.Failed() {
			t.Logf("log:\n%s", &log)
		}
	})
	return d
}

// A visitor is a browser without JavaScript: it keeps cookies, follows
// redirects and sends forms.
type visitor struct {
	t    *testing.T
	http *http.Client
	at   *url.URL
	page *html.Node
	text string
	res  *http.Response
}

func newVisitor(t *testing.T) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{t: t, http: &http.Client{Jar: jar, Timeout: 20 * time.Second}}
}

func (v *visitor) open(address string) {
	v.t.Helper()
	req, err := http.NewRequestWithContext(v.t.Context(), http.MethodGet, v.resolve(address), nil)
	if err != nil {
		v.t.Fatal(err)
	}
	v.send(req)
}

func (v *visitor) send(req *http.Request) {
	v.t.Helper()
	res, err := v.http.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	defer res.Body.Close()
	if v.page, err = html.Parse(res.Body); err != nil {
		v.t.Fatal(err)
	}
	var text strings.Builder
	for n := range v.page.Descendants() {
		if n.Type == html.TextNode {
			text.WriteString(n.Data + " ")
		}
	}
	v.at, v.res, v.text = res.Request.URL, res, strings.Join(strings.Fields(text.String()), " ")
}

func (v *visitor) resolve(address string) string {
	v.t.Helper()
	to, err := url.Parse(address)
	if err != nil {
		v.t.Fatal(err)
	}
	if v.at != nil {
		to = v.at.ResolveReference(to)
	}
	return to.String()
}

// follow opens the first link that leads to this path.
func (v *visitor) follow(path string) {
	v.t.Helper()
	for n := range v.page.Descendants() {
		if n.Data == "a" && attr(n, "href") == path {
			v.open(path)
			return
		}
	}
	v.t.Fatalf("no link to %s on %s: %s", path, v.at, v.text)
}

// submit sends the form that leads to this path, with these fields beside its
// hidden ones.
func (v *visitor) submit(path string, fields map[string]string) {
	v.t.Helper()
	values := url.Values{}
	var form *html.Node
	for n := range v.page.Descendants() {
		if n.Data == "form" && strings.HasPrefix(attr(n, "action"), path) {
			form = n
		}
	}
	if form == nil {
		v.t.Fatalf("no form to %s on %s (%s): %s", path, v.at, v.res.Status, v.text)
	}
	for n := range form.Descendants() {
		if n.Data == "input" && attr(n, "type") == "hidden" {
			values.Set(attr(n, "name"), attr(n, "value"))
		}
	}
	for name, value := range fields {
		values.Set(name, value)
	}
	v.send(v.post(attr(form, "action"), values))
}

// post is a form as a browser sends it from the page that it is on.
func (v *visitor) post(path string, values url.Values) *http.Request {
	v.t.Helper()
	req, err := http.NewRequestWithContext(v.t.Context(), http.MethodPost, v.resolve(path), strings.NewReader(values.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", v.at.Scheme+"://"+v.at.Host)
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	return req
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func (v *visitor) sees(words ...string) {
	v.t.Helper()
	for _, w := range words {
		if !strings.Contains(v.text, w) {
			v.t.Fatalf("%s (%s) does not say %q:\n%s", v.at, v.res.Status, w, v.text)
		}
	}
}

func (v *visitor) signIn(d *demoRun) {
	v.t.Helper()
	v.open(d.appURL)
	v.follow("/sign-in")
	v.submit("/login", map[string]string{"username": demoUser, "password": d.password})
}

// cookie is the value of the app's cookie.
func (v *visitor) cookie(d *demoRun) string {
	v.t.Helper()
	at, err := url.Parse(d.appURL)
	if err != nil {
		v.t.Fatal(err)
	}
	for _, c := range v.http.Jar.Cookies(at) {
		if c.Name == "gatehouse_demo_app" {
			return c.Value
		}
	}
	return ""
}

// The demo's promise: open it, sign in, and the API has accepted the token.
func TestDemo_FourActionsToATokenThatTheAPIAccepts(t *testing.T) {
	d := openDemo(t)
	v := newVisitor(t)
	v.open(d.appURL)
	v.sees("Sign in", demoUser)
	v.follow("/sign-in")
	if !strings.HasPrefix(v.at.String(), d.server.cfg.Issuer) {
		t.Fatalf("the app did not lead to the provider, but to %s", v.at)
	}
	before := v.cookie(d)
	v.submit("/login", map[string]string{"username": demoUser, "password": d.password})
	if v.at.String() != d.appURL+"/" {
		t.Fatalf("ended at %s: %s", v.at, v.text)
	}
	v.sees("Signed in as Alice Liddell", "The API accepted the access token", "200 OK", `"verified": "offline"`,
		"auth_time", "nonce", d.server.cfg.Issuer, "alice@example.com")
	if after := v.cookie(d); after == "" || after == before {
		t.Errorf("the app's cookie was %q before the sign-in and is %q after", before, after)
	}

	v.submit("/call", map[string]string{"case": "write"})
	v.sees("The API refused", "403 Forbidden", `error="insufficient_scope"`, "lacks a scope")
	v.submit("/call", map[string]string{"case": "changed"})
	v.sees("The API refused", "401 Unauthorized", `error="invalid_token"`, "the signature of the access token is wrong")
	v.submit("/call", map[string]string{"case": "read"})
	v.sees("The API accepted the access token")

	v.submit("/refresh", nil)
	v.sees("replaced 1 time", "The API accepted the access token", "Signed in as Alice Liddell")
	v.submit("/refresh", nil)
	v.sees("replaced 2 times", "The API accepted the access token")

	if n := granted(t, d); n != 1 {
		t.Errorf("%d grants before the sign-out", n)
	}
	v.submit("/sign-out", nil)
	if v.at.String() != d.appURL+"/signed-out" {
		t.Fatalf("ended at %s: %s", v.at, v.text)
	}
	v.sees("You are signed out", "the refresh token works for nobody any more")
	if n := granted(t, d); n != 0 {
		t.Errorf("%d grants are still good after the sign-out", n)
	}
	v.open(d.appURL)
	v.sees("Sign in to see")
	v.follow("/sign-in")
	if v.at.Path != "/login" {
		t.Errorf("the provider still knows who this is: %s", v.at)
	}
}

// granted is how many grants of the demo's person are good.
func granted(t *testing.T, d *demoRun) int {
	t.Helper()
	alice, err := d.server.people.Find(t.Context(), demoUser)
	if err != nil {
		t.Fatal(err)
	}
	grants, err := d.server.store.Grants.ListByUser(t.Context(), alice.ID)
	if err != nil {
		t.Fatal(err)
	}
	return len(grants)
}

func TestDemo_ConsentCanBeSeenAndRefused(t *testing.T) {
	d := openDemo(t)
	v := newVisitor(t)
	v.open(d.appURL)
	v.follow("/sign-in?ask=consent")
	v.submit("/login", map[string]string{"username": demoUser, "password": d.password})
	if v.at.Path != "/consent" {
		t.Fatalf("at %s: %s", v.at, v.text)
	}
	v.sees("Sample app")
	v.submit("/consent", map[string]string{"decision": "deny"})
	v.sees("You were not signed in", "access_denied")

	v.follow("/sign-in?ask=consent")
	v.submit("/consent", map[string]string{"decision": "allow"})
	v.sees("Signed in as Alice Liddell", "The API accepted the access token")
}

// A refusal of the API is shown with the check that failed.
func TestDemo_AnExpiredTokenIsNamed(t *testing.T) {
	var ahead atomic.Int64
	d := openDemo(t, func(o *demoOptions) {
		o.now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	v := newVisitor(t)
	v.signIn(d)
	v.sees("The API accepted the access token")
	ahead.Store(int64(demoTokenLifetime + 10*time.Second))
	v.submit("/call", map[string]string{"case": "read"})
	v.sees("The API refused", "401 Unauthorized", "the access token has expired")
}

// Somebody who makes another's browser finish a sign-in that is not its own
// would have them work in a stranger's account.
func TestDemo_AnAnswerIsGoodInTheBrowserThatAskedAndOnce(t *testing.T) {
	d := openDemo(t)
	v := newVisitor(t)
	v.open(d.appURL)
	v.follow("/sign-in")
	var answer string
	v.http.CheckRedirect = func(req *http.Request, _ []*http.Request) error {
		if req.URL.Path == "/callback" {
			answer = req.URL.String()
			return http.ErrUseLastResponse
		}
		return nil
	}
	v.submit("/login", map[string]string{"username": demoUser, "password": d.password})
	if answer == "" {
		t.Fatalf("no answer was sent: %s", v.text)
	}

	stranger := newVisitor(t)
	stranger.open(answer)
	stranger.sees("This sign-in is over")
	stranger.open(d.appURL + "/sign-in") // with a session, and a state of its own
	stranger.open(answer)
	stranger.sees("This sign-in is over")

	v.http.CheckRedirect = nil
	forged, err := url.Parse(answer)
	if err != nil {
		t.Fatal(err)
	}
	q := forged.Query()
	q.Set("iss", "https://evil.example")
	forged.RawQuery = q.Encode()
	v.open(forged.String())
	v.sees("The answer came from somebody else")
	v.open(answer)
	v.sees("This sign-in is over") // spent by the forged one

	v.open(d.appURL + "/sign-in") // the provider still knows the person
	v.sees("Signed in as Alice Liddell")
	v.open(answer)
	v.sees("Signed in as Alice Liddell") // the back button leads home
}

func TestDemo_TheAppsButtonsAreForItsOwnPagesAlone(t *testing.T) {
	d := openDemo(t)
	v := newVisitor(t)
	v.signIn(d)
	v.sees("Signed in as Alice Liddell")
	for _, path := range []string{"/sign-out", "/refresh", "/call"} {
		for site, origin := range map[string]string{"cross-site": "https://evil.example", "same-site": d.server.cfg.Issuer} {
			req := v.post(path, nil)
			req.Header.Set("Origin", origin)
			req.Header.Set("Sec-Fetch-Site", site)
			v.send(req)
			if v.res.StatusCode != http.StatusForbidden {
				t.Errorf("%s from %s: %s", path, origin, v.res.Status)
			}
		}
	}
	v.open(d.appURL)
	v.sees("Signed in as Alice Liddell")
	policy := v.res.Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "form-action 'self' " + d.server.cfg.Issuer} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy %q lacks %q", policy, want)
		}
	}
}

// A name that somebody points at 127.0.0.1 must not reach what is signed in.
func TestDemo_TheAppAnswersToItsOwnNameAlone(t *testing.T) {
	d := openDemo(t)
	v := newVisitor(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.appURL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "evil.example"
	v.send(req)
	if v.res.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("as evil.example: %s", v.res.Status)
	}
	v.open(strings.Replace(d.appURL, "localhost", "127.0.0.1", 1) + "/?x=1")
	if v.at.String() != d.appURL+"/?x=1" {
		t.Errorf("127.0.0.1 led to %s", v.at)
	}
}

// Whoever holds an ID token, or nothing, gets nothing from the API.
func TestDemo_TheAPIAcceptsNothingButAccessTokens(t *testing.T) {
	d := openDemo(t)
	for name, authorization := range map[string]string{
		"nothing": "", "a password": "Basic YWxpY2U6eA==", "no JWT": "Bearer x", "no signature": "Bearer eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.e30.",
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.apiURL+"/notes", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", authorization)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(res.Header.Get("WWW-Authenticate"), "Bearer realm=") {
			t.Errorf("%s: %s %q", name, res.Status, res.Header.Get("WWW-Authenticate"))
		}
	}
}

func TestDemo_EveryPortThatIsTakenIsNamedWithItsFlag(t *testing.T) {
	ports := map[string]string{}
	for flag, host := range map[string]string{"--app-port": "127.0.0.1", "--api-port": "::1"} {
		l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil && host == "::1" {
			continue // no IPv6 here
		}
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports[flag] = strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	}
	var out, errs bytes.Buffer
	args := []string{"demo", "--port", "0", "--app-port", "0", "--api-port", "0"}
	for flag, port := range ports {
		args = append(args, flag, port)
	}
	status := run(t.Context(), args, nil, &out, &errs)
	if status != exitFailed || out.Len() > 0 {
		t.Errorf("status %d, output %q", status, &out)
	}
	for flag, port := range ports {
		if !strings.Contains(errs.String(), "port "+port+" is in use") || !strings.Contains(errs.String(), flag) {
			t.Errorf("%s is not named with %s: %s", port, flag, &errs)
		}
	}
}

// What serve is told must not leak into a throw-away provider, or out of it.
func TestDemo_TakesNoSettings(t *testing.T) {
	t.Setenv("GATEHOUSE_ISSUER", "https://id.example")
	t.Setenv("DATABASE_URL", "postgres://nowhere.example/x")
	t.Chdir(t.TempDir())
	if err := os.WriteFile("gatehouse.yaml", []byte("issuer: https://id.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := openDemo(t)
	if !strings.HasPrefix(d.server.cfg.Issuer, "http://localhost:") {
		t.Errorf("the issuer is %s", d.server.cfg.Issuer)
	}
	var out bytes.Buffer
	d.announce(&out)
	for _, want := range []string{d.appURL, d.apiURL, d.server.cfg.Issuer, demoUser, d.password} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the announcement lacks %q:\n%s", want, &out)
		}
	}
	var errs bytes.Buffer
	if status := run(t.Context(), []string{"demo", "--data-dir", "x"}, nil, &out, &errs); status != exitUsage || !strings.Contains(errs.String(), "--data-dir") {
		t.Errorf("--data-dir: status %d, %s", status, &errs)
	}
}

func TestDemo_WhatTheProviderRefusesIsShown(t *testing.T) {
	d := openDemo(t)
	v := newVisitor(t)
	v.signIn(d)
	v.sees("Signed in as Alice Liddell")
	c, err := d.server.store.Clients.Get(t.Context(), demoClient)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.server.registrar.Delete(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	// The API goes on: it asks nobody. The refresh is refused, and the page says why.
	v.submit("/call", map[string]string{"case": "read"})
	v.sees("The API accepted the access token")
	time.Sleep(1100 * time.Millisecond) // the provider rereads its clients each second
	v.submit("/refresh", nil)
	v.sees("The provider gave no new tokens", "invalid_client")
}
