package verify_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"gatehouse/verify"
)

func TestATokenOfEachAlgorithmIsAccepted(t *testing.T) {
	p := newProvider(t)
	v := p.verifier(t, nil)
	now := time.Now()
	for _, algorithm := range []string{"RS256", "PS256", "ES256", "EdDSA"} {
		t.Run(algorithm, func(t *testing.T) {
			got, err := v.Verify(t.Context(), p.token(t, algorithm, now))
			if err != nil {
				t.Fatal(err)
			}
			second := time.Unix(now.Unix(), 0)
			want := &verify.Token{
				ID: "1", Issuer: p.Issuer, Subject: "alice", ClientID: "web",
				Audience: []string{audience}, Scopes: []string{"openid", "notes:read"},
				IssuedAt: second, Expires: second.Add(10 * time.Minute), AuthTime: second,
			}
			if d := cmp.Diff(want, got, cmpopts.IgnoreUnexported(verify.Token{})); d != "" {
				t.Errorf("token (-want +got):\n%s", d)
			}
			var more struct {
				Subject string `json:"sub"`
			}
			if err := got.Claims(&more); err != nil || more.Subject != "alice" {
				t.Errorf("Claims: %+v, %v", more, err)
			}
		})
	}
}

// What a token may be, and which check says otherwise. Each is signed by a key
// that the provider publishes, unless the case is about that.
func TestVerify(t *testing.T) {
	p := newProvider(t)
	now := time.Now().Truncate(time.Second)
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }
	v := p.verifier(t, func(c *verify.Config) { c.Now = func() time.Time { return now } })
	key := signers()["ES256"]
	es256 := func(changes, header map[string]any) string {
		return sign(t, "ES256", "ES256", key, with(p.claims(now), changes), header)
	}
	good := es256(nil, nil)
	parts := strings.Split(good, ".")
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	publicDER, err := x509.MarshalPKIXPublicKey(signers()["RS256"].(*rsa.PrivateKey).Public())
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString

	for _, c := range []struct {
		name  string
		token string
		want  verify.Check // empty: accepted
	}{
		{"a good token", good, ""},
		{"the type with its application/ in front", es256(nil, map[string]any{"typ": "application/at+jwt"}), ""},
		{"the type in capitals", es256(nil, map[string]any{"typ": "AT+JWT"}), ""},
		{"one of several audiences", es256(map[string]any{"aud": []string{"https://other.example", audience}}, nil), ""},
		{"expired, but within the leeway", es256(map[string]any{"exp": at(-29 * time.Second)}, nil), ""},
		{"not before a time within the leeway", es256(map[string]any{"nbf": at(30 * time.Second)}, nil), ""},
		{"issued by a clock that is ahead within the leeway", es256(map[string]any{"iat": at(30 * time.Second)}, nil), ""},
		{"no scope at all", es256(map[string]any{"scope": nil}, nil), ""},

		{"nothing", "", verify.ErrFormat},
		{"Bearer left in front", "Bearer " + good, verify.ErrPrefix},
		{"bearer left in front, in small letters", "bearer " + good, verify.ErrPrefix},
		{"an opaque token", "gha_Zm9vYmFy", verify.ErrFormat},
		{"two parts", parts[0] + "." + parts[1], verify.ErrFormat},
		{"four parts", good + ".x", verify.ErrFormat},
		{"five parts, as an encrypted token has", good + ".x.y", verify.ErrFormat},
		{"a line break inside", parts[0] + "\n." + parts[1] + "." + parts[2], verify.ErrFormat},
		{"a space behind", good + " ", verify.ErrFormat},
		{"padding", good + "=", verify.ErrFormat},
		{"a header that is no JSON", encode([]byte("{")) + "." + parts[1] + "." + parts[2], verify.ErrFormat},
		{"a header with a name twice", encode([]byte(`{"alg":"ES256","alg":"none","typ":"at+jwt"}`)) + "." + parts[1] + "." + parts[2], verify.ErrFormat},
		{"more than 16 KiB", good + strings.Repeat("A", 16<<10), verify.ErrFormat},
		{"the JSON serialization", `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`, verify.ErrFormat},

		{"an ID token", es256(nil, map[string]any{"typ": "JWT"}), verify.ErrType},
		{"a logout token", es256(nil, map[string]any{"typ": "logout+jwt"}), verify.ErrType},
		{"no type", es256(nil, map[string]any{"typ": ""}), verify.ErrType},

		{"alg none, no signature", encode([]byte(`{"alg":"none","typ":"at+jwt","kid":"ES256"}`)) + "." + parts[1] + ".", verify.ErrAlgorithm},
		{"alg nOnE", encode([]byte(`{"alg":"nOnE","typ":"at+jwt","kid":"ES256"}`)) + "." + parts[1] + ".", verify.ErrAlgorithm},
		{"an HMAC with the RSA key's public half", sign(t, "HS256", "RS256", publicDER, p.claims(now), nil), verify.ErrAlgorithm},
		{"an algorithm that is not on the list", sign(t, "RS512", "RS256", signers()["RS256"], p.claims(now), nil), verify.ErrAlgorithm},
		{"PS256 with a key published for RS256", sign(t, "PS256", "RS256", signers()["RS256"], p.claims(now), nil), verify.ErrAlgorithm},
		{"ES256 under the key id of the RSA key", sign(t, "ES256", "RS256", key, p.claims(now), nil), verify.ErrAlgorithm},

		{"an extension that must be understood", es256(nil, map[string]any{"crit": []string{"exp"}, "exp": 1}), verify.ErrFormat},
		{"an unencoded payload (RFC 7797)", encode([]byte(`{"alg":"ES256","typ":"at+jwt","kid":"ES256","b64":false,"crit":["b64"]}`)) + "." + parts[1] + "." + parts[2], verify.ErrFormat},
		{"a key of its own in the header", es256(nil, map[string]any{"jwk": jose.JSONWebKey{Key: other.Public()}}), verify.ErrFormat},
		{"an address of its own keys in the header", es256(nil, map[string]any{"jku": "https://evil.example/jwks"}), verify.ErrFormat},
		{"an address of its own certificate in the header", es256(nil, map[string]any{"x5u": "https://evil.example/x"}), verify.ErrFormat},
		{"no key id", sign(t, "ES256", "", key, p.claims(now), nil), verify.ErrFormat},
		{"an unknown key id", sign(t, "ES256", "nobody's", key, p.claims(now), nil), verify.ErrUnknownKey},

		{"another key under a known id", sign(t, "ES256", "ES256", other, p.claims(now), nil), verify.ErrSignature},
		{"claims changed after signing", parts[0] + "." + encode([]byte(`{"sub":"root"}`)) + "." + parts[2], verify.ErrSignature},
		{"no signature", parts[0] + "." + parts[1] + ".", verify.ErrSignature},
		{"half a signature", parts[0] + "." + parts[1] + "." + parts[2][:43], verify.ErrSignature},

		{"another issuer", es256(map[string]any{"iss": "https://evil.example"}, nil), verify.ErrIssuer},
		{"the issuer with a slash behind", es256(map[string]any{"iss": p.Issuer + "/"}, nil), verify.ErrIssuer},
		{"another audience", es256(map[string]any{"aud": "https://other.example"}, nil), verify.ErrAudience},
		{"an audience that begins with ours", es256(map[string]any{"aud": audience + ".evil.example"}, nil), verify.ErrAudience},
		{"an audience that is no string", es256(map[string]any{"aud": 7}, nil), verify.ErrFormat},
		{"expired by exactly the leeway", es256(map[string]any{"exp": at(-30 * time.Second)}, nil), verify.ErrExpired},
		{"expired at the beginning of time", es256(map[string]any{"exp": 0}, nil), verify.ErrExpired},
		{"an expiry beyond all clocks", es256(map[string]any{"exp": 1e300}, nil), verify.ErrFormat},
		{"an expiry in words", es256(map[string]any{"exp": "tomorrow"}, nil), verify.ErrFormat},
		{"not before a time beyond the leeway", es256(map[string]any{"nbf": at(31 * time.Second)}, nil), verify.ErrNotYetValid},
		{"issued in the future", es256(map[string]any{"iat": at(31 * time.Second)}, nil), verify.ErrNotYetValid},
		{"bound to a DPoP key", es256(map[string]any{"cnf": map[string]any{"jkt": "x"}}, nil), verify.ErrBound},
		{"no issuer", es256(map[string]any{"iss": nil}, nil), verify.ErrFormat},
		{"no audience", es256(map[string]any{"aud": nil}, nil), verify.ErrFormat},
		{"an empty list of audiences", es256(map[string]any{"aud": []string{}}, nil), verify.ErrFormat},
		{"no expiry", es256(map[string]any{"exp": nil}, nil), verify.ErrFormat},
		{"no time of issue", es256(map[string]any{"iat": nil}, nil), verify.ErrFormat},
		{"no subject", es256(map[string]any{"sub": nil}, nil), verify.ErrFormat},
		{"no client", es256(map[string]any{"client_id": nil}, nil), verify.ErrFormat},
		{"no id", es256(map[string]any{"jti": nil}, nil), verify.ErrFormat},
		{"the claims' names in capitals", es256(map[string]any{"iss": nil, "ISS": p.Issuer}, nil), verify.ErrFormat},
	} {
		t.Run(c.name, func(t *testing.T) {
			token, err := v.Verify(t.Context(), c.token)
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if token != nil {
				t.Errorf("got a token with the error: %+v", token)
			}
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want the check %q", err, string(c.want))
			}
			e, ok := errors.AsType[*verify.Error](err)
			if !ok || e.Check != c.want {
				t.Errorf("%T is no *verify.Error of the check %q", err, string(c.want))
			}
		})
	}
}

