package signin_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/identity"
	"gatehouse/keys"
	"gatehouse/provider"
	"gatehouse/provider/providertest"
	"gatehouse/storage"
	"gatehouse/storage/redisstore"
	"gatehouse/storage/sqlstore"
	"gatehouse/storage/storagetest"
	"gatehouse/upstream"
	"gatehouse/web"
	"gatehouse/web/account"
	"gatehouse/web/signin"
)

// A house is the whole of gatehouse behind its door, on a database of its own.
type house struct {
	t         *testing.T
	issuer    string
	addr      string // of the listener
	store     *storage.Store
	limits    storage.Limits
	people    *identity.People
	provider  *provider.Provider
	registrar *provider.Registrar
	log       *providertest.Log
	upstreams *upstream.Set

	skipped atomic.Int64
}

func (h *house) now() time.Time       { return time.Now().Add(time.Duration(h.skipped.Load())) }
func (h *house) skip(d time.Duration) { h.skipped.Add(int64(d)) }

// plans are what a test may change before the house is built.
type plans struct {
	issuer  string // empty: http on the listener's own address
	proxies []netip.Prefix
	cost    identity.HashCost
	open    bool // registration
	// upstreams are where people may sign in besides.
	upstreams func(issuer string) []upstream.Config
	store     func(*storage.Store) // breaks or watches a drawer
	db        *sqlstore.DB         // of one node; nil: a copy of the template, for as many as there are
}

func newHouse(t *testing.T, change ...func(*plans)) *house {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, addr: listener.Addr().String(), log: new(providertest.Log)}
	// Cheap hashes: what is tested is who computes one, not how long it takes.
	p := plans{issuer: "http://" + h.addr, cost: identity.HashCost{MemoryKiB: 64, Iterations: 1}}
	for _, c := range change {
		c(&p)
	}
	h.issuer = p.issuer
	db, doors := p.db, func(p plans, _ storage.Limits) http.Handler { return h.door(p) }
	if db == nil {
		db, doors = providertest.Template.Open(t), h.doors
	}
	h.store, h.limits = db.Store(), db.Limits()
	if p.store != nil {
		p.store(h.store)
	}
	if p.upstreams != nil {
		h.upstreams = upstream.NewSet(reaching(t), h.now, p.upstreams(h.issuer)...)
	}
	server := web.NewServer("", doors(p, db.Limits()), slog.New(slog.DiscardHandler))
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
	})
	return h
}

// doors are the nodes of the house, which requests reach in turn. Several count
// in one Redis; people and provider are the first node's.
func (h *house) doors(p plans, counts storage.Limits) http.Handler {
	h.t.Helper()
	nodes := make([]http.Handler, storagetest.Nodes(h.t))
	if len(nodes) == 1 {
		h.limits = counts
		return h.door(p)
	}
	redis := storagetest.Redis(h.t)
	for i := range slices.Backward(nodes) {
		limits, err := redisstore.Open(redisstore.Options{URL: redis.URL, Behind: counts})
		must(h.t, err)
		h.t.Cleanup(func() { limits.Close() })
		h.limits = limits
		nodes[i] = h.door(p)
	}
	return storagetest.Spread(nodes...)
}

