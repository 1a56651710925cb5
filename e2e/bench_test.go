package e2e

import (
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The budgets of section "How it is shown": a later start of at most 100 ms,
// 40 MiB of memory, a binary of 40 MiB. The benchmarks report; they fail only
// where a budget is missed by so much that no busy machine explains it.

// BenchmarkFirstStart is from the start of the process, in an empty directory,
// to an answered discovery: it makes the database and the keys.
func BenchmarkFirstStart(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		s := prepare(b)
		b.StartTimer()
		s.untilDiscovery()
		b.StopTimer()
		s.stop()
		b.StartTimer()
	}
	reportMilliseconds(b)
}

// BenchmarkLaterStart is the same where everything is there already.
func BenchmarkLaterStart(b *testing.B) {
	s := serve(b)
	s.stop()
	for b.Loop() {
		s.untilDiscovery()
		b.StopTimer()
		s.stop()
		b.StartTimer()
	}
	reportMilliseconds(b)
}

func reportMilliseconds(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/start")
	b.ReportMetric(0, "ns/op")
}

// untilDiscovery starts the server and waits until discovery answers.
func (s *server) untilDiscovery() {
	s.t.Helper()
	s.launch()
	for deadline := time.Now().Add(time.Minute); !ready(s.issuer + "/.well-known/openid-configuration"); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatal("discovery does not answer")
		}
	}
}

// BenchmarkMemory is the resident memory of a server that has just started,
// right after a hundred requests of each kind that programs send, and three
// seconds later, when memory has been given back.
func BenchmarkMemory(b *testing.B) {
	s := serve(b)
	c := s.addClient("worker", "--grant-type", "client_credentials", "--set", "redirect_uris=")
	p := newPerson(b, s.addUser("mona"))
	a := newApp(b, s, "app")
	time.Sleep(quiet)
	b.ReportMetric(s.mebibytes(), "MiB-idle")

	v := a.enter(p)
	userinfo, jwks := s.endpoint("userinfo_endpoint"), s.endpoint("jwks_uri")
	for range 100 {
		get(b, s.issuer+"/.well-known/openid-configuration", "")
		get(b, jwks, "")
		get(b, userinfo, v.token.AccessToken)
		if _, err := c.ask(b.Context(), a.oauth.Endpoint.TokenURL, url.Values{"grant_type": {"client_credentials"}}); err != nil {
			b.Fatal(err)
		}
		v.token.RefreshToken = a.mustAsk(refreshing(v.token.RefreshToken)).Refresh
	}
	b.ReportMetric(s.mebibytes(), "MiB-busy")
	s.reportMemory(b)
}

// BenchmarkMemoryAfterSignIns is the same for twenty sign-ins, each with a
// password hash that takes 19 MiB.
func BenchmarkMemoryAfterSignIns(b *testing.B) {
	s := serve(b)
	who := s.addUser("mona")
	a := newApp(b, s, "app")
	for range 20 {
		a.enter(newPerson(b, who))
	}
	b.ReportMetric(s.mebibytes(), "MiB-busy")
	s.reportMemory(b)
}

// quiet is longer than the server waits before it gives memory back.
const quiet = 3 * time.Second

func (s *server) mebibytes() float64 { return float64(s.rss()) / (1 << 20) }

// reportMemory reports what is left after a quiet moment.
func (s *server) reportMemory(b *testing.B) {
	b.Helper()
	time.Sleep(quiet)
	left := s.mebibytes()
	b.ReportMetric(left, "MiB-after")
	b.ReportMetric(0, "ns/op")
	if left > 2*40 {
		b.Errorf("%.1f MiB are resident", left)
	}
}

// BenchmarkBinary is the size of the stripped binary.
func BenchmarkBinary(b *testing.B) {
	info, err := os.Stat(gatehouse(b))
	if err != nil {
		b.Fatal(err)
	}
	size := float64(info.Size()) / (1 << 20)
	b.ReportMetric(size, "MiB")
	b.ReportMetric(0, "ns/op")
	if size > 40 {
		b.Errorf("%s has %.1f MiB", filepath.Base(gatehouse(b)), size)
	}
}

func get(t testing.TB, address, accessToken string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if accessToken != "" {
		req.Header.Set("Authorization", "Bearer "+accessToken)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %v", address, resp.StatusCode, err)
	}
}
