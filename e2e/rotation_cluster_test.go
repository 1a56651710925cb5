package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"
)

// The timetable is the same on every node, so that all of them find a new key
// due in the same second: one is made, both sign with it once it has been
// published long enough, and no token is ever refused.
func TestAC246_NodesThatRotateInTheSameSecondMakeOneKey(t *testing.T) {
	t.Parallel()
	generations := roundsOr(3) + 1
	s := cluster(t, 2, quickKeys...)
	c := s.addClient("worker", "--grant-type", "client_credentials", "--audience", "https://api.example", "--scope", "jobs:run", "--set", "redirect_uris=")
	used := &keyUse{first: []map[string]time.Time{{}, {}}}
	address, keys := s.endpoint("token_endpoint"), s.endpoint("jwks_uri")

	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(generations)*time.Minute)
	defer cancel()
	var workers sync.WaitGroup
	for i, n := range s.nodes {
		by := n.client()
		defer by.CloseIdleConnections()
		// A client that looks as seldom as it may, at any node.
		cache := &keyCache{address: keys}
		workers.Go(func() {
			for ctx.Err() == nil && used.fewest() < generations {
				asked := time.Now()
				got, err := c.askBy(ctx, by, address, url.Values{"grant_type": {"client_credentials"}, "scope": {"jobs:run"}})
				if err != nil || got.status != http.StatusOK {
					t.Errorf("node %d gives no token: %d %s %v", i+1, got.status, got.body, err)
					return
				}
				kid, err := cache.verify(ctx, got.Access)
				if err != nil {
					t.Errorf("a token of node %d is refused: %v", i+1, err)
					return
				}
				used.note(i, kid, asked)
			}
		})
	}
	workers.Wait()
	if n := used.fewest(); n < generations && !t.Failed() {
		t.Errorf("the nodes signed with %d generations of keys, want %d", n, generations)
	}
	used.compare(t)
	oneKeyEach(t, s)
}

// keyUse is when each node first signed with which key.
type keyUse struct {
	mu     sync.Mutex
	first  []map[string]time.Time
	tokens int
}

func (u *keyUse) note(node int, kid string, at time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.tokens++
	if _, known := u.first[node][kid]; !known {
		u.first[node][kid] = at
	}
}

// fewest is the number of keys that each node has signed with.
func (u *keyUse) fewest() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := len(u.first[0])
	for _, kids := range u.first {
		n = min(n, len(kids))
	}
	return n
}

// compare holds the nodes to signing with the same keys from the same time on.
func (u *keyUse) compare(t *testing.T) {
	t.Helper()
	apart := time.Duration(0)
	newest := time.Time{}
	for _, at := range u.first[0] {
		if at.After(newest) {
			newest = at
		}
	}
	for kid, at := range u.first[0] {
		other, known := u.first[1][kid]
		switch {
		case !known && at.Before(newest):
			t.Errorf("node 1 signed with %s and node 2 never did", kid)
		case known:
			apart = max(apart, at.Sub(other).Abs())
		}
	}
	t.Logf("%d tokens of %d keys verified; the nodes began with a key within %v of one another", u.tokens, len(u.first[0]), apart.Round(time.Millisecond))
	if apart > 5*time.Second {
		t.Errorf("the nodes began with a key %v apart", apart)
	}
}

// oneKeyEach holds the rows to one key for each generation of an algorithm.
func oneKeyEach(t *testing.T, s *server) {
	t.Helper()
	var rows []struct {
		Alg        string `json:"alg"`
		Generation int    `json:"generation"`
		KID        string `json:"kid"`
	}
	out := s.run("", "keys", "list", "-o", "json")
	if err := json.Unmarshal([]byte(out), &rows); err != nil {
		t.Fatalf("keys list printed %q: %v", out, err)
	}
	type generation struct {
		alg string
		n   int
	}
	seen := map[generation]string{}
	for _, r := range rows {
		if r.Alg == "" || r.KID == "" {
			t.Fatalf("keys list printed %s", out)
		}
		g := generation{r.Alg, r.Generation}
		if other := seen[g]; other != "" {
			t.Errorf("generation %d of %s has the keys %s and %s", r.Generation, r.Alg, other, r.KID)
		}
		seen[g] = r.KID
	}
}
