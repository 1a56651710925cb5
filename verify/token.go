package verify

import (
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/json"
	"github.com/go-jose/go-jose/v4/jwt"
)

// A Token is an access token that passed every check.
type Token struct {
	ID       string // jti
	Issuer   string
	Subject  string // the user, or the client itself where it acts for nobody
	ClientID string
	Audience []string
	Scopes   []string
	IssuedAt time.Time
	Expires  time.Time
	AuthTime time.Time // when the user signed in; zero where the token does not say

	payload []byte
}

// HasScope reports whether the token was granted this scope.
func (t *Token) HasScope(scope string) bool { return slices.Contains(t.Scopes, scope) }

// Require returns an *Error of ErrScope unless the token was granted every one
// of the scopes.
func (t *Token) Require(scopes ...string) error {
	for _, s := range scopes {
		if !t.HasScope(s) {
			return refuse(ErrScope, "needs %s, has %s", quote(s), quote(strings.Join(t.Scopes, " ")))
		}
	}
	return nil
}

// Claims decodes all claims into v, as encoding/json would, but with names
// matched exactly.
func (t *Token) Claims(v any) error { return json.Unmarshal(t.payload, v) }

// claims are those that RFC 9068 §2.2 knows.
type claims struct {
	Issuer       string           `json:"iss"`
	Subject      string           `json:"sub"`
	Audience     jwt.Audience     `json:"aud"`
	ClientID     string           `json:"client_id"`
	ID           string           `json:"jti"`
	Scope        string           `json:"scope"`
	Expires      *jwt.NumericDate `json:"exp"`
	IssuedAt     *jwt.NumericDate `json:"iat"`
	NotBefore    *jwt.NumericDate `json:"nbf"`
	AuthTime     *jwt.NumericDate `json:"auth_time"`
	Confirmation json.RawMessage  `json:"cnf"`
}

// missing names the first claim that RFC 9068 §2.2 requires and that is not there.
func (c *claims) missing() string {
	switch {
	case c.Issuer == "":
		return "iss"
	case len(c.Audience) == 0:
		return "aud"
	case c.Expires == nil:
		return "exp"
	case c.IssuedAt == nil:
		return "iat"
	case c.Subject == "":
		return "sub"
	case c.ClientID == "":
		return "client_id"
	case c.ID == "":
		return "jti"
	}
	return ""
}

func (c *claims) token(payload []byte) *Token {
	t := &Token{
		ID: c.ID, Issuer: c.Issuer, Subject: c.Subject, ClientID: c.ClientID,
		Audience: c.Audience, Scopes: strings.Fields(c.Scope),
		IssuedAt: c.IssuedAt.Time(), Expires: c.Expires.Time(), payload: payload,
	}
	if c.AuthTime != nil {
		t.AuthTime = c.AuthTime.Time()
	}
	return t
}
