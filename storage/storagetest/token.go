package storagetest

import (
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"gatehouse/storage"
)

// opaque stores an access token that hangs from a grant; "" stands for none.
func (h *house) opaque(id, grant, client string) storage.Digest {
	h.Helper()
	token := h.secret(storage.AccessSecret, id)
	h.must(h.AccessTokens.Create(h.ctx, &storage.AccessToken{
		ID: id, Grant: grant, ClientID: client, Subject: "subject", Scopes: []string{"a", "b"}, Audience: []string{"https://api.test"},
		IssuedAt: h.now, ExpiresAt: h.after(10 * time.Minute),
	}, token))
	return token
}

// found reports whether an access token is good. One that hangs from a grant
// is so with that and its user, or not at all.
func (h *house) found(token storage.Digest, at time.Duration) bool {
	h.Helper()
	t, err := h.AccessTokens.Find(h.ctx, token, h.after(at))
	if err != nil {
		h.refused(storage.ErrNotFound, err)
	}
	live, g, u, liveErr := h.AccessTokens.Live(h.ctx, token, h.after(at))
	switch {
	case err != nil || t.Grant == "":
		h.refused(storage.ErrNotFound, liveErr)
	default:
		h.must(liveErr)
		if d := cmp.Diff(live, t); d != "" || g.ID != t.Grant || u.ID != g.UserID {
			h.Fatalf("live with grant %s and user %s: %s", g.ID, u.ID, d)
		}
	}
	return err == nil
}

var tokenStories = []story{
	{"an opaque token is found by its digest until its end", func(h *house) {
		h.relyingParty("app")
		token := h.opaque("one", "", "app")
		t, err := h.AccessTokens.Find(h.ctx, token, h.now)
		h.must(err)
		if d := cmp.Diff(t, &storage.AccessToken{
			ID: "one", ClientID: "app", Subject: "subject", Scopes: []string{"a", "b"}, Audience: []string{"https://api.test"},
			IssuedAt: h.now, ExpiresAt: h.after(10 * time.Minute),
		}, cmpopts.EquateApproxTime(0)); d != "" {
			h.Fatal(d)
		}
		equal(h, "found before its end", h.found(token, 10*time.Minute-time.Millisecond), true)
		equal(h, "found at its end", h.found(token, 10*time.Minute), false)
		equal(h, "found under another kind", h.found(h.secret(storage.CodeSecret, "one"), 0), false)
		equal(h, "found without a secret", h.found(storage.Digest{}, 0), false)
	}},
	{"it dies with its grant, its user, its client, its session, or alone", func(h *house) {
		for name, end := range map[string]func(g *storage.Grant, u *storage.User) error{
			"grant":   func(g *storage.Grant, u *storage.User) error { return h.Grants.Revoke(h.ctx, g.ID, h.now, nil) },
			"user":    func(g *storage.Grant, u *storage.User) error { return h.Users.Disable(h.ctx, u.ID, h.now, nil) },
			"session": func(g *storage.Grant, u *storage.User) error { return h.Sessions.End(h.ctx, g.SessionID, h.now, nil) },
			"client":  func(g *storage.Grant, u *storage.User) error { return h.Clients.Delete(h.ctx, g.ClientID, h.now, nil) },
			"token": func(g *storage.Grant, u *storage.User) error {
				return h.Revocations.RevokeToken(h.ctx, "token of "+g.ID, h.now, h.after(time.Hour), h.event("token.revoked"))
			},
		} {
			u := h.account(name)
			h.relyingParty(name)
			g := h.redeemed(name, u, name, h.signIn(u, name))
			token, other := h.opaque("token of "+name, g.ID, name), h.opaque("other of "+name, g.ID, name)
			equal(h, "found before: "+name, h.found(token, 2*time.Second), true)
			h.must(end(g, u))
			equal(h, "found after: "+name, h.found(token, 2*time.Second), false)
			equal(h, "the other token after: "+name, h.found(other, 2*time.Second), name == "token")
		}
		equal(h, "events", h.events("token.revoked"), 1)
	}},
	{"none is made for a grant that was revoked", func(h *house) {
		u := h.account("alice")
		h.relyingParty("app")
		g := h.redeemed("g", u, "app", h.signIn(u, "s"))
		h.must(h.Grants.Revoke(h.ctx, g.ID, h.now, nil))
		h.refused(storage.ErrNotFound, h.AccessTokens.Create(h.ctx, &storage.AccessToken{
			ID: "late", Grant: g.ID, ClientID: "app", IssuedAt: h.now, ExpiresAt: h.after(time.Minute),
		}, h.secret(storage.AccessSecret, "late")))
	}},
	{"a revoked id is remembered, and revoking it again is no error", func(h *house) {
		for range 2 {
			h.must(h.Revocations.RevokeToken(h.ctx, "jti", h.now, h.after(time.Minute), nil))
		}
		for id, want := range map[string]bool{"jti": true, "other": false, "": false} {
			got, err := h.Revocations.Revoked(h.ctx, id, "app", h.now)
			h.must(err)
			equal(h, "revoked: "+id, got, want)
		}
		h.must(h.sweep(h.ctx, h.after(time.Hour)))
		got, err := h.Revocations.Revoked(h.ctx, "jti", "app", h.now)
		h.must(err)
		equal(h, "revoked after its token's end", got, false)
	}},
	{"AC-072 of 16 that spend one id at once, one does", func(h *house) {
		errs := race(16, func(int) error { return h.Used.Spend(h.ctx, "app", "jti", h.after(time.Minute)) })
		h.tally(errs, map[error]int{nil: 1, storage.ErrReused: 15})
		h.must(h.Used.Spend(h.ctx, "other", "jti", h.after(time.Minute)))
		h.must(h.sweep(h.ctx, h.after(time.Hour)))
		h.must(h.Used.Spend(h.ctx, "app", "jti", h.after(2*time.Hour)))
	}},
	{"the current refresh token is found, and no other", func(h *house) {
		u := h.account("alice")
		h.relyingParty("app")
		g := h.redeemed("g", u, "app", h.signIn(u, "s"))
		_, err := h.Grants.Rotate(h.ctx, h.rotation(g, 1, h.after(2*time.Second)))
		h.must(err)
		current, err := h.Grants.Current(h.ctx, handle("g"), refresh("g", 2), h.after(3*time.Second))
		h.must(err)
		equal(h, "grant", current.ID, "g")
		_, err = h.Grants.Current(h.ctx, handle("g"), refresh("g", 1), h.after(3*time.Second))
		h.refused(storage.ErrNotFound, err)
		_, err = h.Grants.Current(h.ctx, handle("g"), refresh("g", 2), current.RefreshIdleExpiresAt)
		h.refused(storage.ErrNotFound, err)
		h.must(h.Grants.Revoke(h.ctx, "g", h.now, nil))
		_, err = h.Grants.Current(h.ctx, handle("g"), refresh("g", 2), h.after(3*time.Second))
		h.refused(storage.ErrNotFound, err)
	}},
}
