package storagetest

import (
	"errors"
	"time"

	"gatehouse/storage"
)

func isNotFound(err error) bool { return errors.Is(err, storage.ErrNotFound) }

// dead ends the test unless the grant, its code and its refresh tokens give
// nothing any more.
func (h *house) dead(g *storage.Grant) {
	h.Helper()
	equal(h, "grant live", h.live(g.ID), false)
	got, err := h.Grants.Get(h.ctx, g.ID)
	h.must(err)
	equal(h, "revoked", !got.RevokedAt.IsZero(), true)
	if _, err := h.Grants.Redeem(h.ctx, h.redemption(g)); err == nil {
		h.Fatal("the code of a dead grant was redeemed")
	}
	if _, err := h.Grants.Rotate(h.ctx, h.rotation(g, int(max(1, got.Generation)), h.after(2*time.Second))); err == nil {
		h.Fatal("the refresh token of a dead grant was rotated")
	}
}

var codeStories = []story{
	{"a code begins the refresh token", func(h *house) {
		u, s := h.scene()
		g, err := h.Grants.Redeem(h.ctx, h.redemption(h.grant("g", u, "app", s)))
		h.must(err)
		equal(h, "generation", g.Generation, 1)
		equal(h, "handle", g.Handle, handle("g"))
		h.sameInstant("CodeSpentAt", g.CodeSpentAt, h.after(time.Second))
		h.sameInstant("RotatedAt", g.RotatedAt, h.after(time.Second))
		h.sameInstant("RefreshIdleExpiresAt", g.RefreshIdleExpiresAt, h.after(time.Second).Add(idle))
		equal(h, "live", h.live("g"), true)
		_, err = h.Grants.Rotate(h.ctx, h.rotation(g, 1, h.after(time.Minute)))
		h.must(err)
	}},
	{"the idle end of a refresh token lies within its absolute end", func(h *house) {
		u, s := h.scene()
		g := h.redeemed("g", u, "app", s, func(g *storage.Grant) { g.RefreshExpiresAt = h.after(time.Hour) })
		h.sameInstant("RefreshIdleExpiresAt", g.RefreshIdleExpiresAt, h.after(time.Hour))
	}},
	{"a grant without refresh has none", func(h *house) {
		u, s := h.scene()
		g := h.redeemed("g", u, "app", s, func(g *storage.Grant) { g.RefreshIdle, g.RefreshExpiresAt = 0, time.Time{} })
		equal(h, "handle", g.Handle, "")
		equal(h, "generation", g.Generation, 0)
		_, err := h.Grants.Rotate(h.ctx, h.rotation(g, 1, h.after(time.Minute)))
		h.refused(storage.ErrNotFound, err)
		equal(h, "live", h.live("g"), true)
		// Two such grants do not stand in each other's way.
		h.redeemed("g2", u, "app", s, func(g *storage.Grant) { g.RefreshIdle, g.RefreshExpiresAt = 0, time.Time{} })
	}},
	{"AC-049 a code that comes twice ends all that it gave", func(h *house) {
		u, s := h.scene()
		g := h.redeemed("g", u, "app", s)
		h.redeemed("other", u, "app", s)
		_, err := h.Grants.Redeem(h.ctx, h.redemption(g))
		h.refused(storage.ErrReused, err)
		h.dead(g)
		equal(h, "other grant live", h.live("other"), true)
		equal(h, "events", h.events("grant.revoked"), 1)
	}},
	{"AC-050 of 32 redemptions at once one works, and the rest are replays", func(h *house) {
		u, s := h.scene()
		g := h.grant("g", u, "app", s)
		errs := race(32, func(int) error {
			_, err := h.Grants.Redeem(h.ctx, h.redemption(g))
			return err
		})
		h.tally(errs, map[error]int{nil: 1, storage.ErrReused: 31})
		h.dead(g)
		equal(h, "events", h.events("grant.revoked"), 1)
	}},
	{"AC-053 AC-054 AC-056 a code is spent on whoever presents it wrongly", func(h *house) {
		u, s := h.scene()
		h.relyingParty("thief")
		for name, wrong := range map[string]func(*storage.Redemption){
			"another client":            func(r *storage.Redemption) { r.ClientID = "thief" },
			"another redirect URI":      func(r *storage.Redemption) { r.RedirectURI = callback + "/" },
			"no redirect URI":           func(r *storage.Redemption) { r.RedirectURI = "" },
			"another verifier":          func(r *storage.Redemption) { r.Challenge = challenge("other") },
			"no verifier":               func(r *storage.Redemption) { r.Challenge = "" },
			"a challenge in other case": func(r *storage.Redemption) { r.Challenge = "CHALLENGE-OF-no" },
		} {
			g := h.grant(name, u, "app", s)
			r := h.redemption(g)
			wrong(&r)
			_, err := h.Grants.Redeem(h.ctx, r)
			if !errors.Is(err, storage.ErrMismatch) {
				h.Fatalf("%s: got error %v, want a mismatch", name, err)
			}
			if _, err = h.Grants.Redeem(h.ctx, h.redemption(g)); !errors.Is(err, storage.ErrReused) {
				h.Fatalf("the right redemption after %s: got error %v, want reuse", name, err)
			}
			h.dead(g)
		}
		equal(h, "events", h.events("grant.revoked"), 6)
	}},
	// RFC 9700 §4.8.2: a verifier for a code without a challenge is a downgrade.
	{"a verifier for a code without a challenge is a mismatch", func(h *house) {
		u, s := h.scene()
		exception := func(g *storage.Grant) { g.CodeChallenge, g.NonceInsteadOfPKCE = "", true }
		g := h.grant("g", u, "app", s, exception)
		_, err := h.Grants.Redeem(h.ctx, h.redemption(g))
		h.refused(storage.ErrMismatch, err)
		h.dead(g)
		r := h.redemption(h.grant("g2", u, "app", s, exception))
		r.Challenge = ""
		_, err = h.Grants.Redeem(h.ctx, r)
		h.must(err)
	}},
	{"AC-060 a code is good for its time, and not at its end", func(h *house) {
		u, s := h.scene()
		r := h.redemption(h.grant("late", u, "app", s))
		for _, at := range []time.Duration{codeLifetime, codeLifetime + time.Second} {
			r.Now = h.after(at)
			_, err := h.Grants.Redeem(h.ctx, r)
			h.refused(storage.ErrExpired, err)
		}
		equal(h, "grant live", h.live("late"), true)
		r = h.redemption(h.grant("last", u, "app", s))
		r.Now = h.after(codeLifetime - time.Millisecond)
		_, err := h.Grants.Redeem(h.ctx, r)
		h.must(err)
	}},
	{"a code that nobody was given is not found", func(h *house) {
		u, s := h.scene()
		g := h.grant("g", u, "app", s)
		for _, c := range []storage.Digest{{}, code("other"), storage.NewDigest(storage.RefreshSecret, "g")} {
			r := h.redemption(g)
			r.Code = c
			_, err := h.Grants.Redeem(h.ctx, r)
			h.refused(storage.ErrNotFound, err)
		}
		_, err := h.Grants.Redeem(h.ctx, h.redemption(g))
		h.must(err)
	}},
}
