package provider

import (
	"context"

	"github.com/go-jose/go-jose/v4"

	"gatehouse/jwks"
	"gatehouse/storage"
)

// clientKeys are the client's keys that may verify this signature: by value,
// or from its jwks_uri, which is read again where the kid is unknown.
func (p *Provider) clientKeys(ctx context.Context, c *storage.Client, kid, algorithm string) ([]jose.JSONWebKey, error) {
	if c.Metadata.JWKSURI == "" {
		set, err := jwks.Parse(c.Metadata.JWKS)
		if err != nil {
			return nil, err
		}
		return jwks.Fitting(set, kid, algorithm), nil
	}
	return p.fetched.Find(ctx, c.Metadata.JWKSURI, kid, algorithm)
}
