package provider

import (
	"context"
	"crypto/rand"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"

	"gatehouse/keys"
	"gatehouse/storage"
)

// A tokenRequest is a request to the token endpoint whose client is authenticated.
type tokenRequest struct {
	*form
	client    *storage.Client
	lifetimes Lifetimes
	now       time.Time
}

// A tokenResponse is RFC 6749 §5.1's, with OpenID Connect Core §3.1.3.3's.
type tokenResponse struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"` // seconds
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
	Scope        string `json:"scope,omitempty"`
}

// serveToken is the token endpoint (RFC 6749 §3.2). The client is
// authenticated before anything that it presents is looked at.
func (p *Provider) serveToken(w http.ResponseWriter, r *http.Request) {
	f, client := p.authenticated(w, r)
	if f == nil {
		return
	}
	response, err := p.grantToken(r.Context(), &tokenRequest{form: f, client: client, lifetimes: p.lifetimes.of(client), now: p.now()})
	if err != nil {
		p.writeError(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, response)
}

// grantTypes is the table of grant types.
var grantTypes = map[string]func(*Provider, context.Context, *tokenRequest) (*tokenResponse, error){
	codeGrant:        (*Provider).redeemCode,
	refreshGrant:     (*Provider).refreshToken,
	credentialsGrant: (*Provider).clientCredentials,
	deviceGrant:      (*Provider).pollDevice,
}

func (p *Provider) grantToken(ctx context.Context, t *tokenRequest) (*tokenResponse, error) {
	grantType := t.get("grant_type")
	grant := grantTypes[grantType]
	switch {
	case grantType == "":
		return nil, invalidRequest("grant_type is missing")
	case grant == nil:
		return nil, &oidc.Error{ErrorType: oidc.UnsupportedGrantType, Description: "grant_type must be one of " + strings.Join(grantNames, ", ")}
	case grantType == credentialsGrant && t.client.Public():
		return nil, invalidClient() // RFC 6749 §4.4: confidential clients only
	case !allowsGrant(t.client, grantType):
		return nil, unauthorizedClient("the client did not register this grant_type")
	}
	return grant(p, ctx, t)
}

// signers returns the keys that sign for the client, before anything is spent.
func (p *Provider) signers(ctx context.Context, c *storage.Client) (access, id *keys.Signer, err error) {
	if access, err = p.keys.Signer(c.Metadata.AccessTokenSignedAlg); err != nil {
		return nil, nil, p.internal(ctx, "sign an access token with "+c.Metadata.AccessTokenSignedAlg, err)
	}
	if c.Metadata.IDTokenSignedAlg == "" {
		return access, nil, nil
	}
	if id, err = p.keys.Signer(c.Metadata.IDTokenSignedAlg); err != nil {
		return nil, nil, p.internal(ctx, "sign an ID token with "+c.Metadata.IDTokenSignedAlg, err)
	}
	return access, id, nil
}

// issue signs what a live grant gives: an access token for these scopes and
// resources, and an ID token where openid is among the scopes. nonce goes into
// the first ID token only (OpenID Connect Core §12.2).
func (p *Provider) issue(ctx context.Context, t *tokenRequest, g *storage.Grant, access, id *keys.Signer, scopes, resources []string, nonce string) (*tokenResponse, error) {
	audience := p.audience(t.client, resources)
	claims := p.accessClaims(t, g.UserID, audience, scopes)
	claims.Grant = g.ID
	claims.AuthTime = g.AuthTime.Unix()
	claims.ACR, claims.AMR = g.ACR, g.AMR
	token, err := p.accessToken(ctx, t, access, claims)
	if err != nil {
		return nil, err
	}
	response := t.response(token, scopes)
	if !slices.Contains(scopes, oidc.ScopeOpenID) || id == nil {
		return response, nil
	}
	idClaims, err := p.idClaims(t, g, nonce, token, id.Algorithm)
	if err != nil {
		return nil, p.internal(ctx, "hash an access token", err)
	}
	if names := claimsOf(g, scopes).IDToken; len(names) > 0 {
		user, err := p.store.Users.Get(ctx, g.UserID)
		if err != nil {
			return nil, p.lost(ctx, "read a user", err)
		}
		idClaims.Asked = pick(user, names)
	}
	if response.IDToken, err = id.Sign(keys.TypeJWT, idClaims); err != nil {
		return nil, p.internal(ctx, "sign an ID token", err)
	}
	return response, nil
}

func (t *tokenRequest) response(accessToken string, scopes []string) *tokenResponse {
	return &tokenResponse{
		AccessToken: accessToken, TokenType: oidc.BearerToken,
		ExpiresIn: int64(t.lifetimes.AccessToken / time.Second), Scope: strings.Join(scopes, " "),
	}
}

// narrowed reads resource at the token endpoint: some of those that were
// granted (RFC 8707 §2.2), or, where none were named, of the client's audience.
func narrowed(t *tokenRequest, granted []string) ([]string, error) {
	if len(t.resources) == 0 {
		return granted, nil
	}
	if len(granted) == 0 {
		return askedResources(t.resources, t.client)
	}
	if !covers(granted, t.resources) {
		return nil, invalidTarget("resource is not among those that were granted")
	}
	return t.resources, nil
}

// newID is 128 random bits.
func newID() string { return rand.Text() }

// newSecret is 256 random bits behind a prefix that names their kind, so that
// a leaked one is recognised.
func newSecret(prefix string) string { return prefix + rand.Text() + rand.Text() }
