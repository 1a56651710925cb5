package web

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/storage"
	"gatehouse/storage/storagetest"
)

// A lane has the endpoints that are counted, without the provider behind them.
type lane struct{ bodies atomic.Int64 }

func (l *lane) Routes(mux *http.ServeMux) {
	mux.HandleFunc("GET /authorize", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "authorized") })
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "{}") })
	mux.HandleFunc("POST /device_authorization", func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err == nil && r.PostForm.Get("client_id") == "tv" {
			l.bodies.Add(1)
		}
	})
}

// counting builds a door that counts, behind a proxy at 10.0.0.1.
func counting(t *testing.T, limits storage.Limits, rates Rates) (http.Handler, *lane) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	b, err := NewBrowser(BrowserConfig{Issuer: local, Sessions: storagetest.SQLite(t).Store().Sessions, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	l := new(lane)
	door, err := New(Config{
		Issuer: local, Browser: b, Parts: []Part{l}, Limits: limits, Rates: rates, Log: log,
		Callbacks:      []string{"/auth/google/callback"},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")},
	})
	if err != nil {
		t.Fatal(err)
	}
	return door, l
}

// from sends a request from a peer; the rest is pairs of headers.
func from(door http.Handler, peer, method, target, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://localhost:8000"+target, strings.NewReader(body))
	r.RemoteAddr = netip.AddrPortFrom(netip.MustParseAddr(peer), 4711).String()
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	door.ServeHTTP(w, r)
	return w
}

func TestRateLimit_WaysToUpstreamsAndBackCountAsAuthorizationRequests(t *testing.T) {
	for _, path := range []string{"/login/upstream/partner", "/login/upstream/partner/callback", "/auth/google/callback"} {
		door, _ := counting(t, storagetest.SQLite(t).Limits(), Rates{Authorize: Per(time.Hour, 2)})
		from(door, "192.0.2.1", "GET", "/authorize", "")
		from(door, "192.0.2.1", "GET", path+"?state=made-up", "")
		if w := from(door, "192.0.2.1", "GET", path+"?state=made-up", ""); w.Code != http.StatusTooManyRequests {
			t.Errorf("the third of two, at %s, is answered %d", path, w.Code)
		}
	}
}

func TestRateLimit_ANetworkMaySendSoManyAuthorizationRequests(t *testing.T) {
	door, _ := counting(t, storagetest.SQLite(t).Limits(), Rates{Authorize: Per(time.Hour, 2)})
	for i := range 2 {
		if w := from(door, "192.0.2.1", "GET", "/authorize", ""); w.Code != 200 {
			t.Fatalf("request %d: %d", i+1, w.Code)
		}
	}

	page := from(door, "192.0.2.1", "GET", "/authorize", "", "Accept", "text/html", "Accept-Language", "vi")
	if page.Code != 429 || !strings.Contains(page.Body.String(), "Mạng của bạn đã thử quá nhiều lần") {
		t.Errorf("for a person who reads Vietnamese: %d %s", page.Code, page.Body)
	}
	h := page.Header()
	wait := h.Get("Retry-After")
	if wait != "1800" && wait != "1799" {
		t.Errorf("Retry-After: %q", wait)
	}
	if got := h.Get("RateLimit-Policy"); got != `"authorize";q=2;w=3600` {
		t.Errorf("RateLimit-Policy: %s", got)
	}
	if got := h.Get("RateLimit"); got != `"authorize";r=0;t=`+wait {
		t.Errorf("RateLimit: %s, Retry-After: %s", got, wait)
	}

	program := from(door, "192.0.2.1", "GET", "/authorize", "", "Accept", "application/json")
	var body struct {
		Error      string
		RetryAfter int `json:"retry_after"`
	}
	if err := json.Unmarshal(program.Body.Bytes(), &body); err != nil || program.Code != 429 {
		t.Fatalf("for a program: %d %v %s", program.Code, err, program.Body)
	}
	if body.Error != "slow_down" || body.RetryAfter < 1790 || body.RetryAfter > 1800 {
		t.Errorf("for a program: %+v", body)
	}

	for name, target := range map[string]string{"discovery": "/.well-known/openid-configuration"} {
		for range 5 {
			if w := from(door, "192.0.2.1", "GET", target, ""); w.Code != 200 {
				t.Errorf("%s is counted: %d", name, w.Code)
			}
		}
	}
}

func TestAC154_WhoCountsIsTheNetwork(t *testing.T) {
	const proxy = "10.0.0.1"
	for name, c := range map[string]struct {
		first, second   string // the peers
		header, another []string
		together        bool
	}{
		"the same address":                     {"192.0.2.1", "192.0.2.1", nil, nil, true},
		"two IPv4 addresses":                   {"192.0.2.1", "192.0.2.2", nil, nil, false},
		"one IPv6 /64":                         {"2001:db8::1", "2001:db8::ffff:1", nil, nil, true},
		"two IPv6 /64":                         {"2001:db8::1", "2001:db8:0:1::1", nil, nil, false},
		"two people behind our proxy":          {proxy, proxy, []string{"X-Forwarded-For", "192.0.2.1"}, []string{"X-Forwarded-For", "192.0.2.2"}, false},
		"one /64 behind our proxy":             {proxy, proxy, []string{"X-Forwarded-For", "2001:db8::1"}, []string{"X-Forwarded-For", "2001:db8::2"}, true},
		"inventions left of the person":        {proxy, proxy, []string{"X-Forwarded-For", "1.1.1.1, 192.0.2.1"}, []string{"X-Forwarded-For", "2.2.2.2, 192.0.2.1"}, true},
		"a header of somebody who is no proxy": {"192.0.2.1", "192.0.2.1", []string{"X-Forwarded-For", "1.1.1.1"}, []string{"X-Forwarded-For", "2.2.2.2"}, true},
		"AC-280: a header with underscores":    {proxy, proxy, []string{"X_Forwarded_For", "1.1.1.1"}, []string{"X_Forwarded_For", "2.2.2.2"}, true},
		"AC-280: half underscores":             {proxy, proxy, []string{"X-Forwarded_For", "1.1.1.1"}, []string{"X-Forwarded_For", "2.2.2.2"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			door, _ := counting(t, storagetest.SQLite(t).Limits(), Rates{Authorize: Per(time.Hour, 1)})
			if w := from(door, c.first, "GET", "/authorize", "", c.header...); w.Code != 200 {
				t.Fatalf("the first request: %d", w.Code)
			}
			want := 200
			if c.together {
				want = 429
			}
			if w := from(door, c.second, "GET", "/authorize", "", c.another...); w.Code != want {
				t.Errorf("the second request: %d, want %d", w.Code, want)
			}
		})
	}
}

func TestRateLimit_32AtOnceGetNoMoreThanTheLimit(t *testing.T) {
	door, _ := counting(t, storagetest.SQLite(t).Limits(), Rates{Authorize: Per(time.Hour, 7)})
	var through atomic.Int64
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			if from(door, "192.0.2.1", "GET", "/authorize", "").Code == 200 {
				through.Add(1)
			}
		})
	}
	all.Wait()
	if through.Load() != 7 {
		t.Errorf("%d were let through, want 7", through.Load())
	}
}

