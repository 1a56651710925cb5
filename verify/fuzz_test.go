package verify_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"gatehouse/verify"
)

// Whatever a stranger sends is refused with an *Error, without a panic, unless
// it is a token that the provider signed.
func FuzzVerify(f *testing.F) {
	p := newProvider(f)
	now := time.Now()
	v := p.verifier(f, func(c *verify.Config) { c.Now = func() time.Time { return now } })
	parts := strings.Split(p.token(f, "ES256", now), ".")
	signed := parts[1] + "." + parts[2]
	f.Add(parts[0] + "." + signed)
	f.Add("Bearer " + parts[0] + "." + signed)
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add(parts[0] + ".." + parts[2])
	f.Add(strings.Repeat(".", 100))
	f.Fuzz(func(t *testing.T, token string) {
		got, err := v.Verify(t.Context(), token)
		if err == nil {
			if got.Subject != "alice" || !strings.Contains(token, parts[1]) {
				t.Fatalf("accepted %q as %+v", token, got)
			}
			return
		}
		if e, ok := errors.AsType[*verify.Error](err); !ok || e.Check.Error() == "" || got != nil {
			t.Fatalf("%q: %T %v", token, err, err)
		}
	})
}

// Claims that were signed, but by a provider that writes nonsense.
func FuzzClaims(f *testing.F) {
	p := newProvider(f)
	now := time.Now()
	v := p.verifier(f, func(c *verify.Config) { c.Now = func() time.Time { return now } })
	f.Add(int64(0), int64(0), int64(0), "", "")
	f.Add(now.Unix(), now.Unix()+600, now.Unix(), audience, "openid")
	f.Add(int64(-1<<63), int64(1<<63-1), int64(1<<63-1), audience, "\x00")
	f.Fuzz(func(t *testing.T, iat, exp, nbf int64, aud, scope string) {
		token := sign(t, "EdDSA", "EdDSA", signers()["EdDSA"], with(p.claims(now), map[string]any{
			"iat": iat, "exp": exp, "nbf": nbf, "aud": aud, "scope": scope,
		}), nil)
		_, err := v.Verify(t.Context(), token)
		leeway := int64(30)
		good := aud == audience && exp > now.Unix()-leeway && nbf <= now.Unix()+leeway && iat <= now.Unix()+leeway
		if err == nil && !good {
			t.Fatalf("accepted iat %d exp %d nbf %d aud %q at %d", iat, exp, nbf, aud, now.Unix())
		}
	})
}
