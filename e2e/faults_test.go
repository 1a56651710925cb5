package e2e

import (
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"gatehouse/storage/storagetest"
)

// backOf makes two nodes on a PostgreSQL and a Redis of this test's own, which
// it can take away, and a crowd.
func backOf(t *testing.T) (*crowd, *storagetest.PostgresServer, *storagetest.RedisServer) {
	t.Helper()
	db, cache := storagetest.Postgres(t), storagetest.Redis(t)
	s := cluster(t, 2, "DATABASE_URL="+db.URL, "REDIS_URL="+cache.URL, forgivingForms)
	return gather(t, s), db, cache
}

func TestAC231_NothingAcknowledgedIsLostOrSpentTwiceByKillingANode(t *testing.T) {
	storagetest.Once(t)
	t.Parallel()
	c, _, _ := backOf(t)
	c.vanishes = true
	kills, slowest := roundsOr(4), time.Duration(0)
	wanted := []string{codesGiven, codesSpent, refreshes, repeats, sessionsOver, revoked, usersMade, consents, usersGone}
	for i := 0; c.ledger.goOn(i, kills, wanted...); i++ {
		c.come()
		someWhile(200 * time.Millisecond)
		n := c.server.nodes[i%2]
		n.kill()
		someWhile(100 * time.Millisecond) // the other goes on alone
		slowest = max(slowest, n.start())
		c.leave()
		c.audit()
		c.ledger.hold(c, "after a kill")
	}
	c.exhume()
	t.Logf("%d kills or more; acknowledged and looked up again: %v; ready again after %v at most", kills, c.ledger.seen, slowest.Round(time.Millisecond))
	c.ledger.busy(c, wanted...)
	if slowest > 10*time.Second {
		t.Errorf("one start took %v", slowest)
	}
}

// An outage is something that is away for a time.
type outage struct {
	name                string
	strike, mend, lasts func()
}

func shortly() { someWhile(200 * time.Millisecond) }

func TestAC234_NothingAcknowledgedIsLostWhilePostgreSQLRestarts(t *testing.T) {
	storagetest.Once(t)
	t.Parallel()
	c, db, _ := backOf(t)
	c.away = true
	chain := c.enter(newPerson(t, c.steady)).token.RefreshToken
	slowest := time.Duration(0)
	wanted := []string{codesGiven, codesSpent, refreshes, repeats, sessionsOver, revoked, usersMade, consents, absences}
	for i := 0; c.ledger.goOn(i, roundsOr(1), wanted...); i++ {
		faults := []outage{
			{"a fast restart", db.StopFast, db.Start, shortly},
			{"an immediate restart", db.StopImmediate, db.Start, shortly},
			{"kill -9 of the postmaster", db.Kill, db.Start, shortly},
		}
		if i == 0 {
			faults[2].lasts = c.server.awaitUnready
		}
		if *rounds > 0 {
			// Longer than a request is given.
			faults = append(faults, outage{"a server that does not answer", db.Freeze, db.Thaw, func() { time.Sleep(17 * time.Second) }})
		}
		for _, fault := range faults {
			c.come()
			someWhile(200 * time.Millisecond)
			fault.strike()
			fault.lasts()
			fault.mend()
			accepts := time.Now()
			chain = c.awaitEveryNode(chain)
			took := time.Since(accepts)
			slowest = max(slowest, took)
			t.Logf("%s: every node ready and answering %v after PostgreSQL accepted", fault.name, took.Round(time.Millisecond))
			c.leave()
			c.audit()
			c.ledger.hold(c, "after "+fault.name)
		}
	}
	c.exhume()
	t.Logf("acknowledged and looked up again: %v; well again after %v at most", c.ledger.seen, slowest.Round(time.Millisecond))
	c.ledger.busy(c, wanted...)
	if slowest > 10*time.Second { // 2 s on a machine that has nothing else to do
		t.Errorf("it took %v until every node was well", slowest)
	}
}

// awaitUnready waits until every node says that it is not ready, and looks
// what it says beside that: what needs no database, and no word of what lies
// behind (AC-286).
func (s *server) awaitUnready() {
	s.t.Helper()
	for _, n := range s.nodes {
		defer s.mustKeepQuiet(n)
		for deadline := time.Now().Add(40 * time.Second); ready(n.base + "/readyz"); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				s.t.Fatal("a node without a database is ready")
			}
		}
	}
}

