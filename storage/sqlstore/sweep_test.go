package sqlstore_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/storage/sqlstore"
	"gatehouse/storage/storagetest"
)

// nodes opens a migrated database twice, or SQLite, which has one process, once.
var nodes = []struct {
	name string
	open func(t testing.TB, o sqlstore.Options) []*sqlstore.DB
}{
	{"SQLite", func(t testing.TB, o sqlstore.Options) []*sqlstore.DB {
		o.URL = "sqlite://" + storagetest.File(t)
		db := opened(t, o)
		return []*sqlstore.DB{db, db}
	}},
	{"PostgreSQL", func(t testing.TB, o sqlstore.Options) []*sqlstore.DB {
		o.URL, o.MinConns = storagetest.PostgresURL(t), 1
		return []*sqlstore.DB{opened(t, o), opened(t, o)}
	}},
}

func opened(t testing.TB, o sqlstore.Options) *sqlstore.DB {
	t.Helper()
	db, err := sqlstore.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// Two nodes sweep tens of thousands of rows at once. No request fails or waits
// for the end of it, and neither node stands in the other's way.
func TestSweepingHoldsNobodyUp(t *testing.T) {
	for _, kind := range nodes {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			both := kind.open(t, sqlstore.Options{})
			db := both[0]
			fill(t, db, crowd{3000, 20_000, 3000})
			scene(t, db.Store(), "g")
			if _, err := db.Store().Grants.Redeem(t.Context(), redemption("g")); err != nil {
				t.Fatal(err)
			}
			end := began.Add(24 * 365 * 2 * time.Hour)
			if _, err := db.Exec(t.Context(), `UPDATE grants SET offline = TRUE, ends_at = $1 WHERE id = 'g'`, end.Add(time.Hour).UnixMilli()); err != nil {
				t.Fatal(err)
			}
			var over atomic.Bool
			var sweepers sync.WaitGroup
			for _, node := range both {
				sweepers.Go(func() {
					if err := node.SweepOnce(t.Context(), end); err != nil {
						t.Errorf("sweep: %v", err)
					}
				})
			}
			go func() { sweepers.Wait(); over.Store(true) }()
			var waited []time.Duration
			for generation := 1; !over.Load(); generation++ {
				ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second) // what a request has
				since := time.Now()
				if _, err := db.Store().Grants.Rotate(ctx, rotation("g", generation)); err != nil {
					t.Errorf("rotate a refresh token beside the sweep: %v", err)
				}
				cancel()
				waited = append(waited, time.Since(since))
			}
			if len(waited) < 50 {
				t.Errorf("only %d requests came in between", len(waited))
			}
			t.Logf("%d requests beside the sweep, the slowest took %v", len(waited), slices.Max(waited))
			for _, table := range []string{"grants", "sessions", "access_tokens", "revocations", "auth_requests", "used_ids", "limits"} {
				if n := rows(t, db, table, "TRUE"); n > 1 { // the grant of the scene
					t.Errorf("%d rows of %s are left", n, table)
				}
			}
			if n := rows(t, db, "events", "TRUE"); n < 3000 {
				t.Errorf("%d events are left: the audit log is not swept", n)
			}
		})
	}
}

// What stays although its time is over is passed over once, and not by each batch.
func TestASweepIsAsManyBatchesAsItNeeds(t *testing.T) {
	for _, kind := range nodes {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			var batches seenCount
			db := kind.open(t, sqlstore.Options{Watch: batches.add})[0]
			fill(t, db, crowd{1200, 1200, 1200})
			batches.n.Store(0)
			if err := db.SweepOnce(t.Context(), began.Add(24*365*2*time.Hour)); err != nil {
				t.Fatal(err)
			}
			// Fifteen tables of 1200, each three batches, the last not full; one for
			// setup_links, which is empty; the looks at clock and failures.
			if got := batches.n.Load(); got > 15*3+1+2 {
				t.Errorf("%d statements", got)
			}
		})
	}
}

type seenCount struct{ n atomic.Int64 }

func (s *seenCount) add(string) { s.n.Add(1) }

func TestOfSeveralNodesOneSweepsEachMinute(t *testing.T) {
	for _, kind := range nodes {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			both := kind.open(t, sqlstore.Options{})
			for i, node := range both {
				query := fmt.Sprintf(`INSERT INTO used_ids (owner, id, expires_at) VALUES ('owner', 'id%d', 1)`, i)
				if _, err := node.Exec(t.Context(), query); err != nil {
					t.Fatal(err)
				}
				if err := node.SweepInTurn(t.Context(), began); err != nil {
					t.Fatal(err)
				}
				if left := rows(t, node, "used_ids", "TRUE"); left != i {
					t.Errorf("node %d swept when it was not its turn, or did not when it was: %d rows are left", i, left)
				}
			}
		})
	}
}

func TestATableThatCannotBeSweptKeepsNothingInTheOthers(t *testing.T) {
	t.Parallel()
	db := storagetest.SQLite(t)
	s := db.Store()
	if err := s.Used.Spend(t.Context(), "client", "id", began); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(t.Context(), `DROP TABLE logout_requests`); err != nil {
		t.Fatal(err)
	}
	if err := db.SweepOnce(t.Context(), began.Add(24*time.Hour)); err == nil || !strings.Contains(err.Error(), "sweep logout_requests") {
		t.Errorf("sweep: got error %v, want the table's", err)
	}
	if n := rows(t, db, "used_ids", "TRUE"); n != 0 {
		t.Errorf("%d spent ids stay", n)
	}
}
