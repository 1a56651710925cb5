package provider

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"

	"gatehouse/keys"
	"gatehouse/storage"
)

// A refreshSecret is what a refresh token carries: the handle of its grant,
// which no other token names, the generation, and a secret.
type refreshSecret struct {
	handle     [16]byte
	generation uint32
	secret     [16]byte
}

const (
	refreshPrefix = "ghr_"
	refreshBody   = 16 + 4 + 16
	refreshMAC    = 16
)

// Only one spelling of a token is that token.
var refreshEncoding = base64.RawURLEncoding.Strict()

// refreshKeys make and know refresh tokens, under each listed master key.
type refreshKeys struct{ mac, successor [][]byte }

func newRefreshKeys(m *keys.Master) refreshKeys {
	return refreshKeys{mac: m.Derive("refresh token"), successor: m.Derive("refresh token successor")}
}

func (s refreshSecret) bytes() []byte {
	b := make([]byte, 0, refreshBody+refreshMAC)
	b = append(b, s.handle[:]...)
	b = binary.BigEndian.AppendUint32(b, s.generation)
	return append(b, s.secret[:]...)
}

func (s refreshSecret) storedHandle() string { return hex.EncodeToString(s.handle[:]) }

func (s refreshSecret) digest() storage.Digest {
	return storage.NewDigest(storage.RefreshSecret, string(s.bytes()))
}

// first is a new grant's refresh token.
func (k refreshKeys) first() refreshSecret {
	s := refreshSecret{generation: 1}
	rand.Read(s.handle[:])
	rand.Read(s.secret[:])
	return s
}

// write is the token, with its MAC under the key at index i.
func (k refreshKeys) write(s refreshSecret, i int) string {
	body := s.bytes()
	return refreshPrefix + refreshEncoding.EncodeToString(append(body, sum(k.mac[i], body, refreshMAC)...))
}

// read returns what a token carries, where its MAC is good under any listed
// key: what we did not make reaches no storage.
func (k refreshKeys) read(token string) (refreshSecret, bool) {
	encoded, ours := strings.CutPrefix(token, refreshPrefix)
	if !ours || len(encoded) != refreshEncoding.EncodedLen(refreshBody+refreshMAC) {
		return refreshSecret{}, false
	}
	raw, err := refreshEncoding.DecodeString(encoded)
	if err != nil {
		return refreshSecret{}, false
	}
	body, mac := raw[:refreshBody], raw[refreshBody:]
	for _, key := range k.mac {
		if hmac.Equal(mac, sum(key, body, refreshMAC)) {
			var s refreshSecret
			copy(s.handle[:], body[:16])
			s.generation = binary.BigEndian.Uint32(body[16:20])
			copy(s.secret[:], body[20:])
			return s, true
		}
	}
	return refreshSecret{}, false
}

// successors derives the next token under each key: it need not be kept to be
// given again.
func (k refreshKeys) successors(s refreshSecret) []refreshSecret {
	all := make([]refreshSecret, len(k.successor))
	for i, key := range k.successor {
		all[i] = refreshSecret{handle: s.handle, generation: s.generation + 1}
		copy(all[i].secret[:], sum(key, s.bytes(), len(all[i].secret)))
	}
	return all
}

func sum(key, message []byte, size int) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(message)
	return h.Sum(nil)[:size]
}

// refreshToken is the refresh_token grant (RFC 6749 §6). What the request
// alone can show is judged first, so that a clumsy request spends nothing.
func (p *Provider) refreshToken(ctx context.Context, t *tokenRequest) (*tokenResponse, error) {
	if t.get("refresh_token") == "" {
		return nil, invalidRequest("refresh_token is missing")
	}
	shown, ours := p.refresh.read(t.get("refresh_token"))
	if !ours {
		return nil, invalidGrant("the refresh token is malformed, or not of this issuer")
	}
	access, id, err := p.signers(ctx, t.client)
	if err != nil {
		return nil, err
	}
	if err := p.narrows(ctx, t, shown); err != nil {
		return nil, err
	}
	successors := p.refresh.successors(shown)
	rotation := storage.Rotation{
		Handle: shown.storedHandle(), Generation: int64(shown.generation), Presented: shown.digest(),
		ClientID: t.client.ID, Grace: t.lifetimes.RefreshGrace, Now: t.now,
	}
	for _, s := range successors {
		rotation.Successors = append(rotation.Successors, s.digest())
	}
	rotated, err := p.store.Grants.Rotate(ctx, rotation)
	switch {
	case errors.Is(err, storage.ErrReused):
		return nil, invalidGrant("the refresh token was replaced and presented again: what it gave is revoked")
	case errors.Is(err, storage.ErrMismatch), errors.Is(err, storage.ErrNotFound), errors.Is(err, storage.ErrExpired):
		return nil, invalidGrant("the refresh token is unknown, expired, revoked or another client's")
	case err != nil:
		return nil, p.lost(ctx, "rotate a refresh token", err)
	case rotated.Successor < 0:
		return nil, invalidGrant("the refresh token was replaced under a key that is listed no more")
	}
	scopes, resources, err := asked(t, rotated.Grant)
	if err != nil {
		return nil, err
	}
	response, err := p.issue(ctx, t, rotated.Grant, access, id, scopes, resources, "")
	if err == nil {
		response.RefreshToken = p.refresh.write(successors[rotated.Successor], rotated.Successor)
	}
	return response, err
}

// narrows judges, where the request asks for less than was granted, whether it
// may, before the rotation spends anything. Most requests ask for nothing.
func (p *Provider) narrows(ctx context.Context, t *tokenRequest, shown refreshSecret) error {
	if t.get("scope") == "" && len(t.resources) == 0 {
		return nil
	}
	g, err := p.store.Grants.FindByHandle(ctx, shown.storedHandle())
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil // the rotation says so
	case err != nil:
		return p.lost(ctx, "read a grant", err)
	case g.ClientID != t.client.ID:
		return nil // the rotation says so
	}
	_, _, err = asked(t, g)
	return err
}

// asked are the scopes and resources of this request: the granted ones or
// some of them (RFC 6749 §6, RFC 8707 §2.2).
func asked(t *tokenRequest, g *storage.Grant) (scopes, resources []string, err error) {
	scopes = g.Scopes
	if raw := t.get("scope"); raw != "" {
		scopes = distinct(strings.Fields(raw))
		if !covers(g.Scopes, scopes) {
			return nil, nil, invalidScope("scope has more than was granted")
		}
	}
	resources, err = narrowed(t, g.Resources)
	return scopes, resources, err
}

func distinct(list []string) []string {
	var all []string
	for _, s := range list {
		if !covers(all, []string{s}) {
			all = append(all, s)
		}
	}
	return all
}
