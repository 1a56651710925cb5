package verify_test

import (
	"testing"
	"time"
)

func BenchmarkVerify(b *testing.B) {
	p := newProvider(b)
	v := p.verifier(b, nil)
	for _, algorithm := range []string{"RS256", "PS256", "ES256", "EdDSA"} {
		b.Run(algorithm, func(b *testing.B) {
			token := p.token(b, algorithm, time.Now())
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(b.Context(), token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
