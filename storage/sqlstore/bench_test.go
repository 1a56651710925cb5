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
		// Nothing but the code is new in a round, so that preparing it costs little.
		scene(b, s, "g")
		i := 0
		for b.Loop() {
			i++
			b.StopTimer()
			id := fmt.Sprint("g", i)
			if err := s.Grants.Create(b.Context(), grantOf("g", id), storage.NewDigest(storage.CodeSecret, id), "", nil); err != nil {
				b.Fatal(err)
			}
			r := redemption(id)
			r.ClientID = "g"
			b.StartTimer()
			if _, err := s.Grants.Redeem(b.Context(), r); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkCreate(b *testing.B) {
	eachStore(b, func(b *testing.B, s *storage.Store) {
		scene(b, s, "g")
		i := 0
		for b.Loop() {
			i++
			id := fmt.Sprint("g", i)
			if err := s.Grants.Create(b.Context(), grantOf("g", id), storage.NewDigest(storage.CodeSecret, id), "", nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkGet(b *testing.B) {
	eachStore(b, func(b *testing.B, s *storage.Store) {
		scene(b, s, "g")
		for b.Loop() {
			if _, err := s.Grants.Get(b.Context(), "g"); err != nil {
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
