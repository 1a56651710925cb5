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
// and after a hundred requests of each kind that programs send.
func BenchmarkMemory(b *testing.B) {
	const mebibyte = 1 << 20
	s := serve(b)
	c := s.addClient("worker", "--grant-type", "client_credentials", "--set", "redirect_uris=")
	p := newPerson(b, s.addUser("mona"))
	time.Sleep(2 * time.Second) // the keys of the other algorithms are made in the background
	b.ReportMetric(float64(s.rss())/mebibyte, "MiB-idle")

	a := newApp(b, s, "app")
	v := a.enter(p)
	for range 100 {
		get(b, s.issuer+"/.well-known/openid-configuration")
		get(b, s.endpoint("jwks_uri"))
		if _, err := c.ask(b.Context(), a.oauth.Endpoint.TokenURL, url.Values{"grant_type": {"client_credentials"}}); err != nil {
			b.Fatal(err)
		}
		if status, _ := s.userinfo(v.token.AccessToken); status != http.StatusOK {
			b.Fatal(status)
		}
		v.token.RefreshToken = a.mustAsk(refreshing(v.token.RefreshToken)).Refresh
	}
	used := float64(s.rss()) / mebibyte
	b.ReportMetric(used, "MiB-used")
	b.ReportMetric(0, "ns/op")
	if used > 2*40 {
		b.Errorf("%.1f MiB are resident", used)
	}
}

// BenchmarkSignIn is the memory after twenty sign-ins with their slow hashes.
func BenchmarkMemoryAfterSignIns(b *testing.B) {
	s := serve(b)
	who := s.addUser("mona")
	a := newApp(b, s, "app")
	for range 20 {
		a.enter(newPerson(b, who))
	}
	b.ReportMetric(float64(s.rss())/(1<<20), "MiB-used")
	b.ReportMetric(0, "ns/op")
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

func get(t testing.TB, address string) {
	t.Helper()
	resp, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
}
