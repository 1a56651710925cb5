package storagetest

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"gatehouse/storage"
)

const deviceLifetime = 10 * time.Minute

func deviceCode(id string) storage.Digest { return storage.NewDigest(storage.DeviceSecret, id) }

// waiting stores a device of the client "app" whose device code is
// deviceCode(userCode), changed by change.
func (h *house) waiting(userCode string, change ...func(*storage.DeviceRequest)) *storage.DeviceRequest {
	h.Helper()
	d := &storage.DeviceRequest{
		UserCode: userCode, ClientID: "app", Scopes: []string{"openid", "profile"}, Resources: []string{"https://api.example"},
		CreatedAt: h.now, ExpiresAt: h.after(deviceLifetime), Interval: 5 * time.Second, IP: "192.0.2.9", UserAgent: "tv/1",
	}
	for _, f := range change {
		f(d)
	}
	h.must(h.Devices.Create(h.ctx, d, deviceCode(userCode)))
	return d
}

// devicePoll presents the code of the device as it must be presented, d after
// the beginning; the grant that begins has the same name.
func (h *house) devicePoll(userCode string, d time.Duration) storage.DevicePoll {
	now := h.after(d)
	return storage.DevicePoll{
		Code: deviceCode(userCode), ClientID: "app", GrantID: userCode, TokenLifetime: tokenLife,
		RefreshIdle: idle, RefreshExpiresAt: now.Add(absolute), Handle: handle(userCode), Refresh: refresh(userCode, 1), Now: now,
	}
}

// polls ends the test unless a poll d after the beginning ends with want.
func (h *house) polls(userCode string, d time.Duration, want error) {
	h.Helper()
	_, err := h.Devices.Poll(h.ctx, h.devicePoll(userCode, d))
	if want == nil {
		h.must(err)
		return
	}
	h.refused(want, err)
}

// approve notes the yes of the session's user, a second after the beginning.
func (h *house) approve(userCode string, s *storage.Session) error {
	return h.Devices.Approve(h.ctx, userCode, s, nil, h.after(time.Second), h.event("device.approved"))
}

