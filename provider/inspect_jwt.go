package provider

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"

	"gatehouse/keys"
)

// A jwtHeader is what the header of a JWT says of it.
type jwtHeader struct {
	Algorithm string `json:"alg"`
	KeyID     string `json:"kid"`
	Type      string `json:"typ"`
}

// jwtClaims are those of access tokens and ID tokens together.
type jwtClaims struct {
	accessClaims
	NotBefore    int64           `json:"nbf"`
	Party        string          `json:"azp"`
	Confirmation json.RawMessage `json:"cnf"`
}

// jwt judges a signed token, in the order in which a resource server does.
func (n *inspecting) jwt(ctx context.Context, token string) error {
	token = n.padded(token)
	parts := strings.Split(token, ".")
	header := new(jwtHeader)
	claims := new(jwtClaims)
	if !n.parts(parts, header, claims) {
		return nil
	}
	n.fact("typ", header.Type)
	n.fact("alg", header.Algorithm)
	n.fact("kid", header.KeyID)
	n.accessFacts(&claims.accessClaims)
	if !n.signedAsOurs(header) {
		return nil
	}
	key, err := n.key(ctx, header, claims)
	if key == nil {
		return err
	}
	if !n.signed(token, parts[2], header, key) || !n.typed(header.Type) {
		return nil
	}
	n.Verified = true
	if claims.Issuer != n.Issuer {
		n.trouble("issuer", "iss is %s, this gatehouse is %s; %s", quoted(claims.Issuer), quoted(n.Issuer), differs(claims.Issuer, n.Issuer))
		return nil
	}
	if !n.timed(claims.ExpiresAt, claims.NotBefore, claims.IssuedAt) || !n.forAudience(claims.Audience) {
		return nil
	}
	if n.Kind == "access token" {
		err = n.hangs(ctx, &claims.accessClaims)
	} else {
		err = n.lostParty(ctx, claims)
	}
	if err == nil && len(n.Findings) == 0 {
		n.advise(key, claims)
	}
	return err
}

// parts reads a compact JWS as far as it can be read.
func (n *inspecting) parts(parts []string, header *jwtHeader, claims *jwtClaims) bool {
	looksLikeOne := strings.HasPrefix(parts[0], "eyJ") // {" in base64
	switch {
	case len(parts) == 5 && looksLikeOne && !strings.Contains(parts[2], "eyJ"):
		n.trouble("encrypted", "it has five parts")
		return false
	case len(parts) > 3 && looksLikeOne:
		n.trouble("too_many", "it has %d parts; a token has three", len(parts))
		return false
	case len(parts) < 3 && looksLikeOne:
		n.trouble("truncated", "it has %d of 3 parts, %d characters", len(parts), len(strings.Join(parts, ".")))
		return false
	case len(parts) != 3:
		n.trouble("not_a_token", "it has %d characters and %d dots; a JWT has two, and gatehouse's other tokens begin with gha_ or ghr_", len(strings.Join(parts, ".")), len(parts)-1)
		return false
	}
	if !readPart(parts[0], header) || header.Algorithm == "" {
		n.trouble("bad_header", "its %d characters are not base64url of a JSON object with alg", len(parts[0]))
		return false
	}
	if !readPart(parts[1], claims) {
		n.trouble("bad_payload", "its %d characters are not base64url of a JSON object of claims", len(parts[1]))
		return false
	}
	if parts[2] == "" && header.Algorithm != "none" {
		n.trouble("no_signature", "its third part is empty")
		return false
	}
	return true
}

func readPart(part string, to any) bool {
	raw, err := base64.RawURLEncoding.DecodeString(part)
	return err == nil && json.Unmarshal(raw, to) == nil
}

// typed tells by typ what the token is for.
func (n *inspecting) typed(typ string) bool {
	switch strings.TrimPrefix(strings.ToLower(typ), "application/") {
	case keys.TypeAccessToken:
		n.Kind = "access token"
		return n.expected(AccessKind)
	case "jwt", "":
		n.Kind = "ID token"
		return n.expected(IDKind)
	case keys.TypeLogoutToken:
		n.Kind = "logout token"
		n.trouble("logout_token", "typ is %s", quoted(typ))
	default:
		n.trouble("unknown_type", "typ is %s", quoted(typ))
	}
	return false
}

func (n *inspecting) signedAsOurs(h *jwtHeader) bool {
	switch {
	case strings.EqualFold(h.Algorithm, "none"):
		n.trouble("algorithm_none", "alg is %s", quoted(h.Algorithm))
	case strings.HasPrefix(h.Algorithm, "HS"):
		n.trouble("algorithm_hmac", "alg is %s", quoted(h.Algorithm))
	case !slices.Contains(keys.Algorithms, h.Algorithm):
		n.trouble("algorithm", "alg is %s; gatehouse signs with %s", quoted(h.Algorithm), strings.Join(keys.Algorithms, ", "))
	default:
		return true
	}
	return false
}

