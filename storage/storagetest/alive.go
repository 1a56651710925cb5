package storagetest

import (
	"time"

	"gatehouse/storage"
)

// endings are the ways in which a grant stops being alive (R9). Each makes its
// own user, client and session of this name.
var endings = []struct {
	name string
	end  func(h *house, name string)
	// at is when the ending shows; zero: at once.
	at time.Duration
	// spares offline access.
	spares bool
}{
	{name: "the user was disabled", end: func(h *house, n string) { h.must(h.Users.Disable(h.ctx, "user-"+n, h.now, nil)) }},
	{name: "the user's tokens were invalidated", end: func(h *house, n string) { h.must(h.Users.Invalidate(h.ctx, "user-"+n, h.now, nil)) }},
	{name: "the user was deleted", end: func(h *house, n string) { h.must(h.Users.Delete(h.ctx, "user-"+n, h.now, nil)) }},
	{name: "the password was changed", end: func(h *house, n string) {
		h.must(h.Credentials.SetPassword(h.ctx, storage.Password{UserID: "user-" + n, Hash: "$", ChangedAt: h.now}, nil))
	}},
	{name: "the client was disabled", end: func(h *house, n string) {
		c, err := h.Clients.Get(h.ctx, n)
		h.must(err)
		c.DisabledAt = h.now
		h.must(h.Clients.Update(h.ctx, c, h.now, nil))
	}},
	{name: "the client was deleted", end: func(h *house, n string) { h.must(h.Clients.Delete(h.ctx, n, h.now, nil)) }},
	{name: "the consent was taken back", end: func(h *house, n string) { h.must(h.Consents.Revoke(h.ctx, "user-"+n, n, h.now, nil)) }},
	{name: "the grant was revoked", end: func(h *house, n string) { h.must(h.Grants.Revoke(h.ctx, n, h.now, nil)) }},
	{name: "the session was ended", end: func(h *house, n string) { h.must(h.Sessions.End(h.ctx, n, h.now, nil)) }, spares: true},
	{name: "the session was idle too long", end: func(*house, string) {}, at: 8 * time.Hour, spares: true},
	{name: "another user signed in", end: func(h *house, n string) {
		bob := h.account("bob-" + n)
		h.must(h.Sessions.Begin(h.ctx, h.newSession(bob, "bob-"+n), cookie("bob-"+n), cookie(n), browser(n), nil))
	}, spares: true},
}

// alive makes a grant, changes it, ends it in this way and returns it.
func (h *house) alive(i int, spared bool, make func(string, *storage.User, string, *storage.Session, ...func(*storage.Grant)) *storage.Grant) *storage.Grant {
	h.Helper()
	n := string(rune('a' + i))
	u := h.account(n)
	h.relyingParty(n)
	s := h.signIn(u, n)
	g := make(n, u, n, s, func(g *storage.Grant) {
		g.Offline = spared
		g.CodeExpiresAt = h.after(24 * time.Hour)
	})
	endings[i].end(h, n)
	return g
}

var aliveStories = []story{
	{"a code gives nothing where its grant is not alive", func(h *house) {
		for i, e := range endings {
			r := h.redemption(h.alive(i, false, h.grant))
			r.Now = r.Now.Add(e.at)
			if _, err := h.Grants.Redeem(h.ctx, r); !isNotFound(err) {
				h.Fatalf("%s: got error %v, want not found", e.name, err)
			}
		}
	}},
	{"a refresh token gives nothing where its grant is not alive", func(h *house) {
		for i, e := range endings {
			g := h.alive(i, false, h.redeemed)
			if _, err := h.Grants.Rotate(h.ctx, h.rotation(g, 1, h.after(time.Second+e.at))); !isNotFound(err) {
				h.Fatalf("%s: got error %v, want not found", e.name, err)
			}
		}
	}},
	{"a repeated answer is given no more where the grant is not alive", func(h *house) {
		rotated := func(id string, u *storage.User, c string, s *storage.Session, change ...func(*storage.Grant)) *storage.Grant {
			g := h.redeemed(id, u, c, s, change...)
			_, err := h.Grants.Rotate(h.ctx, h.rotation(g, 1, h.after(time.Second)))
			h.must(err)
			return g
		}
		for i, e := range endings {
			g := h.alive(i, false, rotated)
			r := h.rotation(g, 1, h.after(2*time.Second+e.at))
			r.Grace = absolute
			if _, err := h.Grants.Rotate(h.ctx, r); !isNotFound(err) {
				h.Fatalf("%s: got error %v, want not found", e.name, err)
			}
		}
	}},
	{"an access token is good no more where something ended its grant", func(h *house) {
		for i, e := range endings {
			if e.at > 0 { // a session that ran out lets the tokens of its last minutes live their time
				continue
			}
			if g := h.alive(i, false, h.redeemed); h.live(g.ID) {
				h.Fatalf("%s: the grant is live", e.name)
			}
		}
	}},
	{"offline access outlives the session, and nothing else", func(h *house) {
		for i, e := range endings {
			g := h.alive(i, true, h.redeemed)
			_, err := h.Grants.Rotate(h.ctx, h.rotation(g, 1, h.after(time.Second+e.at)))
			if e.spares && err != nil || !e.spares && !isNotFound(err) {
				h.Fatalf("%s: got error %v", e.name, err)
			}
			if h.live(g.ID) != e.spares {
				h.Fatalf("%s: live is %v", e.name, !e.spares)
			}
		}
	}},
}
