package signin_test

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/storage"
)

// on builds the house at an issuer behind a proxy that ends TLS.
func on(issuer string) func(*plans) { return func(p *plans) { p.issuer = issuer } }

func TestAC120_AfterSignOutNothingOpensAgain(t *testing.T) {
	h := newHouse(t)
	h.user("alice")
	h.client("web")
	b := h.browser()
	b.signIn("alice", "")
	old := b.cookie("session")
	a := b.post("/logout/confirm")
	leadsTo(t, a, h.issuer+"/signed-out")
	if b.cookie("session") != "" {
		t.Error("the cookie is still there")
	}
	thief := h.browser("Cookie", "gatehouse-session="+old)
	shows(t, thief.get("/"), http.StatusOK, "gatehouse")
	leadsTo(t, thief.get(authorize("web")), h.issuer+"/login?request=")
	for _, address := range []string{"/", "/login", "/signed-out", "/consent?request=x", "/logout/confirm", "/nope"} {
		if got := b.get(address).header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s may be kept: %q", address, got)
		}
	}
}

// cookieLines walks through every page that sets a cookie.
func cookieLines(t *testing.T, h *house) []string {
	t.Helper()
	h.user("alice")
	h.client("web")
	b := h.browser()
	var lines []string
	keep := func(a answer) answer {
		lines = append(lines, a.header.Values("Set-Cookie")...)
		return a
	}
	id := keep(b.get(authorize("web"))).request()
	keep(b.get("/login?lang=vi&request=" + id))
	keep(b.signIn("alice", id))
	keep(b.get("/"))
	keep(b.post("/logout/confirm"))
	if len(lines) < 4 {
		t.Fatalf("cookies: %q", lines)
	}
	return lines
}

func TestAC126_EveryCookieIsOursAloneAndOutOfReachOfScripts(t *testing.T) {
	for name, c := range map[string]struct {
		issuer  string
		name    *regexp.Regexp
		secure  bool
		another string
	}{
		"https": {"https://id.example.com", regexp.MustCompile(`^__Host-gatehouse-(session|browser|language)=`), true, ""},
		"https with a path": {"https://id.example.com/id",
			regexp.MustCompile(`^__Host-gatehouse-(session|browser|language)-[0-9a-f]{8}=`), true, "https://id.example.com/other"},
		"http on this machine": {"", regexp.MustCompile(`^gatehouse-(session|browser|language)=`), false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var h *house
			if c.issuer == "" {
				h = newHouse(t)
			} else {
				h = newHouse(t, on(c.issuer))
			}
			for _, line := range cookieLines(t, h) {
				attributes := "; " + line + ";"
				for part, want := range map[string]bool{
					"; Path=/;": true, "; HttpOnly;": true, "; SameSite=Lax;": true, "; Secure;": c.secure, "; Domain": false,
				} {
					if strings.Contains(attributes, part) != want {
						t.Errorf("%s: has %q: %v", line, part, !want)
					}
				}
				if !c.name.MatchString(line) {
					t.Errorf("the name of %s", line)
				}
			}
		})
	}
}

func TestAC127_TheSessionCookieIsNewAtEverySignIn(t *testing.T) {
	h := newHouse(t)
	h.user("alice")
	h.user("bob")
	b := h.browser()
	// One that an attacker put there is not taken over.
	planted := "ghi_" + strings.Repeat("A", 52)
	u, err := url.Parse(h.issuer)
	must(t, err)
	b.jar.SetCookies(u, []*http.Cookie{{Name: "gatehouse-session", Value: planted, Path: "/"}})
	seen := map[string]bool{planted: true}
	for _, name := range []string{"alice", "alice", "bob"} {
		before := b.cookie("session")
		b.post("/login", "account", "other", "username", name, "password", goodPassword)
		after := b.cookie("session")
		if seen[after] || after == "" {
			t.Fatalf("%s signed in and the cookie is %q again", name, after)
		}
		seen[after] = true
		shows(t, h.browser("Cookie", "gatehouse-session="+before).get("/"), http.StatusOK, "gatehouse")
		shows(t, h.browser("Cookie", "gatehouse-session="+after).get("/"), http.StatusOK, "Welcome, "+name+" Liddell")
	}
}

