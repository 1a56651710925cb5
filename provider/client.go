package provider

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"gatehouse/storage"
)

// A credential is what a request shows to authenticate its client.
type credential struct {
	id     string
	method string // as registered
	secret string
}

// authenticate returns the client of a request to a token-side endpoint
// (RFC 6749 §2.3). Whatever is wrong with the client or its secret is one
// answer, after the same work: one digest, and one look into the database.
func (p *Provider) authenticate(r *http.Request, f *form) (*storage.Client, error) {
	shown, err := readCredential(r, f)
	if err != nil {
		return nil, err
	}
	if shown.method == privateKeyJWT {
		return p.asserted(r.Context(), f)
	}
	digest := storage.NewDigest(storage.ClientSecret, shown.secret)
	c, kept, err := p.clients.client(r.Context(), shown.id)
	if err == nil && kept && !p.proves(c, shown, digest) {
		// No is never said from memory: a secret that was made a moment ago is good
		// at once, and a client that exists costs what an unknown one costs.
		c, err = p.store.Clients.Get(r.Context(), shown.id)
	}
	switch {
	case errors.Is(err, storage.ErrNotFound):
		p.proves(&storage.Client{}, shown, digest)
		return nil, invalidClient()
	case err != nil:
		return nil, p.lost(r.Context(), "read a client", err)
	case !p.proves(c, shown, digest):
		return nil, invalidClient()
	}
	return c, nil
}

// proves reports whether what was shown proves this client: the registered
// method and no other, a live secret, an enabled client.
func (p *Provider) proves(c *storage.Client, shown credential, digest storage.Digest) bool {
	enabled := c.DisabledAt.IsZero()
	if c.Metadata.TokenEndpointAuthMethod != shown.method {
		return false
	}
	if c.Public() {
		return enabled
	}
	return liveSecret(c, digest, p.now()) && enabled
}

// liveSecret compares with every secret, in constant time.
func liveSecret(c *storage.Client, digest storage.Digest, now time.Time) bool {
	found := 0
	for _, s := range c.Secrets {
		if s.ExpiresAt.IsZero() || s.ExpiresAt.After(now) {
			found |= subtle.ConstantTimeCompare(s.Digest[:], digest[:])
		}
	}
	return found == 1
}

// readCredential finds the one way in which the request authenticates.
func readCredential(r *http.Request, f *form) (credential, error) {
	headers := r.Header.Values("Authorization")
	id, secret := f.get("client_id"), f.get("client_secret")
	assertion := f.get("client_assertion") != "" || f.get("client_assertion_type") != ""
	ways := len(headers)
	if secret != "" {
		ways++
	}
	if assertion {
		ways++
	}
	switch {
	case ways > 1:
		// RFC 6749 §2.3: not more than one method in each request.
		return credential{}, invalidRequest("the client authenticates in more than one way")
	case assertion:
		return credential{method: privateKeyJWT}, nil
	case len(headers) == 1:
		shown, err := readBasic(headers[0])
		if err == nil && id != "" && id != shown.id {
			err = invalidRequest("client_id differs from the Authorization header")
		}
		return shown, err
	case id == "":
		return credential{}, invalidClient()
	case secret != "":
		return credential{id: id, method: secretPost, secret: secret}, nil
	}
	return credential{id: id, method: noSecret}, nil
}

// readBasic reads id and secret from a Basic header, where each is
// form-urlencoded before they are joined (RFC 6749 §2.3.1).
func readBasic(header string) (credential, error) {
	scheme, encoded, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Basic") || len(encoded) > 2*maxValue {
		return credential{}, invalidClient()
	}
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimLeft(encoded, " "))
	if err != nil {
		return credential{}, invalidClient()
	}
	id, secret, ok := strings.Cut(string(decoded), ":")
	if !ok {
		return credential{}, invalidClient()
	}
	id, err1 := url.QueryUnescape(id)
	secret, err2 := url.QueryUnescape(secret)
	if err1 != nil || err2 != nil || id == "" || secret == "" || !readable(id) || !readable(secret) {
		return credential{}, invalidClient()
	}
	return credential{id: id, method: secretBasic, secret: secret}, nil
}

// knownClient returns an enabled client by its id, or storage.ErrNotFound.
func (p *Provider) knownClient(ctx context.Context, id string) (*storage.Client, error) {
	c, _, err := p.clients.client(ctx, id)
	if err != nil {
		return nil, err
	}
	if !c.DisabledAt.IsZero() {
		return nil, storage.ErrNotFound
	}
	return c, nil
}

// allowsGrant reports whether the client registered this grant type.
func allowsGrant(c *storage.Client, grantType string) bool {
	return slices.Contains(c.Metadata.GrantTypes, grantType)
}
