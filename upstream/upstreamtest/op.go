// Package upstreamtest is an OpenID Connect provider that signs in whom the
// test says, and lies as the test wishes.
package upstreamtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// What every OP has registered.
const (
	ClientID     = "gatehouse"
	ClientSecret = "Zt0Wm3VbE1yKc9RfLs2HuN5dXaq7"
)

// An OP is one provider at work.
type OP struct {
	*httptest.Server
	t   testing.TB
	Now func() time.Time

	mu       sync.Mutex
	key      *ecdsa.PrivateKey
	kid      string
	codes    map[string]*Person
	bearers  map[string]*Person
	asked    map[string]int
	given    []string
	document func(map[string]any)
	repeats  bool
	verifier string // the last that was sent
}

// A Person is who signs in, and what is wrong with what is said of them.
type Person struct {
	Subject string
	// Claims are put over those of a good ID token; a nil one is left out.
	Claims map[string]any
	// Userinfo is what the userinfo endpoint says beside the subject.
	Userinfo map[string]any
	// Sign makes the ID token of its claims; nil: as a good provider does.
	Sign func(op *OP, claims map[string]any) string
	// Refuse is the error of the token endpoint.
	Refuse string
	// Down are the endpoints that answer 503.
	Down []string
	// Answer changes what the browser brings back.
	Answer func(url.Values)

	ask url.Values
}

// New starts a provider.
func New(t testing.TB) *OP {
	t.Helper()
	op := &OP{t: t, Now: time.Now, key: NewKey(t), kid: rand.Text(), codes: map[string]*Person{}, bearers: map[string]*Person{}, asked: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", op.discovery)
	mux.HandleFunc("GET /jwks", op.jwks)
	mux.HandleFunc("POST /token", op.token)
	mux.HandleFunc("GET /userinfo", op.userinfo)
	op.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		op.mu.Lock()
		op.asked[r.URL.Path]++
		op.mu.Unlock()
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(op.Close)
	return op
}

// NewKey makes a key that signs ES256.
func NewKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Asked counts the requests for a path.
func (op *OP) Asked(path string) int {
	op.mu.Lock()
	defer op.mu.Unlock()
	return op.asked[path]
}

// Given are the codes and access tokens that it gave.
func (op *OP) Given() []string {
	op.mu.Lock()
	defer op.mu.Unlock()
	return slices.Clone(op.given)
}

// Document changes the discovery document.
func (op *OP) Document(change func(map[string]any)) {
	op.mu.Lock()
	defer op.mu.Unlock()
	op.document = change
}

// Repeat makes the token endpoint say what it was sent where it refuses.
func (op *OP) Repeat() {
	op.mu.Lock()
	defer op.mu.Unlock()
	op.repeats = true
}

// Verifier is the PKCE verifier that was sent last.
func (op *OP) Verifier() string {
	op.mu.Lock()
	defer op.mu.Unlock()
	return op.verifier
}

// Rotate replaces the key.
func (op *OP) Rotate() {
	key := NewKey(op.t)
	op.mu.Lock()
	defer op.mu.Unlock()
	op.key, op.kid = key, rand.Text()
}

func (op *OP) discovery(w http.ResponseWriter, _ *http.Request) {
	d := map[string]any{
		"issuer": op.URL, "authorization_endpoint": op.URL + "/authorize", "token_endpoint": op.URL + "/token",
		"userinfo_endpoint": op.URL + "/userinfo", "jwks_uri": op.URL + "/jwks",
	}
	op.mu.Lock()
	defer op.mu.Unlock()
	if op.document != nil {
		op.document(d)
	}
	writeJSON(w, http.StatusOK, d)
}

func (op *OP) jwks(w http.ResponseWriter, _ *http.Request) {
	op.mu.Lock()
	defer op.mu.Unlock()
	writeJSON(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: op.key.Public(), KeyID: op.kid, Algorithm: "ES256", Use: "sig"}}})
}

