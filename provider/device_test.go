package provider_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/provider"
	"gatehouse/provider/providertest"
	"gatehouse/storage"
)

// polled is the error of a poll, or the status of one that gave tokens.
func polled(t *testing.T, a *providertest.Answer, want string) providertest.Tokens {
	t.Helper()
	if want == "" {
		if a.Status != http.StatusOK {
			t.Fatalf("the poll got %d %s, want tokens", a.Status, a.Body)
		}
		return a.Tokens()
	}
	refused(t, a, want)
	return providertest.Tokens{}
}

func TestRFC8628_3_2_ADeviceIsToldWhatToShow(t *testing.T) {
	h := providertest.New(t)
	tv := h.Client("tv", providertest.Device)
	a := tv.AskDevice()
	object := a.JSON()
	if a.Status != http.StatusOK || a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d %v %s", a.Status, a.Header, a.Body)
	}
	userCode, _ := object["user_code"].(string)
	for name, want := range map[string]any{
		"verification_uri":          h.Issuer + "/device",
		"verification_uri_complete": h.Issuer + "/device?user_code=" + userCode,
		"expires_in":                600.0, "interval": 5.0,
	} {
		if object[name] != want {
			t.Errorf("%s is %v, want %v", name, object[name], want)
		}
	}
	// AC-193: eight of twenty letters, none of them a vowel.
	if !regexp.MustCompile(`^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$`).MatchString(userCode) {
		t.Errorf("user_code is %q", userCode)
	}
	code, _ := object["device_code"].(string)
	if !strings.HasPrefix(code, "ghd_") || len(code) != len("ghd_")+52 {
		t.Errorf("device_code is %q", code)
	}
	if strings.Contains(h.Log.String(), code) || strings.Contains(h.Log.String(), strings.ReplaceAll(userCode, "-", "")) {
		t.Error("the log has a code")
	}
	metadata := h.Browser().Get("/.well-known/openid-configuration").JSON()
	grants, _ := metadata["grant_types_supported"].([]any)
	if metadata["device_authorization_endpoint"] != h.Issuer+"/device_authorization" || !slices.Contains(grants, any(providertest.DeviceGrant)) {
		t.Errorf("discovery says %v", metadata)
	}
}

func TestRFC8628_3_1_WhoMayStartADevice(t *testing.T) {
	h := providertest.New(t)
	tv, public := h.Client("tv", providertest.Device), h.Client("public", providertest.PublicDevice)
	web := h.Client("web")
	wrong := *tv
	wrong.Secret = "wrong"
	audience := h.Client("api", providertest.Device, func(m *storage.ClientMetadata) { m.Audience = []string{"https://api.test"} })
	for _, c := range []struct {
		name  string
		by    *providertest.Party
		pairs []string
		error string
	}{
		{"a client with its secret", tv, nil, ""},
		{"a public client", public, nil, ""},
		{"a wrong secret", &wrong, nil, "invalid_client"},
		{"a client that registered other grants", web, nil, "unauthorized_client"},
		{"AC-197 an unregistered scope", tv, []string{"scope", "openid admin"}, "invalid_scope"},
		{"a scope with a character that no scope has", tv, []string{"scope", `openid "`}, "invalid_scope"},
		{"no scope", tv, []string{"scope", ""}, "invalid_scope"},
		{"a resource of the client's audience", audience, []string{"resource", "https://api.test"}, ""},
		{"another resource", audience, []string{"resource", "https://other.test"}, "invalid_target"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := c.by.AskDevice(c.pairs...)
			if c.error != "" {
				refused(t, a, c.error)
			} else if a.Status != http.StatusOK {
				t.Errorf("got %d %s", a.Status, a.Body)
			}
		})
	}
	a := h.Browser().Get("/device_authorization")
	if a.Status == http.StatusOK && strings.Contains(a.Body, "device_code") {
		t.Error("GET starts a device")
	}
}

