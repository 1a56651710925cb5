package web

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/provider"
	"gatehouse/storage"
	"gatehouse/storage/storagetest"
	"gatehouse/templates"
)

// A hall is what stands behind the door in these tests.
type hall struct {
	browser *Browser
	forms   atomic.Int64 // that a handler got to read
	reached atomic.Int64
}

func (h *hall) Routes(mux *http.ServeMux) {
	base := h.browser.Base()
	mux.HandleFunc("GET "+base+"/hello", func(w http.ResponseWriter, r *http.Request) {
		h.reached.Add(1)
		h.browser.Show(w, r, Page{Body: templates.Home(nil), Here: "/hello"})
	})
	mux.HandleFunc("POST "+base+"/form", func(w http.ResponseWriter, r *http.Request) {
		h.reached.Add(1)
		if f, ok := h.browser.Form(w, r); ok {
			h.forms.Add(1)
			fmt.Fprint(w, len(f))
		}
	})
	mux.HandleFunc("GET "+base+"/panic", func(http.ResponseWriter, *http.Request) { panic("the roof came down") })
	mux.HandleFunc("GET "+base+"/half", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "half of it")
		http.NewResponseController(w).Flush()
		panic("in the middle")
	})
	mux.HandleFunc("GET "+base+"/other", func(w http.ResponseWriter, r *http.Request) {
		h.browser.Error(w, r, provider.PendingError(nil, storage.ErrMismatch))
	})
	mux.HandleFunc("GET "+base+"/origin", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, storage.OriginOf(r.Context()).IP)
	})
	mux.HandleFunc("GET "+base+"/deadline", func(w http.ResponseWriter, r *http.Request) {
		until, ok := r.Context().Deadline()
		fmt.Fprint(w, ok, time.Until(until) <= handlerTime)
	})
	mux.HandleFunc("GET "+base+"/late", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancel(r.Context())
		cancel()
		h.browser.Error(w, r.WithContext(ctx), provider.PageError{Status: http.StatusServiceUnavailable, Message: provider.Unavailable})
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "alive") })
	mux.HandleFunc("GET /api/health/{$}", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "healthy") })
}

// behind builds a door with a hall behind it.
func behind(t testing.TB, issuer string, log io.Writer, proxies ...string) (http.Handler, *hall) {
	t.Helper()
	lines := slog.New(slog.NewTextHandler(log, nil))
	db := storagetest.SQLite(t)
	b, err := NewBrowser(BrowserConfig{Issuer: issuer, Sessions: db.Store().Sessions, Failures: db.Store().Failures, Log: lines})
	if err != nil {
		t.Fatal(err)
	}
	h := &hall{browser: b}
	c := Config{Issuer: issuer, Browser: b, Parts: []Part{h}, Log: lines}
	for _, p := range proxies {
		c.TrustedProxies = append(c.TrustedProxies, netip.MustParsePrefix(p))
	}
	door, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return door, h
}

// ask sends a request whose target is taken as it stands.
func ask(door http.Handler, method, host, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://any.test"+target, nil)
	r.Host, r.RemoteAddr = host, "192.0.2.1:4711"
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	door.ServeHTTP(w, r)
	return w
}

const local = "http://localhost:8000"

