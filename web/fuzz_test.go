package web

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path"
	"strings"
	"testing"
)

func FuzzCookie(f *testing.F) {
	good := newSecret(sessionPrefix)
	for _, line := range []string{
		"gatehouse-session=" + good, "gatehouse-session=x; gatehouse-session=" + good, "gatehouse-session=" + newSecret(browserPrefix),
		`gatehouse-session="` + good + `"`, "gatehouse-session", ";;;=", "gatehouse-session=" + strings.ToLower(good), "\x00", "gatehouse-session=ghi_%41",
	} {
		f.Add(line)
	}
	c := cookiesOf(origin{issuer: local, scheme: "http", host: "localhost:8000"})
	f.Fuzz(func(t *testing.T, line string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["Cookie"] = []string{line}
		secret, ok := c.secret(r, c.session, sessionPrefix)
		if !ok {
			if secret != "" {
				t.Errorf("no secret, and it is %q", secret)
			}
			return
		}
		if len(secret) != secretLength || !strings.HasPrefix(secret, sessionPrefix) || !isBase32(secret[len(sessionPrefix):]) {
			t.Errorf("%q passes for a secret", secret)
		}
		if !strings.Contains(line, secret) {
			t.Errorf("%q is not in %q", secret, line)
		}
	})
}

func FuzzForwarded(f *testing.F) {
	for _, line := range []string{
		"203.0.113.9", "203.0.113.9, 10.0.0.1", "for=203.0.113.9;proto=https", `for="[2001:db8::7]:4711"`, "unknown", ",,,", `for="`, "::ffff:10.0.0.1", "fe80::1%eth0",
	} {
		f.Add(line, line)
	}
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	f.Fuzz(func(t *testing.T, older, standard string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = "203.0.113.1:1"
		r.Header["X-Forwarded-For"], r.Header["Forwarded"] = []string{older}, []string{standard}
		if got := clientAddress(r, proxies); got.String() != "203.0.113.1" {
			t.Errorf("a stranger chose to come from %v", got)
		}
		r.RemoteAddr = "10.0.0.1:1"
		if got := clientAddress(r, proxies); !got.IsValid() || got.Is4In6() || got.Zone() != "" {
			t.Errorf("through a proxy of ours: %v", got)
		}
		cameInsecurely(r, proxies)
	})
}

func FuzzCleanPath(f *testing.F) {
	for _, p := range []string{"/", "/login", "/a/../b", "/%2e%2e/", "/a%2fb", "//a", "/a;b", "/%00", "/api/health/", "*", "/a%5cb", "/.", "/%252e"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := url.ParseRequestURI(raw)
		if err != nil || !cleanPath(u) {
			return
		}
		cleaned := path.Clean(u.Path)
		if cleaned != "/" && strings.HasSuffix(u.Path, "/") {
			cleaned += "/"
		}
		if cleaned != u.Path || strings.ContainsAny(u.Path, ";\\\x00") {
			t.Errorf("%q passes and means %q", raw, cleaned)
		}
	})
}
