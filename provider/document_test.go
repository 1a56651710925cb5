package provider_test

import (
	"bytes"
	"crypto/rsa"
	"encoding/json"
	"flag"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/zitadel/oidc/v3/pkg/oidc"

	"gatehouse/keys"
	"gatehouse/provider/providertest"
	"gatehouse/storage"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is\n%s\nwant\n%s", name, got, want)
	}
}

func TestDiscovery3_RFC8414_ItAdvertisesWhatWorks(t *testing.T) {
	h := providertest.New(t)
	a := h.Browser().Get("/.well-known/openid-configuration")
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, []byte(strings.ReplaceAll(a.Body, h.Issuer, "https://id.test")), "", "  "); err != nil {
		t.Fatal(err)
	}
	golden(t, "discovery", append(pretty.Bytes(), '\n'))
	if second := h.Browser().Get("/.well-known/oauth-authorization-server"); second.Body != a.Body {
		t.Errorf("the other address says %s", second.Body)
	}
	if a.Header.Get("Content-Type") != "application/json" || a.Header.Get("Cache-Control") != "public, max-age=300" {
		t.Errorf("headers are %v", a.Header)
	}
}

func TestAC109_L15_DocumentsDoNotDependOnTheRequest(t *testing.T) {
	h := providertest.New(t)
	for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/jwks"} {
		want := h.Browser().Get(path).Body
		for _, forged := range []http.Header{
			{"X-Forwarded-Host": {"evil.test"}}, {"Forwarded": {"host=evil.test;proto=https"}}, {"X-Forwarded-Proto": {"https"}},
			{"X-Original-Url": {"/admin"}}, {"X-Forwarded-Prefix": {"/evil"}}, {"Host": {"evil.test"}},
		} {
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, h.Issuer+path, nil)
			r.Header = forged
			if host := forged.Get("Host"); host != "" {
				r.Host = host
			}
			if got := h.Send(http.DefaultClient, r).Body; got != want {
				t.Errorf("%s with %v is %s", path, forged, got)
			}
		}
	}
}

func TestAC110_TheJWKSHasPublicMembersAlone(t *testing.T) {
	h := providertest.New(t)
	a := h.Browser().Get("/jwks")
	var set struct{ Keys []map[string]any }
	if err := json.Unmarshal([]byte(a.Body), &set); err != nil {
		t.Fatal(err)
	}
	seen := make(map[any]bool)
	for _, key := range set.Keys {
		for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "k", "oth"} {
			if _, there := key[private]; there {
				t.Errorf("key %v has %s", key["kid"], private)
			}
		}
		if key["use"] != "sig" || key["alg"] == nil || key["kid"] == nil || seen[key["kid"]] {
			t.Errorf("key %v", key)
		}
		seen[key["kid"]] = true
	}
	var parsed jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(a.Body), &parsed); err != nil {
		t.Fatal(err)
	}
	algorithms := make(map[string]bool)
	for _, k := range parsed.Keys {
		algorithms[k.Algorithm] = true
		if r, ok := k.Key.(*rsa.PublicKey); ok && (r.N.BitLen() < 2048 || big.NewInt(int64(r.E)).Cmp(big.NewInt(65537)) != 0) {
			t.Errorf("key %s has %d bits and exponent %d", k.KeyID, r.N.BitLen(), r.E)
		}
	}
	for _, want := range keys.Algorithms {
		if !algorithms[want] {
			t.Errorf("no key for %s", want)
		}
	}
	if a.Header.Get("Cache-Control") != "public, max-age=300" {
		t.Errorf("Cache-Control is %q", a.Header.Get("Cache-Control"))
	}
}

// jwks reads the published keys as a relying party does.
func jwks(t *testing.T, h *providertest.House) jose.JSONWebKeySet {
	t.Helper()
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(h.Browser().Get("/jwks").Body), &set); err != nil {
		t.Fatal(err)
	}
	return set
}

func TestOIDCCore2_AC113_IDTokensOfEachAlgorithm(t *testing.T) {
	h := providertest.New(t)
	user := h.User("alice")
	set := jwks(t, h)
	for _, algorithm := range keys.Algorithms {
		t.Run(algorithm, func(t *testing.T) {
			w := h.Client("w-"+algorithm, providertest.Trusted, func(m *storage.ClientMetadata) {
				m.IDTokenSignedAlg, m.AccessTokenSignedAlg = algorithm, algorithm
			})
			began := h.Now().Add(-2 * time.Second)
			tokens := w.SignIn("alice")
			claims := verified(t, set, tokens.ID, algorithm, "JWT")
			hash, err := oidc.ClaimHash(tokens.Access, jose.SignatureAlgorithm(algorithm))
			if err != nil {
				t.Fatal(err)
			}
			for name, want := range map[string]any{
				"iss": h.Issuer, "sub": user.ID, "aud": w.ID, "azp": w.ID, "nonce": "nonce of " + w.ID, "at_hash": hash,
			} {
				if claims[name] != want {
					t.Errorf("%s is %v, want %v", name, claims[name], want)
				}
			}
			iat, exp, at := claims["iat"].(float64), claims["exp"].(float64), claims["auth_time"].(float64)
			if exp-iat != 600 || int64(at) < began.Unix() || at > iat {
				t.Errorf("auth_time %v, iat %v, exp %v", at, iat, exp)
			}
			for name := range claims {
				if !strings.Contains(" iss sub aud azp exp iat auth_time nonce acr amr at_hash sid ", " "+name+" ") {
					t.Errorf("nobody asked for %s", name)
				}
			}
			access := verified(t, set, tokens.Access, algorithm, "at+jwt")
			for name, want := range map[string]any{"iss": h.Issuer, "sub": user.ID, "client_id": w.ID, "scope": "openid profile email"} {
				if access[name] != want {
					t.Errorf("of the access token, %s is %v, want %v", name, access[name], want)
				}
			}
		})
	}
	t.Run("RS256 and ES256 where the client chose nothing", func(t *testing.T) {
		tokens := h.Client("plain", providertest.Trusted).SignIn("alice", "nonce", "")
		if _, there := verified(t, set, tokens.ID, "RS256", "JWT")["nonce"]; there {
			t.Error("a nonce that nobody sent")
		}
		verified(t, set, tokens.Access, "ES256", "at+jwt")
	})
}

// verified returns the claims of a token that the published keys verify.
func verified(t *testing.T, set jose.JSONWebKeySet, token, algorithm, typ string) map[string]any {
	t.Helper()
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(algorithm)})
	if err != nil {
		t.Fatalf("%s: %v", token, err)
	}
	var claims map[string]any
	if err := parsed.Claims(set, &claims); err != nil {
		t.Fatalf("the published keys do not verify it: %v", err)
	}
	if got := providertest.Header(token)["typ"]; got != typ {
		t.Errorf("typ is %v, want %s", got, typ)
	}
	return claims
}

func TestTheSessionIDDiffersFromClientToClient(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	b := h.Browser()
	a, other := h.Client("a", providertest.Trusted), h.Client("b", providertest.Trusted)
	first, second := providertest.Claims(a.SignInWith(b, "alice").ID)["sid"], providertest.Claims(other.SignInWith(b, "alice").ID)["sid"]
	if first == second || first == nil || first != providertest.Claims(a.SignInWith(b, "alice").ID)["sid"] {
		t.Errorf("sid is %v for one and %v for the other", first, second)
	}
}
