package provider

import (
	"context"
	"errors"
	"strings"

	"github.com/zitadel/oidc/v3/pkg/oidc"

	"gatehouse/storage"
)

// redeemCode is the authorization_code grant (RFC 6749 §4.1.3). Redeeming
// spends the code, judges it and begins the refresh token in one statement; a
// wrong attempt spends it too.
func (p *Provider) redeemCode(ctx context.Context, t *tokenRequest) (*tokenResponse, error) {
	for _, name := range []string{"code", "redirect_uri"} {
		if t.get(name) == "" {
			return nil, invalidRequest(name + " is missing")
		}
	}
	access, id, err := p.signers(ctx, t.client)
	if err != nil {
		return nil, err
	}
	first := p.refresh.first()
	g, err := p.store.Grants.Redeem(ctx, storage.Redemption{
		Code: storage.NewDigest(storage.CodeSecret, t.get("code")), ClientID: t.client.ID,
		RedirectURI: t.get("redirect_uri"), Challenge: challengeOf(t.get("code_verifier")),
		Handle: first.storedHandle(), Refresh: first.digest(), Now: t.now,
	})
	switch {
	case errors.Is(err, storage.ErrReused):
		// The grant is revoked, and its event written, by the same act.
		return nil, invalidGrant("the code was used already: what it gave is revoked")
	case errors.Is(err, storage.ErrMismatch), errors.Is(err, storage.ErrNotFound), errors.Is(err, storage.ErrExpired):
		return nil, invalidGrant("the code is unknown, expired or not for this client, redirect_uri and code_verifier")
	case err != nil:
		return nil, p.lost(ctx, "redeem a code", err)
	}
	resources, err := narrowed(t, g.Resources)
	if err != nil {
		return nil, err
	}
	response, err := p.issue(ctx, t, g, access, id, g.Scopes, resources, g.Nonce)
	if err == nil && g.Refreshable() {
		response.RefreshToken = p.refresh.write(first, 0)
	}
	return response, err
}

// challengeOf is the S256 challenge of a verifier (RFC 7636 §4.6). One that no
// client may use, of the wrong length or alphabet (§4.1), fits no challenge.
func challengeOf(verifier string) string {
	switch {
	case verifier == "":
		return ""
	case len(verifier) < 43 || len(verifier) > 128 || strings.Trim(verifier, letters+digits+"-._~") != "":
		return "malformed"
	}
	return oidc.NewSHACodeChallenge(verifier)
}
