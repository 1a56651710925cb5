package provider_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatehouse/keys"
	"gatehouse/provider"
	"gatehouse/provider/providertest"
	"gatehouse/storage"
)

// The cost of a request, without the network: handler and database. CPU and
// allocations are what count; SQLite's fsync is in ns/op too.

// benched is a provider with a user, a client and the mux that serves them.
func benched(b *testing.B) (h *providertest.House, mux *http.ServeMux, w *providertest.Party) {
	h = providertest.New(b, func(c *provider.Config) { c.Log = slog.New(slog.DiscardHandler) })
	h.User("alice")
	h.Run()
	w = h.Client("w", providertest.Trusted, func(m *storage.ClientMetadata) { m.IDTokenSignedAlg = keys.ES256 })
	mux = http.NewServeMux()
	h.Provider.Routes(mux)
	b.ReportAllocs()
	return h, mux, w
}

// cpu is the processor time that this process has used, its SQLite and its
// garbage collector included.
func cpu(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// loop runs operation b.N times and reports the processor time of each.
func loop(b *testing.B, operation func()) {
	n, before := 0, cpu(b)
	for b.Loop() {
		operation()
		n++
	}
	b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(n), "cpu-ns/op")
}

// serve answers one request and returns the body.
func serve(b *testing.B, mux *http.ServeMux, r *http.Request) string {
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		b.Fatalf("%s %s: %d %s", r.Method, r.URL, w.Code, w.Body)
	}
	body, _ := io.ReadAll(w.Body)
	return string(body)
}

func tokenRequest(w *providertest.Party, form url.Values) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(w.ID, w.Secret)
	return r
}

// get is a benchmark of one address.
func get(b *testing.B, path string) {
	_, mux, _ := benched(b)
	loop(b, func() { serve(b, mux, httptest.NewRequest(http.MethodGet, path, nil)) })
}

func BenchmarkDiscovery(b *testing.B) { get(b, "/.well-known/openid-configuration") }

func BenchmarkJWKS(b *testing.B) { get(b, "/jwks") }

func BenchmarkClientCredentials(b *testing.B) {
	_, mux, w := benched(b)
	form := url.Values{"grant_type": {"client_credentials"}}
	loop(b, func() { serve(b, mux, tokenRequest(w, form)) })
}

// BenchmarkCodeExchange leaves out what makes the code.
func BenchmarkCodeExchange(b *testing.B) {
	h, mux, w := benched(b)
	browser := h.Browser()
	browser.SignIn("alice")
	var used time.Duration
	n := 0
	for b.Loop() {
		b.StopTimer()
		r := tokenRequest(w, w.Redemption(w.Code(browser, "alice")))
		b.StartTimer()
		before := cpu(b)
		serve(b, mux, r)
		used += cpu(b) - before
		n++
	}
	b.ReportMetric(float64(used.Nanoseconds())/float64(n), "cpu-ns/op")
}

func BenchmarkRefresh(b *testing.B) {
	_, mux, w := benched(b)
	token := w.SignIn("alice").Refresh
	loop(b, func() {
		body := serve(b, mux, tokenRequest(w, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}))
		token = (&providertest.Answer{Body: body}).Tokens().Refresh
	})
}

func BenchmarkUserinfo(b *testing.B) {
	_, mux, w := benched(b)
	token := w.SignIn("alice").Access
	loop(b, func() {
		r := httptest.NewRequest(http.MethodGet, "/userinfo", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		serve(b, mux, r)
	})
}

func BenchmarkIntrospect(b *testing.B) {
	_, mux, w := benched(b)
	form := url.Values{"token": {w.SignIn("alice").Access}}
	loop(b, func() {
		r := tokenRequest(w, form)
		r.URL.Path = "/introspect"
		serve(b, mux, r)
	})
}

// BenchmarkAuthorize is a sign-in with a session that lives already, to the code.
func BenchmarkAuthorize(b *testing.B) {
	h, mux, w := benched(b)
	browser := h.Browser()
	browser.SignIn("alice")
	q := w.Request()
	loop(b, func() {
		r := httptest.NewRequest(http.MethodGet, q.URL(), nil)
		r.AddCookie(&http.Cookie{Name: "session", Value: browser.Cookie("session")})
		answer := httptest.NewRecorder()
		mux.ServeHTTP(answer, r)
		if !strings.Contains(answer.Header().Get("Location"), "code=") {
			b.Fatalf("it leads to %s", answer.Header().Get("Location"))
		}
	})
}
