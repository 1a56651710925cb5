package upstream

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"time"
)

// A Document is what we read of a discovery document (OpenID Connect Discovery §3).
type Document struct {
	Issuer                string `json:"issuer"`
	AuthorizationEndpoint string `json:"authorization_endpoint"`
	TokenEndpoint         string `json:"token_endpoint"`
	UserinfoEndpoint      string `json:"userinfo_endpoint"`
	JWKSURI               string `json:"jwks_uri"`
	// Prompts are the values of prompt that it takes; none: it does not say.
	Prompts []string `json:"prompt_values_supported"`
	// RFC 9207 §3: every answer of this provider says whose it is.
	IssInResponse bool `json:"authorization_response_iss_parameter_supported"`
}

// builtIn is the document of a provider that is known without asking, or nil.
func builtIn(c Config) *Document {
	if c.ID != Google {
		return nil
	}
	return &Document{
		Issuer:                c.Issuer,
		AuthorizationEndpoint: "https://accounts.google.com/o/oauth2/v2/auth",
		TokenEndpoint:         "https://oauth2.googleapis.com/token",
		UserinfoEndpoint:      "https://openidconnect.googleapis.com/v1/userinfo",
		JWKSURI:               "https://www.googleapis.com/oauth2/v3/certs",
		Prompts:               []string{"none", "consent", "select_account"},
	}
}

const (
	documentKept = time.Hour
	// A provider that did not answer is asked again, and no more often than this.
	askAgain = 10 * time.Second
)

// kept is the document of one upstream.
type kept struct {
	mu       sync.Mutex // held while it is fetched: who comes then waits for the same answer
	document *Document
	expires  time.Time // zero: never
	tried    time.Time
	fault    error // of the last try
}

// discover returns the document, from memory for an hour. One that cannot be
// renewed is used on: addresses seldom move, and what they answer is judged.
func (p *Provider) discover(ctx context.Context) (*Document, error) {
	k := p.known
	k.mu.Lock()
	defer k.mu.Unlock()
	now := p.set.now()
	if k.document != nil && (k.expires.IsZero() || now.Before(k.expires)) {
		return k.document, nil
	}
	if k.tried.IsZero() || !now.Before(k.tried.Add(askAgain)) {
		d, err := p.fetchDocument(ctx)
		k.tried, k.fault = now, err
		if err == nil {
			k.document, k.expires = d, now.Add(documentKept)
		}
	}
	if k.document != nil {
		return k.document, nil
	}
	return nil, k.fault
}

// Trouble is why the last try to discover the provider failed; nil where it did
// not, or where nobody has tried yet. It fetches nothing.
func (p *Provider) Trouble() error {
	p.known.mu.Lock()
	defer p.known.mu.Unlock()
	return p.known.fault
}

// Discover fetches the document anew, past what is kept.
func (p *Provider) Discover(ctx context.Context) (*Document, error) {
	if d := builtIn(p.Config); d != nil {
		return d, nil
	}
	return p.fetchDocument(ctx)
}

const wellKnown = "/.well-known/openid-configuration"

func (p *Provider) fetchDocument(ctx context.Context) (*Document, error) {
	address := strings.TrimSuffix(p.Issuer, "/") + wellKnown
	// Others wait for this too: it does not end with the request that began it.
	body, _, err := p.set.out.Get(context.WithoutCancel(ctx), address, "application/json")
	if err != nil {
		return nil, p.fault("unreachable", err, "address", address)
	}
	d := new(Document)
	if err := decode(body, d); err != nil {
		return nil, p.fault("discovery", errors.New("the discovery document is not JSON"), "address", address)
	}
	// OpenID Connect Discovery §4.3: byte for byte, or anybody could speak for it.
	if d.Issuer != p.Issuer {
		return nil, p.differs("discovery_issuer", d.Issuer, p.Issuer, "address", address)
	}
	for name, endpoint := range map[string]string{
		"authorization_endpoint": d.AuthorizationEndpoint, "token_endpoint": d.TokenEndpoint, "jwks_uri": d.JWKSURI,
		"userinfo_endpoint": cmp.Or(d.UserinfoEndpoint, d.TokenEndpoint), // it may be left out
	} {
		if !p.mayBe(endpoint) {
			return nil, p.differs("discovery", endpoint, "an https address", "field", name)
		}
	}
	return d, nil
}

// mayBe reports whether an endpoint is as safe as its issuer.
func (p *Provider) mayBe(endpoint string) bool {
	u, err := url.Parse(endpoint)
	return err == nil && u.Host != "" && u.User == nil && !strings.Contains(endpoint, "#") &&
		(u.Scheme == "https" || u.Scheme == "http" && strings.HasPrefix(p.Issuer, "http://"))
}