func TestRateLimit_DevicesOfClientsWithoutASecretAreCounted(t *testing.T) {
	for name, c := range map[string]struct {
		body    string
		header  []string
		counted bool
	}{
		"a public client":                 {"client_id=tv", nil, true},
		"a public client, empty secret":   {"client_id=tv&client_secret=", nil, true},
		"a secret in the form":            {"client_id=tv&client_secret=x", nil, false},
		"a secret in the header":          {"client_id=tv", []string{"Authorization", "Basic eDp5"}, false},
		"an assertion":                    {"client_id=tv&client_assertion=x.y.z", nil, false},
		"a secret in the name of another": {"client_id=tv&not_client_secret=x", nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			door, lane := counting(t, storagetest.SQLite(t).Limits(), Rates{Device: Per(time.Hour, 1)})
			first := from(door, "192.0.2.1", "POST", "/device_authorization", c.body, c.header...)
			second := from(door, "192.0.2.1", "POST", "/device_authorization", c.body, c.header...)
			if first.Code != 200 || (second.Code == 429) != c.counted {
				t.Errorf("%d, then %d", first.Code, second.Code)
			}
			want := int64(2)
			if c.counted {
				want = 1
				if second.Header().Get("RateLimit-Policy") != `"device";q=1;w=3600` || !strings.Contains(second.Body.String(), `"retry_after":`) {
					t.Errorf("%v %s", second.Header(), second.Body)
				}
			}
			if lane.bodies.Load() != want {
				t.Errorf("%d bodies arrived whole, want %d", lane.bodies.Load(), want)
			}
		})
	}
}

func TestRateLimit_NoughtIsOff(t *testing.T) {
	door, _ := counting(t, storagetest.SQLite(t).Limits(), Rates{Authorize: Per(time.Minute, 0), Device: Per(time.Hour, 0)})
	for range 50 {
		if w := from(door, "192.0.2.1", "GET", "/authorize", ""); w.Code != 200 {
			t.Fatal(w.Code)
		}
		if w := from(door, "192.0.2.1", "POST", "/device_authorization", "client_id=tv"); w.Code != 200 {
			t.Fatal(w.Code)
		}
	}
}

func TestR24_WhereNothingCountsNothingIsLetThrough(t *testing.T) {
	db := storagetest.SQLite(t)
	door, _ := counting(t, brokenLimits{db.Limits()}, Rates{Authorize: Per(time.Hour, 7)})
	w := from(door, "192.0.2.1", "GET", "/authorize", "")
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || strings.Contains(w.Body.String(), "authorized") {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

// brokenLimits are those of a database that has gone.
type brokenLimits struct{ storage.Limits }

func (brokenLimits) Allow(context.Context, string, storage.Rate) (storage.Decision, error) {
	return storage.Decision{}, errors.New("the database has gone")
}
