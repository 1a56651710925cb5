package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// dial opens a plain connection to a node: what a balancer lets through is its
// own affair.
func (s *server) dial() net.Conn {
	s.t.Helper()
	c, err := net.Dial("tcp", s.nodes[0].address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

func (s *server) host() string { return strings.TrimPrefix(s.issuer, "http://") }

// raw sends bytes as they are and returns everything that comes back until the
// server closes the connection or goes quiet.
func (s *server) raw(request string) (answers []int, closed bool) {
	s.t.Helper()
	c := s.dial()
	defer c.Close()
	// The server may refuse, and close, before it has read everything.
	_, _ = io.WriteString(c, request)
	r := bufio.NewReader(c)
	for {
		if err := c.SetReadDeadline(time.Now().Add(700 * time.Millisecond)); err != nil {
			s.t.Fatal(err)
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			timeout, ok := err.(net.Error)
			return answers, !(ok && timeout.Timeout())
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return append(answers, resp.StatusCode), true
		}
		resp.Body.Close()
		answers = append(answers, resp.StatusCode)
	}
}

// rss is the resident memory of the largest node, in bytes.
func (s *server) rss() int64 {
	s.t.Helper()
	largest := int64(0)
	for _, n := range s.nodes {
		largest = max(largest, n.rss())
	}
	return largest
}

func (n *node) rss() int64 {
	n.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.cmd.Process.Pid))
	if err != nil {
		n.t.Fatal(err)
	}
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		n.t.Fatal("no VmRSS in /proc")
	}
	kib, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		n.t.Fatal(err)
	}
	return kib << 10
}

// addresses are all endpoints and pages that strangers reach, by path.
func (s *server) addresses() []string {
	s.t.Helper()
	paths := []string{"/", "/login", "/consent", "/setup", "/logout/confirm", "/healthz", "/readyz", "/api/health/", "/.well-known/openid-configuration"}
	for name, value := range s.discovery() {
		if address, ok := value.(string); ok && name != "issuer" && strings.HasPrefix(address, s.issuer) {
			paths = append(paths, strings.TrimPrefix(address, s.issuer))
		}
	}
	return paths
}

func TestAC145_NoSecondRequestIsReadOutOfABody(t *testing.T) {
	t.Parallel()
	s := serve(t)
	const smuggled = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
	head := "POST /token HTTP/1.1\r\nHost: " + s.host() + "\r\nContent-Type: application/x-www-form-urlencoded\r\n"
	for _, c := range []struct{ name, request string }{
		{"Content-Length and Transfer-Encoding together",
			head + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled},
		{"Transfer-Encoding twice", head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + smuggled},
		{"two lengths", head + "Content-Length: 0\r\nContent-Length: 44\r\n\r\n" + smuggled},
		{"a length with a sign", head + "Content-Length: +0\r\n\r\n" + smuggled},
		{"a header folded onto a second line", head + "X-Note: a\r\n Content-Length: 0\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n" + smuggled},
		{"a chunk size that is none", head + "Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n" + smuggled},
		{"a space before the colon", head + "Content-Length : 0\r\n\r\n" + smuggled},
		{"HTTP/1.0 with a chunked body", "POST /token HTTP/1.0\r\nHost: " + s.host() + "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled},
		{"a bare line feed in a chunk header", head + "Transfer-Encoding: chunked\r\n\r\n5;a\nhello\r\n0\r\n\r\n" + smuggled},
	} {
		t.Run(c.name, func(t *testing.T) {
			answers, closed := s.raw(c.request)
			if len(answers) > 1 {
				t.Errorf("one request got answers %v", answers)
			}
			if !closed {
				t.Errorf("the connection stays open after %v", answers)
			}
			for _, status := range answers {
				if status < 400 || status >= 500 && status != http.StatusNotImplemented {
					t.Errorf("it was answered %d", status)
				}
			}
		})
	}
	t.Run("a chunk extension is no second request", func(t *testing.T) {
		answers, _ := s.raw(head + "Transfer-Encoding: chunked\r\n\r\n5;ext=\"GET /healthz HTTP/1.1\"\r\nhello\r\n0\r\n\r\n")
		if len(answers) != 1 || answers[0] >= 500 {
			t.Errorf("it was answered %v", answers)
		}
	})
}

func TestAC219_WhatIsTooLargeIsRefusedBeforeAnyWork(t *testing.T) {
	s := serve(t)
	form := "Content-Type: application/x-www-form-urlencoded\r\n"
	var many, cookies strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&many, "p%d=v&", i)
	}
	for i := range 5_000 {
		fmt.Fprintf(&cookies, "c%d=v; ", i)
	}
	mebibytes := func(n int) string { return strings.Repeat("A", n<<20) }
	large, header := "a="+mebibytes(10), mebibytes(1)
	paths := s.addresses()
	for _, path := range paths { // what the first request of each makes is no growth
		s.raw("GET " + path + " HTTP/1.1\r\nHost: " + s.host() + "\r\n\r\n")
	}
	before := s.rss()
	for _, path := range paths {
		for _, c := range []struct{ name, method, head, body string }{
			{"a body of 10 MiB", "POST", form, large},
			{"20,000 parameters", "POST", form, many.String()},
			{"a header of 1 MiB", "GET", "X-Large: " + header + "\r\n", ""},
			{"5,000 cookies", "GET", "Cookie: " + cookies.String() + "\r\n", ""},
			{"a query of 1 MiB", "GET?", "", ""},
		} {
			method, target := c.method, path
			if c.method == "GET?" {
				method, target = "GET", path+"?a="+header
			}
			request := method + " " + target + " HTTP/1.1\r\nHost: " + s.host() + "\r\n" + c.head
			if c.body != "" {
				request += fmt.Sprintf("Content-Length: %d\r\n", len(c.body))
			}
			answers, _ := s.raw(request + "\r\n" + c.body)
			// A refusal may be lost where the server closes while we still write.
			for _, status := range answers {
				switch status {
				case 400, 403, 404, 405, 413, 414, 415, 431:
				default:
					t.Errorf("%s at %s %s was answered %d", c.name, method, path, status)
				}
			}
		}
	}
	if grown := s.rss() - before; grown > 8<<20 {
		t.Errorf("resident memory grew by %d KiB", grown>>10)
	} else {
		t.Logf("resident memory grew by %d KiB", grown>>10)
	}
	if !ready(s.issuer + "/readyz") {
		t.Error("the server is not ready any more")
	}
}