func (s *server) mustKeepQuiet(n *node) {
	s.t.Helper()
	for path, want := range map[string]int{
		"/healthz": 200, "/readyz": 503, "/api/health/": 503, "/jwks": 200,
		"/.well-known/openid-configuration": 200, "/.well-known/oauth-authorization-server": 200,
	} {
		status, body := fetch(s.t, http.MethodGet, n.base+path, http.Header{"Host": {n.host}})
		if status != want {
			s.t.Errorf("without a database %s is answered %d, want %d", path, status, want)
		}
		if tale := tellsTales.FindString(body); tale != "" {
			s.t.Errorf("without a database %s tells of %q: %s", path, tale, body)
		}
	}
}

// awaitEveryNode waits until every node is ready and answers who asks with a
// refresh token, and returns the newest.
func (c *crowd) awaitEveryNode(token string) string {
	c.t.Helper()
	for _, n := range c.server.nodes {
		client := n.client()
		for deadline := time.Now().Add(40 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			got, err := c.client.askBy(c.t.Context(), client, c.oauth.Endpoint.TokenURL, refreshing(token))
			if err == nil && got.status == http.StatusOK {
				token = got.Refresh
			} else if err == nil && got.status < http.StatusInternalServerError {
				c.ledger.untrue("%s: %s", lostRefresh, got.body)
			}
			if err == nil && got.status < http.StatusInternalServerError && ready(n.base+"/readyz") {
				break
			}
			if time.Now().After(deadline) {
				c.t.Fatal("a node is not well again")
			}
		}
		client.CloseIdleConnections()
	}
	return token
}

// Redis may go, lie or come back old: nobody notices, and nothing that was
// ended comes back with it (R24).
func TestAC238_SignInsAndTokensGoOnWhateverRedisDoes(t *testing.T) {
	storagetest.Once(t)
	t.Parallel()
	db, cache := storagetest.Postgres(t), storagetest.Redis(t)
	line := layCable(t, "unix", cache.Socket)
	s := prepareCluster(t, 2, "DATABASE_URL="+db.URL, "REDIS_URL="+cache.URL, forgivingForms)
	second := s.nodes[1]
	second.env = append(second.env, "REDIS_URL=redis://127.0.0.1:"+line.port)
	s.start()
	c := gather(t, s)
	var old []byte
	wanted := []string{codesGiven, codesSpent, refreshes, repeats, sessionsOver, revoked, usersMade, consents, usersGone}
	for i := 0; c.ledger.goOn(i, roundsOr(1), wanted...); i++ {
		for _, fault := range []struct {
			name   string
			strike func()
			mend   func()
		}{
			{"a dump is kept", func() { old = cache.Dump() }, func() {}},
			{"Redis is killed and comes back empty", cache.Stop, cache.Start},
			{"Redis is flushed", func() { cache.Say("FLUSHALL") }, func() {}},
			{"Redis is stopped and comes back from an old copy", cache.Stop, func() { cache.StartFrom(old) }},
			{"Redis does not answer", func() { cache.Say("CLIENT PAUSE 1500 ALL") }, func() {}},
			{"one node alone loses Redis", line.cut, line.mend},
		} {
			c.come()
			someWhile(100 * time.Millisecond)
			fault.strike()
			someWhile(300 * time.Millisecond)
			fault.mend()
			someWhile(100 * time.Millisecond)
			c.leave()
			c.audit()
			c.ledger.hold(c, fault.name)
		}
	}
	c.exhume()
	t.Logf("acknowledged and looked up again: %v", c.ledger.seen)
	c.ledger.busy(c, wanted...)
}

// Without Redis the database counts: limits hold over both nodes all the same.
func TestAC238_LimitsFallBackToTheDatabase(t *testing.T) {
	storagetest.Once(t)
	t.Parallel()
	cache := storagetest.Redis(t)
	const allowed = 6
	s := cluster(t, 2, "REDIS_URL="+cache.URL, "GATEHOUSE_RATE_LIMIT_DEVICE_PER_HOUR=6")
	tv := s.addClient("tv", "--public", "--grant-type", "urn:ietf:params:oauth:grant-type:device_code", "--set", "redirect_uris=")
	address := s.endpoint("device_authorization_endpoint")
	connect := func() (granted int) {
		var mu sync.Mutex
		var all sync.WaitGroup
		for range 4 * allowed {
			all.Go(func() {
				got, err := tv.ask(t.Context(), address, url.Values{"scope": {"openid"}})
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err != nil:
					t.Error(err)
				case got.status == http.StatusOK:
					granted++
				case got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "":
					t.Errorf("a device was answered %d %s", got.status, got.body)
				}
			})
		}
		all.Wait()
		return granted
	}
	if n := connect(); n != allowed {
		t.Errorf("with Redis %d devices were let in, want %d", n, allowed)
	}
	cache.Stop()
	if n := connect(); n != allowed {
		t.Errorf("without Redis %d devices were let in, want the %d of the database's own count", n, allowed)
	}
	cache.Start()
}