// key finds the key that the token names, by the rows and not by what a node
// remembers; nil where that told what is wrong.
func (n *inspecting) key(ctx context.Context, h *jwtHeader, claims *jwtClaims) (*keys.Status, error) {
	all, err := n.Keys.Status(ctx)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(all, func(s keys.Status) bool { return s.Key.ID == h.KeyID })
	switch {
	case at < 0 && claims.Issuer != n.Issuer:
		n.trouble("other_issuer", "iss is %s, this gatehouse is %s; %s", quoted(claims.Issuer), quoted(n.Issuer), differs(claims.Issuer, n.Issuer))
	case at < 0 && h.KeyID == "":
		n.trouble("kid_missing", "the header has no kid")
	case at < 0:
		return nil, n.keyAbsent(ctx, h.KeyID)
	case all[at].State != keys.Gone:
		return &all[at], nil
	case !all[at].Key.RetiredAt.IsZero():
		n.trouble("key_retired", "key %s was retired %s", quoted(h.KeyID), n.when(all[at].Key.RetiredAt))
	default:
		n.trouble("key_gone", "key %s left the published set %s", quoted(h.KeyID), n.when(all[at].GoneAt))
	}
	return nil, nil
}

// keyAbsent tells a key that was here once from one that never was.
func (n *inspecting) keyAbsent(ctx context.Context, kid string) error {
	for _, end := range []struct{ event, code, word string }{
		{"key.retired", "key_retired", "retired"}, {"key.deleted", "key_gone", "removed"},
	} {
		e, err := n.Store.Traces.Event(ctx, end.event, kid)
		if never, err := absent(err); err != nil {
			return err
		} else if !never {
			n.trouble(end.code, "key %s was %s %s", quoted(kid), end.word, n.when(e.At))
			return nil
		}
	}
	n.trouble("kid_unknown", "kid is %s; gatehouse keys list shows those that are here", quoted(kid))
	return nil
}

// signed checks the signature, and tells a short one from a wrong one.
func (n *inspecting) signed(token, signature string, h *jwtHeader, key *keys.Status) bool {
	if h.Algorithm != key.Key.Algorithm {
		n.trouble("algorithm_of_key", "alg is %s, and key %s is for %s", quoted(h.Algorithm), quoted(h.KeyID), key.Key.Algorithm)
		return false
	}
	whole := base64.RawURLEncoding.EncodedLen(64)
	if h.Algorithm == keys.RS256 || h.Algorithm == keys.PS256 {
		whole = base64.RawURLEncoding.EncodedLen(256)
	}
	if len(signature) < whole {
		n.trouble("truncated", "its last part has %d of %d characters", len(signature), whole)
		return false
	}
	var public jose.JSONWebKey
	err := json.Unmarshal(key.Key.Public, &public)
	if err == nil {
		var jws *jose.JSONWebSignature
		if jws, err = jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(key.Key.Algorithm)}); err == nil {
			_, err = jws.Verify(public.Key)
		}
	}
	if err != nil {
		n.trouble("signature", "key %s (%s) did not sign these claims; its last part has %d characters, %d are usual", quoted(h.KeyID), h.Algorithm, len(signature), whole)
		return false
	}
	return true
}

// lostParty judges the client and the account that an ID token names; nothing
// else ends one.
func (n *inspecting) lostParty(ctx context.Context, claims *jwtClaims) error {
	party := claims.Party
	if party == "" && len(claims.Audience) > 0 {
		party = claims.Audience[0]
	}
	if c, err := n.client(ctx, party); c == nil {
		return err
	}
	_, err := n.user(ctx, claims.Subject)
	return err
}

// forAudience reports whether the token is for whom the asker says.
func (n *inspecting) forAudience(audience oidc.Audience) bool {
	want := n.ask.Audience
	if want == "" || slices.Contains(audience, want) {
		return true
	}
	shown := make([]string, len(audience))
	for i, a := range audience {
		shown[i] = quoted(a)
	}
	evidence := fmt.Sprintf("aud is %s; %s is expected", strings.Join(shown, ", "), quoted(want))
	if len(audience) == 1 {
		evidence += "; " + differs(audience[0], want)
	}
	n.trouble("audience", "%s", evidence)
	return false
}

// advise notes what goes with a token that is good.
func (n *inspecting) advise(key *keys.Status, claims *jwtClaims) {
	if key.State == keys.Next {
		n.note("key_next", "key %s signs from %s", quoted(key.Key.ID), n.when(key.SignsFrom))
	}
	if len(claims.Confirmation) > 0 && string(claims.Confirmation) != "null" {
		var methods map[string]any
		json.Unmarshal(claims.Confirmation, &methods) // a damaged one has no methods to name
		var names []string
		for _, known := range []string{"jkt", "x5t#S256", "jwk", "kid"} {
			if _, ok := methods[known]; ok {
				names = append(names, known)
			}
		}
		n.note("bound", "cnf names its key by %s", strings.Join(names, ", "))
	}
}

func (n *inspecting) accessFacts(c *accessClaims) {
	moment := func(s int64) string {
		if s == 0 {
			return ""
		}
		return n.when(time.Unix(s, 0))
	}
	n.fact("iss", c.Issuer)
	n.fact("sub", c.Subject)
	n.fact("aud", strings.Join(c.Audience, " "))
	n.fact("client_id", c.ClientID)
	n.fact("scope", c.Scope)
	n.fact("jti", c.ID)
	n.fact("grant", c.Grant)
	n.fact("iat", moment(c.IssuedAt))
	n.fact("exp", moment(c.ExpiresAt))
}