func TestAnExpiredTokenSaysHowLongAgo(t *testing.T) {
	p := newProvider(t)
	now := time.Now().Truncate(time.Second)
	v := p.verifier(t, func(c *verify.Config) { c.Now = func() time.Time { return now } })
	_, err := v.Verify(t.Context(), sign(t, "ES256", "ES256", signers()["ES256"],
		with(p.claims(now), map[string]any{"exp": now.Add(-90 * time.Second).Unix()}), nil))
	e, ok := errors.AsType[*verify.Error](err)
	if !ok || e.Ago != 90*time.Second || e.Error() != "verify: expired: 1m30s ago" {
		t.Errorf("got %v", err)
	}
}

func TestALeewayOfNoneIsNone(t *testing.T) {
	p := newProvider(t)
	now := time.Now().Truncate(time.Second)
	v := p.verifier(t, func(c *verify.Config) { c.Now, c.Leeway = func() time.Time { return now }, -1 })
	_, err := v.Verify(t.Context(), sign(t, "ES256", "ES256", signers()["ES256"],
		with(p.claims(now), map[string]any{"exp": now.Unix()}), nil))
	if !errors.Is(err, verify.ErrExpired) {
		t.Errorf("got %v", err)
	}
}

func TestAlgorithmsCanBeNarrowed(t *testing.T) {
	p := newProvider(t)
	v := p.verifier(t, func(c *verify.Config) { c.Algorithms = []string{"ES256"} })
	if _, err := v.Verify(t.Context(), p.token(t, "ES256", time.Now())); err != nil {
		t.Error(err)
	}
	if _, err := v.Verify(t.Context(), p.token(t, "RS256", time.Now())); !errors.Is(err, verify.ErrAlgorithm) {
		t.Errorf("RS256: %v", err)
	}
}

