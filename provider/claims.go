package provider

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"

	"gatehouse/storage"
)

// accessClaims are the claims of an access token (RFC 9068 §2.2).
type accessClaims struct {
	Issuer    string        `json:"iss"`
	Subject   string        `json:"sub"`
	Audience  oidc.Audience `json:"aud"`
	ClientID  string        `json:"client_id"`
	ID        string        `json:"jti"`
	IssuedAt  int64         `json:"iat"`
	ExpiresAt int64         `json:"exp"`
	Scope     string        `json:"scope,omitempty"`
	AuthTime  int64         `json:"auth_time,omitempty"`
	ACR       string        `json:"acr,omitempty"`
	AMR       []string      `json:"amr,omitempty"`
	// Grant is what the token hangs from; tokens of client_credentials have none.
	Grant string `json:"gid,omitempty"`
}

func (p *Provider) accessClaims(t *tokenRequest, subject string, audience, scopes []string) *accessClaims {
	return &accessClaims{
		Issuer: p.issuer, Subject: subject, Audience: audience, ClientID: t.client.ID, ID: newID(),
		IssuedAt: t.now.Unix(), ExpiresAt: t.now.Add(t.lifetimes.AccessToken).Unix(), Scope: strings.Join(scopes, " "),
	}
}

// audience is who an access token is for: the resources asked for (RFC 8707),
// else the client's audience, else ourselves.
func (p *Provider) audience(c *storage.Client, resources []string) []string {
	switch {
	case len(resources) > 0:
		return resources
	case len(c.Metadata.Audience) > 0:
		return c.Metadata.Audience
	}
	return []string{p.issuer}
}

// idClaims are the claims of an ID token (OpenID Connect Core §2). Claims
// about the person are at the userinfo endpoint, since an access token is
// always issued beside it (§5.4).
type idClaims struct {
	Issuer          string   `json:"iss"`
	Subject         string   `json:"sub"`
	Audience        string   `json:"aud"`
	AuthorizedParty string   `json:"azp"`
	ExpiresAt       int64    `json:"exp"`
	IssuedAt        int64    `json:"iat"`
	AuthTime        int64    `json:"auth_time"`
	Nonce           string   `json:"nonce,omitempty"`
	ACR             string   `json:"acr,omitempty"`
	AMR             []string `json:"amr,omitempty"`
	AccessTokenHash string   `json:"at_hash"`
	SessionID       string   `json:"sid"`
	// Asked are claims about the person that the request asked for by name.
	Asked map[string]any `json:"-"`
}

// MarshalJSON puts the asked claims beside the others.
func (c *idClaims) MarshalJSON() ([]byte, error) {
	type plain idClaims
	own, err := json.Marshal((*plain)(c))
	if err != nil || len(c.Asked) == 0 {
		return own, err
	}
	asked, err := json.Marshal(c.Asked)
	if err != nil {
		return nil, err
	}
	return slices.Concat(own[:len(own)-1], []byte(","), asked[1:]), nil
}

func (p *Provider) idClaims(t *tokenRequest, g *storage.Grant, nonce, accessToken, algorithm string) (*idClaims, error) {
	hash, err := oidc.ClaimHash(accessToken, jose.SignatureAlgorithm(algorithm))
	if err != nil {
		return nil, err
	}
	return &idClaims{
		Issuer: p.issuer, Subject: g.UserID, Audience: t.client.ID, AuthorizedParty: t.client.ID,
		ExpiresAt: t.now.Add(t.lifetimes.IDToken).Unix(), IssuedAt: t.now.Unix(), AuthTime: g.AuthTime.Unix(),
		Nonce: nonce, ACR: g.ACR, AMR: g.AMR, AccessTokenHash: hash, SessionID: sid(g.SessionID, t.client.ID),
	}, nil
}

// LowestACR is the acr of every sign-in of this version: the lowest level there
// is (ISO/IEC 29115 level 1).
const LowestACR = "1"

// sid is a session as one client knows it: clients that compare notes learn
// nothing. The session's ID is random and leaves us in no other form.
func sid(sessionID, clientID string) string {
	sum := sha256.Sum256([]byte("sid\x00" + sessionID + "\x00" + clientID))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// userClaims are the claims that scopes ask for (OpenID Connect Core §5.4), of
// those that the user has.
func userClaims(u *storage.User, scopes []string) map[string]any {
	claims := map[string]any{"sub": u.ID}
	add := func(name, value string) {
		if value != "" {
			claims[name] = value
		}
	}
	f := &u.Profile
	if slices.Contains(scopes, oidc.ScopeProfile) {
		for _, c := range []struct{ name, value string }{
			{"name", f.Name}, {"given_name", f.GivenName}, {"family_name", f.FamilyName}, {"middle_name", f.MiddleName},
			{"nickname", f.Nickname}, {"preferred_username", u.Username}, {"profile", f.Profile}, {"picture", f.Picture},
			{"website", f.Website}, {"gender", f.Gender}, {"birthdate", f.Birthdate}, {"zoneinfo", f.Zoneinfo}, {"locale", f.Locale},
		} {
			add(c.name, c.value)
		}
		claims["updated_at"] = lastOf(u.CreatedAt, u.UpdatedAt).Unix()
	}
	if slices.Contains(scopes, oidc.ScopeEmail) && u.Email != "" {
		claims["email"], claims["email_verified"] = u.Email, u.EmailVerified
	}
	if slices.Contains(scopes, oidc.ScopePhone) && f.PhoneNumber != "" {
		claims["phone_number"], claims["phone_number_verified"] = f.PhoneNumber, f.PhoneNumberVerified
	}
	if slices.Contains(scopes, oidc.ScopeAddress) && f.Address != nil && *f.Address != (storage.Address{}) {
		claims["address"] = f.Address
	}
	return claims
}

// claimNames are all the claims that userClaims and idClaims know.
var claimNames = []string{
	"sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "azp", "at_hash", "sid",
	"name", "given_name", "family_name", "middle_name", "nickname", "preferred_username", "profile", "picture",
	"website", "gender", "birthdate", "zoneinfo", "locale", "updated_at",
	"email", "email_verified", "phone_number", "phone_number_verified", "address",
}

func lastOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
