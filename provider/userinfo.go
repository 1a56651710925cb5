package provider

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/zitadel/oidc/v3/pkg/oidc"

	"gatehouse/keys"
)

func badToken(why string) *oidc.Error {
	return &oidc.Error{ErrorType: invalidToken, Description: why}
}

// serveUserinfo is the userinfo endpoint (OpenID Connect Core §5.3).
func (p *Provider) serveUserinfo(w http.ResponseWriter, r *http.Request) {
	token, refusal := presented(r)
	if refusal != nil {
		p.writeBearerError(w, r, refusal)
		return
	}
	if token == "" {
		// RFC 6750 §3.1: whoever shows nothing is told nothing but how.
		w.Header().Set("WWW-Authenticate", `Bearer realm="gatehouse"`)
		p.writeError(w, r, badToken("no access token was sent"))
		return
	}
	b, err := p.owner(r.Context(), token)
	if err != nil {
		p.writeBearerError(w, r, err)
		return
	}
	if c, _, err := p.clients.client(r.Context(), b.ClientID); err == nil {
		allowOrigin(w, r, c)
	}
	scopes := strings.Fields(b.Scope)
	if b.Grant == "" || !slices.Contains(scopes, oidc.ScopeOpenID) {
		p.writeBearerError(w, r, &oidc.Error{ErrorType: insufficientScope, Description: "the access token has no scope openid"})
		return
	}
	claims := userClaims(b.user, scopes)
	maps.Copy(claims, pick(b.user, claimsOf(b.grant, scopes).Userinfo))
	writeJSON(w, http.StatusOK, claims)
}

// presented returns the one bearer token of a request: in the header, or in
// the body of a POST, never in the URL (RFC 6750 §2, OAuth 2.1 §5.1.2).
func presented(r *http.Request) (string, *oidc.Error) {
	headers := r.Header.Values("Authorization")
	if r.URL.Query().Has("access_token") {
		return "", invalidRequest("an access token belongs in the Authorization header, not in the URL")
	}
	if len(headers) > 1 {
		return "", invalidRequest("Authorization is repeated")
	}
	token := ""
	if len(headers) == 1 {
		scheme, rest, _ := strings.Cut(headers[0], " ")
		if !strings.EqualFold(scheme, oidc.BearerToken) || rest == "" {
			return "", badToken("Authorization must be Bearer and an access token")
		}
		token = rest
	}
	if r.Method != http.MethodPost || token != "" && r.Header.Get("Content-Type") == "" {
		return token, nil
	}
	f := readForm(r)
	switch bad := f.firstFault(); {
	case token != "" && f.get("access_token") != "":
		return "", invalidRequest("the access token was sent in two ways")
	case token != "":
		return token, nil
	case bad != nil:
		return "", invalidRequest(bad.Error())
	}
	return f.get("access_token"), nil
}

// readAccess verifies an access token of ours: signature, typ, issuer and time.
func (p *Provider) readAccess(token string) (*accessClaims, *oidc.Error) {
	payload, err := p.keys.Verify(token, keys.TypeAccessToken)
	switch {
	case errors.Is(err, keys.ErrType):
		return nil, badToken("this token is of another type: an access token is needed")
	case err != nil:
		return nil, badToken("the access token is malformed, or not of this issuer")
	}
	claims := new(accessClaims)
	if err := json.Unmarshal(payload, claims); err != nil || claims.Issuer != p.issuer {
		return nil, badToken("the access token is malformed, or not of this issuer")
	}
	if p.now().Unix() >= claims.ExpiresAt {
		return nil, badToken("the access token expired")
	}
	return claims, nil
}
