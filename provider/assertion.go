package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"

	"gatehouse/keys"
	"gatehouse/storage"
)

const (
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" // RFC 7523 §2.2
	assertionLife = time.Minute
	clockSkew     = 10 * time.Second
	maxJTI        = 255
)

// An assertion is the claims of a client assertion (RFC 7523 §3).
type assertion struct {
	Issuer    string          `json:"iss"`
	Subject   string          `json:"sub"`
	Audience  json.RawMessage `json:"aud"`
	ID        string          `json:"jti"`
	ExpiresAt *float64        `json:"exp"`
	NotBefore *float64        `json:"nbf"`
	IssuedAt  *float64        `json:"iat"`
}

// asserted returns the client that a client assertion authenticates. Every
// failure is one answer: why it failed is in our log.
func (p *Provider) asserted(ctx context.Context, f *form) (*storage.Client, error) {
	if f.get("client_assertion_type") != assertionType {
		return nil, invalidClient()
	}
	jws, err := parseAssertion(f.get("client_assertion"))
	if err != nil {
		return nil, invalidClient()
	}
	// The claims say whose keys to try; nothing else is believed before one fits.
	var unverified assertion
	if json.Unmarshal(jws.UnsafePayloadWithoutVerification(), &unverified) != nil {
		return nil, invalidClient()
	}
	if id := f.get("client_id"); id != "" && id != unverified.Subject {
		return nil, invalidClient()
	}
	c, err := p.knownClient(ctx, unverified.Subject)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil, invalidClient()
	case err != nil:
		return nil, p.lost(ctx, "read a client", err)
	}
	a, err := p.verifyAssertion(ctx, c, jws)
	if err == nil {
		err = p.judgeAssertion(c, a)
	}
	if err != nil {
		p.log.InfoContext(ctx, "client assertion refused", "client", c.ID, "reason", err)
		return nil, invalidClient()
	}
	// Spent last, so that nobody spends another's: the signature is good.
	err = p.store.Used.Spend(ctx, "assertion of "+c.ID, a.ID, time.Unix(int64(*a.ExpiresAt), 0).Add(clockSkew))
	switch {
	case errors.Is(err, storage.ErrReused):
		p.log.WarnContext(ctx, "client assertion replayed", "client", c.ID)
		return nil, invalidClient()
	case err != nil:
		return nil, p.lost(ctx, "spend a client assertion", err)
	}
	return c, nil
}

func parseAssertion(token string) (*jose.JSONWebSignature, error) {
	if strings.Count(token, ".") != 2 {
		return nil, errors.New("not a compact JWS")
	}
	allowed := make([]jose.SignatureAlgorithm, len(keys.Algorithms))
	for i, a := range keys.Algorithms {
		allowed[i] = jose.SignatureAlgorithm(a)
	}
	return jose.ParseSignedCompact(token, allowed)
}

// verifyAssertion checks method, type and signature.
func (p *Provider) verifyAssertion(ctx context.Context, c *storage.Client, jws *jose.JSONWebSignature) (*assertion, error) {
	header := jws.Signatures[0].Protected
	if c.Metadata.TokenEndpointAuthMethod != privateKeyJWT {
		return nil, errors.New("the client registered another method")
	}
	if alg := c.Metadata.TokenEndpointAuthSigningAlg; alg != "" && alg != header.Algorithm {
		return nil, fmt.Errorf("signed with %s, registered %s", header.Algorithm, alg)
	}
	// RFC 8725 §3.11: a token of another kind is no assertion.
	if typ, _ := header.ExtraHeaders[jose.HeaderType].(string); typ != "" && !strings.EqualFold(typ, "JWT") && !strings.EqualFold(typ, "client-authentication+jwt") {
		return nil, fmt.Errorf("typ is %.64q", typ)
	}
	candidates, err := p.clientKeys(ctx, c, header.KeyID, header.Algorithm)
	if err != nil {
		return nil, err
	}
	for _, k := range candidates {
		payload, err := jws.Verify(k.Key)
		if err != nil {
			continue
		}
		a := new(assertion)
		return a, json.Unmarshal(payload, a)
	}
	return nil, fmt.Errorf("none of the client's %d keys for kid %.64q verifies it", len(candidates), header.KeyID)
}

// judgeAssertion checks whose it is, for whom, and when.
func (p *Provider) judgeAssertion(c *storage.Client, a *assertion) error {
	now := p.now()
	at := func(seconds float64) time.Time { return time.UnixMilli(int64(seconds * 1000)) }
	switch {
	case a.Issuer != c.ID || a.Subject != c.ID:
		return errors.New("iss and sub are not the client")
	case !p.addressed(c, a.Audience):
		return fmt.Errorf("aud is %.200s", a.Audience)
	case a.ID == "" || len(a.ID) > maxJTI || !readable(a.ID):
		return errors.New("jti is missing or malformed")
	case a.ExpiresAt == nil || *a.ExpiresAt > 1<<40 || *a.ExpiresAt < 0:
		return errors.New("exp is missing or malformed")
	case !now.Before(at(*a.ExpiresAt).Add(clockSkew)):
		return fmt.Errorf("expired %v ago", now.Sub(at(*a.ExpiresAt)))
	case at(*a.ExpiresAt).After(now.Add(assertionLife + clockSkew)):
		return errors.New("exp is more than a minute away")
	case a.NotBefore != nil && at(*a.NotBefore).After(now.Add(clockSkew)):
		return errors.New("nbf is in the future")
	case a.IssuedAt != nil && at(*a.IssuedAt).After(now.Add(clockSkew)):
		return errors.New("iat is in the future")
	}
	return nil
}

// addressed reports whether aud is the issuer and nobody else; with the
// client's switch for old software, it may be the token endpoint.
func (p *Provider) addressed(c *storage.Client, aud json.RawMessage) bool {
	var one string
	if json.Unmarshal(aud, &one) != nil {
		var list []string
		if json.Unmarshal(aud, &list) != nil || len(list) != 1 {
			return false
		}
		one = list[0]
	}
	return one == p.issuer || c.Metadata.AssertionAudTokenEndpoint && one == p.issuer+TokenPath
}

var privateKeyJWT = string(oidc.AuthMethodPrivateKeyJWT)
