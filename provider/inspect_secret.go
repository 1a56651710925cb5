package provider

import (
	"context"
	"fmt"
	"strings"

	"gatehouse/storage"
)

// opaque judges an access token that is a handle.
func (n *inspecting) opaque(ctx context.Context, token string) error {
	n.Kind = "access token"
	if !n.expected(AccessKind) {
		return nil
	}
	if !isOpaque(token) {
		if whole := len(opaquePrefix) + opaqueRandom + opaqueChecksum; len(token) < whole {
			n.trouble("truncated", "it has %d of %d characters", len(token), whole)
		} else {
			n.trouble("opaque_damaged", "it has %d characters, and its last %d do not fit the others", len(token), opaqueChecksum)
		}
		return nil
	}
	t, err := n.Store.Traces.AccessToken(ctx, storage.NewDigest(storage.AccessSecret, token))
	if unknown, err := absent(err); err != nil {
		return err
	} else if unknown {
		n.trouble("opaque_unknown", "its checksum is good, and the database has no record of it")
		return nil
	}
	n.Verified = true
	claims := &accessClaims{
		Issuer: n.Issuer, Subject: t.Subject, Audience: t.Audience, ClientID: t.ClientID, ID: t.ID,
		IssuedAt: t.IssuedAt.Unix(), ExpiresAt: t.ExpiresAt.Unix(), Scope: strings.Join(t.Scopes, " "), Grant: t.Grant,
	}
	n.accessFacts(claims)
	if !n.timed(claims.ExpiresAt, 0, claims.IssuedAt) || !n.forAudience(claims.Audience) {
		return nil
	}
	return n.hangs(ctx, claims)
}

// refreshToken judges a refresh token, without spending it.
func (n *inspecting) refreshToken(ctx context.Context, token string) error {
	n.Kind = "refresh token"
	if !n.expected(RefreshKind) {
		return nil
	}
	if whole := len(refreshPrefix) + refreshEncoding.EncodedLen(refreshBody+refreshMAC); len(token) < whole {
		n.trouble("truncated", "it has %d of %d characters", len(token), whole)
		return nil
	}
	shown, ours := newRefreshKeys(n.Master).read(token)
	if !ours {
		n.trouble("refresh_foreign", "it has %d characters, and its seal is not of any master key that is configured here", len(token))
		return nil
	}
	n.Verified = true
	family, err := n.Store.Traces.Refresh(ctx, shown.storedHandle())
	if unknown, err := absent(err); err != nil {
		return err
	} else if unknown {
		n.trouble("refresh_unknown", "its seal is good, and the database has no such family; it is generation %d of it", shown.generation)
		return nil
	}
	g := family.Grant
	n.familyFacts(g, int64(shown.generation))
	c, err := n.living(ctx, g)
	if c == nil {
		return err
	}
	n.place(c, family, shown)
	return nil
}

// place judges where in its living family a refresh token stands.
func (n *inspecting) place(c *storage.Client, family *storage.RefreshTrace, shown refreshSecret) {
	g, generation := family.Grant, int64(shown.generation)
	lifetimes := n.Lifetimes
	if lifetimes == (Lifetimes{}) {
		lifetimes = DefaultLifetimes()
	}
	grace := lifetimes.of(c).RefreshGrace
	inGrace := generation == g.Generation-1 && shown.digest() == family.Before && grace > 0 && n.now.Before(g.RotatedAt.Add(grace))
	switch {
	case generation < g.Generation && !inGrace:
		n.trouble("refresh_rotated", "it is generation %d; generation %d is current since %s; the grace is %s", generation, g.Generation, n.when(g.RotatedAt), spell(grace))
	case !g.RefreshExpiresAt.After(n.now):
		n.trouble("refresh_expired", "the family of grant %s ended %s", g.ID, n.when(g.RefreshExpiresAt))
	case !g.RefreshIdleExpiresAt.After(n.now):
		n.trouble("refresh_idle", "it was last replaced %s, and the idle lifetime is %s", n.when(g.RotatedAt), spell(g.RefreshIdle))
	case inGrace:
		n.note("refresh_grace", "it was replaced %s; the grace is %s", n.when(g.RotatedAt), spell(grace))
	case generation != g.Generation || shown.digest() != family.Current:
		n.trouble("refresh_mismatch", "it says generation %d; the family is at generation %d", generation, g.Generation)
	}
}

// familyFacts are what a refresh token hangs from.
func (n *inspecting) familyFacts(g *storage.Grant, generation int64) {
	n.fact("grant", g.ID)
	n.fact("sub", g.UserID)
	n.fact("client_id", g.ClientID)
	n.fact("scope", strings.Join(g.Scopes, " "))
	n.fact("generation", fmt.Sprintf("%d; the family is at %d", generation, g.Generation))
	n.fact("granted", n.when(g.CreatedAt))
	n.fact("last replaced", n.when(g.RotatedAt))
	n.fact("idle end", n.when(g.RefreshIdleExpiresAt))
	n.fact("longest end", n.when(g.RefreshExpiresAt))
}
