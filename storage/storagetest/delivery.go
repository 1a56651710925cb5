package storagetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"gatehouse/storage"
)

// listener stores a client that is told of sign-outs.
func (h *house) listener(id string) *storage.Client {
	h.Helper()
	c := &storage.Client{ID: id, CreatedAt: h.now, UpdatedAt: h.now,
		Metadata: storage.ClientMetadata{ClientName: id, BackchannelLogoutURI: "https://" + id + ".example/logout"}}
	h.must(h.Clients.Create(h.ctx, c, nil))
	return c
}

// queued lists what is queued for these sessions, as client@session.
func (h *house) queued(sessions ...string) (all []string) {
	h.Helper()
	for _, id := range sessions {
		ds, err := h.Deliveries.ListBySession(h.ctx, id)
		h.must(err)
		for _, d := range ds {
			all = append(all, d.ClientID+"@"+d.SessionID)
		}
	}
	slices.Sort(all)
	return all
}

// tells ends the test unless exactly this is queued for the sessions.
func (h *house) tells(sessions []string, want ...string) {
	h.Helper()
	if d := cmp.Diff(want, h.queued(sessions...), cmpopts.EquateEmpty()); d != "" {
		h.Fatalf("wanted (-) and queued (+) differ:\n%s", d)
	}
}

// twoDevices is alice on two devices, with grants of several clients: "deaf"
// has no back-channel logout URI, "elsewhere" no grant of the laptop.
func (h *house) twoDevices() (u *storage.User, laptop, phone *storage.Session) {
	h.Helper()
	u = h.account("alice")
	h.relyingParty("deaf")
	for _, id := range []string{"app", "mail", "elsewhere", "nobodys"} {
		h.listener(id)
	}
	laptop, phone = h.signIn(u, "laptop"), h.signIn(u, "phone")
	h.redeemed("app1", u, "app", laptop)
	h.redeemed("app2", u, "app", laptop)
	h.redeemed("mail1", u, "mail", laptop, offline)
	h.redeemed("deaf1", u, "deaf", laptop)
	h.redeemed("app3", u, "app", phone)
	h.redeemed("elsewhere1", u, "elsewhere", phone)
	return u, laptop, phone
}

var devices = []string{"laptop", "phone"}

// signedOut queues one delivery, for "app" and session "laptop".
func (h *house) signedOut() *storage.Delivery {
	h.Helper()
	u := h.account("alice")
	h.listener("app")
	h.redeemed("g", u, "app", h.signIn(u, "laptop"))
	h.must(h.Sessions.End(h.ctx, "laptop", h.now, nil))
	return h.onlyDelivery()
}

func (h *house) onlyDelivery() *storage.Delivery {
	h.Helper()
	all, err := h.Deliveries.ListBySession(h.ctx, "laptop")
	h.must(err)
	equal(h, "deliveries", len(all), 1)
	return all[0]
}

const lease = 30 * time.Second

// claims takes what is due d after the beginning.
func (h *house) claims(d time.Duration, limit int) []*storage.Delivery {
	h.Helper()
	all, err := h.Deliveries.Claim(h.ctx, h.after(d), lease, limit)
	h.must(err)
	return all
}

