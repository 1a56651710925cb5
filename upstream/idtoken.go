package upstream

import (
	"context"
	"crypto/subtle"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
)

// algorithms that an ID token may be signed with: by the provider's own key,
// never by our secret, never not at all.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

const (
	skew      = 60 * time.Second // between its clock and ours
	oldest    = 10 * time.Minute // since an ID token was made for us
	maxLength = 255              // of a subject (OpenID Connect Core §2)
)

// oneOrMore is a list that some providers write as its one member.
type oneOrMore = oidc.Audience

// claims are those of an ID token that we read, together with those about the
// person.
type claims struct {
	Issuer          string    `json:"iss"`
	Audience        oneOrMore `json:"aud"`
	AuthorizedParty string    `json:"azp"`
	ExpiresAt       *float64  `json:"exp"`
	IssuedAt        *float64  `json:"iat"`
	NotBefore       *float64  `json:"nbf"`
	AuthTime        *float64  `json:"auth_time"`
	Nonce           string    `json:"nonce"`
	AccessTokenHash string    `json:"at_hash"`
	AMR             oneOrMore `json:"amr"`
	HostedDomain    string    `json:"hd"`
	person
}

// verify judges an ID token (OpenID Connect Core §3.1.3.7).
func (p *Provider) verify(ctx context.Context, d *Document, raw, accessToken, nonce string) (*claims, error) {
	algorithm, payload, err := p.verifySignature(ctx, d, raw)
	if err != nil {
		return nil, err
	}
	c := new(claims)
	if err := decode(payload, c); err != nil {
		return nil, p.fault("id_token", errors.New("its claims are not as OpenID Connect has them"))
	}
	for _, judge := range []func(*claims) error{p.judgeWho, p.judgeWhen} {
		if err := judge(c); err != nil {
			return nil, err
		}
	}
	// The values stay out: a nonce that came from elsewhere may be good there.
	if subtle.ConstantTimeCompare([]byte(c.Nonce), []byte(nonce)) != 1 {
		return nil, p.differs("nonce", "another nonce, or none", "the one of this sign-in")
	}
	if c.AccessTokenHash != "" {
		hash, err := oidc.ClaimHash(accessToken, algorithm)
		if err != nil || subtle.ConstantTimeCompare([]byte(hash), []byte(c.AccessTokenHash)) != 1 {
			return nil, p.differs("at_hash", "the hash of another access token", "that of the one beside it")
		}
	}
	return c, nil
}

// verifySignature returns the payload of a token that one of the provider's
// published keys has signed.
func (p *Provider) verifySignature(ctx context.Context, d *Document, raw string) (jose.SignatureAlgorithm, []byte, error) {
	if strings.Count(raw, ".") != 2 {
		return "", nil, p.differs("id_token", "no compact JWS", "a signed JWT")
	}
	jws, err := jose.ParseSignedCompact(raw, algorithms)
	if err != nil {
		return "", nil, p.differs("algorithm", claimedAlgorithm(raw), "a signature by one of its keys, such as RS256")
	}
	header := jws.Signatures[0].Protected
	keys, err := p.set.keys.Find(ctx, d.JWKSURI, header.KeyID, header.Algorithm)
	if err != nil {
		return "", nil, p.unanswered("keys", err, d.JWKSURI)
	}
	if len(keys) == 0 {
		return "", nil, p.differs("kid", header.KeyID, "a key of "+d.JWKSURI)
	}
	for _, k := range keys {
		if payload, err := jws.Verify(k); err == nil {
			return jose.SignatureAlgorithm(header.Algorithm), payload, nil
		}
	}
	return "", nil, p.differs("signature", "a signature by another key", "one by key "+header.KeyID+" of "+d.JWKSURI)
}

// claimedAlgorithm is the alg of a token that was not parsed, for display.
func claimedAlgorithm(raw string) string {
	header, _, _ := strings.Cut(raw, ".")
	var h struct {
		Algorithm string `json:"alg"`
	}
	if decoded, err := decodeSegment(header); err != nil || decode(decoded, &h) != nil {
		return "a header that cannot be read"
	}
	return h.Algorithm
}

// judgeWho looks at issuer, subject and audience.
func (p *Provider) judgeWho(c *claims) error {
	switch {
	case !p.isIssuer(c.Issuer):
		return p.differs("issuer", c.Issuer, p.Issuer)
	case c.Subject == "" || len(c.Subject) > maxLength || strings.ContainsFunc(c.Subject, unreadable):
		return p.differs("subject", c.Subject, "1 to 255 characters that can be printed")
	case !slices.Contains(c.Audience, p.ClientID):
		return p.differs("audience", strings.Join(c.Audience, " "), p.ClientID)
	case len(c.Audience) > 1 && c.AuthorizedParty == "":
		return p.differs("azp", "several audiences and no azp", p.ClientID)
	case c.AuthorizedParty != "" && c.AuthorizedParty != p.ClientID:
		return p.differs("azp", c.AuthorizedParty, p.ClientID)
	}
	return nil
}

// judgeWhen looks at the times.
func (p *Provider) judgeWhen(c *claims) error {
	now := p.set.now()
	switch {
	case c.ExpiresAt == nil || c.IssuedAt == nil:
		return p.differs("time", "no exp or no iat", "both")
	case !instant(c.ExpiresAt).Add(skew).After(now):
		return p.differs("expired", moment(instant(c.ExpiresAt)), "later than "+moment(now))
	case instant(c.IssuedAt).After(now.Add(skew)):
		return p.differs("clock", moment(instant(c.IssuedAt)), "not later than "+moment(now))
	case instant(c.IssuedAt).Before(now.Add(-oldest)):
		return p.differs("clock", moment(instant(c.IssuedAt)), "not long before "+moment(now))
	case c.NotBefore != nil && instant(c.NotBefore).After(now.Add(skew)):
		return p.differs("clock", moment(instant(c.NotBefore)), "not later than "+moment(now))
	case c.AuthTime != nil && instant(c.AuthTime).After(now.Add(skew)):
		return p.differs("clock", moment(instant(c.AuthTime)), "not later than "+moment(now))
	}
	return nil
}

// unreadable characters are in no subject: databases differ about some, and
// whatever was no UTF-8 comes as one and the same.
func unreadable(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }

func instant(seconds *float64) time.Time { return time.UnixMilli(int64(*seconds * 1000)) }

func moment(t time.Time) string { return t.UTC().Format(time.RFC3339) }