var deviceStories = []story{
	{"a device that waits is found by its user code until it was answered or its time is over", func(h *house) {
		_, s := h.scene()
		want := h.waiting("BCDFGHJK")
		got, err := h.Devices.Find(h.ctx, "BCDFGHJK", h.after(deviceLifetime-time.Millisecond))
		h.must(err)
		if d := cmp.Diff(want, got, cmpopts.EquateApproxTime(0)); d != "" {
			h.Fatalf("stored (-) and found (+) differ:\n%s", d)
		}
		_, err = h.Devices.Find(h.ctx, "BCDFGHJL", h.now)
		h.refused(storage.ErrNotFound, err)
		_, err = h.Devices.Find(h.ctx, "BCDFGHJK", h.after(deviceLifetime))
		h.refused(storage.ErrExpired, err)
		h.must(h.approve("BCDFGHJK", s))
		_, err = h.Devices.Find(h.ctx, "BCDFGHJK", h.now)
		h.refused(storage.ErrReused, err)
	}},
	{"a user code belongs to one device at a time", func(h *house) {
		_, s := h.scene()
		h.waiting("BCDFGHJK")
		h.must(h.approve("BCDFGHJK", s))
		h.polls("BCDFGHJK", time.Second, nil)
		second := &storage.DeviceRequest{UserCode: "BCDFGHJK", ClientID: "other", CreatedAt: h.after(time.Minute), ExpiresAt: h.after(11 * time.Minute)}
		h.refused(storage.ErrExists, h.Devices.Create(h.ctx, second, deviceCode("second")))
		second.CreatedAt = h.after(deviceLifetime)
		h.must(h.Devices.Create(h.ctx, second, deviceCode("second")))
		// Nothing of the first is left: no answer, and no way to it.
		got, err := h.Devices.Find(h.ctx, "BCDFGHJK", h.after(deviceLifetime))
		h.must(err)
		equal(h, "client", got.ClientID, "other")
		h.polls("BCDFGHJK", deviceLifetime, storage.ErrNotFound)
		p := h.devicePoll("BCDFGHJK", deviceLifetime)
		p.Code, p.ClientID = deviceCode("second"), "other"
		_, err = h.Devices.Poll(h.ctx, p)
		h.refused(storage.ErrPending, err)
	}},
	{"of 32 devices that draw one user code, one gets it", func(h *house) {
		h.relyingParty("app")
		errs := race(32, func(i int) error {
			d := &storage.DeviceRequest{UserCode: "BCDFGHJK", ClientID: "app", CreatedAt: h.now, ExpiresAt: h.after(deviceLifetime)}
			return h.Devices.Create(h.ctx, d, deviceCode(fmt.Sprint(i)))
		})
		h.tally(errs, map[error]int{nil: 1, storage.ErrExists: 31})
	}},
	{"AC-192 a device that does not wait must wait five seconds longer each time", func(h *house) {
		h.relyingParty("app")
		h.waiting("BCDFGHJK")
		for _, poll := range []struct {
			at   time.Duration
			want error
		}{
			{0, storage.ErrPending}, // the first may come at once
			{5 * time.Second, storage.ErrPending},
			{9 * time.Second, storage.ErrTooSoon},   // 10 s from now on
			{14 * time.Second, storage.ErrTooSoon},  // 15 s
			{28 * time.Second, storage.ErrTooSoon},  // 20 s
			{48 * time.Second, storage.ErrPending},  // good again,
			{68 * time.Second, storage.ErrPending},  // and never shorter
			{83 * time.Second, storage.ErrTooSoon},  // 25 s
			{108 * time.Second, storage.ErrPending}, //
		} {
			_, err := h.Devices.Poll(h.ctx, h.devicePoll("BCDFGHJK", poll.at))
			if !errors.Is(err, poll.want) {
				h.Fatalf("the poll after %v ended with %v, want %v", poll.at, err, poll.want)
			}
		}
		d, err := h.Devices.Find(h.ctx, "BCDFGHJK", h.now)
		h.must(err)
		equal(h, "interval", d.Interval, 25*time.Second)
	}},
	{"AC-192 of polls at once one is in time", func(h *house) {
		h.relyingParty("app")
		h.waiting("BCDFGHJK")
		errs := race(16, func(int) error {
			_, err := h.Devices.Poll(h.ctx, h.devicePoll("BCDFGHJK", time.Second))
			return err
		})
		h.tally(errs, map[error]int{storage.ErrPending: 1, storage.ErrTooSoon: 15})
	}},
	{"a yes gives a grant with the session's authentication and a first refresh token", func(h *house) {
		u, s := h.scene()
		h.waiting("BCDFGHJK")
		h.must(h.approve("BCDFGHJK", s))
		now := h.after(10 * time.Second)
		g, err := h.Devices.Poll(h.ctx, h.devicePoll("BCDFGHJK", 10*time.Second))
		h.must(err)
		want := &storage.Grant{
			ID: "BCDFGHJK", UserID: u.ID, ClientID: "app", SessionID: s.ID, Epoch: u.Epoch,
			Scopes: []string{"openid", "profile"}, Resources: []string{"https://api.example"},
			AuthTime: s.AuthTime, AMR: s.AMR, ACR: s.ACR, CreatedAt: now, TokenLifetime: tokenLife,
			RefreshIdle: idle, RefreshExpiresAt: now.Add(absolute), Handle: handle("BCDFGHJK"), Generation: 1,
			RotatedAt: now, RefreshIdleExpiresAt: now.Add(idle),
		}
		if d := cmp.Diff(want, g, cmpopts.EquateApproxTime(0)); d != "" {
			h.Fatalf("expected (-) and given (+) differ:\n%s", d)
		}
		equal(h, "live", h.live(g.ID), true)
		_, err = h.Grants.Rotate(h.ctx, h.rotation(g, 1, h.after(time.Minute)))
		h.must(err)
		equal(h, "events", h.events("device.approved"), 1)
	}},
	{"the idle end of a device's refresh token lies within its absolute end", func(h *house) {
		_, s := h.scene()
		h.waiting("BCDFGHJK")
		h.must(h.approve("BCDFGHJK", s))
		p := h.devicePoll("BCDFGHJK", time.Second)
		p.RefreshExpiresAt = h.after(time.Hour)
		g, err := h.Devices.Poll(h.ctx, p)
		h.must(err)
		h.sameInstant("RefreshIdleExpiresAt", g.RefreshIdleExpiresAt, h.after(time.Hour))
	}},
	{"a device without refresh gets none", func(h *house) {
		_, s := h.scene()
		for _, code := range []string{"BCDFGHJK", "BCDFGHJL"} { // two do not stand in each other's way
			h.waiting(code)
			h.must(h.approve(code, s))
			p := h.devicePoll(code, time.Second)
			p.RefreshIdle, p.RefreshExpiresAt = 0, time.Time{}
			g, err := h.Devices.Poll(h.ctx, p)
			h.must(err)
			equal(h, "handle", g.Handle, "")
			equal(h, "generation", g.Generation, 0)
			_, err = h.Grants.Rotate(h.ctx, h.rotation(g, 1, h.after(time.Minute)))
			h.refused(storage.ErrNotFound, err)
			equal(h, "live", h.live(code), true)
		}
		h.sweepAt(tokenLife)
		equal(h, "live until its last token ends", h.live("BCDFGHJK"), true)
		h.sweepAt(tokenLife + day)
		_, err := h.Grants.Get(h.ctx, "BCDFGHJK")
		h.refused(storage.ErrNotFound, err)
	}},
	{"AC-194 L7 an approved code is collected once, and a second time ends what it gave", func(h *house) {
		_, s := h.scene()
		h.waiting("BCDFGHJK")
		h.waiting("BCDFGHJL")
		for _, code := range []string{"BCDFGHJK", "BCDFGHJL"} {
			h.must(h.approve(code, s))
			h.polls(code, 2*time.Second, nil)
		}
		p := h.devicePoll("BCDFGHJK", 7*time.Second)
		p.GrantID, p.Handle = "second", "second"
		_, err := h.Devices.Poll(h.ctx, p)
		h.refused(storage.ErrReused, err)
		equal(h, "first grant live", h.live("BCDFGHJK"), false)
		equal(h, "other device's grant live", h.live("BCDFGHJL"), true)
		_, err = h.Grants.Get(h.ctx, "second")
		h.refused(storage.ErrNotFound, err)
		h.polls("BCDFGHJK", deviceLifetime, storage.ErrReused)
		equal(h, "events", h.events("grant.revoked"), 1)
	}},
	{"AC-194 of 32 polls at once one collects the answer, and the rest are replays", func(h *house) {
		_, s := h.scene()
		h.waiting("BCDFGHJK")
		h.must(h.approve("BCDFGHJK", s))
		errs := race(32, func(i int) error {
			p := h.devicePoll("BCDFGHJK", 2*time.Second)
			p.GrantID = fmt.Sprint("g", i)
			p.Handle = p.GrantID
			_, err := h.Devices.Poll(h.ctx, p)
			return err
		})
		h.tally(errs, map[error]int{nil: 1, storage.ErrReused: 31})
		all, err := h.Grants.ListByUser(h.ctx, "user-alice")
		h.must(err)
		equal(h, "live grants", len(all), 0)
		equal(h, "events", h.events("grant.revoked"), 1)
	}},
	{"AC-194 another client gets nothing and changes nothing", func(h *house) {
		_, s := h.scene()
		h.waiting("BCDFGHJK")
		thief := func(d time.Duration) {
			p := h.devicePoll("BCDFGHJK", d)
			p.ClientID = "thief"
			_, err := h.Devices.Poll(h.ctx, p)
			h.refused(storage.ErrMismatch, err)
		}
		h.polls("BCDFGHJK", 0, storage.ErrPending)
		thief(time.Second)
		h.polls("BCDFGHJK", 5*time.Second, storage.ErrPending) // not slowed down by it
		h.must(h.approve("BCDFGHJK", s))
		thief(6 * time.Second)
		h.polls("BCDFGHJK", 10*time.Second, nil)
		thief(11 * time.Second)
		equal(h, "live", h.live("BCDFGHJK"), true)
	}},
	{"AC-194 L7 an approved code is worth nothing at the end of its time", func(h *house) {
		_, s := h.scene()
		for _, code := range []string{"BCDFGHJK", "BCDFGHJL", "BCDFGHJM"} {
			h.waiting(code)
		}
		h.must(h.approve("BCDFGHJK", s))
		h.must(h.approve("BCDFGHJL", s))
		h.polls("BCDFGHJK", deviceLifetime-time.Millisecond, nil)
		h.polls("BCDFGHJL", deviceLifetime, storage.ErrExpired)
		h.polls("BCDFGHJM", deviceLifetime, storage.ErrExpired)
		h.polls("BCDFGHJN", 0, storage.ErrNotFound)
		_, err := h.Grants.Get(h.ctx, "BCDFGHJL")
		h.refused(storage.ErrNotFound, err)
	}},
	{"a device is answered once", func(h *house) {
		u, s := h.scene()
		h.waiting("BCDFGHJK")
		errs := race(16, func(i int) error {
			if i%2 == 0 {
				return h.approve("BCDFGHJK", s)
			}
			return h.Devices.Deny(h.ctx, "BCDFGHJK", u.ID, h.after(time.Second), h.event("device.denied"))
		})
		h.tally(errs, map[error]int{nil: 1, storage.ErrReused: 15})
		equal(h, "events", h.events("device.approved")+h.events("device.denied"), 1)
		_, err := h.Devices.Poll(h.ctx, h.devicePoll("BCDFGHJK", 2*time.Second))
		equal(h, "given where allowed", err == nil, h.events("device.approved") == 1)
	}},
	{"a no is told at every poll, and an answer that comes too late or for nobody is none", func(h *house) {
		u, s := h.scene()
		h.waiting("BCDFGHJK")
		h.must(h.Devices.Deny(h.ctx, "BCDFGHJK", u.ID, h.now, nil))
		h.polls("BCDFGHJK", time.Second, storage.ErrDenied)
		h.polls("BCDFGHJK", 2*time.Second, storage.ErrDenied)
		h.polls("BCDFGHJK", deviceLifetime, storage.ErrExpired)
		h.waiting("BCDFGHJL")
		h.refused(storage.ErrExpired, h.Devices.Approve(h.ctx, "BCDFGHJL", s, nil, h.after(deviceLifetime), nil))
		h.refused(storage.ErrExpired, h.Devices.Deny(h.ctx, "BCDFGHJL", u.ID, h.after(deviceLifetime), nil))
		h.refused(storage.ErrNotFound, h.approve("BCDFGHJM", s))
		h.refused(storage.ErrNotFound, h.Devices.Deny(h.ctx, "BCDFGHJM", u.ID, h.now, nil))
	}},
	{"a yes adds to what the person allowed the client", func(h *house) {
		u, s := h.scene()
		h.waiting("BCDFGHJK")
		c := &storage.Consent{UserID: u.ID, ClientID: "app", Scopes: []string{"openid", "profile"}, GrantedAt: h.now}
		h.must(h.Devices.Approve(h.ctx, "BCDFGHJK", s, c, h.now, nil))
		got, err := h.Consents.Get(h.ctx, u.ID, "app")
		h.must(err)
		if d := cmp.Diff(c, got, cmpopts.EquateApproxTime(0)); d != "" {
			h.Fatalf("allowed (-) and kept (+) differ:\n%s", d)
		}
		c.Scopes = []string{"email"}
		h.refused(storage.ErrReused, h.Devices.Approve(h.ctx, "BCDFGHJK", s, c, h.now, nil))
		got, err = h.Consents.Get(h.ctx, u.ID, "app")
		h.must(err)
		equal(h, "scopes kept", len(got.Scopes), 2)
	}},
	{"a yes of somebody who is not alive is none", func(h *house) {
		for i, e := range endings {
			if e.at > 0 {
				continue // longer than a device waits
			}
			n := string(rune('a' + i))
			u := h.account(n)
			h.relyingParty(n)
			s := h.signIn(u, n)
			h.waiting(n, func(d *storage.DeviceRequest) { d.ClientID = n })
			h.must(h.Grants.Create(h.ctx, h.newGrant(n, u, n, s), code(n), "", nil))
			e.end(h, n)
			live := h.signedIn(n, h.after(time.Second))
			if err := h.approve(n, s); live != (err == nil) || !live && !isNotFound(err) {
				h.Fatalf("%s: got error %v, and the session is live: %v", e.name, err, live)
			}
		}
	}},
	{"AC-197 R9 what was allowed gives nothing where who allowed it, or the client, ended meanwhile", func(h *house) {
		for _, offline := range []bool{false, true} {
			for i, e := range endings {
				if e.at > 0 || e.name == "the consent was taken back" || e.name == "the grant was revoked" {
					continue // longer than a device waits; and about grants that are there already
				}
				n := fmt.Sprint(string(rune('a'+i)), offline)
				u := h.account(n)
				h.relyingParty(n)
				s := h.signIn(u, n)
				h.waiting(n, func(d *storage.DeviceRequest) { d.ClientID, d.Offline = n, offline })
				h.must(h.approve(n, s))
				e.end(h, n)
				p := h.devicePoll(n, 2*time.Second)
				p.ClientID = n
				_, err := h.Devices.Poll(h.ctx, p)
				if good := offline && e.spares; good != (err == nil) || !good && !errors.Is(err, storage.ErrDenied) {
					h.Fatalf("%s, offline access %v: got error %v", e.name, offline, err)
				}
				// The answer is spent all the same.
				_, err = h.Devices.Poll(h.ctx, p)
				h.refused(storage.ErrReused, err)
			}
		}
	}},
	{"a device that is over is known for a day, and then gone", func(h *house) {
		h.relyingParty("app")
		h.waiting("BCDFGHJK")
		h.sweepAt(23 * time.Hour)
		h.polls("BCDFGHJK", 23*time.Hour, storage.ErrExpired)
		h.sweepAt(2 * day)
		h.polls("BCDFGHJK", 2*day, storage.ErrNotFound)
	}},
}