func TestASessionLivesWhileItIsUsedAndNoLongerThanADay(t *testing.T) {
	h := newHouse(t)
	h.user("alice")
	b, idle := h.browser(), h.browser()
	b.signIn("alice", "")
	idle.signIn("alice", "")
	for hour := 7; hour <= 21; hour += 7 {
		h.skip(7 * time.Hour)
		shows(t, b.get("/"), http.StatusOK, "Welcome, alice Liddell")
		if hour > 8 {
			shows(t, idle.get("/"), http.StatusOK, "gatehouse")
		}
	}
	h.skip(3*time.Hour + time.Minute)
	shows(t, b.get("/"), http.StatusOK, "gatehouse")
}

func TestASignInIsAnEventThatSaysHowAndFromWhere(t *testing.T) {
	h := newHouse(t)
	u := h.user("alice")
	b := h.browser("User-Agent", "a browser")
	b.signIn("alice", "")
	b.post("/logout/confirm")
	for name, path := range map[string]string{"session.created": "/login", "session.ended": "/logout/confirm"} {
		all := h.events(name)
		if len(all) != 1 {
			t.Fatalf("%d events %s", len(all), name)
		}
		e := all[0]
		if e.Actor != u.ID || e.IP != "127.0.0.1" || e.UserAgent != "a browser" || e.Path != path || e.RequestID == "" {
			t.Errorf("%s: %+v", name, e)
		}
		if name == "session.created" && e.Details["amr"] != "pwd" {
			t.Errorf("%s: %v", name, e.Details)
		}
	}
}

func TestBadCookiesAreNoSession(t *testing.T) {
	h := newHouse(t)
	h.user("alice")
	b := h.browser()
	b.signIn("alice", "")
	good := b.cookie("session")
	for name, cookies := range map[string]string{
		"empty":             "gatehouse-session=",
		"nonsense":          "gatehouse-session=x",
		"cut":               "gatehouse-session=" + good[:len(good)-1],
		"lower case":        "gatehouse-session=" + strings.ToLower(good),
		"of the other kind": "gatehouse-session=" + b.cookie("browser"),
		"without end":       "gatehouse-session=" + strings.Repeat("A", 4000),
		"unreadable":        "gatehouse-session=\"; =; gatehouse-language=\x7f",
	} {
		a := h.browser("Cookie", strings.ReplaceAll(cookies, "\x7f", "%7f")).get("/")
		if a.status != http.StatusOK || a.title() != "gatehouse" {
			t.Errorf("%s: %d %q", name, a.status, a.title())
		}
	}
	// A bad one in front of the good one does not sign anybody out.
	shows(t, h.browser("Cookie", "gatehouse-session=junk; gatehouse-session="+good).get("/"), http.StatusOK, "Welcome, alice Liddell")
}

func TestAC128_ARequestIsForTheBrowserThatBeganIt(t *testing.T) {
	h := newHouse(t)
	h.user("victim")
	h.client("own", skipConsent)
	attacker, victim := h.browser(), h.browser()
	id := attacker.begin(authorize("own"))

	shows(t, victim.get("/login?request="+id), http.StatusBadRequest, "Started in another browser")
	shows(t, victim.signIn("victim", id), http.StatusBadRequest, "Started in another browser")
	if victim.cookie("session") != "" {
		t.Error("the victim is signed in by the attacker's link")
	}
	victim.signIn("victim", "")
	for _, address := range []string{"/login?request=" + id, "/consent?request=" + id, h.provider.ResumeURL(id)} {
		shows(t, victim.get(address), http.StatusBadRequest, "Started in another browser")
	}
	for _, address := range []string{h.provider.ResumeURL(id), "/consent?request=" + id} {
		if a := attacker.get(address); strings.Contains(a.location(), "code=") {
			t.Errorf("the attacker has a code: %s", a.location())
		}
	}
}

// crossSite are the ways in which browsers say that another site sends a form.
var crossSite = map[string][2]string{
	"Sec-Fetch-Site: cross-site": {"Sec-Fetch-Site", "cross-site"},
	"Sec-Fetch-Site: same-site":  {"Sec-Fetch-Site", "same-site"},
	"the Origin of another site": {"Origin", "https://evil.test"},
	"no Origin to speak of":      {"Origin", "null"},
}

