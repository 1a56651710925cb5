package provider

import (
	"context"
	"slices"
	"strings"
)

// clientCredentials is the client_credentials grant (RFC 6749 §4.4): the
// client for itself. Nothing is written: its tokens die by jti, client or key.
func (p *Provider) clientCredentials(ctx context.Context, t *tokenRequest) (*tokenResponse, error) {
	scopes, err := clientScopes(t)
	if err != nil {
		return nil, err
	}
	resources, err := askedResources(t.resources, t.client)
	if err != nil {
		return nil, err
	}
	access, err := p.keys.Signer(t.client.Metadata.AccessTokenSignedAlg)
	if err != nil {
		return nil, p.internal(ctx, "sign an access token with "+t.client.Metadata.AccessTokenSignedAlg, err)
	}
	// RFC 9068 §2.2: without a resource owner, sub is the client.
	token, err := p.accessToken(ctx, t, access, p.accessClaims(t, t.client.ID, p.audience(t.client, resources), scopes))
	if err != nil {
		return nil, err
	}
	return t.response(token, scopes), nil
}

// clientScopes are those asked for, or all that the client registered; never
// those that speak of a person.
func clientScopes(t *tokenRequest) ([]string, error) {
	var registered []string
	for _, s := range strings.Fields(t.client.Metadata.Scope) {
		if !slices.Contains(personScopes, s) {
			registered = append(registered, s)
		}
	}
	raw := t.get("scope")
	if raw == "" {
		return registered, nil
	}
	scopes := distinct(strings.Fields(raw))
	for _, s := range scopes {
		switch {
		case !scopeToken(s):
			return nil, invalidScope("scope has a character that no scope may have")
		case slices.Contains(personScopes, s):
			return nil, invalidScope("the scope " + s + " speaks of a person, and there is none here")
		case !slices.Contains(registered, s):
			return nil, invalidScope("the client did not register the scope " + s)
		}
	}
	return scopes, nil
}
