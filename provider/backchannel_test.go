package provider_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/keys"
	"gatehouse/outbound"
	"gatehouse/provider"
	"gatehouse/provider/providertest"
	"gatehouse/storage"
)

// telling gives the provider the real way out, opened to this machine.
func telling(t *testing.T) providertest.Option {
	t.Helper()
	out, err := outbound.New(outbound.Config{AllowHTTP: true, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}})
	if err != nil {
		t.Fatal(err)
	}
	return func(c *provider.Config) { c.Tell = out }
}

// A receiver is a client's back-channel logout endpoint.
type receiver struct {
	URI    string
	status atomic.Int64 // what it answers
	mu     sync.Mutex
	tokens []string
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := new(receiver)
	r.status.Store(http.StatusOK)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.Method != http.MethodPost || q.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || len(q.URL.RawQuery) > 0 {
			t.Errorf("asked with %s %s as %s", q.Method, q.URL, q.Header.Get("Content-Type"))
		}
		r.mu.Lock()
		r.tokens = append(r.tokens, q.PostFormValue("logout_token"))
		r.mu.Unlock()
		w.WriteHeader(int(r.status.Load()))
	}))
	t.Cleanup(s.Close)
	r.URI = s.URL + "/logout"
	return r
}

// got are the tokens that it received so far.
func (r *receiver) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.tokens)
}

// listening makes a client one that is told at this address.
func listening(uri string) func(*storage.ClientMetadata) {
	return func(m *storage.ClientMetadata) { m.BackchannelLogoutURI, m.SkipConsent = uri, true }
}

// deliver takes one turn of the worker, and checks how many deliveries it had.
func deliver(t *testing.T, h *providertest.House, want int) {
	t.Helper()
	n, err := h.Provider.DeliverDue(t.Context())
	if err != nil || n != want {
		t.Fatalf("%d deliveries were due (%v), want %d", n, err, want)
	}
}

// noted are the events of this name.
func noted(t *testing.T, h *providertest.House, name string) (found []*storage.Event) {
	t.Helper()
	all, err := h.Store.Events.List(t.Context(), time.Time{}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if e.Name == name {
			found = append(found, e)
		}
	}
	return found
}

// signOut is an RP-initiated logout by a browser.
func signOut(b *providertest.Browser, idToken string) *providertest.Answer {
	return b.Get("/logout?" + url.Values{"id_token_hint": {idToken}}.Encode())
}

func TestAC121_TheLogoutTokenIsOneAndNothingElse(t *testing.T) {
	h := providertest.New(t, telling(t))
	alice := h.User("alice")
	for _, alg := range keys.Algorithms {
		t.Run(alg, func(t *testing.T) {
			r := newReceiver(t)
			w := h.Client("w-"+alg, listening(r.URI), func(m *storage.ClientMetadata) { m.IDTokenSignedAlg = alg })
			b := h.Browser()
			tokens := w.SignInWith(b, "alice")
			signOut(b, tokens.ID)
			h.Skip(5 * time.Minute) // it is made when it is sent, and not before
			sent := h.Now()
			deliver(t, h, 1)
			got := r.got()
			if len(got) != 1 {
				t.Fatalf("received %d tokens", len(got))
			}
			if header := providertest.Header(got[0]); header["typ"] != "logout+jwt" || header["alg"] != alg || header["kid"] == "" {
				t.Errorf("header %v", header)
			}
			if _, err := h.Keys.Verify(got[0], keys.TypeLogoutToken); err != nil {
				t.Errorf("its signature: %v", err)
			}
			c := providertest.Claims(got[0])
			events, _ := c["events"].(map[string]any)
			event, isObject := events["http://schemas.openid.net/event/backchannel-logout"].(map[string]any)
			if len(events) != 1 || !isObject || len(event) != 0 {
				t.Errorf("events are %v", c["events"])
			}
			if _, there := c["nonce"]; there {
				t.Error("it has a nonce (§2.4 forbids it)")
			}
			iat, exp := c["iat"].(float64), c["exp"].(float64)
			if life := exp - iat; life <= 0 || life > 120 || iat < float64(sent.Unix()) {
				t.Errorf("made at %v, after %v, for %v s", iat, sent.Unix(), life)
			}
			id := providertest.Claims(tokens.ID)
			if c["iss"] != h.Issuer || c["aud"] != w.ID || c["sub"] != alice.ID || c["sid"] != id["sid"] || c["sid"] == nil || c["jti"] == "" || c["jti"] == nil {
				t.Errorf("claims %v of the session %v", c, id["sid"])
			}
			for name := range c {
				if !slices.Contains([]string{"iss", "sub", "aud", "iat", "exp", "jti", "events", "sid"}, name) {
					t.Errorf("it says %s too", name)
				}
			}
			if h.Alive(got[0]) {
				t.Error("it opens the userinfo endpoint")
			}
			if a := b.Get(w.Request("id_token_hint", got[0]).URL()); a.Location() == nil || a.Location().Query().Get("error") == "" {
				t.Errorf("it is a hint: %d to %v", a.Status, a.Location())
			}
		})
	}
}

