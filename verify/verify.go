package verify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

// maxToken bounds what is looked at at all, in bytes.
const maxToken = 16 << 10

// algorithms are those that a token may be signed with. Each has its own kind of
// key, so none can be mistaken for another; there is no HMAC, no "none".
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256, jose.EdDSA}

// Config says whose tokens are accepted, and for whom. Issuer and Audience must
// be set; everything else has a default that works.
type Config struct {
	// Issuer is the provider, exactly as it calls itself: https, or http on a
	// loopback address.
	Issuer string
	// Audience is this service, as the client registered it or asks for it.
	Audience string
	// Algorithms narrows what is accepted; RS256, PS256, ES256 and EdDSA by default.
	Algorithms []string
	// Leeway allows for clocks that differ; 0 means 30 s, a negative one none.
	Leeway time.Duration
	// RefetchInterval is how often, at most, an unknown key or a provider that is
	// away causes a fetch; 0 means 10 s.
	RefetchInterval time.Duration
	// Transport fetches the keys; nil means a copy of http.DefaultTransport.
	Transport http.RoundTripper
	// Log hears of keys that could not be read, and, at debug level, of tokens
	// that the middleware refused; nil means slog.Default.
	Log *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// A Verifier verifies access tokens. It is safe for concurrent use; make one and
// keep it, since it holds the provider's keys.
type Verifier struct {
	issuer, audience string
	algorithms       []jose.SignatureAlgorithm
	leeway           time.Duration
	now              func() time.Time
	log              *slog.Logger
	keys             *keys
}

// New returns a verifier. It fetches nothing yet, so a service may start before
// its provider does.
func New(c Config) (*Verifier, error) {
	if err := checkIssuer(c.Issuer); err != nil {
		return nil, err
	}
	if c.Audience == "" {
		return nil, errors.New("verify: Audience is empty: name this service")
	}
	accepted, err := chosen(c.Algorithms)
	if err != nil {
		return nil, err
	}
	switch {
	case c.Leeway == 0:
		c.Leeway = 30 * time.Second
	case c.Leeway < 0:
		c.Leeway = 0
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return &Verifier{
		issuer: c.Issuer, audience: c.Audience, algorithms: accepted, leeway: c.Leeway, now: c.Now, log: c.Log,
		keys: newKeys(newProvider(c.Issuer, c.Transport), c),
	}, nil
}

// checkIssuer refuses an issuer whose keys could be swapped on the way.
func checkIssuer(issuer string) error {
	u, err := url.Parse(issuer)
	switch {
	case err != nil:
		return fmt.Errorf("verify: Issuer: %w", err)
	case u.Host == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return fmt.Errorf("verify: Issuer %q must be a URL with a host and without user, query or fragment", issuer)
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())):
		return fmt.Errorf("verify: Issuer %q must be https, or http on a loopback address", issuer)
	}
	return nil
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// chosen reads Config.Algorithms.
func chosen(names []string) ([]jose.SignatureAlgorithm, error) {
	if len(names) == 0 {
		return algorithms, nil
	}
	var list []jose.SignatureAlgorithm
	for _, n := range names {
		if !slices.Contains(algorithms, jose.SignatureAlgorithm(n)) {
			return nil, fmt.Errorf("verify: algorithm %q is not one of %v", n, algorithms)
		}
		list = append(list, jose.SignatureAlgorithm(n))
	}
	return list, nil
}

// Verify returns the token if it passes every check, and an *Error otherwise. It
// waits for the provider only where it has no key to verify with, and no longer
// than ctx.
func (v *Verifier) Verify(ctx context.Context, token string) (*Token, error) {
	if err := shape(token); err != nil {
		return nil, err
	}
	jws, err := v.parse(token)
	if err != nil {
		return nil, err
	}
	header := &jws.Signatures[0].Protected
	key, err := v.keys.find(ctx, header.KeyID)
	if err != nil {
		return nil, err
	}
	// RFC 8725 §3.1: the key says how it may be used, not the token.
	if !slices.Contains(key.algorithms, jose.SignatureAlgorithm(header.Algorithm)) {
		return nil, refuse(ErrAlgorithm, "signed with %s, but key %s is for %v", header.Algorithm, quote(header.KeyID), key.algorithms)
	}
	payload, err := jws.Verify(key.public)
	if err != nil {
		return nil, &Error{Check: ErrSignature, Err: err}
	}
	return v.claims(payload)
}

// shape refuses what cannot be a token before anything is decoded: in one pass,
// so that a hundred thousand dots cost what they weigh.
func shape(token string) error {
	const prefix = "bearer "
	switch {
	case len(token) >= len(prefix) && strings.EqualFold(token[:len(prefix)], prefix):
		return refuse(ErrPrefix, "the token begins with %s", quote(token[:len(prefix)]))
	case token == "":
		return refuse(ErrFormat, "the token is empty")
	case len(token) > maxToken:
		return refuse(ErrFormat, "the token has %d bytes, more than %d", len(token), maxToken)
	}
	dots := 0
	for i := range len(token) {
		switch c := token[i]; {
		case c == '.':
			dots++
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return refuse(ErrFormat, "byte %d is %q", i, c)
		}
	}
	if dots != 2 {
		return refuse(ErrFormat, "%d dots instead of 2; an opaque token cannot be verified offline", dots)
	}
	return nil
}

// parse decodes the token and refuses what its header alone gives away.
func (v *Verifier) parse(token string) (*jose.JSONWebSignature, error) {
	jws, err := jose.ParseSignedCompact(token, v.algorithms)
	if algorithm, ok := errors.AsType[*jose.ErrUnexpectedSignatureAlgorithm](err); ok {
		return nil, refuse(ErrAlgorithm, "signed with %s, accepted are %v", quote(string(algorithm.Got)), v.algorithms)
	}
	if err != nil {
		return nil, &Error{Check: ErrFormat, Err: err}
	}
	header := &jws.Signatures[0].Protected
	// RFC 9068 §4, RFC 7515 §4.1.9: with or without "application/", in any case.
	typ, _ := header.ExtraHeaders[jose.HeaderType].(string)
	if t := strings.ToLower(typ); t != "at+jwt" && t != "application/at+jwt" {
		return nil, refuse(ErrType, "typ is %s instead of \"at+jwt\"", quote(typ))
	}
	// RFC 7515 §4.1.11: we understand no extension. The others would let the
	// token choose its own key.
	for _, name := range []jose.HeaderKey{"crit", "b64", "jku", "x5u"} {
		if _, ok := header.ExtraHeaders[name]; ok {
			return nil, refuse(ErrFormat, "the header has %s", name)
		}
	}
	if header.JSONWebKey != nil {
		return nil, refuse(ErrFormat, "the header has jwk")
	}
	if header.KeyID == "" {
		return nil, refuse(ErrFormat, "the header has no kid")
	}
	return jws, nil
}

// claims checks a payload whose signature was verified.
func (v *Verifier) claims(payload []byte) (*Token, error) {
	var c claims
	if err := json.Unmarshal(payload, &c); err != nil {
		return nil, &Error{Check: ErrFormat, Detail: "claims", Err: err}
	}
	if name := c.missing(); name != "" {
		return nil, refuse(ErrFormat, "the claim %s is missing", name)
	}
	now := v.now()
	switch {
	case c.Issuer != v.issuer:
		return nil, refuse(ErrIssuer, "iss is %s instead of %q", quote(c.Issuer), v.issuer)
	case !c.Audience.Contains(v.audience):
		return nil, refuse(ErrAudience, "aud is %s without %q", quote(strings.Join(c.Audience, " ")), v.audience)
	case !now.Before(c.Expires.Time().Add(v.leeway)):
		ago := now.Sub(c.Expires.Time()).Truncate(time.Second)
		return nil, &Error{Check: ErrExpired, Detail: ago.String() + " ago", Ago: ago}
	case c.NotBefore != nil && c.NotBefore.Time().After(now.Add(v.leeway)):
		return nil, refuse(ErrNotYetValid, "nbf is %s ahead", c.NotBefore.Time().Sub(now).Round(time.Second))
	case c.IssuedAt.Time().After(now.Add(v.leeway)):
		return nil, refuse(ErrNotYetValid, "iat is %s ahead", c.IssuedAt.Time().Sub(now).Round(time.Second))
	// RFC 9449 §7.2, RFC 8705 §3: such a token is worth nothing without the proof.
	case len(c.Confirmation) > 0:
		return nil, refuse(ErrBound, "cnf is %s", quote(string(c.Confirmation)))
	}
	return c.token(payload), nil
}
