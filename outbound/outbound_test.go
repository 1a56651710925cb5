package outbound

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// receiver is an https server on this machine that counts what reaches it.
type receiver struct {
	*httptest.Server
	asked atomic.Int64
	ca    string // its certificate, as a file
}

func newReceiver(t *testing.T, answer http.HandlerFunc) *receiver {
	t.Helper()
	r := new(receiver)
	r.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.asked.Add(1)
		answer(w, q)
	}))
	r.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes are what some tests are about
	r.StartTLS()
	t.Cleanup(r.Close)
	r.ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(r.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return r
}

// loopback is the allow-list of most tests: their receivers live there.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// trusting returns a client that reaches r.
func (r *receiver) trusting(t *testing.T) *Client {
	t.Helper()
	return client(t, Config{Allow: loopback, CAFile: r.ca})
}

func client(t *testing.T, c Config) *Client {
	t.Helper()
	o, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// resolves is a resolver that gives every name these addresses.
func resolves(addresses ...string) func(context.Context, string) ([]netip.Addr, error) {
	return func(context.Context, string) (all []netip.Addr, err error) {
		for _, a := range addresses {
			all = append(all, netip.MustParseAddr(a))
		}
		return all, nil
	}
}

// wantReason checks why err refuses.
func wantReason(t *testing.T, err error, want Reason) {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	switch {
	case !ok:
		t.Errorf("error %v (%T), want one that is refused for its %s", err, err, want)
	case e.Reason != want:
		t.Errorf("refused for its %s (%v), want %s", e.Reason, err, want)
	}
}

func hello(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }

func TestGetReadsWhatAnAllowedServerWithOurRootSays(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=600")
		w.Header().Set("Age", "60")
		fmt.Fprintf(w, "%s %s %s", q.Method, q.UserAgent(), q.Header.Get("Accept"))
	})
	body, fresh, err := r.trusting(t).Get(t.Context(), r.URL, "application/jwk-set+json")
	if err != nil {
		t.Fatal(err)
	}
	if got := string(body); got != "GET gatehouse application/jwk-set+json" {
		t.Errorf("the server saw %q", got)
	}
	if fresh != 9*time.Minute {
		t.Errorf("fresh for %s, want the 10 minutes less the one that it was under way", fresh)
	}
}

func TestPostFormReturnsWhateverStatusWasAnswered(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(w http.ResponseWriter, q *http.Request) {
		if q.Method != http.MethodPost || q.PostFormValue("logout_token") != "a.b&c" || q.Header.Get("Cookie") != "" {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "remember", Value: "me"})
		w.WriteHeader(http.StatusBadRequest)
	})
	o := r.trusting(t)
	for range 2 { // the second would bring the cookie back
		status, err := o.PostForm(t.Context(), r.URL, url.Values{"logout_token": {"a.b&c"}})
		if err != nil || status != http.StatusBadRequest {
			t.Errorf("%d, %v, want the 400 that was answered", status, err)
		}
	}
}

func TestR15_AddressesThatAreRefused(t *testing.T) {
	t.Parallel()
	o := client(t, Config{})
	for _, a := range []string{
		"127.0.0.1", "127.255.0.9", "0.0.0.0", "10.1.2.3", "100.64.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255",
		"192.168.1.1", "192.0.0.8", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12:3456::1", "ff02::1",
		"64:ff9b::127.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b:1::1", "2002:7f00:1::", "2002:808:808::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2",
		"2001:db8::1", "3fff::1", "100::1", "5f00::1",
	} {
		if o.reachable(netip.MustParseAddr(a)) {
			t.Errorf("%s is reachable", a)
		}
	}
	for _, a := range []string{"1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"} {
		if !o.reachable(netip.MustParseAddr(a)) {
			t.Errorf("%s is not reachable, and is a public address", a)
		}
	}
}