func TestBackChannelLogout_2_5_EveryClientOfTheSessionIsToldByItsOwnSid(t *testing.T) {
	h := providertest.New(t, telling(t))
	h.User("alice")
	first, second, elsewhere := newReceiver(t), newReceiver(t), newReceiver(t)
	w, x, y := h.Client("w", listening(first.URI)), h.Client("x", listening(second.URI)), h.Client("y", listening(elsewhere.URI))
	deaf := h.Client("deaf", providertest.Trusted)
	b := h.Browser()
	hint := w.SignInWith(b, "alice").ID
	w.SignInWith(b, "alice") // twice, and told once
	other := x.SignInWith(b, "alice").ID
	deaf.SignInWith(b, "alice")
	y.SignIn("alice") // through another browser
	if a := signOut(b, hint); a.Status != http.StatusSeeOther {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	deliver(t, h, 2)
	for r, id := range map[*receiver]string{first: hint, second: other} {
		got := r.got()
		if len(got) != 1 || providertest.Claims(got[0])["sid"] != providertest.Claims(id)["sid"] {
			t.Errorf("received %d tokens for the sid %v", len(got), providertest.Claims(id)["sid"])
		}
	}
	if n := len(elsewhere.got()); n != 0 {
		t.Errorf("a client of another session received %d", n)
	}
	if providertest.Claims(hint)["sid"] == providertest.Claims(other)["sid"] {
		t.Error("two clients know the session by one sid")
	}
	deliver(t, h, 0)
	delivered := noted(t, h, "logout.delivered")
	if len(delivered) != 2 || delivered[0].Subject == "" || delivered[0].ClientID == "" || delivered[0].Details["status"] != "200" {
		t.Errorf("events %+v", delivered)
	}
}

// waste is what receivers do that want to keep us: see AC-124.
func waste(t *testing.T) (address func(kind string) string, asked func(kind string) int64) {
	t.Helper()
	over := make(chan struct{})
	counts := map[string]*atomic.Int64{"/silent": {}, "/gigabyte": {}, "/redirect": {}}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		count := counts[q.URL.Path]
		switch n := count.Add(1); q.URL.Path {
		case "/silent":
			<-over
		case "/redirect":
			http.Redirect(w, q, fmt.Sprintf("/redirect?%d", n), http.StatusTemporaryRedirect)
		case "/gigabyte":
			block := make([]byte, 64<<10)
			for range (1 << 30) / len(block) {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
			t.Error("a whole gigabyte was taken")
		}
	}))
	t.Cleanup(func() { close(over); s.Close() })
	return func(kind string) string { return s.URL + "/" + kind }, func(kind string) int64 { return counts["/"+kind].Load() }
}

