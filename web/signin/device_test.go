package signin_test

import (
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatehouse/storage"
)

const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

// A device is a program without a browser, and what it was told to show.
type device struct {
	h                        *house
	client                   string
	code, userCode, complete string
}

// tv registers an application for devices.
func (h *house) tv(id string) {
	h.t.Helper()
	h.client(id, func(m *storage.ClientMetadata) {
		m.ClientName, m.TokenEndpointAuthMethod = "Wonder TV", "none"
		m.GrantTypes, m.RedirectURIs, m.PostLogoutRedirectURIs = []string{deviceGrant, "refresh_token"}, nil, nil
	})
}

// device asks for a code; header goes with the request.
func (h *house) device(client string, header ...string) *device {
	h.t.Helper()
	a := h.browser(header...).post("/device_authorization", "client_id", client, "scope", "openid profile")
	object := a.json()
	text := func(name string) string { s, _ := object[name].(string); return s }
	if a.status != http.StatusOK {
		h.t.Fatalf("ask for a device code: %d %s", a.status, a.body)
	}
	return &device{h, client, text("device_code"), text("user_code"), strings.TrimPrefix(text("verification_uri_complete"), h.issuer)}
}

// poll is the error that the token endpoint answers with, or empty where it gave tokens.
func (d *device) poll() string {
	d.h.t.Helper()
	a := d.h.browser().post("/token", "grant_type", deviceGrant, "client_id", d.client, "device_code", d.code)
	if token, _ := a.json()["access_token"].(string); a.status == http.StatusOK && token != "" {
		return ""
	}
	code, _ := a.json()["error"].(string)
	return code
}

// decide answers the question about a device as its page wants it.
func (b *browser) decide(d *device, decision string) answer {
	b.h.t.Helper()
	page := b.get(d.complete)
	return b.post("/device", "user_code", page.field("user_code"), "user", page.field("user"), "decision", decision)
}

func (d *device) must(want string) {
	d.h.t.Helper()
	if got := d.poll(); got != want {
		d.h.t.Fatalf("the device is told %q, want %q", got, want)
	}
}

func TestRFC8628_3_3_SomebodyTypesTheCodeSignsInAndAllowsTheDevice(t *testing.T) {
	h := newHouse(t)
	h.user("alice")
	h.tv("tv")
	d := h.device("tv", "User-Agent", "WonderOS/3")
	b := h.browser()

	page := b.get("/device")
	shows(t, page, http.StatusOK, "Connect a device")
	if !strings.Contains(page.body, `name="user_code"`) || !strings.Contains(page.body, `action="/device"`) {
		t.Error("there is nothing to type the code into")
	}
	typed := strings.ToLower(strings.ReplaceAll(d.userCode, "-", " "))
	a := b.post("/device", "user_code", typed)
	leadsTo(t, a, h.issuer+"/device?user_code="+d.userCode)
	a = b.get(a.location())
	leadsTo(t, a, h.issuer+"/login?user_code="+d.userCode)
	page = b.get(a.location())
	shows(t, page, http.StatusOK, "Sign in")
	if !strings.Contains(page.body, d.userCode) {
		t.Error("the page does not say what the sign-in is for")
	}
	a = b.post("/login", "user_code", page.field("user_code"), "username", "alice", "password", "wrong")
	shows(t, a, http.StatusUnprocessableEntity, "Sign in")
	a = b.post("/login", "user_code", a.field("user_code"), "username", "alice", "password", goodPassword)
	leadsTo(t, a, h.issuer+"/device?user_code="+d.userCode)

	page = b.get(a.location())
	shows(t, page, http.StatusOK, "Connect a device to Wonder TV?")
	for _, part := range []string{d.userCode, "127.0.0.1", "the network that you are on", "WonderOS/3", "second ago", "UTC", "See your profile", "alice",
		"If somebody sent you the code", `value="allow"`, `value="deny"`} {
		if !strings.Contains(page.body, part) {
			t.Errorf("the question lacks %q", part)
		}
	}
	d.must("authorization_pending")
	a = b.decide(d, "allow")
	leadsTo(t, a, h.issuer+"/device/allowed")
	shows(t, b.get(a.location()), http.StatusOK, "The device is connected")
	d.must("")

	// The back button, or a second click.
	a = b.get(d.complete)
	shows(t, a, http.StatusUnprocessableEntity, "Connect a device")
	if !strings.Contains(a.body, "answered already") {
		t.Error("nothing says that it was answered")
	}
}

func TestRFC8628_3_3_SomebodyRefusesADevice(t *testing.T) {
	h := newHouse(t)
	h.user("alice")
	h.tv("tv")
	d := h.device("tv")
	b := h.browser()
	b.signIn("alice", "")
	a := b.decide(d, "deny")
	leadsTo(t, a, h.issuer+"/device/denied")
	shows(t, b.get(a.location()), http.StatusOK, "The device was refused")
	d.must("access_denied")
	if events := h.events("device.denied"); len(events) != 1 || events[0].Path != "/device" || events[0].Details["device_address"] != "127.0.0.1" {
		t.Errorf("the audit log has %+v", events)
	}
}