func TestAC131_CrossSiteLoginIsRefused(t *testing.T) {
	h := newHouse(t)
	h.user("attacker")
	for name, header := range crossSite {
		b := h.browser(header[0], header[1])
		a := b.signIn("attacker", "")
		shows(t, a, http.StatusForbidden, "Sent from another site")
		if len(a.header.Values("Set-Cookie")) > 0 {
			t.Errorf("%s: set %v", name, a.header.Values("Set-Cookie"))
		}
	}
	for name, header := range map[string][2]string{
		"our own page":             {"Sec-Fetch-Site", "same-origin"},
		"our own origin":           {"Origin", h.issuer},
		"typed by the person":      {"Sec-Fetch-Site", "none"},
		"a program, not a browser": {"Accept", "*/*"},
	} {
		if a := h.browser(header[0], header[1]).signIn("attacker", ""); a.status != http.StatusSeeOther {
			t.Errorf("%s: %d", name, a.status)
		}
	}
}

func TestAC132_CrossSiteFormsChangeNothing(t *testing.T) {
	h := newHouse(t)
	h.user("alice")
	h.client("web")
	token, _, err := h.people.NewSetupLink(t.Context())
	must(t, err)
	for name, header := range crossSite {
		b := h.browser()
		id := b.begin(authorize("web", "prompt", "consent"))
		b.signIn("alice", id)
		user := b.get("/consent?request=" + id).field("user")
		b.header.Set(header[0], header[1])
		shows(t, b.post("/consent", "request", id, "user", user, "decision", "allow"), http.StatusForbidden, "Sent from another site")
		shows(t, b.post("/logout/confirm"), http.StatusForbidden, "Sent from another site")
		a := b.post("/setup", "token", token, "email", "eve@example.com", "password", goodPassword)
		shows(t, a, http.StatusForbidden, "Sent from another site")
		b.header.Del(header[0])
		if got := b.get("/").title(); got != "Welcome, alice Liddell" {
			t.Errorf("%s: %s", name, got)
		}
		if a := b.get(h.provider.ResumeURL(id)); strings.Contains(a.location(), "code=") {
			t.Errorf("%s: consent was given", name)
		}
	}
}

// everyAnswer is one of each kind of page that there is.
func everyAnswer(t *testing.T, h *house) map[string]answer {
	t.Helper()
	h.user("alice")
	h.client("web")
	token, _, err := h.people.NewSetupLink(t.Context())
	must(t, err)
	b, signedIn := h.browser(), h.browser()
	signedIn.signIn("alice", "")
	id := signedIn.begin(authorize("web", "prompt", "consent"))
	posted := h.browser()
	own := posted.begin(authorize("web", "response_mode", "form_post"))
	posted.signIn("alice", own)
	posted.agree(own, "allow")
	return map[string]answer{
		"home":            b.get("/"),
		"home, signed in": signedIn.get("/"),
		"sign-in":         b.get("/login"),
		"wrong password":  b.signIn("nobody", ""),
		"consent":         signedIn.get("/consent?request=" + id),
		"sign-out":        signedIn.get("/logout/confirm"),
		"signed out":      b.get("/signed-out"),
		"set-up":          b.get("/setup?token=" + token),
		"set-up used":     b.get("/setup?token=x"),
		"form_post":       posted.get(h.provider.ResumeURL(own)),
		"error":           b.get("/login?request=x"),
		"bad request":     b.get(authorize("web", "redirect_uri", "https://evil.test/")),
		"404":             b.get("/nope"),
		"405":             b.do("DELETE", "/login", nil),
		"403":             b.do("POST", "/login", url.Values{}, "Origin", "https://evil.test"),
		"413":             b.post("/login", "username", strings.Repeat("x", 70<<10)),
	}
}

func TestAC135_NoPageGoesIntoAFrame(t *testing.T) {
	for name, a := range everyAnswer(t, newHouse(t)) {
		if got := a.header.Get("X-Frame-Options"); got != "DENY" {
			t.Errorf("%s: X-Frame-Options is %q", name, got)
		}
		if got := a.header.Get("Content-Security-Policy"); !strings.Contains(got, "frame-ancestors 'none'") {
			t.Errorf("%s: the policy is %q", name, got)
		}
	}
}