func TestR15_TheAllowListOpensWhatItNamesAndNoMore(t *testing.T) {
	t.Parallel()
	o := client(t, Config{Allow: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("::ffff:192.168.7.0/120"), netip.MustParsePrefix("fd00:7::/32")}})
	for a, want := range map[string]bool{
		"10.1.2.3": true, "10.2.0.1": false, "::ffff:10.1.9.9": true, "64:ff9b::10.1.0.1": true,
		"192.168.7.7": true, "192.168.8.1": false, "fd00:7::1": true, "fd00:8::1": false, "127.0.0.1": false,
	} {
		if got := o.reachable(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s reachable: %v, want %v", a, got, want)
		}
	}
}

func TestR15_WhatIsRefusedIsNeverConnectedTo(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, hello)
	port := r.Listener.Addr().(*net.TCPAddr).Port
	for _, c := range []struct {
		name    string
		address string
		config  Config
		want    Reason
	}{
		{"a loopback address that is not listed", r.URL, Config{CAFile: r.ca}, Address},
		{"a name that resolves to a loopback address", fmt.Sprintf("https://example.com:%d/", port), Config{CAFile: r.ca, Lookup: resolves("127.0.0.1")}, Address},
		{"a name that resolves to a loopback address mapped into IPv6", fmt.Sprintf("https://example.com:%d/", port), Config{CAFile: r.ca, Lookup: resolves("::ffff:127.0.0.1")}, Address},
		{"a name with one good address and one that is not", fmt.Sprintf("https://example.com:%d/", port), Config{CAFile: r.ca, Allow: loopback, Lookup: resolves("127.0.0.1", "10.0.0.1")}, Address},
		{"localhost by its name", fmt.Sprintf("https://localhost:%d/", port), Config{CAFile: r.ca}, Address},
		{"an address written as one number", fmt.Sprintf("https://2130706433:%d/", port), Config{CAFile: r.ca, Lookup: resolves("127.0.0.1")}, Address},
		{"http to a listed address", strings.Replace(r.URL, "https", "http", 1), Config{Allow: loopback}, Scheme},
		{"http to another host than loopback, where loopback may", fmt.Sprintf("http://example.com:%d/", port), Config{Allow: loopback, AllowHTTP: true, Lookup: resolves("127.0.0.1")}, Scheme},
		{"another scheme", "file:///etc/passwd", Config{Allow: loopback}, Name},
		{"another scheme with a host", fmt.Sprintf("gopher://127.0.0.1:%d/", port), Config{Allow: loopback}, Scheme},
		{"a user name in the address", strings.Replace(r.URL, "https://", "https://someone@", 1), Config{Allow: loopback, CAFile: r.ca}, Name},
		{"no address at all", "", Config{}, Name},
		{"a name that nobody has", "https://nobody.example/", Config{Lookup: resolves()}, Name},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := r.asked.Load()
			_, _, err := client(t, c.config).Get(t.Context(), c.address, "*/*")
			wantReason(t, err, c.want)
			_, err = client(t, c.config).PostForm(t.Context(), c.address, nil)
			wantReason(t, err, c.want)
			if r.asked.Load() != before {
				t.Error("the server was asked all the same")
			}
		})
	}
}

// The name is looked up once for each request: were it looked up again to
// connect, the second answer could be another.
func TestR15_TheAddressThatWasJudgedIsTheOneDialled(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, hello)
	var lookups atomic.Int64
	o := client(t, Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, CAFile: r.ca,
		Lookup: func(context.Context, string) ([]netip.Addr, error) {
			if lookups.Add(1) == 1 {
				return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
			}
			return []netip.Addr{netip.MustParseAddr("10.0.0.1")}, nil
		}})
	address := fmt.Sprintf("https://example.com:%d/", r.Listener.Addr().(*net.TCPAddr).Port)
	if body, _, err := o.Get(t.Context(), address, "*/*"); err != nil || string(body) != "hello" || lookups.Load() != 1 {
		t.Fatalf("%q, %v after %d look-ups", body, err, lookups.Load())
	}
	_, _, err := o.Get(t.Context(), address, "*/*")
	wantReason(t, err, Address)
}