func TestWhatATokenLacksIsNamed(t *testing.T) {
	p := newProvider(t)
	token, err := p.verifier(t, nil).Verify(t.Context(), p.token(t, "ES256", time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	if err := token.Require("openid", "notes:read"); err != nil {
		t.Error(err)
	}
	err = token.Require("notes:read", "notes:write")
	if !errors.Is(err, verify.ErrScope) || !strings.Contains(err.Error(), `"notes:write"`) {
		t.Errorf("got %v", err)
	}
	if err := token.Require("notes"); !errors.Is(err, verify.ErrScope) {
		t.Errorf("half a scope passed: %v", err)
	}
}

// A hundred thousand dots are refused before anything is decoded or fetched.
func TestAC271_AHundredThousandDotsCostNothing(t *testing.T) {
	p := newProvider(t)
	v := p.verifier(t, nil)
	for name, token := range map[string]string{
		"100,000 dots":           strings.Repeat(".", 100_000),
		"dots within the length": strings.Repeat(".", 16<<10),
		"100,000 letters":        strings.Repeat("A", 100_000),
		"a part of 16 KB":        "." + strings.Repeat("A", 16_000) + ".",
	} {
		t.Run(name, func(t *testing.T) {
			refuse := func() {
				if _, err := v.Verify(context.Background(), token); !errors.Is(err, verify.ErrFormat) && !errors.Is(err, verify.ErrAlgorithm) {
					t.Fatalf("got %v", err)
				}
			}
			const runs = 20
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			for range runs {
				refuse()
			}
			took := time.Since(start) / runs
			runtime.ReadMemStats(&after)
			if took > 5*time.Millisecond {
				t.Errorf("it took %s", took)
			}
			if bytes := (after.TotalAlloc - before.TotalAlloc) / runs; bytes > 128<<10 {
				t.Errorf("it took %d bytes", bytes)
			}
		})
	}
	if p.asked != 0 {
		t.Errorf("the provider was asked %d times", p.asked)
	}
}

func TestNewRefusesWhatCouldNotBeTrusted(t *testing.T) {
	for _, c := range []struct{ name, issuer, audience, algorithm, want string }{
		{"no issuer", "", audience, "", "Issuer"},
		{"http to another machine", "http://id.example", audience, "", "https"},
		{"http to a name that begins with localhost", "http://localhost.evil.example", audience, "", "https"},
		{"no host", "https:/id", audience, "", "host"},
		{"a query", "https://id.example?x=1", audience, "", "query"},
		{"a password", "https://a:b@id.example", audience, "", "user"},
		{"not a URL", "https://[", audience, "", "Issuer"},
		{"no audience", "https://id.example", "", "", "Audience"},
		{"HMAC", "https://id.example", audience, "HS256", "HS256"},
		{"none", "https://id.example", audience, "none", "none"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := verify.Config{Issuer: c.issuer, Audience: c.audience}
			if c.algorithm != "" {
				config.Algorithms = []string{c.algorithm}
			}
			_, err := verify.New(config)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want it to name %q", err, c.want)
			}
		})
	}
	for _, issuer := range []string{"https://id.example", "https://id.example/id", "http://localhost:8000", "http://127.0.0.1:8000", "http://[::1]:8000"} {
		if _, err := verify.New(verify.Config{Issuer: issuer, Audience: audience}); err != nil {
			t.Errorf("%s: %v", issuer, err)
		}
	}
}

// A service that imports this package gets go-jose with it, and nothing else.
func TestDependsOnGoJoseAndTheStandardLibraryAlone(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	found := strings.Fields(string(out))
	if len(found) < 2 {
		t.Fatalf("go list found only %q", found)
	}
	for _, path := range found {
		const jose = "github.com/go-jose/go-jose/v4"
		if path != "gatehouse/verify" && path != jose && !strings.HasPrefix(path, jose+"/") {
			t.Errorf("depends on %s", path)
		}
	}
}
