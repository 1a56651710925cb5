package storagetest

import (
	"fmt"
	"time"

	"gatehouse/storage"
)

// sweepAt removes what is over d after the beginning.
func (h *house) sweepAt(d time.Duration) { h.Helper(); h.must(h.sweep(h.ctx, h.after(d))) }

const day = 24 * time.Hour

var sweepStories = []story{
	{"what lives is not swept", func(h *house) {
		h.withEverything("alice")
		link := h.issue("link")
		h.parked("r", browser("b"))
		h.try("k", policy, 0)
		h.sweepAt(59 * time.Second)
		h.nothingEnded("alice")
		h.must(h.Setup.Check(h.ctx, link, h.now))
		_, err := h.resume("r", browser("b"), time.Minute)
		h.must(err)
		equal(h, "failures", h.try("k", policy, 0).Failures, 2)
	}},
	{"a request that is over is known for two hours, and then gone", func(h *house) {
		h.parked("late", browser("b"))
		h.parked("spent", browser("b"))
		h.must(h.Flows.Take(h.ctx, "spent", h.now))
		h.sweepAt(2 * time.Hour)
		_, err := h.resume("late", browser("b"), 2*time.Hour)
		h.refused(storage.ErrExpired, err)
		_, err = h.resume("spent", browser("b"), 2*time.Hour)
		h.refused(storage.ErrReused, err)
		h.sweepAt(3 * time.Hour)
		for _, id := range []string{"late", "spent"} {
			_, err = h.resume(id, browser("b"), 3*time.Hour)
			h.refused(storage.ErrNotFound, err)
		}
	}},
	{"a spent code and a replaced token are recognised while anything they gave lives", func(h *house) {
		u, s := h.scene()
		online := h.redeemed("code", u, "app", s, func(g *storage.Grant) { g.RefreshIdle, g.RefreshExpiresAt = 0, time.Time{} })
		g := h.redeemed("refresh", u, "app", s)
		_, err := h.Grants.Rotate(h.ctx, h.rotation(g, 1, h.after(time.Minute)))
		h.must(err)
		h.sweepAt(codeLifetime + tokenLife - time.Second)
		_, err = h.Grants.Redeem(h.ctx, h.redemption(online))
		h.refused(storage.ErrReused, err)
		h.sweepAt(absolute - time.Second)
		_, err = h.Grants.Rotate(h.ctx, h.rotation(g, 1, h.after(absolute-time.Second)))
		h.refused(storage.ErrReused, err)
		h.sweepAt(absolute + tokenLife + day)
		for _, id := range []string{"code", "refresh"} {
			_, err = h.Grants.Get(h.ctx, id)
			h.refused(storage.ErrNotFound, err)
		}
	}},
	{"sessions, links, counters and browsers leave when they are of no more use", func(h *house) {
		u := h.account("alice")
		h.signIn(u, "s")
		link := h.issue("link")
		h.try("k", policy, 0)
		h.sweepAt(3 * 365 * day)
		equal(h, "open", h.signedIn("s", h.now), false)
		h.refused(storage.ErrNotFound, h.Setup.Check(h.ctx, link, h.now))
		equal(h, "failures", h.try("k", policy, 0).Failures, 1)
		known, err := h.Guesses.Known(h.ctx, u.ID, browser("s"))
		h.must(err)
		equal(h, "browser known", known, false)
		h.reread(u.ID) // people stay
	}},
	{"more than one batch leaves in one sweep", func(h *house) {
		for i := range 1100 {
			h.parked(fmt.Sprint("r", i), browser("b"))
		}
		h.sweepAt(2 * day)
		for _, i := range []int{0, 499, 500, 999, 1000, 1099} {
			_, err := h.resume(fmt.Sprint("r", i), browser("b"), 0)
			h.refused(storage.ErrNotFound, err)
		}
	}},
}