func TestRFC8628_3_4_APersonAllowsADevice(t *testing.T) {
	h := providertest.New(t)
	alice := h.User("alice")
	for name, kind := range map[string]func(*storage.ClientMetadata){"tv": providertest.Device, "public-tv": providertest.PublicDevice} {
		tv := h.Client(name, kind)
		b := h.Browser()
		b.SignIn("alice")
		d := tv.Waiting("scope", "openid email")
		if a := b.AnswerDevice(d, "allow"); a.Status != http.StatusOK {
			t.Fatalf("%s: allow: %d %s", name, a.Status, a.Body)
		}
		tokens := polled(t, tv.Poll(d), "")
		if tokens.Type != "Bearer" || tokens.Scope != "openid email" || tokens.ExpiresIn != 600 || tokens.Refresh == "" {
			t.Errorf("%s: got %+v", name, tokens)
		}
		claims := providertest.Claims(tokens.ID)
		if claims["sub"] != alice.ID || claims["aud"] != name || claims["auth_time"] == nil || claims["nonce"] != nil {
			t.Errorf("%s: the ID token says %v", name, claims)
		}
		if access := providertest.Claims(tokens.Access); access["sub"] != alice.ID || access["client_id"] != name {
			t.Errorf("%s: the access token says %v", name, access)
		}
		if userinfo := h.Userinfo(tokens.Access).JSON(); userinfo["email"] != "alice@example.com" {
			t.Errorf("%s: userinfo says %v", name, userinfo)
		}
		next := polled(t, tv.Refresh(tokens.Refresh), "")
		if next.Refresh == "" || next.Refresh == tokens.Refresh || !h.Alive(next.Access) {
			t.Errorf("%s: refreshed to %+v", name, next)
		}
		consent, err := h.Store.Consents.Get(t.Context(), alice.ID, name)
		if err != nil || !slices.Equal(consent.Scopes, []string{"email", "openid"}) {
			t.Errorf("%s: remembered is %+v (%v)", name, consent, err)
		}
	}
}

func TestRFC8628_3_5_WhatAPollIsTold(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	tv := h.Client("tv", providertest.Device)
	b := h.Browser()
	b.SignIn("alice")
	d := tv.Waiting()
	polled(t, tv.Poll(d), "authorization_pending")
	h.Skip(5 * time.Second)
	polled(t, tv.Poll(d), "authorization_pending")
	if a := b.AnswerDevice(d, "deny"); a.Status != http.StatusOK {
		t.Fatalf("deny: %d %s", a.Status, a.Body)
	}
	h.Skip(5 * time.Second)
	polled(t, tv.Poll(d), "access_denied")
	polled(t, tv.Poll(providertest.Waiting{Code: "ghd_" + strings.Repeat("A", 52)}), "invalid_grant")
	polled(t, tv.Poll(providertest.Waiting{}), "invalid_request")
	late := tv.Waiting()
	h.Skip(10 * time.Minute)
	polled(t, tv.Poll(late), "expired_token")
	if a := b.AnswerDevice(late, "allow"); a.Status == http.StatusOK {
		t.Error("a device was allowed after its time")
	}
}

func TestAC192_ADeviceThatPollsFastIsSlowedDown(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	tv := h.Client("tv", providertest.Device)
	d := tv.Waiting()
	for _, poll := range []struct {
		wait time.Duration
		want string
	}{
		{0, "authorization_pending"},
		{time.Second, "slow_down"},      // 10 s from now on
		{6 * time.Second, "slow_down"},  // 15 s
		{11 * time.Second, "slow_down"}, // 20 s
		{20 * time.Second, "authorization_pending"},
		{16 * time.Second, "slow_down"},
	} {
		h.Skip(poll.wait)
		if got := tv.Poll(d).Tokens().Error; got != poll.want {
			t.Fatalf("the poll %v later got %s, want %s", poll.wait, got, poll.want)
		}
	}
	// Polling fast keeps nobody from the answer.
	b := h.Browser()
	b.SignIn("alice")
	b.AnswerDevice(d, "allow")
	polled(t, tv.Poll(d), "")
}

