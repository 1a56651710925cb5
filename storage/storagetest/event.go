package storagetest

import (
	"fmt"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"gatehouse/storage"
)

// witnessed are the acts that take an event. Each prepares what it needs and
// returns the act and whether it has happened.
var witnessed = []struct {
	name    string
	prepare func(h *house) (act func(e *storage.Event) error, happened func() bool)
}{
	{"create a client", func(h *house) (func(*storage.Event) error, func() bool) {
		return func(e *storage.Event) error {
			return h.Clients.Create(h.ctx, &storage.Client{ID: "new", CreatedAt: h.now, UpdatedAt: h.now}, e)
		}, func() bool { _, err := h.Clients.Get(h.ctx, "new"); return err == nil }
	}},
	{"update a client", func(h *house) (func(*storage.Event) error, func() bool) {
		c := h.relyingParty("updated")
		version := c.Version
		return func(e *storage.Event) error { return h.Clients.Update(h.ctx, c, h.now, e) }, func() bool {
			got, err := h.Clients.Get(h.ctx, "updated")
			h.must(err)
			return got.Version != version
		}
	}},
	{"delete a client", func(h *house) (func(*storage.Event) error, func() bool) {
		h.relyingParty("deleted")
		return func(e *storage.Event) error { return h.Clients.Delete(h.ctx, "deleted", h.now, e) },
			func() bool { _, err := h.Clients.Get(h.ctx, "deleted"); return err != nil }
	}},
	{"create a user", func(h *house) (func(*storage.Event) error, func() bool) {
		n := storage.NewUser{User: &storage.User{ID: "user-new", CreatedAt: h.now}, UsernameKey: "new"}
		return func(e *storage.Event) error { return h.Users.Create(h.ctx, n, e) },
			func() bool { _, err := h.Users.Get(h.ctx, "user-new"); return err == nil }
	}},
	{"update a user", func(h *house) (func(*storage.Event) error, func() bool) {
		u := h.account("updated")
		version := u.Version
		return func(e *storage.Event) error {
			return h.Users.Update(h.ctx, storage.NewUser{User: u, UsernameKey: "updated"}, h.now, e)
		}, func() bool { return h.reread("user-updated").Version != version }
	}},
	{"disable a user", func(h *house) (func(*storage.Event) error, func() bool) {
		u := h.account("disabled")
		return func(e *storage.Event) error { return h.Users.Disable(h.ctx, u.ID, h.now, e) },
			func() bool { return h.reread(u.ID).Disabled() }
	}},
	{"enable a user", func(h *house) (func(*storage.Event) error, func() bool) {
		u := h.account("enabled")
		h.must(h.Users.Disable(h.ctx, u.ID, h.now, nil))
		return func(e *storage.Event) error { return h.Users.Enable(h.ctx, u.ID, h.now, e) },
			func() bool { return !h.reread(u.ID).Disabled() }
	}},
	{"invalidate a user's tokens", func(h *house) (func(*storage.Event) error, func() bool) {
		u := h.account("invalidated")
		return func(e *storage.Event) error { return h.Users.Invalidate(h.ctx, u.ID, h.now, e) },
			func() bool { return h.reread(u.ID).Epoch != u.Epoch }
	}},
	{"delete a user", func(h *house) (func(*storage.Event) error, func() bool) {
		u := h.account("deleted")
		return func(e *storage.Event) error { return h.Users.Delete(h.ctx, u.ID, h.now, e) },
			func() bool { _, err := h.Users.Get(h.ctx, u.ID); return err != nil }
	}},
	{"set a password", func(h *house) (func(*storage.Event) error, func() bool) {
		u := h.account("secret")
		return func(e *storage.Event) error {
			return h.Credentials.SetPassword(h.ctx, storage.Password{UserID: u.ID, Hash: "$", ChangedAt: h.now}, e)
		}, func() bool { _, p, err := h.Credentials.Password(h.ctx, "secret"); h.must(err); return p != nil }
	}},
	{"begin a session", func(h *house) (func(*storage.Event) error, func() bool) {
		s := h.newSession(h.account("begun"), "begun")
		return func(e *storage.Event) error {
			return h.Sessions.Begin(h.ctx, s, cookie("begun"), storage.Digest{}, browser("b"), e)
		}, func() bool { return h.signedIn("begun", h.now) }
	}},
	{"end a session", func(h *house) (func(*storage.Event) error, func() bool) {
		h.signIn(h.account("ended"), "ended")
		return func(e *storage.Event) error { return h.Sessions.End(h.ctx, "ended", h.now, e) },
			func() bool { return !h.signedIn("ended", h.now) }
	}},
	{"deny a request", func(h *house) (func(*storage.Event) error, func() bool) {
		h.parked("denied", browser("b"))
		return func(e *storage.Event) error { return h.Flows.Deny(h.ctx, "denied", "alice", h.now, e) }, func() bool {
			r, err := h.resume("denied", browser("b"), 0)
			h.must(err)
			return r.Answer != storage.Unanswered
		}
	}},
	{"allow a client", func(h *house) (func(*storage.Event) error, func() bool) {
		u := h.account("allowed")
		h.relyingParty("allowed")
		h.parked("allowed", browser("b"))
		c := storage.Consent{UserID: u.ID, ClientID: "allowed", Scopes: []string{"openid"}, GrantedAt: h.now}
		return func(e *storage.Event) error { return h.Consents.Allow(h.ctx, c, "allowed", e) },
			func() bool { return len(h.allowed(u, "allowed")) > 0 }
	}},
	{"take a consent back", func(h *house) (func(*storage.Event) error, func() bool) {
		u := h.account("taken")
		h.relyingParty("taken")
		h.allow("taken", u, "taken", "openid")
		return func(e *storage.Event) error { return h.Consents.Revoke(h.ctx, u.ID, "taken", h.now, e) },
			func() bool { return len(h.allowed(u, "taken")) == 0 }
	}},
	{"create a grant", func(h *house) (func(*storage.Event) error, func() bool) {
		u := h.account("granted")
		h.relyingParty("granted")
		g := h.newGrant("granted", u, "granted", h.signIn(u, "granted"))
		return func(e *storage.Event) error { return h.Grants.Create(h.ctx, g, code("granted"), "", e) },
			func() bool { return h.live("granted") }
	}},
	{"revoke a grant", func(h *house) (func(*storage.Event) error, func() bool) {
		u := h.account("revoked")
		h.relyingParty("revoked")
		h.redeemed("revoked", u, "revoked", h.signIn(u, "revoked"))
		return func(e *storage.Event) error { return h.Grants.Revoke(h.ctx, "revoked", h.now, e) },
			func() bool { return !h.live("revoked") }
	}},
	{"add a key", func(h *house) (func(*storage.Event) error, func() bool) {
		return func(e *storage.Event) error { return h.Keys.Add(h.ctx, h.signingKey("ES256", 1), e) },
			func() bool { all, err := h.Keys.List(h.ctx); h.must(err); return len(all) > 0 }
	}},
	{"retire a key", func(h *house) (func(*storage.Event) error, func() bool) {
		h.must(h.Keys.Add(h.ctx, h.signingKey("ES256", 1), nil))
		return func(e *storage.Event) error { return h.Keys.Retire(h.ctx, "ES256-1", h.now, e) },
			func() bool { all, err := h.Keys.List(h.ctx); h.must(err); return !all[0].RetiredAt.IsZero() }
	}},
	{"delete a key", func(h *house) (func(*storage.Event) error, func() bool) {
		h.must(h.Keys.Add(h.ctx, h.signingKey("ES256", 1), nil))
		return func(e *storage.Event) error { return h.Keys.Delete(h.ctx, "ES256-1", e) },
			func() bool { all, err := h.Keys.List(h.ctx); h.must(err); return len(all) == 0 }
	}},
	{"create the first administrator", func(h *house) (func(*storage.Event) error, func() bool) {
		link := h.secret(storage.SetupSecret, "link")
		h.must(h.Setup.Issue(h.ctx, link, h.now, h.after(time.Hour)))
		n := storage.NewUser{User: &storage.User{ID: "user-first", Admin: true, CreatedAt: h.now}, UsernameKey: "first"}
		return func(e *storage.Event) error { return h.Users.CreateFirst(h.ctx, link, n, h.now, e) }, func() bool {
			spent := h.Setup.Check(h.ctx, link, h.now) != nil
			_, err := h.Users.Get(h.ctx, "user-first")
			equal(h, "link spent where the account exists", spent, err == nil)
			return err == nil
		}
	}},
}