func TestR12_OnlyTheConfiguredHostIsAnswered(t *testing.T) {
	for name, c := range map[string]struct {
		issuer, method, host, target string
		status                       int
		location                     string
	}{
		"the host":                             {local, "GET", "localhost:8000", "/hello", 200, ""},
		"the host in capitals":                 {local, "GET", "LOCALHOST:8000", "/hello", 200, ""},
		"another name of this machine":         {local, "GET", "127.0.0.1:8000", "/hello?a=b%20c", 307, local + "/hello?a=b%20c"},
		"another name of this machine, v6":     {local, "GET", "[::1]:8000", "/hello", 307, local + "/hello"},
		"a form on another name":               {local, "POST", "127.0.0.1:8000", "/form", 421, ""},
		"somebody else's name":                 {local, "GET", "evil.test", "/hello", 421, ""},
		"a name that begins like ours":         {local, "GET", "localhost:8000.evil.test", "/hello", 421, ""},
		"a loopback name, and a public issuer": {"https://id.example.com", "GET", "localhost", "/hello", 421, ""},
		"the port that goes without saying":    {"https://id.example.com", "GET", "id.example.com:443", "/hello", 200, ""},
		"another port":                         {"https://id.example.com", "GET", "id.example.com:8443", "/hello", 421, ""},
		"health by address":                    {"https://id.example.com", "GET", "10.0.0.7:8000", "/healthz", 200, ""},
		"the health report by address":         {"https://id.example.com", "GET", "10.0.0.7:8000", "/api/health/", 200, ""},
	} {
		door, _ := behind(t, c.issuer, io.Discard)
		w := ask(door, c.method, c.host, c.target, "X-Forwarded-Host", "localhost:8000", "Forwarded", "host=localhost:8000")
		if w.Code != c.status || w.Header().Get("Location") != c.location {
			t.Errorf("%s: %d to %q, want %d to %q", name, w.Code, w.Header().Get("Location"), c.status, c.location)
		}
		if strings.Contains(w.Body.String(), "evil.test") {
			t.Errorf("%s: the page repeats the name", name)
		}
	}
}

func TestR19_OnlyCleanPathsAreRouted(t *testing.T) {
	door, hall := behind(t, local, io.Discard)
	for _, target := range []string{
		"/hello/", "//hello", "/./hello", "/x/../hello", "/%2e%2e/hello", "/x/%2E%2E/hello", "/hello;x=y", "/hello%3bx", "/%2fhello", "/%2Fhello",
		"/hello%00", "/hello%0a", "/hello%5c", "/hello%2f", "/hello%ff", "/api/health", "/healthz/", "/hello/.", "/assets", "/assets/", "/assets/../hello",
	} {
		w := ask(door, "GET", "localhost:8000", target)
		if w.Code != http.StatusNotFound || w.Header().Get("Location") != "" {
			t.Errorf("%s: %d to %q", target, w.Code, w.Header().Get("Location"))
		}
	}
	if n := hall.reached.Load(); n != 0 {
		t.Errorf("a handler was reached %d times", n)
	}
	for target, want := range map[string]int{"/hello": 200, "/%68ello": 200, "/api/health/": 200, "/hello?x=/../;%00": 200} {
		if w := ask(door, "GET", "localhost:8000", target); w.Code != want {
			t.Errorf("%s: %d, want %d", target, w.Code, want)
		}
	}
}

func TestAWrongMethodIsToldApartFromAWrongPath(t *testing.T) {
	door, _ := behind(t, local, io.Discard)
	w := ask(door, "POST", "localhost:8000", "/hello")
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("%d, Allow: %q", w.Code, w.Header().Get("Allow"))
	}
	w = ask(door, "DELETE", "localhost:8000", "/nothing", "Accept", "application/json")
	if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), `"error":"not_found"`) || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("for a program: %d %s", w.Code, w.Body)
	}
	w = ask(door, "GET", "localhost:8000", "/api/v1/users", "Accept", "text/html")
	if w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("an address of programs answers %s", w.Header().Get("Content-Type"))
	}
}

