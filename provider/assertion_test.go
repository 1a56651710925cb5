package provider_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"gatehouse/provider"
	"gatehouse/provider/providertest"
	"gatehouse/storage"
	"gatehouse/storage/storagetest"
)

const byAssertion = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// A signingClient is a client that authenticates with private_key_jwt.
type signingClient struct {
	*providertest.Party
	h   *providertest.House
	key *ecdsa.PrivateKey
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func keySet(t *testing.T, kids map[string]any) json.RawMessage {
	t.Helper()
	var set jose.JSONWebKeySet
	for kid, key := range kids {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: key, KeyID: kid, Use: "sig"})
	}
	raw, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func newSigningClient(t *testing.T, h *providertest.House, id string, change ...func(*storage.ClientMetadata)) *signingClient {
	key := newKey(t)
	change = append([]func(*storage.ClientMetadata){func(m *storage.ClientMetadata) {
		m.TokenEndpointAuthMethod, m.JWKS = "private_key_jwt", keySet(t, map[string]any{"one": key.Public()})
	}}, change...)
	return &signingClient{h.Client(id, change...), h, key}
}

// claims are those of a right assertion; changes with a nil value take one out.
func (c *signingClient) claims(changes map[string]any) map[string]any {
	now := c.h.Now()
	claims := map[string]any{"iss": c.ID, "sub": c.ID, "aud": c.h.Issuer, "jti": rand.Text(), "iat": now.Unix(), "exp": now.Add(time.Minute).Unix()}
	for name, value := range changes {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	return claims
}

func sign(t *testing.T, key jose.SigningKey, header map[jose.HeaderKey]any, claims any) string {
	t.Helper()
	signer, err := jose.NewSigner(key, &jose.SignerOptions{ExtraHeaders: header})
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (c *signingClient) assertion(t *testing.T, changes map[string]any) string {
	return sign(t, jose.SigningKey{Algorithm: jose.ES256, Key: c.key}, map[jose.HeaderKey]any{"kid": "one"}, c.claims(changes))
}

// present asks for a token of its own with this assertion.
func (c *signingClient) present(assertion string, pairs ...string) *providertest.Answer {
	form := url.Values{"grant_type": {"client_credentials"}, "client_assertion_type": {byAssertion}, "client_assertion": {assertion}}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return c.h.Browser().Post("/token", form)
}

func TestRFC7523_AnAssertionAuthenticatesItsClientOnce(t *testing.T) {
	h := providertest.New(t)
	c := newSigningClient(t, h, "c")
	good := c.assertion(t, nil)
	if a := c.present(good); a.Status != 200 {
		t.Fatalf("got %d %s", a.Status, a.Body)
	}
	t.Run("AC-072 L16 replayed", func(t *testing.T) { refused(t, c.present(good), "invalid_client") })
	t.Run("AC-072 of 16 at once one works", func(t *testing.T) {
		assertion := c.assertion(t, nil)
		var mu sync.Mutex
		var all sync.WaitGroup
		worked := 0
		for range 16 {
			all.Go(func() {
				if c.present(assertion).Status == 200 {
					mu.Lock()
					worked++
					mu.Unlock()
				}
			})
		}
		all.Wait()
		if worked != 1 {
			t.Errorf("%d worked", worked)
		}
	})
	if a := c.present(c.assertion(t, nil), "client_id", "c"); a.Status != 200 {
		t.Errorf("with client_id beside it: %s", a.Body)
	}
	refused(t, c.present(c.assertion(t, nil), "client_id", "other"), "invalid_client")
	refused(t, c.present(c.assertion(t, nil), "client_secret", "x"), "invalid_request")
	refused(t, c.present(c.assertion(t, nil), "client_assertion_type", "saml"), "invalid_client")
}

func TestAssertionsThatAuthenticateNobody(t *testing.T) {
	h := providertest.New(t)
	c, other := newSigningClient(t, h, "c"), newSigningClient(t, h, "other")
	h.Client("secret")
	now := h.Now()
	for name, changes := range map[string]map[string]any{
		"L16 the token endpoint as audience": {"aud": h.Issuer + "/token"},
		"L16 a stranger beside the issuer":   {"aud": []string{h.Issuer, "https://evil.test"}},
		"another audience":                   {"aud": "https://evil.test"},
		"no audience":                        {"aud": nil},
		"AC-075 no exp":                      {"exp": nil},
		"AC-075 exp a year away":             {"exp": now.Add(365 * 24 * time.Hour).Unix()},
		"AC-075 expired a minute ago":        {"exp": now.Add(-time.Minute).Unix()},
		"AC-075 nbf in the future":           {"nbf": now.Add(time.Minute).Unix()},
		"AC-075 iat in the future":           {"iat": now.Add(time.Minute).Unix()},
		"exp that no clock has":              {"exp": 1e300},
		"exp that is text":                   {"exp": "soon"},
		"no jti":                             {"jti": nil},
		"a jti of 300 characters":            {"jti": strings.Repeat("j", 300)},
		"another issuer":                     {"iss": "other"},
		"another client's name":              {"iss": "other", "sub": "other"},
		"a client of another method":         {"iss": "secret", "sub": "secret"},
		"nobody's name":                      {"iss": "nobody", "sub": "nobody"},
		"no name":                            {"iss": "", "sub": ""},
	} {
		t.Run(name, func(t *testing.T) { refused(t, c.present(c.assertion(t, changes)), "invalid_client") })
	}
	for name, changes := range map[string]map[string]any{
		"10 s of skew pass":              {"exp": now.Add(-8 * time.Second).Unix()},
		"nbf and iat a moment ahead":     {"nbf": now.Add(5 * time.Second).Unix(), "iat": now.Add(5 * time.Second).Unix()},
		"the issuer as a list of one":    {"aud": []string{h.Issuer}},
		"no iat, which nobody must send": {"iat": nil},
	} {
		t.Run(name, func(t *testing.T) {
			if a := c.present(c.assertion(t, changes)); a.Status != 200 {
				t.Errorf("got %s", a.Body)
			}
		})
	}
	public, err := x509.MarshalPKIXPublicKey(c.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := json.Marshal(jose.JSONWebKey{Key: c.key.Public(), KeyID: "one"})
	if err != nil {
		t.Fatal(err)
	}
	kid := map[jose.HeaderKey]any{"kid": "one"}
	for name, assertion := range map[string]string{
		"AC-071 HS256 keyed with the public PEM": sign(t, jose.SigningKey{Algorithm: jose.HS256, Key: pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})}, kid, c.claims(nil)),
		"AC-071 HS256 keyed with the public JWK": sign(t, jose.SigningKey{Algorithm: jose.HS256, Key: jwk}, kid, c.claims(nil)),
		"AC-071 no algorithm":                    "eyJhbGciOiJub25lIn0." + strings.Split(c.assertion(t, nil), ".")[1] + ".",
		"another client's key":                   sign(t, jose.SigningKey{Algorithm: jose.ES256, Key: other.key}, kid, c.claims(nil)),
		"an unknown kid":                         sign(t, jose.SigningKey{Algorithm: jose.ES256, Key: c.key}, map[jose.HeaderKey]any{"kid": "two"}, c.claims(nil)),
		"AC-114 typ at+jwt":                      sign(t, jose.SigningKey{Algorithm: jose.ES256, Key: c.key}, map[jose.HeaderKey]any{"kid": "one", "typ": "at+jwt"}, c.claims(nil)),
		"its own key in the header":              embedded(t, c),
		"garbage":                                "x.y.z",
		"AC-271 dots":                            strings.Repeat(".", 10_000),
	} {
		t.Run(name, func(t *testing.T) { refused(t, c.present(assertion), "invalid_client") })
	}
	t.Run("AC-114 our own access token", func(t *testing.T) {
		refused(t, c.present(c.present(c.assertion(t, nil)).Tokens().Access), "invalid_client")
	})
	t.Run("after all that, a right one works", func(t *testing.T) {
		if a := c.present(c.assertion(t, nil)); a.Status != 200 {
			t.Errorf("got %s", a.Body)
		}
	})
}

// embedded is an assertion of a stranger that brings its key along.
func embedded(t *testing.T, c *signingClient) string {
	stranger := newKey(t)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: stranger}, &jose.SignerOptions{EmbedJWK: true})
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(c.claims(nil)).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestTheSwitchForOldSoftwareTakesTheTokenEndpoint(t *testing.T) {
	h := providertest.New(t)
	c := newSigningClient(t, h, "c", func(m *storage.ClientMetadata) { m.AssertionAudTokenEndpoint = true })
	if a := c.present(c.assertion(t, map[string]any{"aud": h.Issuer + "/token"})); a.Status != 200 {
		t.Errorf("the token endpoint: %s", a.Body)
	}
	refused(t, c.present(c.assertion(t, map[string]any{"aud": []string{h.Issuer + "/token", "https://evil.test"}})), "invalid_client")
}