// door is one node, with memory, keys and browsers of its own.
func (h *house) door(p plans) http.Handler {
	h.t.Helper()
	log := slog.New(slog.NewJSONHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ring := keys.NewRing(keys.Config{
		Store: h.store.Keys, Changes: h.store.Changes, Master: providertest.Master(), Timetable: keys.DefaultTimetable(),
		JWKSMaxAge: 5 * time.Minute, Now: h.now, Log: log,
	})
	must(h.t, ring.Start(h.t.Context()))
	browser, err := web.NewBrowser(web.BrowserConfig{Issuer: h.issuer, Sessions: h.store.Sessions, Failures: h.store.Failures, Now: h.now, Log: log})
	must(h.t, err)
	h.people, err = identity.New(identity.Config{
		Store: h.store, Policy: identity.DefaultPolicy(), Hash: p.cost, Issuer: h.issuer, Now: h.now, Log: log,
		OpenRegistration: p.open,
	})
	must(h.t, err)
	h.provider, err = provider.New(provider.Config{
		Issuer: h.issuer, Store: h.store, Keys: ring, Master: providertest.Master(), Pages: browser, UILocales: []string{"en", "vi"}, Now: h.now, Log: log,
	})
	must(h.t, err)
	h.registrar = &provider.Registrar{Store: h.store, Issuer: h.issuer, Active: ring.Active, Now: h.now}
	pages := signin.New(signin.Config{
		Issuer: h.issuer, Browser: browser, Provider: h.provider, People: h.people, Limits: h.limits, Log: log,
		Rates:     signin.Rates{Forms: web.Per(time.Hour, 100), Codes: web.Per(time.Hour, 30), Users: web.Per(time.Hour, 3)},
		Upstreams: h.upstreams, Master: providertest.Master(), Flows: h.store.Flows, Now: h.now,
	})
	mine := account.New(account.Config{
		Browser: browser, People: h.people, Upstreams: h.upstreams, Limits: h.limits, Forms: web.Per(time.Hour, 3), Now: h.now,
	})
	door, err := web.New(web.Config{
		Issuer: h.issuer, Browser: browser, Provider: h.provider, TrustedProxies: p.proxies, Parts: []web.Part{pages, mine}, Log: log, Now: h.now,
	})
	must(h.t, err)
	return door
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const goodPassword = "Curious-cat-9x"

// user makes an account with goodPassword.
func (h *house) user(name string) *storage.User {
	h.t.Helper()
	u, err := h.people.Create(h.t.Context(), identity.NewAccount{
		Username: name, Email: name + "@example.com", Password: goodPassword, Profile: storage.Profile{Name: name + " Liddell"},
	})
	must(h.t, err)
	return u
}

// client registers an application at https://rp.test/cb.
func (h *house) client(id string, change ...func(*storage.ClientMetadata)) {
	h.t.Helper()
	m := storage.ClientMetadata{
		ClientName: "Wonderland", RedirectURIs: []string{"https://rp.test/cb"}, PostLogoutRedirectURIs: []string{"https://rp.test/bye"},
		GrantTypes: []string{"authorization_code", "refresh_token"}, Scope: "openid profile email offline_access",
	}
	for _, c := range change {
		c(&m)
	}
	_, err := h.registrar.Register(h.t.Context(), id, "", m)
	must(h.t, err)
}

// skipConsent spares a client's users the question.
func skipConsent(m *storage.ClientMetadata) { m.SkipConsent = true }

// authorize is the address of a right request of client id; pairs change it.
func authorize(id string, pairs ...string) string {
	q := url.Values{
		"client_id": {id}, "redirect_uri": {"https://rp.test/cb"}, "response_type": {"code"}, "scope": {"openid profile"},
		"state": {"the-state"}, "nonce": {"the-nonce"},
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"},
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	return "/authorize?" + q.Encode()
}

// A browser keeps cookies, and follows nothing by itself.
type browser struct {
	h      *house
	jar    http.CookieJar
	header http.Header // sent with everything
}

func (h *house) browser(header ...string) *browser {
	jar, err := cookiejar.New(nil)
	must(h.t, err)
	b := &browser{h: h, jar: jar, header: http.Header{}}
	for i := 0; i+1 < len(header); i += 2 {
		b.header.Set(header[i], header[i+1])
	}
	return b
}

// An answer is a response, read to its end.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) location() string { return a.header.Get("Location") }

// request is the id in the address that an answer leads to.
func (a answer) request() string {
	u, err := url.Parse(a.location())
	if err != nil {
		return ""
	}
	return u.Query().Get("request") + u.Query().Get("id")
}

// title is the heading of a page, as text.
func (a answer) title() string {
	_, rest, _ := strings.Cut(a.body, "<h1>")
	title, _, _ := strings.Cut(rest, "</h1>")
	title = strings.NewReplacer(`<bdi class="value">`, "", "</bdi>", "").Replace(title)
	return strings.TrimSpace(title)
}

func (b *browser) do(method, address string, form url.Values, header ...string) answer {
	b.h.t.Helper()
	address = strings.TrimPrefix(address, b.h.issuer)
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(b.h.t.Context(), method, b.h.issuer+address, body)
	must(b.h.t, err)
	r.Header = b.header.Clone()
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
	}
	return b.send(r)
}

// send sends r to the house, whatever its address says: a browser behind a
// proxy that ends TLS.
func (b *browser) send(r *http.Request) answer {
	b.h.t.Helper()
	for _, c := range b.jar.Cookies(r.URL) {
		r.AddCookie(c)
	}
	seen := *r.URL
	if r.Host == "" {
		r.Host = seen.Host
	}
	r.URL.Scheme, r.URL.Host = "http", b.h.addr
	response, err := http.DefaultTransport.RoundTrip(r)
	must(b.h.t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	must(b.h.t, err)
	b.jar.SetCookies(&seen, response.Cookies())
	return answer{response.StatusCode, response.Header, string(body)}
}

func (b *browser) get(address string, header ...string) answer {
	b.h.t.Helper()
	return b.do(http.MethodGet, address, nil, header...)
}

// post sends a form; pairs are its fields.
func (b *browser) post(address string, pairs ...string) answer {
	b.h.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return b.do(http.MethodPost, address, form)
}

// signIn signs name in for a request, or for nobody's where it is empty.
func (b *browser) signIn(name, request string) answer {
	b.h.t.Helper()
	return b.post("/login", "request", request, "username", name, "password", goodPassword)
}

// cookie is the value of the cookie whose name contains part.
func (b *browser) cookie(part string) string {
	u, err := url.Parse(b.h.issuer)
	must(b.h.t, err)
	for _, c := range b.jar.Cookies(u) {
		if strings.Contains(c.Name, part) {
			return c.Value
		}
	}
	return ""
}

// begin starts an authorization request and returns its id.
func (b *browser) begin(address string) string {
	b.h.t.Helper()
	a := b.get(address)
	if id := a.request(); id != "" {
		return id
	}
	b.h.t.Fatalf("begin: %d %s %s", a.status, a.location(), a.title())
	return ""
}

func (a answer) json() map[string]any {
	var object map[string]any
	if err := json.Unmarshal([]byte(a.body), &object); err != nil {
		return map[string]any{"unreadable": a.body}
	}
	return object
}

func (h *house) events(name string) []*storage.Event {
	h.t.Helper()
	all, err := h.store.Events.List(context.Background(), time.Time{}, 1000)
	must(h.t, err)
	var named []*storage.Event
	for _, e := range all {
		if e.Name == name {
			named = append(named, e)
		}
	}
	return named
}
