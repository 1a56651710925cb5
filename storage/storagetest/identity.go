package storagetest

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"gatehouse/storage"
)

// at is somebody at the upstream "partner".
func at(subject string) storage.Federated {
	return storage.Federated{Upstream: "partner", Issuer: "https://partner.example", Subject: subject}
}

// openUpstreams are the providers that people can sign in at.
var openUpstreams = []storage.Federated{{Upstream: "partner", Issuer: "https://partner.example"}}

func (h *house) identityOf(userID, subject string) *storage.Identity {
	return &storage.Identity{
		ID: "identity-" + subject, UserID: userID, Federated: at(subject), Label: subject + "@partner.example", LinkedAt: h.now, UsedAt: h.now,
	}
}

// linked gives the user an identity with this subject.
func (h *house) linked(u *storage.User, subject string) *storage.Identity {
	h.Helper()
	i := h.identityOf(u.ID, subject)
	h.must(h.Identities.Link(h.ctx, i, nil))
	return i
}

// federated is whose the identity with this subject is; empty: nobody's.
func (h *house) federated(subject string) string {
	h.Helper()
	_, u, err := h.Identities.Find(h.ctx, at(subject))
	if errors.Is(err, storage.ErrNotFound) {
		return ""
	}
	h.must(err)
	return u.ID
}

func state(name string) storage.Digest { return storage.NewDigest(storage.StateSecret, name) }

// left notes that the browser b left with this state, for ten minutes.
func (h *house) left(name string, b storage.Digest, change ...func(*storage.UpstreamFlow)) *storage.UpstreamFlow {
	h.Helper()
	f := &storage.UpstreamFlow{
		Browser: b, Upstream: "partner", Issuer: "https://partner.example", Sealed: []byte("sealed"), Purpose: `{"request":"r"}`,
		CreatedAt: h.now, ExpiresAt: h.after(10 * time.Minute),
	}
	for _, c := range change {
		c(f)
	}
	h.must(h.Flows.Leave(h.ctx, state(name), f))
	return f
}

// waits parks somebody at the upstream whose address is the user's.
func (h *house) waits(id string, b storage.Digest, u *storage.User, subject string) *storage.PendingIdentity {
	h.Helper()
	p := &storage.PendingIdentity{
		ID: id, Browser: b, UserID: u.ID, Federated: at(subject), Label: subject, Purpose: `{"request":"r"}`,
		CreatedAt: h.now, ExpiresAt: h.after(10 * time.Minute),
	}
	h.must(h.Flows.ParkIdentity(h.ctx, p))
	return p
}

func (h *house) confirm(id string, b storage.Digest, u *storage.User, d time.Duration) error {
	_, err := h.Identities.Confirm(h.ctx, id, b, u.ID, "linked-"+id, h.after(d), h.event("identity.linked"))
	return err
}