// eventStories are those of the drawer, and one for each act that takes an
// event: where its line cannot be written, nothing has happened.
var eventStories = append(func() []story {
	var all []story
	for _, w := range witnessed {
		all = append(all, story{"no line, no act: " + w.name, func(h *house) {
			act, happened := w.prepare(h)
			written := h.event("written")
			h.must(h.Events.Append(h.ctx, written))
			if err := act(written); err == nil { // its id is taken
				h.Fatal("the act worked, though its event could not be stored")
			}
			equal(h, "happened without its line", happened(), false)
			h.must(act(h.event("witnessed")))
			equal(h, "happened", happened(), true)
			equal(h, "lines", h.events("witnessed"), 1)
		}})
	}
	return all
}(),
	story{"a line comes back as it was written", func(h *house) {
		e := &storage.Event{
			ID: "e", At: h.now, Name: "grant.revoked", Actor: "user-alice", Subject: "g", ClientID: "app", IP: "2001:db8::1",
			UserAgent: "Browser/1 (“”)", Method: "POST", Path: "/token", RequestID: "r", Details: map[string]string{"reason": "reuse"},
		}
		h.must(h.Events.Append(h.ctx, e))
		h.must(h.Events.Append(h.ctx, nil))
		all, err := h.Events.List(h.ctx, time.Time{}, 10)
		h.must(err)
		if d := cmp.Diff([]*storage.Event{e}, all, cmpopts.EquateApproxTime(0)); d != "" {
			h.Fatalf("written (-) and read (+) differ:\n%s", d)
		}
	}},
	story{"a list has the newest first, and goes on before a moment", func(h *house) {
		for i := range 7 {
			e := h.event(fmt.Sprint(i))
			e.At = h.after(time.Duration(i) * time.Second)
			h.must(h.Events.Append(h.ctx, e))
		}
		names := func(before time.Time) (names string) {
			all, err := h.Events.List(h.ctx, before, 3)
			h.must(err)
			for _, e := range all {
				names += e.Name
			}
			return names
		}
		equal(h, "first page", names(time.Time{}), "654")
		equal(h, "second page", names(h.after(4*time.Second)), "321")
		equal(h, "third page", names(h.after(time.Second)), "0")
	}},
)