func TestAC124_AReceiverThatWastesOurTimeDelaysNobody(t *testing.T) {
	t.Parallel()
	h := providertest.New(t, telling(t))
	h.User("alice")
	address, asked := waste(t)
	good := newReceiver(t)
	b := h.Browser()
	var hint string
	for _, kind := range []string{"silent", "gigabyte", "redirect"} {
		hint = h.Client(kind, listening(address(kind))).SignInWith(b, "alice").ID
	}
	h.Client("good", listening(good.URI)).SignInWith(b, "alice")

	began := time.Now()
	signOut(b, hint)
	if took := time.Since(began); took > outbound.Timeout/2 {
		t.Errorf("the sign-out took %s", took)
	}
	if signedIn(b, h.Client("w", providertest.Trusted)) {
		t.Error("the session lives")
	}

	began = time.Now()
	deliver(t, h, 4)
	if took := time.Since(began); took < outbound.Timeout || took > outbound.Timeout+2*time.Second {
		t.Errorf("all of them together took %s, want the %s of the silent one", took, outbound.Timeout)
	}
	if len(good.got()) != 1 {
		t.Error("the good one was not told")
	}
	for _, kind := range []string{"silent", "gigabyte", "redirect"} {
		if n := asked(kind); n != 1 {
			t.Errorf("%s was asked %d times", kind, n)
		}
	}
	// A status came before the gigabyte: that client has been told.
	if n := len(noted(t, h, "logout.delivered")); n != 2 {
		t.Errorf("%d were told, want the good one and the one with the gigabyte", n)
	}
}

func TestAC124_APrivateAddressIsNotPostedTo(t *testing.T) {
	out, err := outbound.New(outbound.Config{AllowHTTP: true}) // as serve has it, with nothing listed
	if err != nil {
		t.Fatal(err)
	}
	h := providertest.New(t, func(c *provider.Config) { c.Tell = out })
	h.User("alice")
	r := newReceiver(t)
	b := h.Browser()
	signOut(b, h.Client("w", listening(r.URI)).SignInWith(b, "alice").ID)
	deliver(t, h, 1)
	if len(r.got()) != 0 {
		t.Error("it was posted to")
	}
	if !strings.Contains(h.Log.String(), "outbound.allow") {
		t.Errorf("the log does not say what to set: %s", h.Log)
	}
}

