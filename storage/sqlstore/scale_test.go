package sqlstore_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"gatehouse/storage"
	"gatehouse/storage/sqlstore"
	"gatehouse/storage/storagetest"
)

var (
	manyUsers  = flag.Int("users", 20_000, "how many users the full database of TestAFullDatabaseCostsWhatAnEmptyOneDoes has")
	manyGrants = flag.Int("grants", 100_000, "how many grants it has; from a million on its costs are held to those of an empty one")
)

// Refreshing, introspecting and signing in cost PostgreSQL the same with many
// users as with none. That each finds its rows by an index is held by the plans;
// this measures, and is strict where there is enough to be measured.
func TestAFullDatabaseCostsWhatAnEmptyOneDoes(t *testing.T) {
	db := opened(t, sqlstore.Options{URL: storagetest.PostgresURL(t), MinConns: 1, MaxConns: 1})
	strict := *manyGrants >= 1_000_000
	repeats := 500
	if strict {
		repeats = 5000
	}
	empty := &measured{t: t, db: db, repeats: repeats, name: "empty"}
	empty.all()
	since := time.Now()
	fill(t, db, crowd{*manyUsers, *manyGrants, min(*manyUsers, 50_000)})
	t.Logf("%d users and %d grants were made in %v", *manyUsers, *manyGrants, time.Since(since).Round(time.Second))
	full := &measured{t: t, db: db, repeats: repeats, name: "full"}
	full.all()
	for _, act := range []string{"refresh", "introspection", "sign-in"} {
		before, after := empty.cpu[act], full.cpu[act]
		t.Logf("%-14s %7.1f µs of PostgreSQL empty, %7.1f full; %7.1f and %7.1f µs on the clock", act,
			micros(before), micros(after), micros(empty.clock[act]), micros(full.clock[act]))
		if strict && after > before*12/10+2*time.Microsecond {
			t.Errorf("%s costs %.0f %% more", act, 100*(float64(after)/float64(before)-1))
		}
	}
	// Pages that nobody asked for lately come from the kernel, or the disk: that
	// is a matter of memory, and no statement's.
	full.measure("cold", func() error {
		_, err := db.Store().Grants.Alive(t.Context(), fmt.Sprint("grant", 1+rand.IntN(*manyGrants)), "jti", began)
		return err
	})
	t.Logf("introspection of any of the %d: %.1f µs of PostgreSQL, %.1f on the clock", *manyGrants, micros(full.cpu["cold"]), micros(full.clock["cold"]))
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// measured is what acts cost the one connection of a database, each the least
// of five rounds: whatever else runs on the machine only adds.
type measured struct {
	t          *testing.T
	db         *sqlstore.DB
	repeats    int
	name       string
	cpu, clock map[string]time.Duration
}

// all measures every act.
func (m *measured) all() {
	m.t.Helper()
	m.cpu, m.clock = map[string]time.Duration{}, map[string]time.Duration{}
	s, ctx, id := m.db.Store(), m.t.Context(), "own-"+m.name
	scene(m.t, s, id)
	if _, err := s.Grants.Redeem(ctx, redemption(id)); err != nil {
		m.t.Fatal(err)
	}
	generation, codes := 0, 0
	m.measure("refresh", func() error {
		generation++
		_, err := s.Grants.Rotate(ctx, rotation(id, generation))
		return err
	})
	m.measure("introspection", func() error {
		_, err := s.Grants.Alive(ctx, id, "jti", began)
		return err
	})
	cookie := storage.NewDigest(storage.SessionSecret, id)
	m.measure("sign-in", func() error {
		codes++
		code := fmt.Sprint(id, "/", codes)
		if _, _, err := s.Sessions.Find(ctx, cookie, began); err != nil {
			return err
		}
		if _, err := s.Consents.Get(ctx, "user-"+id, id); err != nil {
			return err
		}
		if err := s.Grants.Create(ctx, grantOf(id, code), storage.NewDigest(storage.CodeSecret, code), "", nil); err != nil {
			return err
		}
		r := redemption(code)
		r.ClientID = id
		_, err := s.Grants.Redeem(ctx, r)
		return err
	})
}

func (m *measured) measure(act string, run func() error) {
	m.t.Helper()
	repeat := func(n int) {
		for range n {
			if err := run(); err != nil {
				m.t.Fatalf("%s: %v", act, err)
			}
		}
	}
	repeat(50)
	for range 5 {
		backend, cpu := m.backend()
		since, n := time.Now(), time.Duration(m.repeats)
		repeat(m.repeats)
		took := time.Since(since) / n
		same, used := m.backend()
		if used = (used - cpu) / n; same != backend {
			continue // the connection had become too old, and another took its place
		}
		if before, ok := m.cpu[act]; !ok || used < before {
			m.cpu[act] = used
		}
		if before, ok := m.clock[act]; !ok || took < before {
			m.clock[act] = took
		}
	}
}

// backend is the connection's process, and the processor time that it has used.
func (m *measured) backend() (pid int, used time.Duration) {
	m.t.Helper()
	pool, _ := m.db.Pools()
	if err := pool.QueryRowContext(m.t.Context(), `SELECT pg_backend_pid()`).Scan(&pid); err != nil {
		m.t.Fatal(err)
	}
	used, err := storagetest.ProcessCPU(pid)
	if err != nil {
		m.t.Fatal(err)
	}
	return pid, used
}