// SignIn is what happens in the browser at the provider: somebody signs in at
// the address it was sent to. It returns where the browser is sent back to.
func (op *OP) SignIn(address string, p Person) string {
	op.t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		op.t.Fatal(err)
	}
	p.ask = u.Query()
	code := "code-" + rand.Text()
	op.mu.Lock()
	op.codes[code] = &p
	op.given = append(op.given, code)
	op.mu.Unlock()
	back := url.Values{"code": {code}, "state": {p.ask.Get("state")}, "iss": {op.URL}}
	if p.Answer != nil {
		p.Answer(back)
	}
	return p.ask.Get("redirect_uri") + "?" + back.Encode()
}

func (op *OP) token(w http.ResponseWriter, r *http.Request) {
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	op.mu.Lock()
	code := r.PostFormValue("code")
	p := op.codes[code]
	delete(op.codes, code)
	op.verifier = r.PostFormValue("code_verifier")
	said := asWished
	if op.repeats {
		said = "you sent " + r.PostForm.Encode() + " with " + secret + " " + r.Header.Get("Authorization")
	}
	op.mu.Unlock()
	switch {
	case p != nil && slices.Contains(p.Down, r.URL.Path):
		w.WriteHeader(http.StatusServiceUnavailable)
	case p != nil && p.Refuse != "":
		refuse(w, http.StatusBadRequest, p.Refuse, said)
	case id != ClientID || secret != ClientSecret:
		refuse(w, http.StatusUnauthorized, "invalid_client", said)
	case p == nil, r.PostFormValue("redirect_uri") != p.ask.Get("redirect_uri"), challenge(r.PostFormValue("code_verifier")) != p.ask.Get("code_challenge"):
		refuse(w, http.StatusBadRequest, "invalid_grant", said)
	default:
		op.issue(w, p)
	}
}

func challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func (op *OP) issue(w http.ResponseWriter, p *Person) {
	access := "access-" + rand.Text()
	now := op.Now()
	claims := map[string]any{
		"iss": op.URL, "aud": ClientID, "sub": p.Subject, "nonce": p.ask.Get("nonce"), "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
		"auth_time": now.Unix(), "at_hash": hash(access),
	}
	for name, value := range p.Claims {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	sign := p.Sign
	if sign == nil {
		sign = (*OP).Sign
	}
	op.mu.Lock()
	op.bearers[access] = p
	op.given = append(op.given, access)
	op.mu.Unlock()
	writeJSON(w, http.StatusOK, map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": 300, "id_token": sign(op, claims)})
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// Sign signs claims with the published key.
func (op *OP) Sign(claims map[string]any) string { return SignWith(op.t, op.signingKey(), claims) }

// SignPayload signs claims as they are written.
func (op *OP) SignPayload(payload []byte) string { return signed(op.t, op.signingKey(), payload) }

func (op *OP) signingKey() jose.SigningKey {
	op.mu.Lock()
	defer op.mu.Unlock()
	return jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: op.key, KeyID: op.kid}}
}

// SignWith signs claims with any key.
func SignWith(t testing.TB, key jose.SigningKey, claims map[string]any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return signed(t, key, payload)
}

func signed(t testing.TB, key jose.SigningKey, payload []byte) string {
	t.Helper()
	signer, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithType("JWT"))
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

func (op *OP) userinfo(w http.ResponseWriter, r *http.Request) {
	bearer := r.Header.Get("Authorization")
	op.mu.Lock()
	p := op.bearers[bearer[min(len(bearer), len("Bearer ")):]]
	op.mu.Unlock()
	if p == nil {
		refuse(w, http.StatusUnauthorized, "invalid_token", asWished)
		return
	}
	if slices.Contains(p.Down, r.URL.Path) {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	said := map[string]any{"sub": p.Subject}
	maps.Copy(said, p.Userinfo)
	writeJSON(w, http.StatusOK, said)
}

const asWished = "as the test wishes"

func refuse(w http.ResponseWriter, status int, code, said string) {
	writeJSON(w, status, map[string]string{"error": code, "error_description": said})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a test that went away cannot be told
}