func TestTwoNodesTellOnce(t *testing.T) {
	var config provider.Config
	h := providertest.New(t, telling(t), func(c *provider.Config) { config = *c })
	second, err := provider.New(config)
	if err != nil {
		t.Fatal(err)
	}
	h.User("alice")
	b := h.Browser()
	var all []*receiver
	var hint string
	for i := range 8 {
		r := newReceiver(t)
		hint = h.Client(fmt.Sprint("w", i), listening(r.URI)).SignInWith(b, "alice").ID
		all = append(all, r)
	}
	signOut(b, hint)
	var workers sync.WaitGroup
	for i := range 8 {
		node := []*provider.Provider{h.Provider, second}[i%2]
		workers.Go(func() {
			if _, err := node.DeliverDue(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	workers.Wait()
	for i, r := range all {
		if n := len(r.got()); n != 1 {
			t.Errorf("client %d was told %d times", i, n)
		}
	}
}

func TestAWorkerThatDiesLeavesItsDeliveryToAnother(t *testing.T) {
	h := providertest.New(t, telling(t))
	h.User("alice")
	r := newReceiver(t)
	b := h.Browser()
	signOut(b, h.Client("w", listening(r.URI)).SignInWith(b, "alice").ID)
	// This one claims, and is killed before it sends.
	if taken, err := h.Store.Deliveries.Claim(t.Context(), h.Now(), 30*time.Second, 10); err != nil || len(taken) != 1 {
		t.Fatalf("claimed %d, %v", len(taken), err)
	}
	deliver(t, h, 0)
	h.Skip(30 * time.Second)
	deliver(t, h, 1)
	if n := len(r.got()); n != 1 {
		t.Errorf("told %d times", n)
	}
	if e := noted(t, h, "logout.delivered"); len(e) != 1 || e[0].Details["tries"] != "2" {
		t.Errorf("events %+v", e)
	}
}

func TestWhateverEndsAUsersSessionsTellsTheClients(t *testing.T) {
	acts := []struct {
		name string
		end  func(h *providertest.House, u *storage.User, b *providertest.Browser) error
	}{
		{"the user is disabled", func(h *providertest.House, u *storage.User, _ *providertest.Browser) error {
			return h.Store.Users.Disable(h.T.Context(), u.ID, h.Now(), nil)
		}},
		{"the user's tokens are invalidated", func(h *providertest.House, u *storage.User, _ *providertest.Browser) error {
			return h.Store.Users.Invalidate(h.T.Context(), u.ID, h.Now(), nil)
		}},
		{"the user is deleted", func(h *providertest.House, u *storage.User, _ *providertest.Browser) error {
			return h.Store.Users.Delete(h.T.Context(), u.ID, h.Now(), nil)
		}},
		{"the password changes", func(h *providertest.House, u *storage.User, _ *providertest.Browser) error {
			return h.Store.Credentials.SetPassword(h.T.Context(), storage.Password{UserID: u.ID, Hash: "x", ChangedAt: h.Now()}, nil)
		}},
		{"somebody else signs in over it", func(h *providertest.House, _ *storage.User, b *providertest.Browser) error {
			h.User("mallory")
			b.SignIn("mallory")
			return nil
		}},
		{"the client is disabled", func(h *providertest.House, _ *storage.User, _ *providertest.Browser) error {
			c, err := h.Store.Clients.Get(h.T.Context(), "w")
			if err != nil {
				return err
			}
			c.DisabledAt = h.Now()
			return h.Store.Clients.Update(h.T.Context(), c, h.Now(), nil)
		}},
	}
	for _, act := range acts {
		t.Run(act.name, func(t *testing.T) {
			t.Parallel()
			h := providertest.New(t, telling(t))
			u := h.User("alice")
			r := newReceiver(t)
			b := h.Browser()
			tokens := h.Client("w", listening(r.URI)).SignInWith(b, "alice")
			deliver(t, h, 0)
			if err := act.end(h, u, b); err != nil {
				t.Fatal(err)
			}
			deliver(t, h, 1)
			got := r.got()
			if len(got) != 1 {
				t.Fatalf("told %d times", len(got))
			}
			if c := providertest.Claims(got[0]); c["sub"] != u.ID || c["sid"] != providertest.Claims(tokens.ID)["sid"] {
				t.Errorf("told %v", c)
			}
			if h.Alive(tokens.Access) {
				t.Error("what the client holds still works")
			}
		})
	}
}

func TestADeliveryIsTriedWithGrowingPausesAndThenGivenUp(t *testing.T) {
	h := providertest.New(t, telling(t))
	h.User("alice")
	r := newReceiver(t)
	r.status.Store(http.StatusServiceUnavailable)
	b := h.Browser()
	signOut(b, h.Client("w", listening(r.URI)).SignInWith(b, "alice").ID)
	deliver(t, h, 1)
	for _, pause := range []time.Duration{10 * time.Second, 30 * time.Second, 2 * time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour} {
		h.Skip(pause - 5*time.Second) // the clock runs on by itself as well
		deliver(t, h, 0)
		h.Skip(5 * time.Second)
		deliver(t, h, 1)
	}
	h.Skip(24 * time.Hour)
	deliver(t, h, 0)
	tokens := r.got()
	if len(tokens) != 8 {
		t.Fatalf("tried %d times, want 8", len(tokens))
	}
	seen := make(map[any]bool)
	for _, token := range tokens {
		seen[providertest.Claims(token)["jti"]] = true
	}
	if len(seen) != 8 {
		t.Errorf("%d different jti's in 8 tokens", len(seen))
	}
	given := noted(t, h, "logout.undelivered")
	if len(given) != 1 || given[0].ClientID != "w" || given[0].Details["tries"] != "8" || given[0].Details["status"] != "503" || given[0].Details["reason"] == "" {
		t.Errorf("events %+v", given)
	}
	if len(noted(t, h, "logout.delivered")) != 0 {
		t.Error("it was noted as delivered")
	}
}

func TestBackChannelLogout_2_8_WhatAnAnswerMeans(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		event  string // empty: it is tried again
	}{
		{"200 is told", http.StatusOK, "logout.delivered"},
		{"204, which frameworks make of an empty 200, is told", http.StatusNoContent, "logout.delivered"},
		{"400 is the client's refusal, and nothing would change it", http.StatusBadRequest, "logout.undelivered"},
		{"201 is no answer of the specification", http.StatusCreated, ""},
		{"404 may be a deployment", http.StatusNotFound, ""},
		{"500 is tried again", http.StatusInternalServerError, ""},
		{"504, for clients behind the client, is tried again", http.StatusGatewayTimeout, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := providertest.New(t, telling(t))
			h.User("alice")
			r := newReceiver(t)
			r.status.Store(int64(c.status))
			b := h.Browser()
			signOut(b, h.Client("w", listening(r.URI)).SignInWith(b, "alice").ID)
			deliver(t, h, 1)
			for _, name := range []string{"logout.delivered", "logout.undelivered"} {
				if got, want := len(noted(t, h, name)), btoi(name == c.event); got != want {
					t.Errorf("%d events %s, want %d", got, name, want)
				}
			}
			h.Skip(time.Minute)
			deliver(t, h, btoi(c.event == ""))
		})
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestAClientThatTookItsAddressBackIsTroubledNoMore(t *testing.T) {
	h := providertest.New(t, telling(t))
	h.User("alice")
	r := newReceiver(t)
	b := h.Browser()
	signOut(b, h.Client("w", listening(r.URI)).SignInWith(b, "alice").ID)
	c, err := h.Store.Clients.Get(t.Context(), "w")
	if err != nil {
		t.Fatal(err)
	}
	m := c.Metadata
	m.BackchannelLogoutURI = ""
	if err := h.Registrar.Update(t.Context(), c, m); err != nil {
		t.Fatal(err)
	}
	deliver(t, h, 1)
	h.Skip(24 * time.Hour)
	deliver(t, h, 0)
	if len(r.got()) != 0 || len(noted(t, h, "logout.undelivered")) != 1 {
		t.Errorf("told %d times; %d given up", len(r.got()), len(noted(t, h, "logout.undelivered")))
	}
}

func TestDeliverRunsUntilItIsStoppedAndFinishesWhatItSends(t *testing.T) {
	h := providertest.New(t, telling(t))
	h.User("alice")
	r := newReceiver(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.Provider.Deliver(ctx) }()
	b := h.Browser()
	signOut(b, h.Client("w", listening(r.URI)).SignInWith(b, "alice").ID)
	for deadline := time.Now().Add(10 * time.Second); len(noted(t, h, "logout.delivered")) == 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nobody was told")
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

type brokenDeliveries struct{ storage.Deliveries }

func (brokenDeliveries) Claim(context.Context, time.Time, time.Duration, int) ([]*storage.Delivery, error) {
	return nil, errors.New("disk full")
}

func TestDeliverOutlivesADatabaseThatIsAway(t *testing.T) {
	h := providertest.New(t, telling(t))
	h.User("alice")
	r := newReceiver(t)
	b := h.Browser()
	signOut(b, h.Client("w", listening(r.URI)).SignInWith(b, "alice").ID)
	whole := h.Store.Deliveries
	h.Store.Deliveries = brokenDeliveries{whole}
	if _, err := h.Provider.DeliverDue(t.Context()); err == nil {
		t.Error("no error")
	}
	h.Store.Deliveries = whole
	deliver(t, h, 1)
	if len(r.got()) != 1 {
		t.Error("nobody was told")
	}
}

func TestBackChannelLogout_2_2_AddressesThatMayBeRegistered(t *testing.T) {
	h := providertest.New(t)
	for i, c := range []struct {
		uri     string
		allowed bool
	}{
		{"https://rp.test/logout", true},
		{"https://rp.test/logout?tenant=7", true},
		{"http://localhost:8001/logout", true},
		{"http://127.0.0.1:8001/logout", true},
		{"http://[::1]/logout", true},
		{"http://rp.test/logout", false},
		{"http://localhost.rp.test/logout", false},
		{"https://rp.test/logout#there", false},
		{"https://me@rp.test/logout", false},
		{"/logout", false},
		{"com.example.app:/logout", false},
		{"file:///etc/passwd", false},
		{"gopher://rp.test/", false},
		{"https://rp.test/\nlogout", false},
	} {
		_, err := h.Registrar.Register(t.Context(), fmt.Sprint("w", i), "", storage.ClientMetadata{
			RedirectURIs: []string{"https://rp.test/cb"}, BackchannelLogoutURI: c.uri, BackchannelLogoutSessionRequired: true,
		})
		if (err == nil) != c.allowed || err != nil && !strings.Contains(err.Error(), "backchannel_logout_uri") {
			t.Errorf("%s: %v, want it allowed: %v", c.uri, err, c.allowed)
		}
	}
	_, err := h.Registrar.Register(t.Context(), "w", "", storage.ClientMetadata{
		RedirectURIs: []string{"https://rp.test/cb"}, BackchannelLogoutSessionRequired: true,
	})
	if err == nil || !strings.Contains(err.Error(), "backchannel_logout_session_required") {
		t.Errorf("without an address: %v", err)
	}
}