func TestAnIssuerWithAPathHasItsPagesBelowIt(t *testing.T) {
	door, _ := behind(t, "https://id.example.com/id", io.Discard)
	if w := ask(door, "GET", "id.example.com", "/id/hello"); w.Code != 200 || !strings.Contains(w.Body.String(), `href="/id/assets/gatehouse.`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := ask(door, "GET", "id.example.com", "/hello"); w.Code != 404 {
		t.Errorf("above it: %d", w.Code)
	}
	if w := ask(door, "GET", "10.0.0.7", "/healthz"); w.Code != 200 {
		t.Errorf("health: %d", w.Code)
	}
}

func TestPlainHTTPBehindAProxyIsSentToHTTPS(t *testing.T) {
	const issuer = "https://id.example.com"
	for name, c := range map[string]struct {
		method  string
		proxies []string
		header  []string
		status  int
	}{
		"the proxy says http":            {"GET", []string{"192.0.2.0/24"}, []string{"X-Forwarded-Proto", "http"}, 308},
		"the proxy says it the new way":  {"GET", []string{"192.0.2.0/24"}, []string{"Forwarded", "for=203.0.113.1;proto=http"}, 308},
		"the proxy says https":           {"GET", []string{"192.0.2.0/24"}, []string{"X-Forwarded-Proto", "https"}, 200},
		"https outside and http between": {"GET", []string{"192.0.2.0/24"}, []string{"X-Forwarded-Proto", "https, http"}, 200},
		"a stranger says http":           {"GET", nil, []string{"X-Forwarded-Proto", "http"}, 200},
		"a form over http is not read":   {"POST", []string{"192.0.2.0/24"}, []string{"X-Forwarded-Proto", "http"}, 403},
	} {
		door, hall := behind(t, issuer, io.Discard, c.proxies...)
		target := "/hello?x=1"
		if c.method == "POST" {
			target = "/form"
		}
		w := ask(door, c.method, "id.example.com", target, c.header...)
		if w.Code != c.status {
			t.Errorf("%s: %d, want %d", name, w.Code, c.status)
		}
		if c.status == 308 && w.Header().Get("Location") != issuer+target {
			t.Errorf("%s: to %q", name, w.Header().Get("Location"))
		}
		if c.status != 200 && hall.reached.Load() != 0 {
			t.Errorf("%s: a handler was reached", name)
		}
	}
}

func TestAssetsMayBeKeptForEver(t *testing.T) {
	door, _ := behind(t, local, io.Discard)
	page := ask(door, "GET", "localhost:8000", "/hello").Body.String()
	for _, part := range []string{`href="/assets/gatehouse.`, `href="/assets/mark.`} {
		_, rest, found := strings.Cut(page, part)
		if !found {
			t.Fatalf("the page lacks %s", part)
		}
		rest, _, _ = strings.Cut(rest, `"`)
		w := ask(door, "GET", "localhost:8000", strings.TrimPrefix(part, `href="`)+rest)
		if w.Code != 200 || w.Header().Get("Cache-Control") != "public, max-age=31536000, immutable" || w.Body.Len() == 0 {
			t.Errorf("%s: %d %v", part, w.Code, w.Header())
		}
	}
	if w := ask(door, "GET", "localhost:8000", "/assets/gatehouse.0000000000000000.css"); w.Code != 404 {
		t.Errorf("another version: %d", w.Code)
	}
}

func TestAPanicIsAPageAndALogLineAndNothingElse(t *testing.T) {
	var log bytes.Buffer
	door, _ := behind(t, local, &log)
	w := ask(door, "GET", "localhost:8000", "/panic")
	body := w.Body.String()
	if w.Code != 500 || !strings.Contains(body, "Something broke on our side") || strings.Contains(body, "roof") {
		t.Errorf("%d %s", w.Code, body)
	}
	id := w.Header().Get("X-Request-Id")
	if !strings.Contains(body, id) || !strings.Contains(log.String(), "the roof came down") || strings.Count(log.String(), id) != 2 {
		t.Errorf("the id %s leads nowhere: %s", id, log.String())
	}
}

func TestAPanicInTheMiddleCutsTheAnswerOff(t *testing.T) {
	server, addr := serve(t)
	defer server.Close()
	response, err := http.Get("http://" + addr + "/half")
	if err != nil {
		return // cut before the headers
	}
	defer response.Body.Close()
	if _, err := io.ReadAll(response.Body); err == nil {
		t.Error("half an answer passed for a whole one")
	}
}

func TestAHandlerHasALimitedTime(t *testing.T) {
	door, _ := behind(t, local, io.Discard)
	if got := ask(door, "GET", "localhost:8000", "/deadline").Body.String(); got != "true true" {
		t.Errorf("a deadline, at most %v away: %s", handlerTime, got)
	}
}

func TestAC234_WhoseTimeIsOverIsShownThePageThatSaysSo(t *testing.T) {
	door, _ := behind(t, local, io.Discard)
	got := ask(door, "GET", "localhost:8000", "/late")
	if got.Code != http.StatusServiceUnavailable || got.Header().Get("Retry-After") == "" || !strings.Contains(got.Body.String(), "<h1") {
		t.Errorf("%d, Retry-After %q: %s", got.Code, got.Header().Get("Retry-After"), got.Body)
	}
}

func TestAC280_ProxyHeadersCountFromOurProxiesAlone(t *testing.T) {
	ours := []string{"192.0.2.0/24", "10.0.0.0/8"}
	for name, c := range map[string]struct {
		proxies []string
		header  []string
		want    string
	}{
		"no header":                               {ours, nil, "192.0.2.1"},
		"from a stranger":                         {nil, []string{"X-Forwarded-For", "203.0.113.9"}, "192.0.2.1"},
		"from a stranger, the new way":            {nil, []string{"Forwarded", "for=203.0.113.9"}, "192.0.2.1"},
		"from our proxy":                          {ours, []string{"X-Forwarded-For", "203.0.113.9"}, "203.0.113.9"},
		"through two of ours":                     {ours, []string{"X-Forwarded-For", "203.0.113.9, 10.1.2.3"}, "203.0.113.9"},
		"with an invention in front":              {ours, []string{"X-Forwarded-For", "1.1.1.1, 203.0.113.9"}, "203.0.113.9"},
		"with a trusted invention in front":       {ours, []string{"X-Forwarded-For", "10.9.9.9, 203.0.113.9"}, "203.0.113.9"},
		"on two lines":                            {ours, []string{"X-Forwarded-For", "1.1.1.1", "X-Forwarded-For", "203.0.113.9"}, "203.0.113.9"},
		"in mixed case":                           {ours, []string{"x-fORWARDED-for", "203.0.113.9"}, "203.0.113.9"},
		"with underscores":                        {ours, []string{"X_Forwarded_For", "203.0.113.9", "X-Forwarded_For", "203.0.113.8"}, "192.0.2.1"},
		"another header":                          {ours, []string{"X-Real-Ip", "203.0.113.9", "True-Client-Ip", "203.0.113.9", "X-Client-Ip", "203.0.113.9"}, "192.0.2.1"},
		"nonsense":                                {ours, []string{"X-Forwarded-For", "unknown"}, "192.0.2.1"},
		"nonsense in front":                       {ours, []string{"X-Forwarded-For", "unknown, 203.0.113.9"}, "203.0.113.9"},
		"nonsense behind our second":              {ours, []string{"X-Forwarded-For", "203.0.113.9, x, 10.1.1.1"}, "10.1.1.1"},
		"with a port":                             {ours, []string{"X-Forwarded-For", "203.0.113.9:1234"}, "203.0.113.9"},
		"IPv6":                                    {ours, []string{"X-Forwarded-For", "2001:db8::7"}, "2001:db8::7"},
		"IPv6 in brackets, the new way":           {ours, []string{"Forwarded", `for="[2001:db8::7]:4711";proto=https`}, "2001:db8::7"},
		"IPv4 dressed as IPv6":                    {ours, []string{"X-Forwarded-For", "::ffff:203.0.113.9"}, "203.0.113.9"},
		"both kinds, of one mind":                 {ours, []string{"X-Forwarded-For", "203.0.113.9", "Forwarded", "for=203.0.113.9"}, "203.0.113.9"},
		"both kinds, one of them the client's":    {ours, []string{"X-Forwarded-For", "203.0.113.9", "Forwarded", "for=198.51.100.1"}, "192.0.2.1"},
		"a hop that hides who it is for":          {ours, []string{"Forwarded", "by=10.0.0.1"}, "192.0.2.1"},
		"everybody on the way is a proxy of ours": {ours, []string{"X-Forwarded-For", "10.0.0.1, 10.0.0.2"}, "10.0.0.1"},
	} {
		door, _ := behind(t, local, io.Discard, c.proxies...)
		if got := ask(door, "GET", "localhost:8000", "/origin", c.header...).Body.String(); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestNetworkIsAnAddressOrAWholeIPv6Network(t *testing.T) {
	for address, want := range map[string]string{
		"203.0.113.9": "203.0.113.9/32", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "2001:db8:1:2::9": "2001:db8:1:2::/64",
	} {
		if got := Network(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s counts as %s, want %s", address, got, want)
		}
	}
	if got := Network(netip.Addr{}); got != "unknown" {
		t.Errorf("no address counts as %s", got)
	}
}

func TestAC219_FormsAreBounded(t *testing.T) {
	pairs := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "p%d=&", i)
		}
		return strings.TrimSuffix(b.String(), "&")
	}
	const form = "application/x-www-form-urlencoded"
	for name, c := range map[string]struct {
		kind, body string
		chunked    bool
		status     int
	}{
		"a form":                      {form, "a=1&b=2", false, 200},
		"64 fields":                   {form, pairs(64), false, 200},
		"65 fields":                   {form, pairs(65), false, 400},
		"20,000 fields":               {form, strings.Repeat("a&", 20000), false, 400},
		"a value of 2 KiB":            {form, "a=" + strings.Repeat("x", 2<<10), false, 200},
		"a longer value":              {form, "a=" + strings.Repeat("x", 2<<10+1), false, 400},
		"10 MiB":                      {form, "a=" + strings.Repeat("x", 10<<20), false, 413},
		"10 MiB of unsaid length":     {form, "a=" + strings.Repeat("x", 10<<20), true, 413},
		"a field twice":               {form, "a=1&a=2", false, 400},
		"NUL":                         {form, "a=%00", false, 400},
		"invalid UTF-8":               {form, "a=%ff", false, 400},
		"a broken escape":             {form, "a=%zz", false, 400},
		"a semicolon between fields":  {form, "a=1;b=2", false, 400},
		"JSON":                        {"application/json", `{"a":1}`, false, 400},
		"multipart":                   {"multipart/form-data; boundary=x", "--x--", false, 400},
		"a kind that cannot be read":  {";", "a=1", false, 400},
		"a form with a character set": {form + "; charset=utf-8", "a=1", false, 200},
	} {
		door, hall := behind(t, local, io.Discard)
		r := httptest.NewRequest("POST", local+"/form", strings.NewReader(c.body))
		r.Header.Set("Content-Type", c.kind)
		if c.chunked {
			r.ContentLength, r.TransferEncoding = -1, []string{"chunked"}
		}
		w := httptest.NewRecorder()
		door.ServeHTTP(w, r)
		if w.Code != c.status || (c.status == 200) != (hall.forms.Load() == 1) {
			t.Errorf("%s: %d, want %d", name, w.Code, c.status)
		}
	}
}

