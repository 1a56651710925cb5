package storagetest

import (
	"sync"
	"time"

	"gatehouse/storage"
)

var refreshStories = []story{
	{"a rotation moves the row by one generation", func(h *house) {
		u, s := h.scene()
		g := h.redeemed("g", u, "app", s)
		for generation := 1; generation <= 3; generation++ {
			now := h.after(time.Duration(generation) * time.Hour)
			got, err := h.Grants.Rotate(h.ctx, h.rotation(g, generation, now))
			h.must(err)
			equal(h, "successor", got.Successor, 0)
			equal(h, "repeated", got.Repeated, false)
			equal(h, "generation", got.Grant.Generation, int64(generation+1))
			h.sameInstant("RotatedAt", got.Grant.RotatedAt, now)
			h.sameInstant("RefreshIdleExpiresAt", got.Grant.RefreshIdleExpiresAt, now.Add(idle))
		}
	}},
	{"a refresh token ends at its idle time, and at its absolute time", func(h *house) {
		u, s := h.scene()
		g := h.redeemed("g", u, "app", s, offline)
		end := h.after(time.Second).Add(idle)
		_, err := h.Grants.Rotate(h.ctx, h.rotation(g, 1, end))
		h.refused(storage.ErrExpired, err)
		generation := 1
		for now := end.Add(-time.Millisecond); now.Before(h.after(absolute)); now = now.Add(idle - time.Millisecond) {
			got, err := h.Grants.Rotate(h.ctx, h.rotation(g, generation, now))
			h.must(err)
			if got.Grant.RefreshIdleExpiresAt.After(h.after(absolute)) {
				h.Fatalf("the token lives until %v", got.Grant.RefreshIdleExpiresAt)
			}
			generation++
		}
		_, err = h.Grants.Rotate(h.ctx, h.rotation(g, generation, h.after(absolute)))
		h.refused(storage.ErrExpired, err)
		got, err := h.Grants.Get(h.ctx, "g")
		h.must(err)
		equal(h, "revoked by coming late", !got.RevokedAt.IsZero(), false)
	}},
	{"what was never issued is not found, and changes nothing", func(h *house) {
		u, s := h.scene()
		g := h.redeemed("g", u, "app", s)
		wrong := func(change func(*storage.Rotation)) storage.Rotation {
			r := h.rotation(g, 1, h.after(time.Minute))
			change(&r)
			return r
		}
		for name, r := range map[string]storage.Rotation{
			"an unknown handle":        wrong(func(r *storage.Rotation) { r.Handle = "handle-other" }),
			"an empty handle":          wrong(func(r *storage.Rotation) { r.Handle = "" }),
			"another secret":           wrong(func(r *storage.Rotation) { r.Presented = refresh("other", 1) }),
			"no secret":                wrong(func(r *storage.Rotation) { r.Presented = storage.Digest{} }),
			"a generation to come":     h.rotation(g, 2, h.after(time.Minute)),
			"this secret, a later one": wrong(func(r *storage.Rotation) { r.Generation = 7 }),
		} {
			if _, err := h.Grants.Rotate(h.ctx, r); !isNotFound(err) {
				h.Fatalf("%s: got error %v, want not found", name, err)
			}
		}
		_, err := h.Grants.Rotate(h.ctx, h.rotation(g, 1, h.after(time.Minute)))
		h.must(err)
	}},
	{"another client's token is a mismatch, and changes nothing", func(h *house) {
		u, s := h.scene()
		h.relyingParty("thief")
		g := h.redeemed("g", u, "app", s)
		for _, generation := range []int{1, 0} {
			r := h.rotation(g, generation, h.after(time.Hour))
			r.ClientID = "thief"
			_, err := h.Grants.Rotate(h.ctx, r)
			h.refused(storage.ErrMismatch, err)
		}
		_, err := h.Grants.Rotate(h.ctx, h.rotation(g, 1, h.after(time.Hour)))
		h.must(err)
	}},
	{"within the grace the token just replaced gets the same answer", func(h *house) {
		u, s := h.scene()
		g := h.redeemed("g", u, "app", s)
		rotated := h.after(time.Hour)
		_, err := h.Grants.Rotate(h.ctx, h.rotation(g, 1, rotated))
		h.must(err)
		for _, late := range []time.Duration{0, time.Second, time.Minute - time.Millisecond} {
			got, err := h.Grants.Rotate(h.ctx, h.rotation(g, 1, rotated.Add(late)))
			h.must(err)
			equal(h, "repeated", got.Repeated, true)
			equal(h, "successor", got.Successor, 0)
			equal(h, "generation", got.Grant.Generation, 2)
			h.sameInstant("RotatedAt", got.Grant.RotatedAt, rotated)
		}
		got, err := h.Grants.Rotate(h.ctx, h.rotation(g, 2, rotated.Add(time.Minute)))
		h.must(err)
		equal(h, "the successor repeated", got.Repeated, false)
		equal(h, "events", h.events("grant.revoked"), 0)
	}},
	{"the successor is found under whichever key derived it", func(h *house) {
		u, s := h.scene()
		g := h.redeemed("g", u, "app", s)
		now := h.after(time.Hour)
		r := h.rotation(g, 1, now)
		_, err := h.Grants.Rotate(h.ctx, r)
		h.must(err)
		fresh, stored := refresh("new key", 2), refresh("g", 2)
		for _, c := range []struct {
			successors []storage.Digest
			want       int
		}{
			{[]storage.Digest{stored, fresh}, 0},
			{[]storage.Digest{fresh, stored}, 1},
			{[]storage.Digest{fresh}, -1},
		} {
			r.Successors = c.successors
			got, err := h.Grants.Rotate(h.ctx, r)
			h.must(err)
			equal(h, "repeated", got.Repeated, true)
			equal(h, "successor", got.Successor, c.want)
		}
		// What was not stored was not issued either.
		_, err = h.Grants.Rotate(h.ctx, storage.Rotation{
			Handle: handle("g"), Generation: 2, Presented: fresh, Successors: []storage.Digest{fresh}, ClientID: "app", Now: now,
		})
		h.refused(storage.ErrNotFound, err)
		equal(h, "grant live", h.live("g"), true)
	}},
	{"after the grace a replaced token ends its grant, and no other", func(h *house) {
		u, s := h.scene()
		other := h.redeemed("other", u, "app", s)
		for id, rotations := range map[string]int{"one-late": 1, "two-late": 2, "five-late": 5} {
			g := h.redeemed(id, u, "app", s)
			for generation := 1; generation <= rotations; generation++ {
				_, err := h.Grants.Rotate(h.ctx, h.rotation(g, generation, h.after(time.Hour)))
				h.must(err)
			}
			late := h.after(time.Hour)
			if rotations == 1 { // else the generation alone is too old, however soon it comes
				late = late.Add(time.Minute)
			}
			_, err := h.Grants.Rotate(h.ctx, h.rotation(g, 1, late))
			h.refused(storage.ErrReused, err)
			_, err = h.Grants.Rotate(h.ctx, h.rotation(g, rotations+1, late))
			h.refused(storage.ErrNotFound, err)
			h.dead(g)
		}
		equal(h, "events", h.events("grant.revoked"), 3)
		_, err := h.Grants.Rotate(h.ctx, h.rotation(other, 1, h.after(time.Hour)))
		h.must(err)
	}},
	{"a secret that was never the one of its old generation is reuse", func(h *house) {
		u, s := h.scene()
		g := h.redeemed("g", u, "app", s)
		_, err := h.Grants.Rotate(h.ctx, h.rotation(g, 1, h.after(time.Hour)))
		h.must(err)
		r := h.rotation(g, 1, h.after(time.Hour))
		r.Presented = refresh("forged", 1)
		_, err = h.Grants.Rotate(h.ctx, r)
		h.refused(storage.ErrReused, err)
		h.dead(g)
	}},
	{"without a grace nothing is answered twice", func(h *house) {
		u, s := h.scene()
		for id, late := range map[string]time.Duration{"at-once": 0, "by-a-slow-clock": -time.Second, "later": time.Second} {
			g := h.redeemed(id, u, "app", s)
			r := h.rotation(g, 1, h.after(time.Hour))
			r.Grace = 0
			_, err := h.Grants.Rotate(h.ctx, r)
			h.must(err)
			r.Now = r.Now.Add(late)
			_, err = h.Grants.Rotate(h.ctx, r)
			h.refused(storage.ErrReused, err)
			h.dead(g)
		}
	}},
	{"32 rotations of one token at once: one successor, the row moves once", func(h *house) {
		u, s := h.scene()
		g := h.redeemed("g", u, "app", s)
		var mu sync.Mutex
		first := 0
		errs := race(32, func(i int) error {
			// Each node lists its keys in its own order.
			r := h.rotation(g, 1, h.after(time.Hour))
			r.Successors = []storage.Digest{refresh("g", 2), refresh("other key", 2)}
			if i%2 == 1 {
				r.Successors[0], r.Successors[1] = r.Successors[1], r.Successors[0]
			}
			got, err := h.Grants.Rotate(h.ctx, r)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			if !got.Repeated {
				first++
			}
			if got.Grant.Generation != 2 {
				h.Errorf("generation is %d", got.Grant.Generation)
			}
			return nil
		})
		h.tally(errs, map[error]int{nil: 32})
		equal(h, "rotations that moved the row", first, 1)
		equal(h, "events", h.events("grant.revoked"), 0)
		// All were given the one that is stored: the other was never issued.
		good := 0
		for _, key := range []string{"g", "other key"} {
			r := h.rotation(g, 2, h.after(2*time.Hour))
			r.Presented = refresh(key, 2)
			if _, err := h.Grants.Rotate(h.ctx, r); err == nil {
				good++
			}
		}
		equal(h, "successors that are good", good, 1)
	}},
	{"32 late rotations at once: all are reuse, the grant is revoked once", func(h *house) {
		u, s := h.scene()
		g := h.redeemed("g", u, "app", s)
		_, err := h.Grants.Rotate(h.ctx, h.rotation(g, 1, h.after(time.Hour)))
		h.must(err)
		errs := race(32, func(int) error {
			_, err := h.Grants.Rotate(h.ctx, h.rotation(g, 1, h.after(2*time.Hour)))
			return err
		})
		h.tally(errs, map[error]int{storage.ErrReused: 32})
		h.dead(g)
		equal(h, "events", h.events("grant.revoked"), 1)
	}},
	{"revoking and refreshing at once leaves nothing alive", func(h *house) {
		u, s := h.scene()
		for range 10 {
			id := time.Now().Format("150405.000000000")
			g := h.redeemed(id, u, "app", s)
			race(8, func(i int) error {
				if i == 0 {
					return h.Grants.Revoke(h.ctx, id, h.after(time.Hour), nil)
				}
				_, err := h.Grants.Rotate(h.ctx, h.rotation(g, 1, h.after(time.Hour)))
				return err
			})
			h.dead(g)
		}
	}},
}