func TestAC194_L7_AnApprovedDeviceCodeIsSpentOnce(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	tv, other := h.Client("tv", providertest.Device), h.Client("other", providertest.Device)
	b := h.Browser()
	b.SignIn("alice")
	allowed := func() providertest.Waiting {
		d := tv.Waiting()
		if a := b.AnswerDevice(d, "allow"); a.Status != http.StatusOK {
			t.Fatalf("allow: %d %s", a.Status, a.Body)
		}
		return d
	}

	d := allowed()
	polled(t, other.Poll(d), "invalid_grant")
	tokens := polled(t, tv.Poll(d), "")
	if !h.Alive(tokens.Access) {
		t.Fatal("the access token does not work")
	}
	polled(t, other.Poll(d), "invalid_grant")
	if !h.Alive(tokens.Access) {
		t.Error("another client ended what the device got")
	}
	polled(t, tv.Poll(d), "invalid_grant")
	if h.Alive(tokens.Access) {
		t.Error("the code is in two hands, and what it gave lives")
	}
	polled(t, tv.Refresh(tokens.Refresh), "invalid_grant")

	late := allowed()
	h.Skip(10 * time.Minute)
	polled(t, tv.Poll(late), "expired_token")
}

func TestAC194_Of32PollsAtOnceOneIsGivenTokens(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	tv := h.Client("tv", providertest.PublicDevice)
	b := h.Browser()
	b.SignIn("alice")
	d := tv.Waiting()
	b.AnswerDevice(d, "allow")
	var won atomic.Int32
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			if a := tv.Poll(d); a.Status == http.StatusOK {
				won.Add(1)
			} else if a.Tokens().Error != "invalid_grant" {
				t.Errorf("a replay got %d %s", a.Status, a.Body)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Errorf("%d polls were given tokens", won.Load())
	}
}

func TestAC197_WhatEndedMeanwhileGivesADeviceNothing(t *testing.T) {
	for _, c := range []struct {
		name  string
		end   func(h *providertest.House, u *storage.User, b *providertest.Browser) error
		scope string
		error string
	}{
		{"the user was disabled", func(h *providertest.House, u *storage.User, _ *providertest.Browser) error {
			return h.Store.Users.Disable(h.T.Context(), u.ID, h.Now(), nil)
		}, "openid offline_access", "access_denied"},
		{"the user's tokens were invalidated", func(h *providertest.House, u *storage.User, _ *providertest.Browser) error {
			return h.Store.Users.Invalidate(h.T.Context(), u.ID, h.Now(), nil)
		}, "openid offline_access", "access_denied"},
		{"the person signed out, and the device was not to stay", func(_ *providertest.House, _ *storage.User, b *providertest.Browser) error {
			b.Post("/logout/confirm", url.Values{})
			return nil
		}, "openid", "access_denied"},
		{"the person signed out, and allowed offline access", func(_ *providertest.House, _ *storage.User, b *providertest.Browser) error {
			b.Post("/logout/confirm", url.Values{})
			return nil
		}, "openid offline_access", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := providertest.New(t)
			u := h.User("alice")
			tv := h.Client("tv", providertest.Device)
			b := h.Browser()
			b.SignIn("alice")
			d := tv.Waiting("scope", c.scope)
			b.AnswerDevice(d, "allow")
			if err := c.end(h, u, b); err != nil {
				t.Fatal(err)
			}
			polled(t, tv.Poll(d), c.error)
		})
	}
}

// CONTRACT: without offline_access a grant ends with the session that gave it.
func TestADeviceIsSignedOutWithTheSessionThatAllowedItUnlessOffline(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	tv := h.Client("tv", providertest.Device)
	b := h.Browser()
	b.SignIn("alice")
	given := func(scope string) providertest.Tokens {
		d := tv.Waiting("scope", scope)
		b.AnswerDevice(d, "allow")
		return polled(t, tv.Poll(d), "")
	}
	stays, goes := given("openid offline_access"), given("openid")
	b.Post("/logout/confirm", url.Values{})
	if h.Alive(goes.Access) || !h.Alive(stays.Access) {
		t.Errorf("after sign-out: alive are %v and, with offline access, %v", h.Alive(goes.Access), h.Alive(stays.Access))
	}
	polled(t, tv.Refresh(goes.Refresh), "invalid_grant")
	polled(t, tv.Refresh(stays.Refresh), "")
}