func TestARegisteredAlgorithmIsTheOnlyOne(t *testing.T) {
	h := providertest.New(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	c := newSigningClient(t, h, "c", func(m *storage.ClientMetadata) {
		m.TokenEndpointAuthSigningAlg, m.JWKS = "PS256", keySet(t, map[string]any{"one": key.Public()})
	})
	for algorithm, works := range map[jose.SignatureAlgorithm]bool{jose.PS256: true, jose.RS256: false} {
		a := c.present(sign(t, jose.SigningKey{Algorithm: algorithm, Key: key}, map[jose.HeaderKey]any{"kid": "one"}, c.claims(nil)))
		if (a.Status == 200) != works {
			t.Errorf("%s: %s", algorithm, a.Body)
		}
	}
}

// A keyServer stands for what is fetched from elsewhere.
type keyServer struct {
	mu      sync.Mutex
	body    []byte
	err     error
	fetches int
}

func (k *keyServer) Get(context.Context, string, string) ([]byte, time.Duration, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fetches++
	return k.body, 0, k.err
}

func (k *keyServer) serve(body []byte, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.body, k.err = body, err
}

func TestKeysBehindAnAddressAreReadAgainForAnUnknownKid(t *testing.T) {
	server := new(keyServer)
	nodes := storagetest.Nodes(t) // each remembers for itself
	h := providertest.New(t, func(c *provider.Config) { c.Outbound = server })
	c := newSigningClient(t, h, "c", func(m *storage.ClientMetadata) { m.JWKS, m.JWKSURI = nil, "https://rp.test/jwks" })
	first, second := c.key, newKey(t)
	server.serve(keySet(t, map[string]any{"one": first.Public()}), nil)
	with := func(kid string, key *ecdsa.PrivateKey) *providertest.Answer {
		return c.present(sign(t, jose.SigningKey{Algorithm: jose.ES256, Key: key}, map[jose.HeaderKey]any{"kid": kid}, c.claims(nil)))
	}
	for range 3 {
		if a := with("one", first); a.Status != 200 {
			t.Fatalf("got %s", a.Body)
		}
	}
	if server.fetches != nodes {
		t.Errorf("%d fetches for one key", server.fetches)
	}
	server.serve(keySet(t, map[string]any{"two": second.Public()}), nil)
	h.Skip(11 * time.Second)
	if a := with("two", second); a.Status != 200 || server.fetches != nodes+1 {
		t.Errorf("the next key: %s after %d fetches", a.Body, server.fetches)
	}
	for range 20 {
		refused(t, with("three", second), "invalid_client")
	}
	if server.fetches > 3*nodes {
		t.Errorf("%d fetches for kids that are not there", server.fetches)
	}
	server.serve(nil, errors.New("down"))
	h.Skip(2 * time.Hour)
	t.Run("R10 keys whose time is over are not used while their address is down", func(t *testing.T) {
		for range 3 {
			refused(t, with("two", second), "invalid_client")
		}
	})
}