// serve starts a server on the loopback, as the binary does.
func serve(t *testing.T) (*http.Server, string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	door, _ := behind(t, "http://"+addr, io.Discard)
	server := NewServer("", door, slog.New(slog.DiscardHandler))
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
	})
	return server, addr
}

// raw sends bytes as they are and returns every answer until the server closes
// the connection, or nothing comes any more.
func raw(t *testing.T, addr, sent string) (answers []int, closed bool) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, strings.ReplaceAll(sent, "HOST", addr)); err != nil {
		return nil, true
	}
	reader := bufio.NewReader(conn)
	for {
		conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			timeout, ok := errors.AsType[net.Error](err)
			return answers, !ok || !timeout.Timeout()
		}
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
		answers = append(answers, response.StatusCode)
	}
}

func TestAC145_NoSecondRequestComesOutOfABody(t *testing.T) {
	_, addr := serve(t)
	const head = "POST /form HTTP/1.1\r\nHost: HOST\r\nContent-Type: application/x-www-form-urlencoded\r\n"
	const second = "GET /hello HTTP/1.1\r\nHost: HOST\r\n\r\n"
	for name, c := range map[string]struct {
		sent    string
		answers int
		closed  bool
	}{
		"two honest requests":                                {"GET /hello HTTP/1.1\r\nHost: HOST\r\n\r\n" + second, 2, false},
		"a body of Content-Length that looks like a request": {head + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(strings.ReplaceAll(second, "HOST", addr))) + second, 1, false},
		"Transfer-Encoding and Content-Length":               {head + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na=1\r\n0\r\n\r\n" + second, 1, true},
		"Content-Length first to be longer":                  {head + "Content-Length: 400\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + second, 1, true},
		"a Transfer-Encoding nobody knows":                   {head + "Transfer-Encoding: xchunked\r\n\r\n" + second, 1, true},
		"two Transfer-Encodings":                             {head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + second, 1, true},
		"two Content-Lengths that differ":                    {head + "Content-Length: 3\r\nContent-Length: 30\r\n\r\na=1" + second, 1, true},
		"a space before the colon":                           {head + "Content-Length : 3\r\n\r\na=1" + second, 1, true},
		"chunk extensions":                                   {head + "Transfer-Encoding: chunked\r\n\r\n3;x=\"\r\n\"\r\na=1\r\n0\r\n\r\n" + second, 1, true},
		"a chunk size with a bare line feed":                 {head + "Transfer-Encoding: chunked\r\n\r\n3\na=1\r\n0\r\n\r\n" + second, 1, true},
		"HTTP/1.0 with chunks":                               {"POST /form HTTP/1.0\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + second, 1, true},
		"HTTP/1.0":                                           {"GET /hello HTTP/1.0\r\nHost: HOST\r\n\r\n" + second, 1, true},
		"a folded header":                                    {head + "X-A: b\r\n Content-Length: 3\r\n\r\n" + second, 2, false},
		"a header that begins with a space":                  {"GET /hello HTTP/1.1\r\n Host: HOST\r\n\r\n" + second, 1, true},
		"no host":                                            {"GET /hello HTTP/1.1\r\n\r\n" + second, 1, true},
		"two hosts":                                          {"GET /hello HTTP/1.1\r\nHost: HOST\r\nHost: evil.test\r\n\r\n" + second, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			answers, closed := raw(t, addr, c.sent)
			if len(answers) != c.answers || closed != c.closed {
				t.Errorf("answers %v, closed %v; want %d, %v", answers, closed, c.answers, c.closed)
			}
		})
	}
}

func TestAC219_HeadersAreBounded(t *testing.T) {
	_, addr := serve(t)
	var many strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&many, "c%d=v; ", i)
	}
	for name, c := range map[string]struct {
		header string
		status int
	}{
		"8 KiB":         {"X-A: " + strings.Repeat("x", 8<<10), 200},
		"17 KiB":        {"X-A: " + strings.Repeat("x", 17<<10), 431},
		"1 MiB":         {"X-A: " + strings.Repeat("x", 1<<20), 431},
		"5,000 cookies": {"Cookie: " + many.String(), 431},
	} {
		answers, _ := raw(t, addr, "GET /hello HTTP/1.1\r\nHost: HOST\r\n"+c.header+"\r\n\r\n")
		// A server that has had enough may close before the last byte is sent.
		if len(answers) > 0 && answers[0] != c.status || len(answers) == 0 && c.status == 200 {
			t.Errorf("%s: %v, want %d", name, answers, c.status)
		}
	}
}