var identityStories = []story{
	{"R16 an identity is found by provider, issuer and subject together, and by nothing else", func(h *house) {
		u := h.account("alice")
		want := h.linked(u, "s")
		got, owner, err := h.Identities.Find(h.ctx, at("s"))
		h.must(err)
		if d := cmp.Diff(want, got, cmpopts.EquateApproxTime(0)); d != "" {
			h.Fatalf("linked (-) and found (+) differ:\n%s", d)
		}
		equal(h, "owner", owner.ID, u.ID)
		for _, other := range []storage.Federated{
			{Upstream: "other", Issuer: "https://partner.example", Subject: "s"}, {Upstream: "partner", Issuer: "https://other.example", Subject: "s"},
			{Upstream: "partner", Issuer: "https://partner.example", Subject: "S"}, at("s@partner.example"), {},
		} {
			_, _, err := h.Identities.Find(h.ctx, other)
			h.refused(storage.ErrNotFound, err)
		}
	}},
	{"an account and its identity are made together, or not at all", func(h *house) {
		h.account("taken")
		make := func(name, subject string) error {
			u := &storage.User{ID: "user-" + name + subject, Username: name, CreatedAt: h.now}
			return h.Identities.Create(h.ctx, storage.NewUser{User: u, UsernameKey: name}, h.identityOf(u.ID, subject), h.event("user.created"), h.event("identity.linked"))
		}
		h.must(make("alice", "s"))
		equal(h, "owner", h.federated("s"), "user-alices")
		h.refused(storage.ErrExists, make("bob", "s"))
		h.refused(storage.ErrExists, make("taken", "t"))
		equal(h, "owner of another", h.federated("t"), "")
		_, err := h.Users.Find(h.ctx, "bob")
		h.refused(storage.ErrNotFound, err)
		equal(h, "events", h.events("user.created")+h.events("identity.linked"), 2)
	}},
	{"of 16 first sign-ins with one identity at once, one makes the account", func(h *house) {
		errs := race(16, func(i int) error {
			u := &storage.User{ID: fmt.Sprint("user-", i), Username: fmt.Sprint("n", i), CreatedAt: h.now}
			identity := h.identityOf(u.ID, "s")
			identity.ID = u.ID
			return h.Identities.Create(h.ctx, storage.NewUser{User: u, UsernameKey: u.Username}, identity)
		})
		h.tally(errs, map[error]int{nil: 1, storage.ErrExists: 15})
		n, err := h.Users.Count(h.ctx)
		h.must(err)
		equal(h, "accounts", n, 1)
	}},
	{"of 16 users who link one identity at once, one gets it", func(h *house) {
		var all []*storage.User
		for i := range 16 {
			all = append(all, h.account(fmt.Sprint("u", i)))
		}
		errs := race(16, func(i int) error {
			identity := h.identityOf(all[i].ID, "s")
			identity.ID = all[i].ID
			return h.Identities.Link(h.ctx, identity, h.event("identity.linked"))
		})
		h.tally(errs, map[error]int{nil: 1, storage.ErrExists: 15})
		equal(h, "events", h.events("identity.linked"), 1)
	}},
	{"nothing is linked to who is disabled or gone", func(h *house) {
		u := h.account("alice")
		h.must(h.Users.Disable(h.ctx, u.ID, h.now, nil))
		h.refused(storage.ErrNotFound, h.Identities.Link(h.ctx, h.identityOf(u.ID, "s"), nil))
		h.refused(storage.ErrNotFound, h.Identities.Link(h.ctx, h.identityOf("nobody", "s"), nil))
		equal(h, "owner", h.federated("s"), "")
	}},
	{"AC-185 a disabled user is found as disabled", func(h *house) {
		u := h.account("alice")
		h.linked(u, "s")
		h.must(h.Users.Disable(h.ctx, u.ID, h.now, nil))
		_, found, err := h.Identities.Find(h.ctx, at("s"))
		h.must(err)
		equal(h, "disabled", found.Disabled(), true)
	}},
	{"a deleted user's identities, and who waits for one, go too", func(h *house) {
		u := h.account("alice")
		h.linked(u, "s")
		h.waits("p", browser("b"), u, "t")
		h.left("state", browser("b"), func(f *storage.UpstreamFlow) { f.LinkUser = u.ID })
		h.must(h.Users.Delete(h.ctx, u.ID, h.now, nil))
		equal(h, "owner", h.federated("s"), "")
		_, err := h.Flows.GetIdentity(h.ctx, "p", browser("b"), h.now)
		h.refused(storage.ErrNotFound, err)
		_, err = h.Flows.Return(h.ctx, state("state"), browser("b"), h.now)
		h.refused(storage.ErrNotFound, err)
		h.linked(h.account("bob"), "s")
	}},
	{"a sign-in is noted, with what the upstream calls it now", func(h *house) {
		u := h.account("alice")
		h.linked(u, "s")
		h.must(h.Identities.Used(h.ctx, "identity-s", "new@partner.example", h.after(time.Hour)))
		all, err := h.Identities.ListByUser(h.ctx, u.ID)
		h.must(err)
		equal(h, "identities", len(all), 1)
		equal(h, "label", all[0].Label, "new@partner.example")
		h.sameInstant("used at", all[0].UsedAt, h.after(time.Hour))
		h.sameInstant("linked at", all[0].LinkedAt, h.now)
	}},
	{"an identity is unlinked by its own user, while another way in remains", func(h *house) {
		u, other := h.account("alice"), h.account("bob")
		h.linked(u, "s")
		h.linked(u, "t")
		h.refused(storage.ErrNotFound, h.Identities.Unlink(h.ctx, other.ID, "identity-s", openUpstreams, nil))
		h.refused(storage.ErrLastWay, h.Identities.Unlink(h.ctx, u.ID, "identity-s", nil, nil)) // the other leads nowhere
		h.must(h.Identities.Unlink(h.ctx, u.ID, "identity-s", openUpstreams, h.event("identity.unlinked")))
		h.refused(storage.ErrNotFound, h.Identities.Unlink(h.ctx, u.ID, "identity-s", openUpstreams, nil))
		h.refused(storage.ErrLastWay, h.Identities.Unlink(h.ctx, u.ID, "identity-t", openUpstreams, h.event("identity.unlinked")))
		h.must(h.Credentials.SetPassword(h.ctx, storage.Password{UserID: u.ID, Hash: "$", ChangedAt: h.now}, nil))
		h.must(h.Identities.Unlink(h.ctx, u.ID, "identity-t", openUpstreams, h.event("identity.unlinked")))
		equal(h, "events", h.events("identity.unlinked"), 2)
	}},
	{"whoever unlinks everything at once keeps one way in", func(h *house) {
		u := h.account("alice")
		for i := range 8 {
			h.linked(u, fmt.Sprint("s", i))
		}
		errs := race(8, func(i int) error {
			return h.Identities.Unlink(h.ctx, u.ID, fmt.Sprint("identity-s", i), openUpstreams, nil)
		})
		h.tally(errs, map[error]int{nil: 7, storage.ErrLastWay: 1})
	}},
	{"a browser that left comes back to what it left for, once", func(h *house) {
		want := h.left("s", browser("b"))
		got, err := h.Flows.Return(h.ctx, state("s"), browser("b"), h.after(time.Minute))
		h.must(err)
		if d := cmp.Diff(want, got, cmpopts.EquateApproxTime(0)); d != "" {
			h.Fatalf("left (-) and came back (+) differ:\n%s", d)
		}
		got, err = h.Flows.Return(h.ctx, state("s"), browser("b"), h.after(time.Minute))
		h.refused(storage.ErrReused, err)
		equal(h, "the way back", got.Purpose, want.Purpose)
		_, err = h.Flows.Return(h.ctx, state("never"), browser("b"), h.now)
		h.refused(storage.ErrNotFound, err)
		_, err = h.Flows.Return(h.ctx, storage.Digest{}, browser("b"), h.now)
		h.refused(storage.ErrNotFound, err)
	}},
	{"AC-175 a state in another browser is worth nothing, and then in no browser", func(h *house) {
		h.left("s", browser("b"))
		for _, other := range []storage.Digest{browser("evil"), {}} {
			f, err := h.Flows.Return(h.ctx, state("s"), other, h.now)
			h.refused(storage.ErrMismatch, err)
			if f != nil {
				h.Fatal("a strange browser learns what the other came for")
			}
		}
		_, err := h.Flows.Return(h.ctx, state("s"), browser("b"), h.now)
		h.refused(storage.ErrReused, err)
	}},
	{"a browser that took too long is told so", func(h *house) {
		h.left("s", browser("b"))
		f, err := h.Flows.Return(h.ctx, state("s"), browser("b"), h.after(10*time.Minute))
		h.refused(storage.ErrExpired, err)
		equal(h, "upstream", f.Upstream, "partner")
	}},
	{"AC-277 of 32 that come back with one state, one goes on", func(h *house) {
		h.left("s", browser("b"))
		errs := race(32, func(int) error {
			_, err := h.Flows.Return(h.ctx, state("s"), browser("b"), h.now)
			return err
		})
		h.tally(errs, map[error]int{nil: 1, storage.ErrReused: 31})
	}},
	{"a pending identity is linked by the user whose address it is, once", func(h *house) {
		u := h.account("alice")
		want := h.waits("p", browser("b"), u, "s")
		got, err := h.Flows.GetIdentity(h.ctx, "p", browser("b"), h.now)
		h.must(err)
		if d := cmp.Diff(want, got, cmpopts.EquateApproxTime(0)); d != "" {
			h.Fatalf("parked (-) and read (+) differ:\n%s", d)
		}
		errs := race(16, func(int) error { return h.confirm("p", browser("b"), u, time.Second) })
		h.tally(errs, map[error]int{nil: 1, storage.ErrReused: 15})
		equal(h, "owner", h.federated("s"), u.ID)
		equal(h, "events", h.events("identity.linked"), 1)
		_, err = h.Flows.GetIdentity(h.ctx, "p", browser("b"), h.now)
		h.refused(storage.ErrReused, err)
	}},
	{"AC-184 a pending identity that nobody parked links nothing", func(h *house) {
		u := h.account("alice")
		h.refused(storage.ErrNotFound, h.confirm("made-up", browser("b"), u, 0))
		_, err := h.Flows.GetIdentity(h.ctx, "made-up", browser("b"), h.now)
		h.refused(storage.ErrNotFound, err)
	}},
	{"AC-277 a pending identity in another browser, or by another user, is spent and links nothing", func(h *house) {
		alice, mallory := h.account("alice"), h.account("mallory")
		h.waits("p", browser("b"), alice, "s")
		h.waits("q", browser("b"), alice, "t")
		_, err := h.Flows.GetIdentity(h.ctx, "p", browser("evil"), h.now)
		h.refused(storage.ErrMismatch, err)
		h.refused(storage.ErrMismatch, h.confirm("p", browser("evil"), alice, 0))
		h.refused(storage.ErrReused, h.confirm("p", browser("b"), alice, 0))
		h.refused(storage.ErrMismatch, h.confirm("q", browser("b"), mallory, 0))
		h.refused(storage.ErrReused, h.confirm("q", browser("b"), alice, 0))
		equal(h, "owner", h.federated("s")+h.federated("t"), "")
	}},
	{"a pending identity whose time is over, or that was linked elsewhere, links nothing", func(h *house) {
		u, other := h.account("alice"), h.account("bob")
		h.waits("late", browser("b"), u, "s")
		h.refused(storage.ErrExpired, h.confirm("late", browser("b"), u, 10*time.Minute))
		h.waits("p", browser("b"), u, "t")
		h.linked(other, "t")
		h.refused(storage.ErrExists, h.confirm("p", browser("b"), u, 0))
		h.refused(storage.ErrReused, h.confirm("p", browser("b"), u, 0))
		equal(h, "owner", h.federated("t"), other.ID)
		equal(h, "events", h.events("identity.linked"), 0)
	}},
	{"ways to an upstream and back are swept two hours after their end", func(h *house) {
		u := h.account("alice")
		h.left("s", browser("b"))
		h.waits("p", browser("b"), u, "s")
		h.sweepAt(2 * time.Hour)
		_, err := h.Flows.Return(h.ctx, state("s"), browser("b"), h.after(2*time.Hour))
		h.refused(storage.ErrExpired, err)
		h.sweepAt(3 * time.Hour)
		_, err = h.Flows.Return(h.ctx, state("s"), browser("b"), h.after(3*time.Hour))
		h.refused(storage.ErrNotFound, err)
		_, err = h.Flows.GetIdentity(h.ctx, "p", browser("b"), h.after(3*time.Hour))
		h.refused(storage.ErrNotFound, err)
	}},
	{"a session may have begun later than its user proved who they are", func(h *house) {
		u := h.account("alice")
		h.signIn(u, "old")
		s := h.newSession(u, "new")
		s.AuthTime, s.CreatedAt, s.AuthTimeUnknown = h.after(-time.Hour), h.after(time.Minute), true
		h.must(h.Sessions.Begin(h.ctx, s, cookie("new"), cookie("old"), browser("old"), nil))
		got, _, err := h.Sessions.Find(h.ctx, cookie("new"), h.after(time.Minute))
		h.must(err)
		equal(h, "session", got.ID, "old")
		h.sameInstant("AuthTime", got.AuthTime, h.after(-time.Hour))
		h.sameInstant("SeenAt", got.SeenAt, h.after(time.Minute))
		equal(h, "AuthTimeUnknown", got.AuthTimeUnknown, true)
	}},
	{"a session keeps that nobody says when its user signed in, until somebody does", func(h *house) {
		u := h.account("alice")
		for i, unknown := range []bool{true, false, true} {
			s := h.newSession(u, fmt.Sprint(i))
			s.AuthTimeUnknown = unknown
			h.must(h.Sessions.Begin(h.ctx, s, cookie(fmt.Sprint(i)), cookie(fmt.Sprint(i-1)), browser("b"), nil))
			got, _, err := h.Sessions.Find(h.ctx, cookie(fmt.Sprint(i)), h.now)
			h.must(err)
			equal(h, "AuthTimeUnknown", got.AuthTimeUnknown, unknown)
		}
	}},
}