// RFC 8628 §3.1: the endpoint takes POST, and is for programs.
func TestRFC8628_3_1_TheEndpointAnswersProgramsInJSON(t *testing.T) {
	h := newHouse(t)
	a := h.browser().get("/device_authorization")
	if a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != "POST" || a.json()["error"] != "invalid_request" {
		t.Errorf("GET: %d %v %s", a.status, a.header, a.body)
	}
	// Other origins may ask, and are told no more than their client may know.
	a = h.browser().do(http.MethodPost, "/device_authorization", url.Values{"client_id": {"nobody"}}, "Sec-Fetch-Site", "cross-site", "Origin", "https://app.test")
	if a.status != http.StatusUnauthorized || a.json()["error"] != "invalid_client" {
		t.Errorf("POST from elsewhere: %d %s", a.status, a.body)
	}
}

// RFC 8628 §5.4, AC-285: whoever is sent a link, or scans a code, is asked.
func TestAC285_AScannedCodeDoesNothingWithoutAClick(t *testing.T) {
	h := newHouse(t)
	h.user("alice")
	h.tv("tv")
	d := h.device("tv")
	b := h.browser()
	b.signIn("alice", "")
	for _, address := range []string{d.complete, d.complete + "&decision=allow", d.complete + "&decision=allow&user=x", "/device/allowed?user_code=" + d.userCode} {
		b.get(address)
		h.skip(6 * time.Second)
		d.must("authorization_pending")
	}
	shows(t, b.get(d.complete), http.StatusOK, "Connect a device to Wonder TV?")
	// Neither does signing in for it.
	other := h.browser()
	a := other.get(d.complete)
	leadsTo(t, a, h.issuer+"/login?user_code=")
	other.get(other.post("/login", "user_code", d.userCode, "username", "alice", "password", goodPassword).location())
	h.skip(6 * time.Second)
	d.must("authorization_pending")
}

