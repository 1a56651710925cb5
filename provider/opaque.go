package provider

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"strings"
	"time"

	"gatehouse/keys"
	"gatehouse/storage"
)

// An opaque access token is gha_, 256 random bits and a checksum, by which
// junk is told without a look into the database, and a leaked one is found by
// scanners.
const (
	opaquePrefix   = "gha_"
	opaqueRandom   = 52
	opaqueChecksum = 8
)

func newOpaque() string {
	token := newSecret(opaquePrefix)
	return token + checksum(token)
}

// checksum is of a token without it, prefix included.
func checksum(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base32.StdEncoding.EncodeToString(sum[:5])
}

// isOpaque reports whether we may have made this token.
func isOpaque(token string) bool {
	const end = len(opaquePrefix) + opaqueRandom
	return strings.HasPrefix(token, opaquePrefix) && len(token) == end+opaqueChecksum && checksum(token[:end]) == token[end:]
}

// accessToken makes the token of these claims in the format of the client.
func (p *Provider) accessToken(ctx context.Context, t *tokenRequest, signer *keys.Signer, claims *accessClaims) (string, error) {
	if t.client.Metadata.AccessTokenFormat != formatOpaque {
		token, err := signer.Sign(keys.TypeAccessToken, claims)
		if err != nil {
			return "", p.internal(ctx, "sign an access token", err)
		}
		return token, nil
	}
	token := newOpaque()
	err := p.store.AccessTokens.Create(ctx, &storage.AccessToken{
		ID: claims.ID, Grant: claims.Grant, ClientID: claims.ClientID, Subject: claims.Subject,
		Scopes: strings.Fields(claims.Scope), Audience: claims.Audience,
		IssuedAt: time.Unix(claims.IssuedAt, 0), ExpiresAt: time.Unix(claims.ExpiresAt, 0),
	}, storage.NewDigest(storage.AccessSecret, token))
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return "", invalidGrant("the grant was revoked meanwhile")
	case err != nil:
		return "", p.lost(ctx, "store an access token", err)
	}
	return token, nil
}

// A bearer is an access token that is good now. Grant and user are there where
// owner was asked and the token is a person's.
type bearer struct {
	*accessClaims
	user  *storage.User
	grant *storage.Grant
}

// bearer judges an access token of either format: good here and now, or why not.
func (p *Provider) bearer(ctx context.Context, token string) (*bearer, error) {
	if strings.HasPrefix(token, opaquePrefix) {
		return p.opaqueBearer(ctx, token)
	}
	claims, refusal := p.readAccess(token)
	if refusal != nil {
		return nil, refusal
	}
	if claims.Grant == "" {
		return &bearer{accessClaims: claims}, p.judged(ctx, p.liveOwn(ctx, claims))
	}
	alive, err := p.store.Grants.Alive(ctx, claims.Grant, claims.ID, p.now())
	if err == nil && !alive {
		err = storage.ErrNotFound
	}
	return &bearer{accessClaims: claims}, p.judged(ctx, err)
}

// liveOwn judges a token that a client has for itself: its client from memory
// not older than two seconds, and whether it was revoked or its client ended since.
func (p *Provider) liveOwn(ctx context.Context, claims *accessClaims) error {
	if _, err := p.knownClient(ctx, claims.ClientID); err != nil {
		return err
	}
	revoked, err := p.store.Revocations.Revoked(ctx, claims.ID, claims.ClientID, time.Unix(claims.IssuedAt, 0))
	if err == nil && revoked {
		return storage.ErrNotFound
	}
	return err
}

func (p *Provider) opaqueBearer(ctx context.Context, token string) (*bearer, error) {
	if !isOpaque(token) {
		return nil, badToken("the access token is malformed, or not of this issuer")
	}
	t, err := p.store.AccessTokens.Find(ctx, storage.NewDigest(storage.AccessSecret, token), p.now())
	if err != nil {
		return nil, p.judged(ctx, err)
	}
	return &bearer{accessClaims: p.opaqueClaims(t)}, nil
}

// opaqueClaims are what a JWT in the place of t would say.
func (p *Provider) opaqueClaims(t *storage.AccessToken) *accessClaims {
	return &accessClaims{
		Issuer: p.issuer, Subject: t.Subject, Audience: t.Audience, ClientID: t.ClientID, ID: t.ID,
		IssuedAt: t.IssuedAt.Unix(), ExpiresAt: t.ExpiresAt.Unix(), Scope: strings.Join(t.Scopes, " "), Grant: t.Grant,
	}
}

// owner is bearer for whoever asks about the person: grant and user come with
// a person's token, in the look that judges it.
func (p *Provider) owner(ctx context.Context, token string) (*bearer, error) {
	if strings.HasPrefix(token, opaquePrefix) {
		return p.opaqueOwner(ctx, token)
	}
	claims, refusal := p.readAccess(token)
	switch {
	case refusal != nil:
		return nil, refusal
	case claims.Grant == "":
		return &bearer{accessClaims: claims}, p.judged(ctx, p.liveOwn(ctx, claims))
	}
	g, u, err := p.store.Grants.Live(ctx, claims.Grant, claims.ID, p.now())
	return &bearer{claims, u, g}, p.judged(ctx, err)
}

func (p *Provider) opaqueOwner(ctx context.Context, token string) (*bearer, error) {
	if !isOpaque(token) {
		return nil, badToken("the access token is malformed, or not of this issuer")
	}
	t, g, u, err := p.store.AccessTokens.Live(ctx, storage.NewDigest(storage.AccessSecret, token), p.now())
	if err == nil {
		return &bearer{p.opaqueClaims(t), u, g}, nil
	}
	if !errors.Is(err, storage.ErrNotFound) {
		return nil, p.lost(ctx, "look for an access token", err)
	}
	// A client's own, or none. One whose grant came to life meanwhile was refused.
	b, refusal := p.opaqueBearer(ctx, token)
	if refusal == nil && b.Grant != "" {
		return nil, p.judged(ctx, err)
	}
	return b, refusal
}

// judged is what a caller may learn of a token's end.
func (p *Provider) judged(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, storage.ErrNotFound):
		return badToken("the access token expired or was revoked, or its account or client is gone")
	}
	return p.lost(ctx, "look for an access token", err)
}
