package e2e

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"gatehouse/storage/storagetest"
)

// masterKey is what the nodes of a cluster share.
const masterKey = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

// prepareCluster makes a server of this many nodes that does not run yet, for
// a test that is about them: it belongs to the usual run, whose other servers
// have one.
func prepareCluster(t testing.TB, nodes int, settings ...string) *server {
	t.Helper()
	storagetest.Once(t)
	return assembleCluster(t, nodes, settings)
}

// assembleCluster puts nodes on one database and one Redis, behind a balancer.
func assembleCluster(t testing.TB, nodes int, settings []string) *server {
	t.Helper()
	var all []*node
	for range nodes {
		all = append(all, newNode(t, freePort(t)))
	}
	port := freePort(t)
	startBalancer(t, port, all)
	database := storagetest.PostgresURL(t)
	s := assemble(t, "http://localhost:"+port, all, append([]string{
		"DATABASE_URL=" + database, "REDIS_URL=" + storagetest.Redis(t).URL,
		"GATEHOUSE_MASTER_KEY=" + masterKey, "GATEHOUSE_TRUSTED_PROXIES=" + balancerAddress + "/32",
	}, settings...))
	s.database = database
	s.hide("the master key", masterKey)
	return s
}

// cluster is prepareCluster and a start.
func cluster(t testing.TB, nodes int, settings ...string) *server {
	t.Helper()
	s := prepareCluster(t, nodes, settings...)
	s.start()
	return s
}

// awaitAgreement waits until the balancer gives requests to every node, and
// every node knows the keys of all algorithms: at the very first start some
// are made in the background, and another node hears of them within a second.
func (s *server) awaitAgreement(begun time.Time) {
	s.t.Helper()
	for !s.agreed() {
		if time.Since(begun) > 30*time.Second {
			s.t.Fatal("every node is ready, and 30 s after the start they do not agree")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (s *server) agreed() bool {
	for _, n := range s.nodes {
		algorithms, _ := n.discovery(s.t)["id_token_signing_alg_values_supported"].([]any)
		if len(algorithms) < 4 || !n.isReady.Load() {
			return false
		}
	}
	return true
}

// discovery is the discovery document as this node has it.
func (n *node) discovery(t testing.TB) (doc map[string]any) {
	t.Helper()
	_, body := fetch(t, http.MethodGet, n.base+"/.well-known/openid-configuration", http.Header{"Host": {n.host}})
	if err := json.Unmarshal([]byte(body), &doc); err != nil {
		t.Fatalf("node %s: %v: %s", n.address, err, body)
	}
	return doc
}