func TestAC132_ADeviceIsNotAllowedFromAnotherSite(t *testing.T) {
	h := newHouse(t)
	alice := h.user("alice")
	h.tv("tv")
	d := h.device("tv")
	b := h.browser()
	b.signIn("alice", "")
	form := url.Values{"user_code": {d.userCode}, "user": {alice.ID}, "decision": {"allow"}}
	for _, header := range [][]string{
		{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.test"}, {"Origin", "null"},
	} {
		shows(t, b.do(http.MethodPost, "/device", form, header...), http.StatusForbidden, "Sent from another site")
	}
	d.must("authorization_pending")
	leadsTo(t, b.do(http.MethodPost, "/device", form, "Sec-Fetch-Site", "same-origin"), h.issuer+"/device/allowed")
}

func TestTheAnswerIsOfWhomThePageAsked(t *testing.T) {
	h := newHouse(t)
	h.user("alice")
	h.user("bob")
	h.tv("tv")
	d := h.device("tv")
	b := h.browser()
	b.signIn("alice", "")
	page := b.get(d.complete)
	asked := page.field("user")
	leadsTo(t, b.post("/login", "account", "other", "user_code", d.userCode, "username", "bob", "password", goodPassword), h.issuer+"/device?user_code=")
	leadsTo(t, b.post("/device", "user_code", d.userCode, "user", asked, "decision", "allow"), h.issuer+"/device?user_code="+d.userCode)
	d.must("authorization_pending")
	shows(t, b.post("/device", "user_code", d.userCode, "user", b.get(d.complete).field("user"), "decision", "maybe"), http.StatusUnprocessableEntity, "Connect a device to Wonder TV?")
	b.post("/logout/confirm")
	leadsTo(t, b.post("/device", "user_code", d.userCode, "user", asked, "decision", "allow"), h.issuer+"/login?user_code="+d.userCode)
}

func TestACodeThatIsNoneLeadsToThePageForTypingOne(t *testing.T) {
	h := newHouse(t)
	h.user("alice")
	h.tv("tv")
	d := h.device("tv")
	b := h.browser()
	b.signIn("alice", "")
	for name, c := range map[string]struct{ address, says string }{
		"too short":    {"/device?user_code=BCDF", "eight letters"},
		"with a vowel": {"/device?user_code=BCDF-GHJA", "eight letters"},
		"markup":       {"/device?user_code=%3Cscript%3E", "eight letters"},
		"nobody's":     {"/device?user_code=BCDF-GHJK", "No device waits"},
	} {
		a := b.get(c.address)
		shows(t, a, http.StatusUnprocessableEntity, "Connect a device")
		if !strings.Contains(a.body, c.says) || strings.Contains(a.body, "<script>") {
			t.Errorf("%s: %s", name, a.body)
		}
	}
	for _, typed := range []string{"", "BCDF", "1234-5678"} {
		shows(t, b.post("/device", "user_code", typed), http.StatusUnprocessableEntity, "Connect a device")
	}
	h.skip(10 * time.Minute)
	a := b.get(d.complete)
	shows(t, a, http.StatusUnprocessableEntity, "Connect a device")
	if !strings.Contains(a.body, "No device waits") {
		t.Error("a device whose time is over is still asked about")
	}
	// Only a code is carried through the sign-in, and nothing that only looks like one.
	for _, evil := range []string{"https://evil.test/", "//evil.test", "/../admin", "BCDF-GHJK/../x"} {
		leadsTo(t, h.browser().post("/login", "user_code", evil, "username", "alice", "password", goodPassword), h.issuer+"/")
		if a := h.browser().post("/login", "user_code", evil, "username", "alice", "password", goodPassword); a.location() != h.issuer+"/" {
			t.Errorf("the sign-in with the code %q leads to %s", evil, a.location())
		}
	}
}

// RFC 8628 §5.1: 20 guesses in the ten minutes that a code lives, of 2^34.
func TestAC193_GuessingCodesIsLimitedInASessionAndInANetwork(t *testing.T) {
	h := newHouse(t, func(p *plans) { p.proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")} })
	h.tv("tv")
	d := h.device("tv")
	from := func(n int) []string { return []string{"X-Forwarded-For", "192.0.2." + strconv.Itoa(n)} }
	guess := func(b *browser, i int) answer {
		code := "BCDF-" + strings.Repeat("B", 2) + string("BCDFGHJKLM"[i/10%10]) + string("BCDFGHJKLM"[i%10])
		return b.get("/device?user_code=" + code)
	}
	guesser := func(name string, network int) *browser {
		b := h.browser(from(network)...)
		h.user(name)
		b.signIn(name, "")
		return b
	}

	alice := guesser("alice", 1)
	for range 30 {
		shows(t, alice.get(d.complete), http.StatusOK, "Connect a device to Wonder TV?") // right ones are not counted
	}
	for i := range 10 {
		shows(t, guess(alice, i), http.StatusUnprocessableEntity, "Connect a device")
	}
	a := guess(alice, 10)
	if a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") == "" {
		t.Fatalf("the eleventh wrong code of a session got %d %v", a.status, a.header)
	}
	// Not by another address, not by the form, and not even with the right code.
	page := alice.do(http.MethodGet, d.complete, nil, from(2)...)
	if page.status != http.StatusTooManyRequests {
		t.Errorf("from another network the session goes on: %d", page.status)
	}
	form := url.Values{"user_code": {d.userCode}, "user": {"x"}, "decision": {"allow"}}
	if a := alice.do(http.MethodPost, "/device", form); a.status != http.StatusTooManyRequests {
		t.Errorf("the form goes on: %d", a.status)
	}

	// Many sessions of one network share its count.
	for i, name := range []string{"bob", "carol"} {
		b := guesser(name, 1)
		for j := range 10 {
			shows(t, guess(b, 20+10*i+j), http.StatusUnprocessableEntity, "Connect a device")
		}
	}
	if a := guess(guesser("dave", 1), 50); a.status != http.StatusTooManyRequests {
		t.Errorf("the 31st wrong code of a network got %d", a.status)
	}
	shows(t, guesser("erin", 3).get(d.complete), http.StatusOK, "Connect a device to Wonder TV?")
}

func TestTheQuestionSaysWhetherTheDeviceIsElsewhereAndSpeaksVietnamese(t *testing.T) {
	h := newHouse(t, func(p *plans) { p.proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")} })
	h.user("alice")
	h.tv("tv")
	d := h.device("tv", "X-Forwarded-For", "203.0.113.9", "User-Agent", `<b>TV</b>`)
	b := h.browser("X-Forwarded-For", "192.0.2.1")
	b.signIn("alice", "")
	h.skip(4 * time.Minute)
	page := b.get(d.complete + "&lang=vi")
	shows(t, page, http.StatusOK, "Kết nối thiết bị với Wonder TV?")
	for _, part := range []string{"203.0.113.9", "khác mạng với bạn", "phút trước", "&lt;b&gt;TV&lt;/b&gt;", `lang="vi"`} {
		if !strings.Contains(page.body, part) {
			t.Errorf("the question lacks %q", part)
		}
	}
	if strings.Contains(page.body, "<b>TV") {
		t.Error("AC-137: what the device says of itself is markup")
	}
	for _, address := range []string{"/device", "/device/allowed", "/device/denied"} {
		if a := b.get(address); a.status != http.StatusOK || !strings.Contains(a.body, `lang="vi"`) {
			t.Errorf("%s: %d", address, a.status)
		}
	}
}

func TestADeviceBelowTheIssuersPath(t *testing.T) {
	h := newHouse(t, on("https://id.example.com/id"))
	h.user("alice")
	h.tv("tv")
	d := h.device("tv")
	if !strings.HasPrefix(d.complete, "/device?user_code=") {
		t.Fatalf("verification_uri_complete is %s", d.complete)
	}
	b := h.browser()
	leadsTo(t, b.get(d.complete), h.issuer+"/login?user_code=")
	leadsTo(t, b.post("/login", "user_code", d.userCode, "username", "alice", "password", goodPassword), h.issuer+"/device?user_code=")
	leadsTo(t, b.decide(d, "allow"), h.issuer+"/device/allowed")
	d.must("")
}
