package provider

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"gatehouse/keys"
	"gatehouse/storage"
)

// serveRevoke is the revocation endpoint (RFC 7009). Revoking a refresh token
// ends its grant and every token of it, revoking an access token ends that
// token alone. What is unknown, over, or another client's is answered like
// what was revoked, and stays as it is.
func (p *Provider) serveRevoke(w http.ResponseWriter, r *http.Request) {
	f, client := p.authenticated(w, r)
	switch {
	case f == nil:
		return
	case f.get("token") == "":
		p.writeError(w, r, invalidRequest("token is missing"))
		return
	}
	if err := p.revoke(r.Context(), client, f.get("token")); err != nil {
		// RFC 7009 §2.2.1: the client must assume that the token lives.
		p.writeError(w, r, p.lost(r.Context(), "revoke a token", err))
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
}

func (p *Provider) revoke(ctx context.Context, client *storage.Client, token string) error {
	if strings.HasPrefix(token, refreshPrefix) {
		return p.revokeRefresh(ctx, client, token)
	}
	id, expires, err := p.revocable(ctx, client, token)
	if err != nil || id == "" {
		return err
	}
	e := storage.NewEvent(ctx, p.now(), "token.revoked", id)
	e.ClientID = client.ID
	return p.store.Revocations.RevokeToken(ctx, id, p.now(), expires, e)
}

// revocable is the id of a live access token of this client, or empty.
func (p *Provider) revocable(ctx context.Context, client *storage.Client, token string) (id string, expires time.Time, err error) {
	if isOpaque(token) {
		t, err := p.store.AccessTokens.Find(ctx, storage.NewDigest(storage.AccessSecret, token), p.now())
		if errors.Is(err, storage.ErrNotFound) || err == nil && t.ClientID != client.ID {
			return "", time.Time{}, nil
		}
		if err != nil {
			return "", time.Time{}, err
		}
		return t.ID, t.ExpiresAt, nil
	}
	claims := new(accessClaims)
	payload, err := p.keys.Verify(token, keys.TypeAccessToken)
	if err != nil || json.Unmarshal(payload, claims) != nil || claims.ClientID != client.ID || p.now().Unix() >= claims.ExpiresAt {
		return "", time.Time{}, nil
	}
	return claims.ID, time.Unix(claims.ExpiresAt, 0), nil
}

// revokeRefresh ends the grant of any refresh token of it that we made, the
// current one or one that was replaced.
func (p *Provider) revokeRefresh(ctx context.Context, client *storage.Client, token string) error {
	shown, ours := p.refresh.read(token)
	if !ours {
		return nil
	}
	g, err := p.store.Grants.FindByHandle(ctx, shown.storedHandle())
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil
	case err != nil:
		return err
	case g.ClientID != client.ID:
		return nil
	}
	e := storage.NewEvent(ctx, p.now(), "grant.revoked", g.UserID)
	e.ClientID = client.ID
	e.Details = map[string]string{"grant": g.ID, "reason": "revoked by the client"}
	return p.store.Grants.Revoke(ctx, g.ID, p.now(), e)
}