func TestAC136_EveryPageHasAStrictPolicy(t *testing.T) {
	h := newHouse(t, on("https://id.example.com"))
	leadsAway := map[string]bool{"sign-in": true, "wrong password": true, "consent": true, "sign-out": true, "form_post": true}
	for name, a := range everyAnswer(t, h) {
		policy := a.header.Get("Content-Security-Policy")
		if !strings.Contains(a.header.Get("Content-Type"), "text/html") {
			t.Errorf("%s is no page: %d %v", name, a.status, a.header)
		}
		if !strings.HasPrefix(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") {
			t.Errorf("%s: the policy is %q", name, policy)
		}
		if strings.Contains(policy, "form-action") == leadsAway[name] {
			t.Errorf("%s: a form that may end at an application, and one that may not: %q", name, policy)
		}
		if strings.Contains(policy, "script-src") != (name == "form_post") {
			t.Errorf("%s: scripts: %q", name, policy)
		}
		for header, want := range map[string]string{
			"X-Content-Type-Options":    "nosniff",
			"Cache-Control":             "no-store",
			"Strict-Transport-Security": "max-age=31536000; includeSubDomains; preload",
		} {
			if got := a.header.Get(header); got != want {
				t.Errorf("%s: %s is %q", name, header, got)
			}
		}
		for _, header := range []string{"Referrer-Policy", "Permissions-Policy", "X-Request-Id"} {
			if a.header.Get(header) == "" {
				t.Errorf("%s: no %s", name, header)
			}
		}
	}
}

func TestAC136_FormPostWorksWithoutItsScript(t *testing.T) {
	a := everyAnswer(t, newHouse(t))["form_post"]
	for _, part := range []string{`action="https://rp.test/cb"`, `name="code"`, `name="state"`, `name="iss"`, `<button class="main" type="submit">`} {
		if !strings.Contains(a.body, part) {
			t.Errorf("the page lacks %s: %s", part, a.body)
		}
	}
	if strings.Count(a.body, "<form") != 1 {
		t.Error("there is more than one form")
	}
}

func TestAC137_HostileNamesAreText(t *testing.T) {
	h := newHouse(t)
	const hostile = `"><script>alert(1)</script>`
	u, err := h.people.Find(t.Context(), h.user("alice").Username)
	must(t, err)
	u.Profile.Name = hostile
	must(t, h.store.Users.Update(t.Context(), storage.NewUser{User: u, UsernameKey: "alice", EmailKey: u.Email}, h.now(), nil))
	h.client("web", func(m *storage.ClientMetadata) { m.ClientName = hostile })
	b := h.browser("User-Agent", hostile)
	id := b.begin(authorize("web", "login_hint", hostile, "ui_locales", hostile, "state", hostile))
	pages := []answer{b.get("/login?request=" + id)}
	b.signIn("alice", id)
	pages = append(pages, b.get("/consent?request="+id), b.get("/"), b.get("/logout/confirm"), b.get("/logout?client_id=web"))
	for i, a := range pages {
		if strings.Contains(a.body, "<script") || strings.Contains(a.body, `">alert`) {
			t.Errorf("page %d: %s", i, a.body)
		}
	}
	if !strings.Contains(pages[1].body, "&lt;script&gt;") {
		t.Error("the name is not shown at all")
	}
}

func TestAC139_ErrorPagesReflectNothingThatRuns(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	const hostile = `<script>alert(1)</script>`
	q := url.QueryEscape(hostile)
	for name, a := range map[string]answer{
		"path":                b.get("/" + url.PathEscape(hostile)),
		"error parameters":    b.get("/login?error=" + q + "&error_description=" + q + "&error_hint=" + q),
		"request id":          b.get("/login?request=" + q),
		"client id":           b.get("/authorize?client_id=" + q + "&redirect_uri=" + q),
		"language":            b.get("/?lang=" + q + "&ui_locales=" + q),
		"host":                b.get("/", "Host", "<script>alert(1)"),
		"method":              b.do("SCRIPT", "/login", nil),
		"a post-logout place": b.get("/logout?post_logout_redirect_uri=" + q + "&client_id=" + q),
	} {
		if strings.Contains(a.body, "<script") {
			t.Errorf("%s: %s", name, a.body)
		}
		if a.header.Get("Content-Security-Policy") == "" && a.status != http.StatusBadRequest {
			t.Errorf("%s: %d without a policy", name, a.status)
		}
	}
}

