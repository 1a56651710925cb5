package storagetest

import (
	"fmt"
	"slices"
	"time"

	"gatehouse/storage"
)

// allow answers a request of its own with these scopes.
func (h *house) allow(request string, u *storage.User, client string, scopes ...string) {
	h.Helper()
	h.parked(request, browser("b"))
	c := storage.Consent{UserID: u.ID, ClientID: client, Scopes: scopes, GrantedAt: h.now}
	h.must(h.Consents.Allow(h.ctx, c, request, nil))
}

func (h *house) allowed(u *storage.User, client string) []string {
	h.Helper()
	c, err := h.Consents.Get(h.ctx, u.ID, client)
	h.must(err)
	equal(h, "user", c.UserID, u.ID)
	equal(h, "client", c.ClientID, client)
	slices.Sort(c.Scopes)
	return c.Scopes
}

var consentStories = []story{
	{"where nothing was allowed there is an empty consent", func(h *house) {
		equal(h, "scopes", len(h.allowed(h.account("alice"), "app")), 0)
	}},
	{"each answer adds to what was allowed", func(h *house) {
		u := h.account("alice")
		h.relyingParty("app")
		h.relyingParty("other")
		h.allow("r1", u, "app", "openid", "email")
		h.allow("r2", u, "app", "profile", "email")
		h.allow("r3", u, "other", "openid")
		if got := h.allowed(u, "app"); !slices.Equal(got, []string{"email", "openid", "profile"}) {
			h.Fatalf("allowed %v", got)
		}
		all, err := h.Consents.ListByUser(h.ctx, u.ID)
		h.must(err)
		equal(h, "consents", len(all), 2)
		h.sameInstant("GrantedAt", all[0].GrantedAt, h.now)
		r, err := h.resume("r1", browser("b"), 0)
		h.must(err)
		equal(h, "answer", r.Answer, storage.Allowed)
		equal(h, "answered by", r.AnsweredBy, u.ID)
	}},
	{"an answer that comes twice, late or for nothing allows nothing", func(h *house) {
		u := h.account("alice")
		h.relyingParty("app")
		h.allow("r", u, "app", "openid")
		h.parked("late", browser("b"))
		for _, bad := range []struct {
			request string
			at      time.Duration
			err     error
		}{
			{"r", 0, storage.ErrReused},
			{"late", time.Hour, storage.ErrExpired},
			{"never", 0, storage.ErrNotFound},
		} {
			c := storage.Consent{UserID: u.ID, ClientID: "app", Scopes: []string{"admin"}, GrantedAt: h.after(bad.at)}
			h.refused(bad.err, h.Consents.Allow(h.ctx, c, bad.request, h.event("consent.granted")))
		}
		if got := h.allowed(u, "app"); !slices.Equal(got, []string{"openid"}) {
			h.Fatalf("allowed %v", got)
		}
		equal(h, "events", h.events("consent.granted"), 0)
	}},
	{"what is allowed in eight tabs at once adds up", func(h *house) {
		u := h.account("alice")
		h.relyingParty("app")
		for i := range 8 {
			h.parked(fmt.Sprint("r", i), browser("b"))
		}
		errs := race(8, func(i int) error {
			c := storage.Consent{UserID: u.ID, ClientID: "app", Scopes: []string{fmt.Sprint("scope", i)}, GrantedAt: h.now}
			return h.Consents.Allow(h.ctx, c, fmt.Sprint("r", i), nil)
		})
		h.tally(errs, map[error]int{nil: 8})
		equal(h, "scopes", len(h.allowed(u, "app")), 8)
	}},
	{"taking a consent back ends what the client was granted", func(h *house) {
		alice, bob := h.withEverything("alice"), h.withEverything("bob")
		h.relyingParty("other")
		h.redeemed("other-client", alice, "other", &storage.Session{ID: "alice", AuthTime: h.now})
		h.must(h.Consents.Revoke(h.ctx, alice.ID, "app", h.after(time.Second), h.event("consent.revoked")))
		equal(h, "scopes", len(h.allowed(alice, "app")), 0)
		equal(h, "grant live", h.live("online-alice"), false)
		equal(h, "offline grant live", h.live("offline-alice"), false)
		equal(h, "grant of another client live", h.live("other-client"), true)
		equal(h, "signed in", h.signedIn("alice", h.now), true)
		h.nothingEnded("bob")
		equal(h, "scopes of another user", len(h.allowed(bob, "app")), 1)
		h.must(h.Consents.Revoke(h.ctx, alice.ID, "app", h.after(time.Second), nil))
		equal(h, "events", h.events("consent.revoked"), 1)
	}},
}