func TestAC221_SlowConnectionsAreCutAndOthersServed(t *testing.T) {
	t.Parallel()
	s := serve(t)
	const each = 1000
	head := "POST /token HTTP/1.1\r\nHost: " + s.host() + "\r\nContent-Type: application/x-www-form-urlencoded\r\n"
	begun := time.Now()
	type end struct {
		kind  string
		after time.Duration
	}
	ends := make(chan end, 2*each)
	for kind, opening := range map[string]string{"header": head, "body": head + "Content-Length: 1000\r\n\r\ngrant_"} {
		for range each {
			c := s.dial()
			if _, err := io.WriteString(c, opening); err != nil {
				t.Fatal(err)
			}
			go func() {
				_, _ = io.Copy(io.Discard, c) // until the server has had enough
				ends <- end{kind, time.Since(begun)}
			}()
		}
	}
	slowest := map[string]time.Duration{}
	served := 0
	for left := 2 * each; left > 0; {
		select {
		case e := <-ends:
			left--
			slowest[e.kind] = max(slowest[e.kind], e.after)
		case <-time.After(100 * time.Millisecond):
			asked := time.Now()
			if !ready(s.issuer + "/.well-known/openid-configuration") {
				t.Error("nobody else is served")
			}
			if took := time.Since(asked); took > 2*time.Second {
				t.Errorf("somebody else waited %v", took)
			}
			served++
		}
		if time.Since(begun) > 40*time.Second {
			t.Fatalf("%d slow connections are still open", left)
		}
	}
	t.Logf("slow headers were cut after %v, slow bodies after %v, others served %d times", slowest["header"], slowest["body"], served)
	if slowest["header"] > 9*time.Second || slowest["body"] > 15*time.Second || served == 0 {
		t.Errorf("slow headers were cut after %v, slow bodies after %v; others served %d times", slowest["header"], slowest["body"], served)
	}
}

func TestAC271_GarbageCredentialsCostNothing(t *testing.T) {
	s := serve(t)
	token, userinfo := s.endpoint("token_endpoint"), s.endpoint("userinfo_endpoint")
	dots := func(n int) string { return "Bearer " + strings.Repeat(".", n) }
	cases := []struct {
		name, method, address, authorization, body string
	}{
		{"100,000 dots for a token", "GET", userinfo, dots(100_000), ""},
		{"10,000 dots for a token", "GET", userinfo, dots(10_000), ""},
		{"a token of open brackets", "GET", userinfo, "Bearer " + strings.Repeat("[", 10_000), ""},
		{"Basic of 100 kB", "POST", token, "Basic " + strings.Repeat("QUFB", 25_000), "grant_type=client_credentials"},
		{"Basic of 10 kB", "POST", token, "Basic " + strings.Repeat("QUFB", 2_500), "grant_type=client_credentials"},
		{"Basic that is no base64", "POST", token, "Basic " + strings.Repeat("=", 10_000), "grant_type=client_credentials"},
		{"a code of dots", "POST", token, "", "grant_type=authorization_code&client_id=x&code=" + strings.Repeat(".", 2_000)},
		{"a refresh token of dots", "POST", token, "", "grant_type=refresh_token&client_id=x&refresh_token=" + strings.Repeat(".", 2_000)},
		{"a hint of dots", "GET", s.endpoint("end_session_endpoint") + "?id_token_hint=" + strings.Repeat(".", 2_000), "", ""},
	}
	try := func(method, address, authorization, body string) (int, time.Duration) {
		req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if authorization != "" {
			req.Header.Set("Authorization", authorization)
		}
		if body != "" {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		asked := time.Now()
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		took := time.Since(asked)
		resp.Body.Close()
		return resp.StatusCode, took
	}
	for range 200 { // until the collector has found its rhythm
		for _, c := range cases {
			try(c.method, c.address, c.authorization, c.body)
		}
	}
	before := s.rss()
	for _, c := range cases {
		fastest := time.Hour
		for range 20 {
			status, took := try(c.method, c.address, c.authorization, c.body)
			fastest = min(fastest, took)
			switch status {
			case 400, 401, 431:
			case 303: // a hint that says nothing makes the page ask
			default:
				t.Errorf("%s: %d", c.name, status)
			}
		}
		if fastest > 5*time.Millisecond {
			t.Errorf("%s took %v at best", c.name, fastest)
		}
	}
	grown := s.rss() - before
	t.Logf("resident memory grew by %d KiB", grown>>10)
	if grown > 1<<20 {
		t.Error("that is too much")
	}
}
