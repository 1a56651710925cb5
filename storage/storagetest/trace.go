package storagetest

import (
	"time"

	"gatehouse/storage"
)

var traceStories = []story{
	{"what is over leaves a trace, and a trace revives nothing", func(h *house) {
		u, s := h.scene()
		g := h.redeemed("g", u, "app", s)
		token := h.opaque("one", g.ID, "app")
		_, err := h.Grants.Rotate(h.ctx, h.rotation(g, 1, h.after(2*time.Second)))
		h.must(err)
		h.must(h.Revocations.RevokeToken(h.ctx, "one", h.after(3*time.Second), h.after(time.Hour), nil))
		h.must(h.Sessions.End(h.ctx, s.ID, h.after(4*time.Second), nil))

		found, err := h.Traces.AccessToken(h.ctx, token)
		h.must(err)
		equal(h, "token", found.ID, "one")
		equal(h, "its grant", found.Grant, "g")
		equal(h, "found as a good one", h.found(token, 5*time.Second), false)
		at, err := h.Traces.Revoked(h.ctx, "one")
		h.must(err)
		h.sameInstant("revoked at", at, h.after(3*time.Second))
		session, err := h.Traces.Session(h.ctx, s.ID)
		h.must(err)
		h.sameInstant("session ended at", session.EndedAt, h.after(4*time.Second))
		h.sameInstant("session expires at", session.ExpiresAt, s.ExpiresAt)
		family, err := h.Traces.Refresh(h.ctx, handle("g"))
		h.must(err)
		equal(h, "generation", family.Grant.Generation, 2)
		equal(h, "current", family.Current, refresh("g", 2))
		equal(h, "before", family.Before, refresh("g", 1))
		h.sameInstant("grant revoked at", family.Grant.RevokedAt, h.after(4*time.Second))
	}},
	{"a session that goes on has no end, and a first refresh token replaced none", func(h *house) {
		u, s := h.scene()
		h.redeemed("g", u, "app", s)
		session, err := h.Traces.Session(h.ctx, s.ID)
		h.must(err)
		equal(h, "ended", session.EndedAt.IsZero(), true)
		family, err := h.Traces.Refresh(h.ctx, handle("g"))
		h.must(err)
		equal(h, "before", family.Before, storage.Digest{})
	}},
	{"the newest event of a name about a subject is found", func(h *house) {
		for i, subject := range []string{"a", "a", "b"} {
			h.must(h.Events.Append(h.ctx, storage.NewEvent(h.ctx, h.after(time.Duration(i)*time.Second), "key.deleted", subject)))
		}
		h.must(h.Events.Append(h.ctx, storage.NewEvent(h.ctx, h.after(time.Hour), "key.created", "a")))
		e, err := h.Traces.Event(h.ctx, "key.deleted", "a")
		h.must(err)
		h.sameInstant("at", e.At, h.after(time.Second))
	}},
	{"what was never there left no trace", func(h *house) {
		_, err := h.Traces.AccessToken(h.ctx, h.secret(storage.AccessSecret, "never"))
		h.refused(storage.ErrNotFound, err)
		_, err = h.Traces.Refresh(h.ctx, handle("never"))
		h.refused(storage.ErrNotFound, err)
		_, err = h.Traces.Session(h.ctx, "never")
		h.refused(storage.ErrNotFound, err)
		_, err = h.Traces.Revoked(h.ctx, "never")
		h.refused(storage.ErrNotFound, err)
		_, err = h.Traces.Event(h.ctx, "never", "never")
		h.refused(storage.ErrNotFound, err)
	}},
}
