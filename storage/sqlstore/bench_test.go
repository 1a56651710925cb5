package sqlstore_test

import (
	"fmt"
	"testing"

	"gatehouse/storage"
	"gatehouse/storage/sqlstore"
	"gatehouse/storage/storagetest"
)

func eachStore(b *testing.B, bench func(b *testing.B, s *storage.Store)) {
	for _, kind := range []struct {
		name string
		open func(testing.TB) *sqlstore.DB
	}{{"SQLite", storagetest.SQLite}, {"PostgreSQL", storagetest.PostgreSQL}} {
		b.Run(kind.name, func(b *testing.B) {
			b.ReportAllocs()
			bench(b, kind.open(b).Store())
		})
	}
}

func BenchmarkRedeem(b *testing.B) {
	eachStore(b, func(b *testing.B, s *storage.Store) {
		for i := range b.N {
			scene(b, s, fmt.Sprint(i))
		}
		b.ResetTimer()
		for i := range b.N {
			if _, err := s.Grants.Redeem(b.Context(), redemption(fmt.Sprint(i))); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkRotate(b *testing.B) {
	eachStore(b, func(b *testing.B, s *storage.Store) {
		scene(b, s, "g")
		if _, err := s.Grants.Redeem(b.Context(), redemption("g")); err != nil {
			b.Fatal(err)
		}
		generation := 0
		for b.Loop() {
			generation++
			if _, err := s.Grants.Rotate(b.Context(), rotation("g", generation)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkLive(b *testing.B) {
	eachStore(b, func(b *testing.B, s *storage.Store) {
		scene(b, s, "g")
		for b.Loop() {
			if _, _, err := s.Grants.Live(b.Context(), "g", "jti", began); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkSessionFind(b *testing.B) {
	eachStore(b, func(b *testing.B, s *storage.Store) {
		scene(b, s, "g")
		cookie := storage.NewDigest(storage.SessionSecret, "g")
		for b.Loop() {
			if _, _, err := s.Sessions.Find(b.Context(), cookie, began); err != nil {
				b.Fatal(err)
			}
		}
	})
}