func TestR15_ADeadAddressDoesNotHideALivingOne(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, hello)
	port := r.Listener.Addr().(*net.TCPAddr).Port
	o := client(t, Config{Allow: loopback, CAFile: r.ca, Lookup: resolves("127.9.9.9", "127.0.0.1")})
	if _, _, err := o.Get(t.Context(), fmt.Sprintf("https://example.com:%d/", port), "*/*"); err != nil {
		t.Error(err)
	}
}

func TestR15_RedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(w http.ResponseWriter, q *http.Request) {
		http.Redirect(w, q, "/again", http.StatusTemporaryRedirect)
	})
	o := r.trusting(t)
	_, _, err := o.Get(t.Context(), r.URL, "*/*")
	wantReason(t, err, Redirect)
	status, err := o.PostForm(t.Context(), r.URL, url.Values{"a": {"b"}})
	wantReason(t, err, Redirect)
	if status != http.StatusTemporaryRedirect || r.asked.Load() != 2 {
		t.Errorf("status %d after %d requests, want 307 after one each", status, r.asked.Load())
	}
}

// endless answers 1 GiB and says how much of it could be sent.
func endless(sent *atomic.Int64) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		block := make([]byte, 64<<10)
		for range (1 << 30) / len(block) {
			n, err := w.Write(block)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	}
}

// inTheBuffers is more than the kernel takes for a reader who is not there.
const inTheBuffers = 32 << 20

func TestR15_AGigabyteIsNotRead(t *testing.T) {
	t.Parallel()
	var sent atomic.Int64
	r := newReceiver(t, endless(&sent))
	o := r.trusting(t)
	_, _, err := o.Get(t.Context(), r.URL, "*/*")
	wantReason(t, err, Size)
	if status, err := o.PostForm(t.Context(), r.URL, nil); err != nil || status != http.StatusOK {
		t.Errorf("%d, %v, want the 200 that came before the gigabyte", status, err)
	}
	r.Close() // waits until both handlers have seen that nobody reads
	if sent.Load() > inTheBuffers {
		t.Errorf("%d bytes were taken", sent.Load())
	}
}

func TestR15_ABodyOfExactlyTheBoundIsRead(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(w http.ResponseWriter, q *http.Request) {
		n := MaxBody
		if q.URL.Path == "/more" {
			n++
		}
		io.WriteString(w, strings.Repeat("x", n))
	})
	o := r.trusting(t)
	if body, _, err := o.Get(t.Context(), r.URL, "*/*"); err != nil || len(body) != MaxBody {
		t.Errorf("%d bytes, %v", len(body), err)
	}
	_, _, err := o.Get(t.Context(), r.URL+"/more", "*/*")
	wantReason(t, err, Size)
}

func TestR15_EndlessHeadersAreNotRead(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Long", strings.Repeat("x", 1<<20))
	})
	if _, err := r.trusting(t).PostForm(t.Context(), r.URL, nil); err == nil {
		t.Error("a megabyte of headers was read")
	}
}

func TestR15_ThreeSecondsAreAllThereIs(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	r := newReceiver(t, func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/slowly" { // a byte now and then keeps no deadline away
			for {
				if _, err := io.WriteString(w, "x"); err != nil {
					return
				}
				w.(http.Flusher).Flush()
				select {
				case <-over:
					return
				case <-time.After(100 * time.Millisecond):
				}
			}
		}
		<-over
	})
	t.Cleanup(func() { close(over) })
	o := r.trusting(t)
	silent := client(t, Config{Lookup: func(ctx context.Context, _ string) ([]netip.Addr, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}})
	for name, ask := range map[string]func(context.Context) error{
		"a server that never answers": func(ctx context.Context) error { _, err := o.PostForm(ctx, r.URL, nil); return err },
		"a body that trickles":        func(ctx context.Context) error { _, _, err := o.Get(ctx, r.URL+"/slowly", "*/*"); return err },
		"a resolver that is silent": func(ctx context.Context) error {
			_, _, err := silent.Get(ctx, "https://example.com/", "*/*")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			wantReason(t, ask(t.Context()), Time)
			if took := time.Since(began); took < Timeout-100*time.Millisecond || took > Timeout+2*time.Second {
				t.Errorf("given up after %s, want %s", took, Timeout)
			}
		})
	}
}