func TestAC221_SlowConnectionsAreCutAndOthersServed(t *testing.T) {
	if testing.Short() {
		t.Skip("waits as long as a slow connection may")
	}
	t.Parallel()
	_, addr := serve(t)
	for name, c := range map[string]struct {
		sent   string
		within time.Duration
	}{
		"headers": {"GET /hello HTTP/1.1\r\nHost: " + addr + "\r\n", headerTime},
		"a body":  {"POST /form HTTP/1.1\r\nHost: " + addr + "\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\n", bodyTime},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var slow sync.WaitGroup
			for range 100 {
				slow.Go(func() {
					if took := drip(addr, c.sent); took > c.within+2*time.Second {
						t.Errorf("held for %v, want at most %v", took, c.within)
					}
				})
			}
			response, err := http.Get("http://" + addr + "/hello")
			if err != nil || response.StatusCode != 200 {
				t.Errorf("others are not served: %v", err)
			} else {
				response.Body.Close()
			}
			slow.Wait()
		})
	}
}

// drip sends a byte each 200 ms after the beginning, until the connection is
// closed, and returns how long that took.
func drip(addr, beginning string) time.Duration {
	began := time.Now()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return time.Hour
	}
	defer conn.Close()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		io.Copy(io.Discard, conn)
	}()
	io.WriteString(conn, beginning)
	for {
		select {
		case <-closed:
			return time.Since(began)
		case <-time.After(200 * time.Millisecond):
			io.WriteString(conn, "x")
		}
		if time.Since(began) > time.Minute {
			return time.Since(began)
		}
	}
}