func TestAC144_NoParameterSaysWhereASignInLeads(t *testing.T) {
	h := newHouse(t)
	h.user("alice")
	for _, name := range []string{"next", "return_to", "returnTo", "redirect", "redirect_uri", "continue", "url", "rd", "post_login"} {
		for _, value := range []string{"//evil.test", `/\evil.test`, "/%09/evil.test", "https:evil.test", "https://evil.test", "/account"} {
			b := h.browser()
			address := "/login?" + url.Values{name: {value}}.Encode()
			if a := b.get(address); a.status != http.StatusOK || strings.Contains(a.body, "evil") {
				t.Fatalf("%s=%s: %d %s", name, value, a.status, a.body)
			}
			a := b.do("POST", address, url.Values{"username": {"alice"}, "password": {goodPassword}, name: {value}})
			if a.location() != h.issuer+"/" {
				t.Fatalf("%s=%s leads to %q", name, value, a.location())
			}
		}
	}
}

// work counts what a sign-in asks of the database.
type work struct{ lookups, known, events atomic.Int64 }

type (
	countedCredentials struct {
		storage.Credentials
		w *work
	}
	countedGuesses struct {
		storage.Guesses
		w *work
	}
	countedEvents struct {
		storage.Events
		w *work
	}
)

func (c countedCredentials) Password(ctx context.Context, key string) (*storage.User, *storage.Password, error) {
	c.w.lookups.Add(1)
	return c.Credentials.Password(ctx, key)
}

func (c countedGuesses) Known(ctx context.Context, id string, b storage.Digest) (bool, error) {
	c.w.known.Add(1)
	return c.Guesses.Known(ctx, id, b)
}

func (c countedEvents) Append(ctx context.Context, e *storage.Event) error {
	c.w.events.Add(1)
	return c.Events.Append(ctx, e)
}

func (w *work) done() [3]int64 { return [3]int64{w.lookups.Swap(0), w.known.Swap(0), w.events.Swap(0)} }

var random = regexp.MustCompile(`gh[bi]_[A-Z2-7]{52}|(?:[B-Z]{4}-){2}[B-Z]{4}|\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT`)

func TestAC148_UnknownAndKnownNamesGetTheSameAnswer(t *testing.T) {
	h := newHouse(t)
	h.user("alice")
	disabled := h.user("carol")
	must(t, h.people.Disable(t.Context(), disabled))
	try := func(name, password string) string {
		b := h.browser("Accept-Language", "en")
		a := b.post("/login", "username", name, "password", password)
		var all strings.Builder
		all.WriteString(strconv.Itoa(a.status))
		must(t, a.header.Write(&all))
		all.WriteString(strings.ReplaceAll(a.body, `value="`+name+`"`, `value="NAME"`))
		return random.ReplaceAllString(all.String(), "RANDOM")
	}
	want := try("alice", "wrong")
	for _, c := range [][2]string{{"nobody", "wrong"}, {"carol", goodPassword}, {"carol", "wrong"}, {"bob@example.com", "wrong"}} {
		if got := try(c[0], c[1]); normalLength(got) != normalLength(want) {
			t.Errorf("%s gets\n%s\nand alice\n%s", c[0], got, want)
		}
	}
}

// The length of the page tells the length of the name that was typed.
func normalLength(s string) string {
	return regexp.MustCompile(`Content-Length: \d+`).ReplaceAllString(s, "")
}

