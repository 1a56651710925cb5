package verify

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

const (
	maxDocument  = 64 << 10 // bytes of discovery or of the keys
	maxRedirects = 3

	// How long a document is kept: what its Cache-Control says, within these.
	minFresh     = time.Second
	maxFresh     = 24 * time.Hour
	defaultFresh = 10 * time.Minute
)

// A provider reads the documents of one issuer. It is used by one goroutine at
// a time.
type provider struct {
	issuer string
	client *http.Client

	jwksURI string    // as discovery last said; empty before
	until   time.Time // when to read discovery again
}

// A publicKey verifies what one of its algorithms signed.
type publicKey struct {
	public     any
	algorithms []jose.SignatureAlgorithm
}

func newProvider(issuer string, transport http.RoundTripper) *provider {
	if transport == nil {
		transport = http.DefaultTransport.(*http.Transport).Clone()
	}
	return &provider{issuer: issuer, client: &http.Client{Transport: transport, CheckRedirect: sameOrigin}}
}

// sameOrigin keeps a redirect from choosing whose keys are believed.
func sameOrigin(next *http.Request, via []*http.Request) error {
	first := via[0].URL
	if len(via) > maxRedirects || next.URL.Scheme != first.Scheme || next.URL.Host != first.Host {
		return fmt.Errorf("redirected to %s", quote(next.URL.Redacted()))
	}
	return nil
}

// read returns the keys as they are published now.
func (p *provider) read(ctx context.Context, now time.Time) (*keySet, error) {
	if p.jwksURI == "" || !now.Before(p.until) {
		// Where the address of the keys is known, they are worth a try without it.
		if err := p.discover(ctx, now); err != nil && p.jwksURI == "" {
			return nil, fmt.Errorf("discovery: %w", err)
		}
	}
	var document struct {
		Keys []json.RawMessage `json:"keys"`
	}
	fresh, err := p.get(ctx, p.jwksURI, &document)
	if err == nil {
		set := &keySet{byID: usable(document.Keys), fresh: now.Add(fresh), late: now.Add(2 * fresh)}
		if len(set.byID) > 0 {
			return set, nil
		}
		err = errors.New("none can be used")
	}
	p.jwksURI = "" // perhaps they moved
	return nil, fmt.Errorf("keys: %w", err)
}

// discover finds out where the keys are (OpenID Connect Discovery §4).
func (p *provider) discover(ctx context.Context, now time.Time) error {
	var document struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	fresh, err := p.get(ctx, strings.TrimSuffix(p.issuer, "/")+"/.well-known/openid-configuration", &document)
	if err != nil {
		return err
	}
	// §4.3: it must be the document of this very issuer.
	if document.Issuer != p.issuer {
		return fmt.Errorf("it is of the issuer %s, not %q", quote(document.Issuer), p.issuer)
	}
	if err := p.trusts(document.JWKSURI); err != nil {
		return err
	}
	p.jwksURI, p.until = document.JWKSURI, now.Add(fresh)
	return nil
}

// trusts refuses to read keys over a weaker connection than the issuer's.
func (p *provider) trusts(jwksURI string) error {
	u, err := url.Parse(jwksURI)
	if err != nil || u.Host == "" || u.User != nil {
		return fmt.Errorf("jwks_uri %s is not an address", quote(jwksURI))
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname()) || strings.HasPrefix(p.issuer, "https:")) {
		return fmt.Errorf("jwks_uri %s is not https", quote(jwksURI))
	}
	return nil
}

// get decodes the JSON at address into v and says how long it stays fresh.
func (p *provider) get(ctx context.Context, address string, v any) (time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Accept", "application/json")
	res, err := p.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s answered %s", address, res.Status)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxDocument+1))
	if err != nil {
		return 0, err
	}
	if len(body) > maxDocument {
		return 0, fmt.Errorf("%s answered more than %d bytes", address, maxDocument)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return 0, fmt.Errorf("%s: %w", address, err)
	}
	return freshness(res.Header), nil
}

// freshness is how long a response may be kept (RFC 9111 §4.2), within our bounds.
func freshness(h http.Header) time.Duration {
	fresh := defaultFresh
	for directive := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		switch name {
		case "no-store", "no-cache":
			return minFresh
		case "max-age":
			fresh = min(seconds(value), maxFresh)
		}
	}
	return max(fresh-seconds(h.Get("Age")), minFresh)
}

// seconds is 0 where s is no number, and bounded where it is a huge one.
func seconds(s string) time.Duration {
	n, err := strconv.ParseUint(strings.Trim(s, `"`), 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0
	}
	return time.Duration(min(n, uint64(maxFresh/time.Second))) * time.Second
}

// usable indexes the keys that can verify a token. One that is of a kind we do
// not know, or that is damaged, does not spoil the others.
func usable(list []json.RawMessage) map[string]publicKey {
	byID := make(map[string]publicKey, len(list))
	for _, raw := range list {
		var jwk jose.JSONWebKey
		if json.Unmarshal(raw, &jwk) != nil || !jwk.Valid() || !jwk.IsPublic() || jwk.KeyID == "" {
			continue
		}
		if jwk.Use != "" && jwk.Use != "sig" {
			continue
		}
		fit := fitting(jwk.Key)
		if jwk.Algorithm != "" {
			fit = slices.DeleteFunc(fit, func(a jose.SignatureAlgorithm) bool { return string(a) != jwk.Algorithm })
		}
		if _, twice := byID[jwk.KeyID]; len(fit) > 0 && !twice {
			byID[jwk.KeyID] = publicKey{public: jwk.Key, algorithms: fit}
		}
	}
	return byID
}

// fitting lists the accepted algorithms of a kind of key (RFC 7518 §3).
func fitting(public any) []jose.SignatureAlgorithm {
	switch key := public.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() >= 2048 {
			return []jose.SignatureAlgorithm{jose.RS256, jose.PS256}
		}
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() {
			return []jose.SignatureAlgorithm{jose.ES256}
		}
	case ed25519.PublicKey:
		return []jose.SignatureAlgorithm{jose.EdDSA}
	}
	return nil
}