func TestR15_ACertificateThatNobodyVouchesForIsRefused(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, hello)
	_, _, err := client(t, Config{Allow: loopback}).Get(t.Context(), r.URL, "*/*")
	wantReason(t, err, TLS)
	port := r.Listener.Addr().(*net.TCPAddr).Port
	o := client(t, Config{Allow: loopback, CAFile: r.ca, Lookup: resolves("127.0.0.1")})
	_, _, err = o.Get(t.Context(), fmt.Sprintf("https://another.example.org:%d/", port), "*/*")
	wantReason(t, err, TLS)
	if r.asked.Load() != 0 {
		t.Error("the request was sent all the same")
	}
}

func TestR15_WhatSpeaksNoTLSOrAnOldOneIsRefused(t *testing.T) {
	t.Parallel()
	plain := httptest.NewServer(http.HandlerFunc(hello))
	defer plain.Close()
	_, _, err := client(t, Config{Allow: loopback}).Get(t.Context(), strings.Replace(plain.URL, "http", "https", 1), "*/*")
	wantReason(t, err, TLS)

	old := httptest.NewUnstartedServer(http.HandlerFunc(hello))
	old.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	old.Config.ErrorLog = log.New(io.Discard, "", 0)
	old.StartTLS()
	defer old.Close()
	_, _, err = client(t, Config{Allow: loopback}).Get(t.Context(), old.URL, "*/*")
	wantReason(t, err, TLS)
}

func TestR15_WhereNobodyListensNobodyAnswers(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.HandlerFunc(hello))
	gone.Close()
	_, err := client(t, Config{Allow: loopback}).PostForm(t.Context(), strings.Replace(gone.URL, "http", "https", 1), nil)
	wantReason(t, err, Connect)
}

func TestR15_NoProxyOfTheEnvironmentIsUsed(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the proxy was asked") }))
	defer proxy.Close()
	t.Setenv("HTTPS_PROXY", proxy.URL)
	t.Setenv("HTTP_PROXY", proxy.URL)
	_, _, err := client(t, Config{Lookup: resolves("10.0.0.1")}).Get(t.Context(), "https://example.com/", "*/*")
	wantReason(t, err, Address)
	if o := client(t, Config{}); o.http.Transport.(*http.Transport).Proxy != nil {
		t.Error("the transport has a proxy")
	}
}

func TestHTTPReachesALoopbackHostThatIsListed(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(hello))
	defer s.Close()
	if _, err := client(t, Config{Allow: loopback, AllowHTTP: true}).PostForm(t.Context(), s.URL, nil); err != nil {
		t.Error(err)
	}
	_, err := client(t, Config{AllowHTTP: true}).PostForm(t.Context(), s.URL, nil)
	wantReason(t, err, Address)
}

func TestAnotherStatusThan200IsNoDocument(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	_, _, err := r.trusting(t).Get(t.Context(), r.URL, "*/*")
	wantReason(t, err, Status)
	if e, _ := errors.AsType[*Error](err); e.Status != http.StatusNotFound {
		t.Errorf("status %d", e.Status)
	}
}

func TestACertificateFileMustHoldCertificates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{empty, filepath.Join(dir, "missing.pem")} {
		if _, err := New(Config{CAFile: file}); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: error %v, want one that names the file", file, err)
		}
	}
}

func TestFreshness(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		control, age string
		want         time.Duration
	}{
		{"max-age=300", "", 5 * time.Minute},
		{"public, MAX-AGE=300", "100", 200 * time.Second},
		{"max-age=300", "400", 0},
		{"max-age=300, no-store", "", 0},
		{"no-cache", "", 0},
		{"max-age=-5", "", 0},
		{"max-age=99999999999999999999", "", 0},
		{"", "", 0},
	} {
		h := http.Header{"Cache-Control": {c.control}, "Age": {c.age}}
		if got := freshness(h); got != c.want {
			t.Errorf("Cache-Control %q, Age %q: %s, want %s", c.control, c.age, got, c.want)
		}
	}
}