func TestAC149_UnknownAndKnownNamesCostTheSameWork(t *testing.T) {
	w := new(work)
	h := newHouse(t, func(p *plans) {
		p.store = func(s *storage.Store) {
			s.Credentials, s.Guesses, s.Events = countedCredentials{s.Credentials, w}, countedGuesses{s.Guesses, w}, countedEvents{s.Events, w}
		}
	})
	h.user("alice")
	w.done()
	h.browser().post("/login", "username", "alice", "password", "wrong")
	want := w.done()
	if want == [3]int64{} {
		t.Fatal("nothing is counted")
	}
	h.browser().post("/login", "username", "nobody", "password", "wrong")
	if got := w.done(); got != want {
		t.Errorf("an unknown name costs %v, a known one %v", got, want)
	}
}

func TestAC151_GuessingOneAccountIsSlowed(t *testing.T) {
	h := newHouse(t)
	h.user("alice")
	for n := 1; n <= 5; n++ {
		if a := h.browser().post("/login", "username", "alice", "password", "wrong"); a.status != http.StatusUnprocessableEntity {
			t.Fatalf("try %d: %d", n, a.status)
		}
	}
	a := h.browser().post("/login", "username", "alice", "password", goodPassword)
	if a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") != "1" {
		t.Fatalf("the sixth, at once: %d, Retry-After %q", a.status, a.header.Get("Retry-After"))
	}
	if !strings.Contains(a.body, `name="password"`) || !strings.Contains(a.body, `value="alice"`) || !strings.Contains(a.body, "Wait 1 second") {
		t.Errorf("the page does not say how to go on: %s", a.body)
	}
	h.skip(1100 * time.Millisecond)
	shows(t, h.browser().post("/login", "username", "alice", "password", "wrong"), http.StatusUnprocessableEntity, "Sign in")
	h.skip(1100 * time.Millisecond)
	if a := h.browser().signIn("alice", ""); a.status != http.StatusTooManyRequests {
		t.Errorf("the wait does not grow: %d", a.status)
	}
	h.skip(time.Second)
	leadsTo(t, h.browser().signIn("alice", ""), h.issuer+"/")
}

func TestAC151_AtMostAHundredInARowAndTheOwnersBrowserStaysOpen(t *testing.T) {
	h := newHouse(t)
	h.user("alice")
	own := h.browser()
	own.signIn("alice", "")
	own.post("/logout/confirm")
	for n := range 100 {
		h.skip(16 * time.Minute)
		a := h.browser().post("/login", "username", "alice", "password", "wrong")
		if a.status != http.StatusUnprocessableEntity {
			t.Fatalf("try %d, after waiting: %d", n, a.status)
		}
		must(t, h.limits.Refund(t.Context(), "form:127.0.0.1/32", storage.Rate{Burst: 100, Every: 36 * time.Second}))
	}
	h.skip(23 * time.Hour)
	a := h.browser().signIn("alice", "")
	if a.status != http.StatusTooManyRequests || !strings.Contains(a.body, "Sign in from a browser that you have used here before") {
		t.Errorf("the hundred and first: %d %s", a.status, a.body)
	}
	leadsTo(t, own.signIn("alice", ""), h.issuer+"/")
}

func TestFailedFormsAreCountedByNetworkAndGoodOnesGivenBack(t *testing.T) {
	h := newHouse(t)
	h.user("alice")
	for n := range 150 {
		if a := h.browser().signIn("alice", ""); a.status != http.StatusSeeOther {
			t.Fatalf("good sign-in %d: %d", n, a.status)
		}
	}
	for n := range 100 {
		if a := h.browser().post("/login", "username", "nobody"+strconv.Itoa(n), "password", "wrong"); a.status != http.StatusUnprocessableEntity {
			t.Fatalf("wrong sign-in %d: %d", n, a.status)
		}
	}
	a := h.browser().post("/login", "username", "nobody", "password", "wrong")
	shows(t, a, http.StatusTooManyRequests, "Too many tries from your network")
	for _, name := range []string{"Retry-After", "RateLimit", "RateLimit-Policy"} {
		if a.header.Get(name) == "" {
			t.Errorf("no %s", name)
		}
	}
	shows(t, h.browser().signIn("alice", ""), http.StatusTooManyRequests, "Too many tries from your network")
	a = h.browser("Accept", "application/json").post("/login", "username", "nobody", "password", "wrong")
	if seconds, ok := a.json()["retry_after"].(float64); !ok || seconds < 1 {
		t.Errorf("for a program: %s", a.body)
	}
}

