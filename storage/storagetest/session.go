package storagetest

import (
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"gatehouse/storage"
)

var sessionStories = []story{
	{"a session comes back as it began, with its user", func(h *house) {
		u := h.account("alice")
		s := h.newSession(u, "s")
		h.must(h.Sessions.Begin(h.ctx, s, cookie("s"), storage.Digest{}, browser("b"), h.event("session.created")))
		got, who, err := h.Sessions.Find(h.ctx, cookie("s"), h.now)
		h.must(err)
		if d := cmp.Diff(s, got, cmpopts.EquateApproxTime(0)); d != "" {
			h.Fatalf("begun (-) and found (+) differ:\n%s", d)
		}
		if d := cmp.Diff(u, who, cmpopts.EquateApproxTime(0)); d != "" {
			h.Fatalf("stored (-) and found (+) user differ:\n%s", d)
		}
		equal(h, "events", h.events("session.created"), 1)
	}},
	{"nothing but the cookie opens a session", func(h *house) {
		h.signIn(h.account("alice"), "s")
		for _, d := range []storage.Digest{{}, cookie("other"), storage.NewDigest(storage.BrowserSecret, "s"), browser("s")} {
			_, _, err := h.Sessions.Find(h.ctx, d, h.now)
			h.refused(storage.ErrNotFound, err)
		}
	}},
	{"signing in again renews the cookie of the same session", func(h *house) {
		u := h.account("alice")
		h.relyingParty("app")
		old := h.signIn(u, "old")
		h.redeemed("g", u, "app", old)
		s := h.newSession(u, "other-id")
		s.AuthTime, s.ACR, s.AMR = h.after(time.Hour), "2", []string{"pwd", "otp"}
		s.CreatedAt, s.SeenAt = s.AuthTime, s.AuthTime
		h.must(h.Sessions.Begin(h.ctx, s, cookie("new"), cookie("old"), browser("old"), nil))
		equal(h, "id", s.ID, old.ID)
		h.sameInstant("CreatedAt", s.CreatedAt, old.CreatedAt)
		equal(h, "old cookie opens it", h.signedIn("old", h.after(time.Hour)), false)
		got, _, err := h.Sessions.Find(h.ctx, cookie("new"), h.after(time.Hour))
		h.must(err)
		equal(h, "id", got.ID, old.ID)
		equal(h, "acr", got.ACR, "2")
		equal(h, "amr", len(got.AMR), 2)
		h.sameInstant("AuthTime", got.AuthTime, h.after(time.Hour))
		h.sameInstant("CreatedAt", got.CreatedAt, old.CreatedAt)
		equal(h, "grant live", h.live("g"), true)
	}},
	{"signing in as somebody else ends the session that was there", func(h *house) {
		alice, bob := h.account("alice"), h.account("bob")
		h.relyingParty("app")
		old := h.signIn(alice, "old")
		h.redeemed("online", alice, "app", old)
		h.redeemed("offline", alice, "app", old, offline)
		s := h.newSession(bob, "new")
		h.must(h.Sessions.Begin(h.ctx, s, cookie("new"), cookie("old"), browser("old"), nil))
		equal(h, "id", s.ID, "new")
		equal(h, "old session open", h.signedIn("old", h.now), false)
		equal(h, "new session open", h.signedIn("new", h.now), true)
		equal(h, "grant live", h.live("online"), false)
		equal(h, "offline grant live", h.live("offline"), true)
	}},
	{"a session that is over does not go on under a new cookie", func(h *house) {
		u := h.account("alice")
		h.signIn(u, "ended")
		h.must(h.Sessions.End(h.ctx, "ended", h.now, nil))
		h.signIn(u, "idle")
		for _, previous := range []string{"ended", "idle", "never"} {
			s := h.newSession(u, "after-"+previous)
			s.AuthTime, s.CreatedAt = h.after(9*time.Hour), h.after(9*time.Hour)
			s.IdleExpiresAt, s.ExpiresAt = h.after(17*time.Hour), h.after(33*time.Hour)
			h.must(h.Sessions.Begin(h.ctx, s, cookie(s.ID), cookie(previous), browser("b"), nil))
			equal(h, "id", s.ID, "after-"+previous)
			equal(h, "open", h.signedIn(s.ID, h.after(9*time.Hour)), true)
		}
	}},
	{"who may not sign in begins nothing", func(h *house) {
		off, gone, stale := h.account("off"), h.account("gone"), h.account("stale")
		h.must(h.Users.Disable(h.ctx, off.ID, h.now, nil))
		off = h.reread(off.ID)
		h.must(h.Users.Delete(h.ctx, gone.ID, h.now, nil))
		h.must(h.Users.Invalidate(h.ctx, stale.ID, h.now, nil))
		for _, u := range []*storage.User{off, gone, stale} {
			err := h.Sessions.Begin(h.ctx, h.newSession(u, u.ID), cookie(u.ID), storage.Digest{}, browser(u.ID), h.event("session.created"))
			h.refused(storage.ErrNotFound, err)
			equal(h, "open", h.signedIn(u.ID, h.now), false)
			known, err := h.Guesses.Known(h.ctx, u.ID, browser(u.ID))
			h.must(err)
			equal(h, "browser known", known, false)
		}
		equal(h, "events", h.events("session.created"), 0)
	}},
	{"a session is open until its idle time, and until its whole time, and not at them", func(h *house) {
		u := h.account("alice")
		h.signIn(u, "s")
		equal(h, "open before", h.signedIn("s", h.after(8*time.Hour-time.Millisecond)), true)
		equal(h, "open at the end", h.signedIn("s", h.after(8*time.Hour)), false)
		for _, at := range []time.Duration{7, 14, 21} {
			h.must(h.Sessions.Touch(h.ctx, "s", h.after(at*time.Hour)))
		}
		got, _, err := h.Sessions.Find(h.ctx, cookie("s"), h.after(24*time.Hour-time.Millisecond))
		h.must(err)
		h.sameInstant("SeenAt", got.SeenAt, h.after(21*time.Hour))
		h.sameInstant("IdleExpiresAt", got.IdleExpiresAt, h.after(24*time.Hour))
		equal(h, "open after 24 h", h.signedIn("s", h.after(24*time.Hour)), false)
	}},
	{"touching wakes no session that is over", func(h *house) {
		u := h.account("alice")
		h.signIn(u, "idle")
		h.must(h.Sessions.Touch(h.ctx, "idle", h.after(9*time.Hour)))
		equal(h, "idle session open", h.signedIn("idle", h.after(9*time.Hour)), false)
		h.signIn(u, "ended")
		h.must(h.Sessions.End(h.ctx, "ended", h.now, nil))
		h.must(h.Sessions.Touch(h.ctx, "ended", h.after(time.Second)))
		equal(h, "ended session open", h.signedIn("ended", h.after(time.Second)), false)
	}},
	{"signing out ends the session and what lives with it, and nothing else", func(h *house) {
		u := h.account("alice")
		h.relyingParty("app")
		laptop, phone := h.signIn(u, "laptop"), h.signIn(u, "phone")
		g := h.redeemed("online", u, "app", laptop)
		h.redeemed("offline", u, "app", laptop, offline)
		h.redeemed("elsewhere", u, "app", phone)
		h.must(h.Sessions.End(h.ctx, "laptop", h.after(time.Second), h.event("session.ended")))
		equal(h, "laptop open", h.signedIn("laptop", h.after(time.Second)), false)
		equal(h, "phone open", h.signedIn("phone", h.after(time.Second)), true)
		equal(h, "grant live", h.live("online"), false)
		_, err := h.Grants.Rotate(h.ctx, h.rotation(g, 1, h.after(time.Minute)))
		h.refused(storage.ErrNotFound, err)
		equal(h, "offline grant live", h.live("offline"), true)
		equal(h, "grant of the phone live", h.live("elsewhere"), true)
		h.must(h.Sessions.End(h.ctx, "laptop", h.after(2*time.Second), nil))
		h.must(h.Sessions.End(h.ctx, "never", h.after(2*time.Second), nil))
		equal(h, "events", h.events("session.ended"), 1)
	}},
	{"a list has the user's open sessions", func(h *house) {
		u, bob := h.account("alice"), h.account("bob")
		h.signIn(bob, "bob")
		for _, id := range []string{"ended", "open", "touched"} {
			h.signIn(u, id)
		}
		h.must(h.Sessions.End(h.ctx, "ended", h.now, nil))
		h.must(h.Sessions.Touch(h.ctx, "touched", h.after(time.Hour)))
		ids := func(at time.Duration) (ids []string) {
			all, err := h.Sessions.ListByUser(h.ctx, u.ID, h.after(at))
			h.must(err)
			for _, s := range all {
				ids = append(ids, s.ID)
			}
			return ids
		}
		if got := ids(2 * time.Hour); !cmp.Equal(got, []string{"touched", "open"}) {
			h.Fatalf("listed %v", got)
		}
		if got := ids(8 * time.Hour); !cmp.Equal(got, []string{"touched"}) {
			h.Fatalf("listed %v", got)
		}
	}},
}