func TestAC193_AUserCodeIsNothingWithoutASession(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	tv := h.Client("tv", providertest.Device)
	d := tv.Waiting()
	nobody := h.Browser()
	for _, decision := range []string{"allow", "deny"} {
		if a := nobody.AnswerDevice(d, decision); a.Status == http.StatusOK {
			t.Errorf("somebody who is not signed in said %s", decision)
		}
	}
	polled(t, tv.Poll(d), "authorization_pending")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.Issuer+"/device", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range []string{d.UserCode, "BCDF-GHJK"} {
		pending, err := h.Provider.Device(r, provider.ReadUserCode(code))
		if err != nil || pending.Step != provider.SignIn || pending.Client != nil {
			t.Errorf("%s: %+v, %v", code, pending, err)
		}
	}
}

func TestAC193_UserCodesAreDrawnEvenlyAndReadAsPeopleTypeThem(t *testing.T) {
	h := providertest.New(t)
	tv := h.Client("tv", providertest.Device)
	seen := map[string]bool{}
	for range 200 {
		d := tv.Waiting()
		if seen[d.UserCode] {
			t.Errorf("%s came twice", d.UserCode)
		}
		seen[d.UserCode] = true
		for _, typed := range []string{d.UserCode, strings.ToLower(d.UserCode), strings.ReplaceAll(d.UserCode, "-", ""), " " + strings.ReplaceAll(d.UserCode, "-", " ") + "\t"} {
			if got := provider.ShowUserCode(provider.ReadUserCode(typed)); got != d.UserCode {
				t.Errorf("%q is read as %q", typed, got)
			}
		}
	}
	for _, wrong := range []string{"", "BCDF", "BCDF-GHJ", "BCDF-GHJKL", "BCDF-GHJA", "BCDF-GHJ1", "BCDF/GHJK", "БCDF-GHJK", "ſCDF-GHJK"} {
		if got := provider.ReadUserCode(wrong); got != "" {
			t.Errorf("%q is read as %q", wrong, got)
		}
	}
}

func TestADeviceThatIsAnsweredLeavesALineInTheAuditLog(t *testing.T) {
	h := providertest.New(t)
	alice := h.User("alice")
	tv := h.Client("tv", providertest.Device)
	b := h.Browser()
	b.SignIn("alice")
	for decision, want := range map[string]string{"allow": "device.approved", "deny": "device.denied"} {
		d := tv.Waiting()
		b.AnswerDevice(d, decision)
		all, err := h.Store.Events.List(t.Context(), time.Time{}, 100)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(all, func(e *storage.Event) bool { return e.Name == want })
		if i < 0 || all[i].Actor != alice.ID || all[i].ClientID != "tv" {
			t.Errorf("%s: no event %s in %+v", decision, want, all)
		}
	}
}

func TestRFC7591_ADeviceClientNeedsNoRedirectURI(t *testing.T) {
	h := providertest.New(t)
	made, err := h.Registrar.Register(t.Context(), "tv", "", storage.ClientMetadata{GrantTypes: []string{providertest.DeviceGrant}})
	if err != nil {
		t.Fatal(err)
	}
	m := made.Client.Metadata
	if m.IDTokenSignedAlg != "RS256" || m.Scope != "openid profile email address phone" || len(m.ResponseTypes) > 0 {
		t.Errorf("it is registered as %+v", m)
	}
}

func TestADatabaseThatDoesNotAnswerIsNoAnswerOfThePersons(t *testing.T) {
	h := providertest.New(t, func(c *provider.Config) { c.Store.Devices = brokenDevices{} })
	tv := h.Client("tv", providertest.Device)
	for name, a := range map[string]*providertest.Answer{"start": tv.AskDevice(), "poll": tv.Poll(providertest.Waiting{Code: "ghd_x"})} {
		if a.Status != http.StatusServiceUnavailable || a.Tokens().Error != "temporarily_unavailable" || a.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}
}

// brokenDevices is a drawer that does not open.
type brokenDevices struct{ storage.Devices }

func (brokenDevices) Create(context.Context, *storage.DeviceRequest, storage.Digest) error {
	return errors.New("disk full")
}

func (brokenDevices) Poll(context.Context, storage.DevicePoll) (*storage.Grant, error) {
	return nil, errors.New("disk full")
}