var deliveryStories = []story{
	{"the end of a session is queued once for each client that has grants of it and can be told", func(h *house) {
		h.twoDevices()
		h.must(h.Sessions.End(h.ctx, "laptop", h.now, nil))
		h.tells(devices, "app@laptop", "mail@laptop")
		h.must(h.Sessions.End(h.ctx, "laptop", h.after(time.Minute), nil))
		h.must(h.Sessions.End(h.ctx, "never", h.now, nil))
		h.tells(devices, "app@laptop", "mail@laptop")
	}},
	{"a delivery begins due at once, and says whose session it was", func(h *house) {
		d := h.signedOut()
		want := &storage.Delivery{ID: d.ID, ClientID: "app", UserID: "user-alice", SessionID: "laptop",
			State: storage.Waiting, CreatedAt: h.now, DueAt: h.now}
		if diff := cmp.Diff(want, d, cmpopts.EquateApproxTime(0)); diff != "" || d.ID == "" {
			h.Fatalf("wanted (-) and queued (+) differ:\n%s", diff)
		}
	}},
	{"a client whose grants were revoked is told too: it may have a session of its own", func(h *house) {
		h.twoDevices()
		h.must(h.Grants.Revoke(h.ctx, "mail1", h.now, nil))
		h.tells(devices)
		h.must(h.Sessions.End(h.ctx, "laptop", h.now, nil))
		h.tells(devices, "app@laptop", "mail@laptop")
	}},
	{"so it is where all of a user's sessions end", func(h *house) {
		u, _, _ := h.twoDevices()
		h.must(h.Grants.Revoke(h.ctx, "mail1", h.now, nil))
		h.must(h.Users.Disable(h.ctx, u.ID, h.after(time.Second), nil))
		h.tells(devices, "app@laptop", "app@phone", "elsewhere@phone", "mail@laptop")
	}},
	{"whoever signs in over another's session ends it for the clients", func(h *house) {
		h.twoDevices()
		s := h.newSession(h.account("bob"), "bobs")
		h.must(h.Sessions.Begin(h.ctx, s, cookie("bobs"), cookie("laptop"), browser("laptop"), nil))
		h.tells([]string{"laptop", "phone", "bobs"}, "app@laptop", "mail@laptop")
	}},
	{"signing in again tells nobody anything", func(h *house) {
		u, _, _ := h.twoDevices()
		h.must(h.Sessions.Begin(h.ctx, h.newSession(u, "again"), cookie("again"), cookie("laptop"), browser("laptop"), nil))
		h.tells([]string{"laptop", "phone", "again"})
	}},
	{"whatever ends all of a user's sessions tells the clients of each", func(h *house) {
		acts := map[string]func(id string) error{
			"disabled":    func(id string) error { return h.Users.Disable(h.ctx, id, h.after(time.Hour), nil) },
			"invalidated": func(id string) error { return h.Users.Invalidate(h.ctx, id, h.after(time.Hour), nil) },
			"deleted":     func(id string) error { return h.Users.Delete(h.ctx, id, h.after(time.Hour), nil) },
			"password": func(id string) error {
				return h.Credentials.SetPassword(h.ctx, storage.Password{UserID: id, Hash: "new", ChangedAt: h.after(time.Hour)}, nil)
			},
		}
		h.listener("app")
		h.listener("mail")
		for name, act := range acts {
			u := h.account(name)
			laptop, phone := h.signIn(u, name+"-laptop"), h.signIn(u, name+"-phone")
			h.redeemed(name+"1", u, "app", laptop)
			h.redeemed(name+"2", u, "mail", laptop)
			h.redeemed(name+"3", u, "mail", phone)
			h.must(act(u.ID))
			h.tells([]string{laptop.ID, phone.ID}, "app@"+laptop.ID, "mail@"+laptop.ID, "mail@"+phone.ID)
		}
	}},
	{"offline access that outlived its session is taken back with the client told", func(h *house) {
		u, _, _ := h.twoDevices()
		h.must(h.Sessions.End(h.ctx, "laptop", h.now, nil))
		h.must(h.Users.Disable(h.ctx, u.ID, h.after(time.Minute), nil))
		h.tells(devices, "app@laptop", "app@phone", "elsewhere@phone", "mail@laptop", "mail@laptop")
	}},
	{"a disabled client is told that it has nobody any more, and nobody else is", func(h *house) {
		h.twoDevices()
		c, err := h.Clients.Get(h.ctx, "app")
		h.must(err)
		c.DisabledAt = h.now
		h.must(h.Clients.Update(h.ctx, c, h.now, nil))
		h.tells(devices, "app@laptop", "app@phone")
		h.must(h.Clients.Update(h.ctx, c, h.now, nil))
		h.tells(devices, "app@laptop", "app@phone")
	}},
	{"a client is told from when it has a URI until it has none", func(h *house) {
		h.twoDevices()
		for id, uri := range map[string]string{"app": "", "deaf": "https://deaf.example/logout"} {
			c, err := h.Clients.Get(h.ctx, id)
			h.must(err)
			c.Metadata.BackchannelLogoutURI = uri
			h.must(h.Clients.Update(h.ctx, c, h.now, nil))
		}
		h.must(h.Sessions.End(h.ctx, "laptop", h.now, nil))
		h.tells(devices, "deaf@laptop", "mail@laptop")
	}},
	{"an act that is refused queues nothing", func(h *house) {
		admin := h.administrator("root")
		h.listener("app")
		h.redeemed("g", admin, "app", h.signIn(admin, "laptop"))
		h.refused(storage.ErrLastAdmin, h.Users.Disable(h.ctx, admin.ID, h.now, nil))
		h.refused(storage.ErrLastAdmin, h.Users.Delete(h.ctx, admin.ID, h.now, nil))
		h.tells(devices)
		equal(h, "open", h.signedIn("laptop", h.now), true)
	}},
	{"a client with nothing but an old code is told, however long ago that was", func(h *house) {
		u := h.account("alice")
		h.listener("app")
		h.relyingParty("deaf")
		s := h.signIn(u, "laptop")
		short := func(g *storage.Grant) { g.RefreshIdle, g.RefreshExpiresAt = 0, time.Time{} }
		h.redeemed("g", u, "app", s, short)
		h.redeemed("d", u, "deaf", s, short)
		h.sweepAt(7 * time.Hour)
		_, err := h.Grants.Get(h.ctx, "d")
		h.refused(storage.ErrNotFound, err)
		h.must(h.Sessions.End(h.ctx, "laptop", h.after(7*time.Hour), nil))
		h.tells(devices, "app@laptop")
		h.sweepAt(8 * time.Hour)
		_, err = h.Grants.Get(h.ctx, "g")
		h.refused(storage.ErrNotFound, err)
	}},
	{"what is claimed is nobody else's until its lease is over", func(h *house) {
		h.signedOut()
		first := h.claims(0, 10)
		equal(h, "claimed", len(first), 1)
		equal(h, "tries", first[0].Tries, 1)
		h.sameInstant("DueAt", first[0].DueAt, h.after(lease))
		equal(h, "claimed at once", len(h.claims(0, 10)), 0)
		equal(h, "claimed within the lease", len(h.claims(lease-time.Millisecond, 10)), 0)
		second := h.claims(lease, 10)
		equal(h, "claimed after the lease", len(second), 1)
		equal(h, "tries", second[0].Tries, 2)
	}},
	{"of many workers one gets it", func(h *house) {
		u := h.account("alice")
		for i := range 8 {
			id := fmt.Sprint("app", i)
			h.listener(id)
		}
		s := h.signIn(u, "laptop")
		for i := range 8 {
			id := fmt.Sprint("app", i)
			h.redeemed("g"+id, u, id, s)
		}
		h.must(h.Sessions.End(h.ctx, "laptop", h.now, nil))
		got := make([][]*storage.Delivery, 16)
		for _, err := range race(len(got), func(i int) (err error) {
			got[i], err = h.Deliveries.Claim(h.ctx, h.now, lease, 3)
			return err
		}) {
			h.must(err)
		}
		seen := make(map[string]int)
		for _, d := range slices.Concat(got...) {
			seen[d.ID]++
		}
		for id, n := range seen {
			if n != 1 {
				h.Fatalf("%s was claimed %d times", id, n)
			}
		}
		rest := h.claims(0, 100)
		equal(h, "claimed in all", len(seen)+len(rest), 8)
	}},
	{"a claim takes at most what it asks for, longest due first", func(h *house) {
		u := h.account("alice")
		h.listener("app")
		for i := range 5 {
			id := fmt.Sprint("s", i)
			h.redeemed("g"+id, u, "app", h.signIn(u, id))
			h.must(h.Sessions.End(h.ctx, id, h.after(time.Duration(i)*time.Second), nil))
		}
		equal(h, "due", len(h.claims(-time.Second, 10)), 0)
		first := h.claims(10*time.Second, 2)
		equal(h, "claimed", len(first), 2)
		for _, d := range first {
			if d.SessionID != "s0" && d.SessionID != "s1" {
				h.Fatalf("%s was claimed first", d.SessionID)
			}
		}
		equal(h, "the rest", len(h.claims(10*time.Second, 10)), 3)
	}},
	{"what was tried before does not keep what is new from being claimed", func(h *house) {
		u := h.account("alice")
		h.listener("app")
		for i := range 3 {
			id := fmt.Sprint("s", i)
			h.redeemed("g"+id, u, "app", h.signIn(u, id))
		}
		h.must(h.Sessions.End(h.ctx, "s0", h.now, nil))
		h.must(h.Sessions.End(h.ctx, "s1", h.now, nil))
		equal(h, "claimed", len(h.claims(0, 10)), 2)
		h.must(h.Sessions.End(h.ctx, "s2", h.after(lease), nil))
		got := h.claims(lease, 1)
		equal(h, "claimed", len(got), 1)
		equal(h, "session", got[0].SessionID, "s2")
	}},
	{"a failed attempt waits for its time", func(h *house) {
		h.signedOut()
		d := h.claims(0, 10)[0]
		h.must(h.Deliveries.Settle(h.ctx, storage.Attempt{ID: d.ID, Tries: d.Tries, State: storage.Waiting,
			Status: 503, Error: "busy", At: h.after(time.Second), DueAt: h.after(time.Minute)}, nil))
		equal(h, "claimed before", len(h.claims(time.Minute-time.Millisecond, 10)), 0)
		again := h.claims(time.Minute, 10)
		equal(h, "claimed", len(again), 1)
		equal(h, "tries", again[0].Tries, 2)
		equal(h, "status", again[0].LastStatus, 503)
		equal(h, "error", again[0].LastError, "busy")
	}},
	{"a finished one is a receipt, and is never claimed again", func(h *house) {
		h.signedOut()
		d := h.claims(0, 10)[0]
		done := storage.Attempt{ID: d.ID, Tries: d.Tries, State: storage.Delivered, Status: 204, At: h.after(time.Second)}
		h.must(h.Deliveries.Settle(h.ctx, done, h.event("logout.delivered")))
		equal(h, "claimed", len(h.claims(day, 10)), 0)
		got := h.onlyDelivery()
		equal(h, "state", got.State, storage.Delivered)
		equal(h, "status", got.LastStatus, 204)
		h.sameInstant("FinishedAt", got.FinishedAt, h.after(time.Second))
		h.refused(storage.ErrConflict, h.Deliveries.Settle(h.ctx, done, h.event("logout.delivered")))
		equal(h, "events", h.events("logout.delivered"), 1)
	}},
	{"a worker whose lease was lost decides nothing", func(h *house) {
		h.signedOut()
		late, now := h.claims(0, 10)[0], h.claims(lease, 10)[0]
		h.refused(storage.ErrConflict, h.Deliveries.Settle(h.ctx,
			storage.Attempt{ID: late.ID, Tries: late.Tries, State: storage.Undelivered, At: h.after(lease)}, h.event("logout.undelivered")))
		equal(h, "events", h.events("logout.undelivered"), 0)
		h.must(h.Deliveries.Settle(h.ctx, storage.Attempt{ID: now.ID, Tries: now.Tries, State: storage.Delivered, Status: 200, At: h.after(lease)}, nil))
		h.refused(storage.ErrConflict, h.Deliveries.Settle(h.ctx, storage.Attempt{ID: "unknown", Tries: 1, State: storage.Delivered, At: h.now}, nil))
	}},
	{"a deleted client is told nothing more", func(h *house) {
		h.signedOut()
		h.must(h.Clients.Delete(h.ctx, "app", h.now, nil))
		h.tells(devices)
		equal(h, "claimed", len(h.claims(0, 10)), 0)
	}},
	{"receipts leave after a month; what waits stays", func(h *house) {
		h.signedOut()
		h.sweepAt(90 * day)
		d := h.claims(90*day, 10)[0]
		h.must(h.Deliveries.Settle(h.ctx, storage.Attempt{ID: d.ID, Tries: d.Tries, State: storage.Delivered, Status: 200, At: h.after(90 * day)}, nil))
		h.sweepAt(119 * day)
		equal(h, "receipts", len(h.queued("laptop")), 1)
		h.sweepAt(121 * day)
		equal(h, "receipts", len(h.queued("laptop")), 0)
	}},
}
