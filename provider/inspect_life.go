package provider

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gatehouse/storage"
)

// client finds a token's client, and what is wrong with it.
func (n *inspecting) client(ctx context.Context, id string) (*storage.Client, error) {
	c, err := n.Store.Clients.Get(ctx, id)
	if gone, err := absent(err); err != nil {
		return nil, err
	} else if gone {
		return nil, n.gone(ctx, "client", id)
	}
	if !c.DisabledAt.IsZero() {
		n.trouble("client_disabled", "client %s was disabled %s", quoted(id), n.when(c.DisabledAt))
		return nil, nil
	}
	return c, nil
}

// gone tells a record that was deleted from one that was never here.
func (n *inspecting) gone(ctx context.Context, what, id string) error {
	e, err := n.Store.Traces.Event(ctx, what+".deleted", id)
	switch never, err := absent(err); {
	case err != nil:
		return err
	case never:
		n.trouble(what+"_unknown", "there is no %s %s", what, quoted(id))
	default:
		n.trouble(what+"_deleted", "%s %s was deleted %s", what, quoted(id), n.when(e.At))
	}
	return nil
}

// user finds a token's account, and what is wrong with it. It returns nil
// where that was told.
func (n *inspecting) user(ctx context.Context, id string) (*storage.User, error) {
	u, err := n.Store.Users.Get(ctx, id)
	if gone, err := absent(err); err != nil {
		return nil, err
	} else if gone {
		return nil, n.gone(ctx, "user", id)
	}
	if u.Disabled() {
		n.trouble("user_disabled", "account %s was disabled %s", quoted(id), n.when(u.DisabledAt))
		return nil, nil
	}
	return u, nil
}

// living judges what a token hangs from, with one finding at most: the cause
// comes before its effects.
func (n *inspecting) living(ctx context.Context, g *storage.Grant) (*storage.Client, error) {
	c, err := n.client(ctx, g.ClientID)
	if c == nil {
		return nil, err
	}
	u, err := n.user(ctx, g.UserID)
	if u == nil {
		return nil, err
	}
	if u.Epoch != g.Epoch {
		return nil, n.invalidated(ctx, u)
	}
	if !g.Offline {
		if over, err := n.sessionOver(ctx, g); over || err != nil {
			return nil, err
		}
	}
	if !g.RevokedAt.IsZero() {
		return nil, n.revoked(ctx, g)
	}
	return c, nil
}

// invalidated names the newest of the acts that raise an account's epoch.
func (n *inspecting) invalidated(ctx context.Context, u *storage.User) error {
	var newest *storage.Event
	for _, name := range []string{"user.tokens_invalidated", "user.password_changed", "user.disabled"} {
		e, err := n.Store.Traces.Event(ctx, name, u.ID)
		if never, err := absent(err); err != nil {
			return err
		} else if !never && (newest == nil || e.At.After(newest.At)) {
			newest = e
		}
	}
	if newest == nil {
		n.trouble("user_invalidated", "account %s", quoted(u.ID))
		return nil
	}
	n.trouble("user_invalidated", "%s of account %s, %s", newest.Name, quoted(u.ID), n.when(newest.At))
	return nil
}

func (n *inspecting) sessionOver(ctx context.Context, g *storage.Grant) (over bool, err error) {
	s, err := n.Store.Traces.Session(ctx, g.SessionID)
	if gone, err := absent(err); err != nil {
		return false, err
	} else if gone {
		n.trouble("session_expired", "the session was over more than a day ago and is cleared away")
		return true, nil
	}
	switch {
	// What was revoked before its session ended was not ended by that.
	case !s.EndedAt.IsZero() && (g.RevokedAt.IsZero() || !g.RevokedAt.Before(s.EndedAt)):
		n.trouble("session_ended", "the session ended %s", n.when(s.EndedAt))
	case g.RevokedAt.IsZero() && !s.ExpiresAt.After(n.now):
		n.trouble("session_expired", "its longest time was over %s", n.when(s.ExpiresAt))
	case g.RevokedAt.IsZero() && !s.IdleExpiresAt.After(n.now):
		n.trouble("session_expired", "its idle time was over %s", n.when(s.IdleExpiresAt))
	default:
		return false, nil
	}
	return true, nil
}

// reusedReason is what storage notes of a family that a replaced token ended.
const reusedReason = "refresh token presented after it was replaced"

// revoked tells when and, from the audit log, why a grant was revoked.
func (n *inspecting) revoked(ctx context.Context, g *storage.Grant) error {
	events, err := n.Store.Events.List(ctx, g.RevokedAt.Add(time.Second), 200)
	if err != nil {
		return err
	}
	reason := ""
	for _, e := range events {
		if e.Details["grant"] == g.ID && e.Name == "grant.revoked" {
			reason = e.Details["reason"]
			break
		}
		if reason == "" && e.At.Equal(g.RevokedAt) && (e.Subject == g.UserID || e.ClientID == g.ClientID) {
			reason = e.Name
		}
	}
	evidence := "grant " + g.ID + " was revoked " + n.when(g.RevokedAt)
	if reason != "" {
		evidence += ": " + reason
	}
	if reason == reusedReason {
		n.trouble("refresh_reused", "%s", evidence)
		return nil
	}
	n.trouble("grant_revoked", "%s", evidence)
	return nil
}

// hangs judges an access token by all that it hangs from.
func (n *inspecting) hangs(ctx context.Context, t *accessClaims) error {
	at, err := n.Store.Traces.Revoked(ctx, t.ID)
	if never, err := absent(err); err != nil {
		return err
	} else if !never {
		n.trouble("token_revoked", "jti %s was revoked %s", quoted(t.ID), n.when(at))
		return nil
	}
	if t.Grant == "" {
		_, err := n.client(ctx, t.ClientID)
		return err
	}
	g, err := n.Store.Grants.Get(ctx, t.Grant)
	if errors.Is(err, storage.ErrNotFound) {
		return n.lost(ctx, t)
	}
	if err != nil {
		return err
	}
	_, err = n.living(ctx, g)
	return err
}

// lost says why a grant is not there: it goes with its client and its user.
func (n *inspecting) lost(ctx context.Context, t *accessClaims) error {
	if c, err := n.client(ctx, t.ClientID); c == nil {
		return err
	}
	if u, err := n.user(ctx, t.Subject); u == nil {
		return err
	}
	n.trouble("grant_unknown", "there is no grant %s", quoted(t.Grant))
	return nil
}

// timed judges exp, nbf and iat, Unix seconds; zero: absent. It reports
// whether the token is good by them.
func (n *inspecting) timed(exp, nbf, iat int64) bool {
	now := n.now.Unix()
	switch {
	case exp == 0:
		n.trouble("no_expiry", "there is no exp")
	case now >= exp:
		n.trouble("expired", "exp is %s", n.when(time.Unix(exp, 0)))
	case nbf > now:
		n.trouble("not_before", "nbf is %s; now is %s", n.when(time.Unix(nbf, 0)), n.now.UTC().Format(time.RFC3339))
	case iat > now+clockLeeway:
		n.trouble("issued_late", "iat is %s ahead of this clock: %s", spell(time.Duration(iat-now)*time.Second), fmt.Sprint(iat))
	default:
		return true
	}
	return false
}

// clockLeeway is how far ahead, in seconds, another node's clock may be.
const clockLeeway = 5