// slowed reports whether the house has had enough of this network.
func slowed(h *house, header ...string) bool {
	return h.browser(header...).post("/login", "username", "nobody", "password", "wrong").title() == "Too many tries from your network"
}

func TestAC154_ForwardedAddressesOfStrangersDoNotEscapeTheLimit(t *testing.T) {
	h := newHouse(t)
	for n := range 100 {
		from := "203.0.113." + strconv.Itoa(n)
		h.browser("X-Forwarded-For", from, "Forwarded", "for="+from).post("/login", "username", "nobody"+strconv.Itoa(n), "password", "wrong")
	}
	if !slowed(h, "X-Forwarded-For", "198.51.100.1") {
		t.Error("a header of the client's own begins a new count")
	}
}

func TestAC154_BehindAProxyOfOursThePersonIsCounted(t *testing.T) {
	h := newHouse(t, func(p *plans) { p.proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	for n := range 100 {
		// The proxy appends; what stands in front is the client's invention.
		h.browser("X-Forwarded-For", "203.0.113."+strconv.Itoa(n)+", 198.51.100.7").post("/login", "username", "nobody"+strconv.Itoa(n), "password", "wrong")
	}
	if !slowed(h, "X-Forwarded-For", "203.0.113.99, 198.51.100.7") {
		t.Error("what the client wrote in front begins a new count")
	}
	if slowed(h, "X-Forwarded-For", "198.51.100.8") {
		t.Error("somebody else behind the proxy pays for it")
	}
	if e := h.events("session.failed"); len(e) == 0 || e[len(e)-1].IP != "198.51.100.7" {
		t.Errorf("the events name another address")
	}
}

func TestAC171_LongPasswordsAreTakenAsTheyAre(t *testing.T) {
	for name, c := range map[string]struct {
		password, typed string // set, and typed at sign-in; empty: the same
		status          int
	}{
		"64 characters":              {"Aa1 " + strings.Repeat("xyZ9", 15), "", http.StatusSeeOther},
		"128 characters":             {"Aa1 " + strings.Repeat("xyZ9", 31), "", http.StatusSeeOther},
		"129 characters":             {"Aa1 x" + strings.Repeat("xyZ9", 31), "", http.StatusUnprocessableEntity},
		"2,000 characters":           {strings.Repeat("xyZ9", 500), "", http.StatusUnprocessableEntity},
		"1 MiB":                      {strings.Repeat("xyZ9", 256<<10), "", http.StatusRequestEntityTooLarge},
		"spaces within and around":   {" two Words 4 you ", "", http.StatusSeeOther},
		"composed, typed decomposed": {"Caf\u00e9-Quy-4-\u1ebf", "Cafe\u0301-Quy-4-e\u0302\u0301", http.StatusSeeOther},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			token, _, err := h.people.NewSetupLink(t.Context())
			must(t, err)
			b := h.browser()
			a := b.post("/setup", "token", token, "email", "alice@example.com", "password", c.password)
			if a.status != c.status {
				t.Fatalf("%d, want %d", a.status, c.status)
			}
			if a.status != http.StatusSeeOther {
				return
			}
			if c.typed == "" {
				c.typed = c.password
			}
			leadsTo(t, b.post("/login", "username", "alice@example.com", "password", c.typed), h.issuer+"/")
			if a := h.browser().post("/login", "username", "alice@example.com", "password", c.typed[:len(c.typed)-1]); a.status == http.StatusSeeOther {
				t.Error("a part of it is enough")
			}
		})
	}
}

func TestAC172_CommonPasswordsAndOurOwnNameAreRefusedWithTheReason(t *testing.T) {
	h := newHouse(t)
	token, _, err := h.people.NewSetupLink(t.Context())
	must(t, err)
	b := h.browser()
	for password, reason := range map[string]string{
		"P@ssw0rd":         "lists of common and breached passwords",
		"Gatehouse1!":      "little more than your name",
		"Alice-1":          "little more than your name",
		"Liddell1!":        "little more than your name",
		"password":         "lists of common and breached passwords",
		"line\x01break-1A": "cannot be used",
	} {
		a := b.post("/setup", "token", token, "email", "alice@example.com", "name", "Alice Liddell", "password", password)
		if a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, reason) {
			t.Errorf("%q: %d, without %q", password, a.status, reason)
		}
	}
}

