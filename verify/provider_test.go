package verify_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"gatehouse/verify"
)

const audience = "https://api.example"

// signers are made once: RSA keys are slow to make.
var signers = sync.OnceValue(func() map[string]crypto.Signer {
	rsaKey, err1 := rsa.GenerateKey(rand.Reader, 2048)
	ecKey, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, edKey, err3 := ed25519.GenerateKey(rand.Reader)
	other, err4 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	for _, err := range []error{err1, err2, err3, err4} {
		if err != nil {
			panic(err)
		}
	}
	return map[string]crypto.Signer{"RS256": rsaKey, "PS256": rsaKey, "ES256": ecKey, "EdDSA": edKey, "next": other}
})

// A smallProvider publishes keys and signs tokens, as far as verify can see.
type smallProvider struct {
	Issuer string

	mu           sync.Mutex
	keys         []json.RawMessage
	cacheControl string
	down         bool
	hang         chan struct{} // answers wait until it is closed; nil: they do not
	fetches      int           // of the keys
	asked        int           // of anything
}

// newProvider listens on a loopback port, with one key of each algorithm, whose
// kid is the algorithm's name.
func newProvider(t testing.TB) *smallProvider {
	p := &smallProvider{cacheControl: "public, max-age=300"}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	p.Issuer = server.URL
	p.publishAll(t)
	return p
}

// newUnheard is a provider without a socket, for tests inside a synctest bubble:
// it is its own transport.
func newUnheard(t testing.TB) *smallProvider {
	p := &smallProvider{Issuer: "https://id.example", cacheControl: "public, max-age=300"}
	p.publishAll(t)
	return p
}

func (p *smallProvider) publishAll(t testing.TB) {
	for _, alg := range []string{"RS256", "PS256", "ES256", "EdDSA"} {
		p.publish(t, alg, alg, signers()[alg])
	}
}

// publish adds the public half of a key.
func (p *smallProvider) publish(t testing.TB, kid, algorithm string, key crypto.Signer) {
	t.Helper()
	b, err := json.Marshal(jose.JSONWebKey{Key: key.Public(), KeyID: kid, Algorithm: algorithm, Use: "sig"})
	if err != nil {
		t.Fatal(err)
	}
	p.set(func() { p.keys = append(p.keys, b) })
}

func (p *smallProvider) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

// count is how often the keys were fetched.
func (p *smallProvider) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fetches
}

func (p *smallProvider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	if p.down {
		http.Error(w, "down for maintenance", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Cache-Control", p.cacheControl)
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, p.Issuer, p.Issuer+"/jwks")
	case "/jwks":
		p.fetches++
		json.NewEncoder(w).Encode(map[string]any{"keys": p.keys})
	default:
		http.NotFound(w, r)
	}
}

// RoundTrip answers without a network.
func (p *smallProvider) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	hang := p.hang
	p.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w.Result(), nil
}

// claims are those of a token that everything is right with.
func (p *smallProvider) claims(now time.Time) map[string]any {
	return map[string]any{
		"iss": p.Issuer, "aud": audience, "sub": "alice", "client_id": "web", "jti": "1",
		"iat": now.Unix(), "exp": now.Add(10 * time.Minute).Unix(), "auth_time": now.Unix(),
		"scope": "openid notes:read",
	}
}

// with changes some claims; nil removes one.
func with(claims map[string]any, changes map[string]any) map[string]any {
	claims = maps.Clone(claims)
	for name, v := range changes {
		if claims[name] = v; v == nil {
			delete(claims, name)
		}
	}
	return claims
}

// sign makes a token with these claims. Header members replace the usual ones.
func sign(t testing.TB, algorithm, kid string, key any, claims, header map[string]any) string {
	t.Helper()
	options := (&jose.SignerOptions{}).WithType("at+jwt").WithHeader("kid", kid)
	for name, v := range header {
		options.WithHeader(jose.HeaderKey(name), v)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(algorithm), Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// token is a good one, by the key of this name.
func (p *smallProvider) token(t testing.TB, kid string, now time.Time) string {
	t.Helper()
	algorithm := kid
	if kid == "next" {
		algorithm = "ES256"
	}
	return sign(t, algorithm, kid, signers()[kid], p.claims(now), nil)
}

// verifier accepts what p signs, by a clock that the test moves.
func (p *smallProvider) verifier(t testing.TB, change func(*verify.Config)) *verify.Verifier {
	t.Helper()
	c := verify.Config{Issuer: p.Issuer, Audience: audience, Log: slog.New(slog.DiscardHandler)}
	if strings.HasPrefix(p.Issuer, "https:") {
		c.Transport = p
	}
	if change != nil {
		change(&c)
	}
	v, err := verify.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
