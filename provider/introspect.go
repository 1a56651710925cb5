package provider

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/zitadel/oidc/v3/pkg/oidc"

	"gatehouse/storage"
)

// An introspection is RFC 7662 §2.2's answer. Where Active is false, nothing
// else is said.
type introspection struct {
	Active    bool     `json:"active"`
	Scope     string   `json:"scope,omitempty"`
	ClientID  string   `json:"client_id,omitempty"`
	TokenType string   `json:"token_type,omitempty"`
	ExpiresAt int64    `json:"exp,omitempty"`
	IssuedAt  int64    `json:"iat,omitempty"`
	Subject   string   `json:"sub,omitempty"`
	Audience  []string `json:"aud,omitempty"`
	Issuer    string   `json:"iss,omitempty"`
	ID        string   `json:"jti,omitempty"`
	AuthTime  int64    `json:"auth_time,omitempty"`
	ACR       string   `json:"acr,omitempty"`
	AMR       []string `json:"amr,omitempty"`
}

// authenticated reads a request to a token-side endpoint and its client: nil
// where the answer is written.
func (p *Provider) authenticated(w http.ResponseWriter, r *http.Request) (*form, *storage.Client) {
	f := readForm(r)
	if bad := f.firstFault(); bad != nil {
		p.writeError(w, r, bad)
		return nil, nil
	}
	client, err := p.authenticate(r, f)
	if err != nil {
		p.writeError(w, r, err)
		return nil, nil
	}
	allowOrigin(w, r, client)
	return f, client
}

// serveIntrospect is the introspection endpoint (RFC 7662), for the client of
// a token and for those that are in its aud. token_type_hint is not needed: a
// token says what it is.
func (p *Provider) serveIntrospect(w http.ResponseWriter, r *http.Request) {
	f, client := p.authenticated(w, r)
	switch {
	case f == nil:
		return
	case client.Public():
		p.writeError(w, r, invalidClient()) // RFC 7662 §2.1: callers are authenticated
		return
	case f.get("token") == "":
		p.writeError(w, r, invalidRequest("token is missing"))
		return
	}
	answer, err := p.introspect(r.Context(), client, f.get("token"))
	if err != nil {
		p.writeError(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

func (p *Provider) introspect(ctx context.Context, client *storage.Client, token string) (*introspection, error) {
	if strings.HasPrefix(token, refreshPrefix) {
		return p.introspectRefresh(ctx, client, token)
	}
	b, err := p.bearer(ctx, token)
	if e, ok := errors.AsType[*oidc.Error](err); ok && e.ErrorType == invalidToken {
		return &introspection{}, nil
	}
	if err != nil {
		return nil, err
	}
	if b.ClientID != client.ID && !slices.Contains(b.Audience, client.ID) {
		return &introspection{}, nil
	}
	return &introspection{
		Active: true, Scope: b.Scope, ClientID: b.ClientID, TokenType: oidc.BearerToken, ExpiresAt: b.ExpiresAt, IssuedAt: b.IssuedAt,
		Subject: b.Subject, Audience: b.Audience, Issuer: b.Issuer, ID: b.ID, AuthTime: b.AuthTime, ACR: b.ACR, AMR: b.AMR,
	}, nil
}

// introspectRefresh answers for the current refresh token of a grant, to its
// own client.
func (p *Provider) introspectRefresh(ctx context.Context, client *storage.Client, token string) (*introspection, error) {
	shown, ours := p.refresh.read(token)
	if !ours {
		return &introspection{}, nil
	}
	g, err := p.store.Grants.Current(ctx, shown.storedHandle(), shown.digest(), p.now())
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return &introspection{}, nil
	case err != nil:
		return nil, p.lost(ctx, "read a grant", err)
	case g.ClientID != client.ID:
		return &introspection{}, nil
	}
	return &introspection{
		Active: true, Scope: strings.Join(g.Scopes, " "), ClientID: g.ClientID, ExpiresAt: g.RefreshIdleExpiresAt.Unix(), IssuedAt: g.RotatedAt.Unix(),
		Subject: g.UserID, Issuer: p.issuer, AuthTime: g.AuthTime.Unix(), ACR: g.ACR, AMR: g.AMR,
	}, nil
}