func TestAC216_MetricsAndProfilesAreNotOnThePublicListener(t *testing.T) {
	h := newHouse(t)
	for _, path := range []string{"/metrics", "/debug/pprof", "/debug/pprof/", "/debug/pprof/heap", "/debug/vars"} {
		shows(t, h.browser().get(path), http.StatusNotFound, "There is no such page")
	}
}

func TestAC284_MetacharactersInANameAreLiteral(t *testing.T) {
	h := newHouse(t)
	h.user("alice")
	for _, name := range []string{"*", "*)(uid=*", "al%", "al_ce", "alice' OR '1'='1", `alice"`, "alice\\", "alice;--", "alice\x00", "alice\n"} {
		a := h.browser().post("/login", "username", name, "password", goodPassword)
		if a.status == http.StatusSeeOther || a.status >= 500 {
			t.Errorf("%q: %d", name, a.status)
		}
	}
}

func TestTheAccessLogHasNoSecretAndOneLineARequest(t *testing.T) {
	h := newHouse(t)
	h.user("alice")
	h.client("own", skipConsent)
	token, _, err := h.people.NewSetupLink(t.Context())
	must(t, err)
	b := h.browser("User-Agent", "agent\twith \"quotes\"}")
	b.get("/setup?token=" + token)
	id := b.begin(authorize("own"))
	b.post("/login", "request", id, "username", "alice", "password", "a-wrong-password")
	b.signIn("alice", id)
	code := b.get(h.provider.ResumeURL(id)).location()
	u, err := url.Parse(code)
	must(t, err)
	b.get("/%0Aforged")
	log := h.log.String()
	for name, secret := range map[string]string{
		"set-up link": token, "password": goodPassword, "wrong password": "a-wrong-password", "code": u.Query().Get("code"),
		"session": b.cookie("session"), "browser secret": b.cookie("browser"), "query": "the-state", "request": id,
	} {
		if secret == "" || strings.Contains(log, secret) {
			t.Errorf("the log has the %s", name)
		}
	}
	if strings.Contains(log, "\n forged") || strings.Contains(log, "\nforged") {
		t.Error("a line was forged")
	}
	if got := strings.Count(log, `"msg":"request"`); got != 6 {
		t.Errorf("%d lines for 6 requests", got)
	}
}

func TestAC109_DiscoveryAndKeysAreTheSameUnderAnyHeader(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/jwks"} {
		want := b.get(path)
		if want.status != http.StatusOK || strings.Contains(want.body, "evil.test") {
			t.Fatalf("%s: %d %s", path, want.status, want.body)
		}
		for name, header := range map[string][]string{
			"X-Forwarded-Host":  {"X-Forwarded-Host", "evil.test"},
			"X-Forwarded-Proto": {"X-Forwarded-Proto", "https"},
			"Forwarded":         {"Forwarded", "host=evil.test;proto=https"},
			"X-Original-URL":    {"X-Original-URL", "https://evil.test/"},
			"X-Rewrite-URL":     {"X-Rewrite-URL", "/login"},
		} {
			if a := b.get(path, header...); a.status != http.StatusOK || a.body != want.body {
				t.Errorf("%s with %s: %d %s", path, name, a.status, a.body)
			}
		}
		if a := b.get(path, "Host", "evil.test"); a.status != http.StatusMisdirectedRequest || strings.Contains(a.body, "evil.test") {
			t.Errorf("%s at another host: %d %s", path, a.status, a.body)
		}
	}
}

func TestThePublicAddressesHaveNoCookieAndMayBeKept(t *testing.T) {
	h := newHouse(t)
	for _, path := range []string{"/.well-known/openid-configuration", "/jwks"} {
		a := h.browser().get(path)
		if len(a.header.Values("Set-Cookie")) > 0 || !strings.Contains(a.header.Get("Cache-Control"), "max-age") {
			t.Errorf("%s: %v", path, a.header)
		}
	}
}
