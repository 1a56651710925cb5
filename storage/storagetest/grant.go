package storagetest

import (
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"gatehouse/storage"
)

// scene is the usual cast: alice, signed in at "s", and the client "app".
func (h *house) scene() (*storage.User, *storage.Session) {
	h.Helper()
	u := h.account("alice")
	h.relyingParty("app")
	return u, h.signIn(u, "s")
}

var grantStories = []story{
	{"a grant comes back as it was made", func(h *house) {
		u, s := h.scene()
		g := h.newGrant("g", u, "app", s)
		g.Resources = []string{"https://api.example"}
		g.Claims = `{"userinfo":{"email":null}}`
		g.Offline = true
		h.must(h.Grants.Create(h.ctx, g, code("g"), "", h.event("grant.created")))
		got, err := h.Grants.Get(h.ctx, "g")
		h.must(err)
		if d := cmp.Diff(g, got, cmpopts.EquateApproxTime(0)); d != "" {
			h.Fatalf("made (-) and read (+) differ:\n%s", d)
		}
		_, err = h.Grants.Get(h.ctx, "never")
		h.refused(storage.ErrNotFound, err)
		equal(h, "events", h.events("grant.created"), 1)
	}},
	{"a grant takes its parked request, and a request makes one grant", func(h *house) {
		u, s := h.scene()
		h.parked("r", browser("b"))
		errs := race(16, func(i int) error {
			id := string(rune('a' + i))
			return h.Grants.Create(h.ctx, h.newGrant(id, u, "app", s), code(id), "r", h.event("grant.created"))
		})
		h.tally(errs, map[error]int{nil: 1, storage.ErrReused: 15})
		all, err := h.Grants.ListByUser(h.ctx, u.ID)
		h.must(err)
		equal(h, "grants", len(all), 1)
		equal(h, "events", h.events("grant.created"), 1)
		_, err = h.resume("r", browser("b"), 0)
		h.refused(storage.ErrReused, err)
	}},
	{"no grant is made from a request that is over or was never parked", func(h *house) {
		u, s := h.scene()
		r := &storage.AuthRequest{ID: "late", Browser: browser("b"), Client: "app", Params: []byte("{}"), CreatedAt: h.now, ExpiresAt: h.now}
		h.must(h.Flows.Park(h.ctx, r))
		h.refused(storage.ErrExpired, h.Grants.Create(h.ctx, h.newGrant("g", u, "app", s), code("g"), "late", nil))
		h.refused(storage.ErrNotFound, h.Grants.Create(h.ctx, h.newGrant("g", u, "app", s), code("g"), "never", nil))
		_, err := h.Grants.Get(h.ctx, "g")
		h.refused(storage.ErrNotFound, err)
	}},
	{"nothing is granted where user, client or session are not alive, and the request waits on", func(h *house) {
		u, s := h.scene()
		stranger := h.account("bob")
		h.parked("r", browser("b"))
		never := &storage.Session{ID: "never"}
		for name, g := range map[string]*storage.Grant{
			"another epoch":          func() *storage.Grant { g := h.newGrant("g", u, "app", s); g.Epoch++; return g }(),
			"an unknown user":        h.newGrant("g", &storage.User{ID: "nobody", Epoch: 1}, "app", s),
			"an unknown client":      h.newGrant("g", u, "nothing", s),
			"an unknown session":     h.newGrant("g", u, "app", never),
			"another user's session": h.newGrant("g", stranger, "app", s),
			"a session that is over": func() *storage.Grant {
				g := h.newGrant("g", u, "app", s)
				g.CreatedAt = h.after(8 * time.Hour)
				return g
			}(),
		} {
			request := "r"
			if name == "a session that is over" {
				request = "" // which would be over too
			}
			if err := h.Grants.Create(h.ctx, g, code("g"), request, h.event("grant.created")); !isNotFound(err) {
				h.Fatalf("%s: got error %v, want not found", name, err)
			}
		}
		_, err := h.Grants.Get(h.ctx, "g")
		h.refused(storage.ErrNotFound, err)
		_, err = h.resume("r", browser("b"), 0)
		h.must(err)
		equal(h, "events", h.events("grant.created"), 0)
	}},
	{"nothing is granted to whoever was switched off", func(h *house) {
		for _, off := range []struct {
			name string
			do   func(u *storage.User, c *storage.Client, s *storage.Session) error
		}{
			{"user", func(u *storage.User, _ *storage.Client, _ *storage.Session) error {
				return h.Users.Disable(h.ctx, u.ID, h.now, nil)
			}},
			{"client", func(_ *storage.User, c *storage.Client, _ *storage.Session) error {
				c.DisabledAt = h.now
				return h.Clients.Update(h.ctx, c, h.now, nil)
			}},
			{"session", func(_ *storage.User, _ *storage.Client, s *storage.Session) error {
				return h.Sessions.End(h.ctx, s.ID, h.now, nil)
			}},
		} {
			u, c := h.account(off.name), h.relyingParty(off.name)
			s := h.signIn(u, off.name)
			h.must(off.do(u, c, s))
			h.refused(storage.ErrNotFound, h.Grants.Create(h.ctx, h.newGrant(off.name, u, c.ID, s), code(off.name), "", nil))
		}
	}},
	// R4: a row with a code has a challenge, or its client's exception and a nonce.
	{"a code without a challenge is not storable", func(h *house) {
		u, s := h.scene()
		bare := h.newGrant("bare", u, "app", s)
		bare.CodeChallenge = ""
		if err := h.Grants.Create(h.ctx, bare, code("bare"), "", nil); err == nil {
			h.Fatal("a code without a challenge was stored")
		}
		bare.NonceInsteadOfPKCE, bare.Nonce = true, ""
		if err := h.Grants.Create(h.ctx, bare, code("bare"), "", nil); err == nil {
			h.Fatal("a code without challenge and nonce was stored")
		}
		bare.Nonce = "n"
		h.must(h.Grants.Create(h.ctx, bare, code("bare"), "", nil))
	}},
	{"a live grant comes with its user", func(h *house) {
		u, s := h.scene()
		want := h.redeemed("g", u, "app", s)
		g, who, err := h.Grants.Live(h.ctx, "g", "jti", h.after(time.Minute))
		h.must(err)
		if d := cmp.Diff(want, g, cmpopts.EquateApproxTime(0)); d != "" {
			h.Fatalf("redeemed (-) and live (+) differ:\n%s", d)
		}
		if d := cmp.Diff(u, who, cmpopts.EquateApproxTime(0)); d != "" {
			h.Fatalf("stored (-) and live (+) user differ:\n%s", d)
		}
		_, _, err = h.Grants.Live(h.ctx, "never", "", h.now)
		h.refused(storage.ErrNotFound, err)
	}},
	{"revoking a grant ends it and no other, and again is no error", func(h *house) {
		u, s := h.scene()
		g := h.redeemed("g", u, "app", s)
		h.redeemed("other", u, "app", s)
		h.grant("fresh", u, "app", s)
		h.must(h.Grants.Revoke(h.ctx, "g", h.after(time.Second), h.event("grant.revoked")))
		h.must(h.Grants.Revoke(h.ctx, "g", h.after(time.Hour), h.event("grant.revoked")))
		h.must(h.Grants.Revoke(h.ctx, "fresh", h.after(time.Second), nil))
		got, err := h.Grants.Get(h.ctx, "g")
		h.must(err)
		h.sameInstant("RevokedAt", got.RevokedAt, h.after(time.Second))
		equal(h, "live", h.live("g"), false)
		equal(h, "other live", h.live("other"), true)
		_, err = h.Grants.Rotate(h.ctx, h.rotation(g, 1, h.after(time.Minute)))
		h.refused(storage.ErrNotFound, err)
		_, err = h.Grants.Redeem(h.ctx, h.redemption(&storage.Grant{ID: "fresh", ClientID: "app"}))
		h.refused(storage.ErrNotFound, err)
		equal(h, "events", h.events("grant.revoked"), 1)
	}},
	{"of 16 that revoke a grant at once, one writes the event", func(h *house) {
		u, s := h.scene()
		h.redeemed("g", u, "app", s)
		errs := race(16, func(int) error { return h.Grants.Revoke(h.ctx, "g", h.now, h.event("grant.revoked")) })
		h.tally(errs, map[error]int{nil: 16})
		equal(h, "events", h.events("grant.revoked"), 1)
	}},
	{"what ends the same grants from several sides at once ends them all", func(h *house) {
		h.relyingParty("app")
		for round := range 10 {
			name := string(rune('a' + round))
			u := h.account(name)
			s := h.signIn(u, name)
			var ids []string
			for i := range 12 {
				ids = append(ids, name+string(rune('a'+(i*7+round)%12)))
				h.grant(ids[i], u, "app", s)
			}
			errs := race(8, func(i int) error {
				switch i % 4 {
				case 0:
					return h.Sessions.End(h.ctx, s.ID, h.now, nil)
				case 1:
					return h.Consents.Revoke(h.ctx, u.ID, "app", h.now, nil)
				case 2:
					return h.Users.Invalidate(h.ctx, u.ID, h.now, nil)
				}
				return h.Users.Disable(h.ctx, u.ID, h.now, nil)
			})
			h.tally(errs, map[error]int{nil: 8})
			for _, id := range ids {
				equal(h, "grant live", h.live(id), false)
			}
		}
	}},
	{"a list has the user's grants that are not revoked", func(h *house) {
		u, s := h.scene()
		bob := h.account("bob")
		h.redeemed("bobs", bob, "app", h.signIn(bob, "bob"))
		for _, id := range []string{"a", "b", "c"} {
			h.redeemed(id, u, "app", s)
		}
		h.must(h.Grants.Revoke(h.ctx, "b", h.now, nil))
		all, err := h.Grants.ListByUser(h.ctx, u.ID)
		h.must(err)
		var ids []string
		for _, g := range all {
			ids = append(ids, g.ID)
		}
		slices.Sort(ids)
		if !slices.Equal(ids, []string{"a", "c"}) {
			h.Fatalf("listed %v", ids)
		}
	}},
}
