package e2e

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"
)

// rounds makes the tests of faults longer: `go test ./e2e -run AC231 -rounds=500`.
var rounds = flag.Int("rounds", 0, "how often each fault strikes; 0: a few times")

func roundsOr(few int) int {
	if *rounds > 0 {
		return *rounds
	}
	return few
}

// someWhile is how long a crowd is left alone, so that a fault strikes anywhere.
func someWhile(least time.Duration) { time.Sleep(least + rand.N(400*time.Millisecond)) }

func TestAC231_NothingAcknowledgedIsLostOrSpentTwiceByKillingTheProcess(t *testing.T) {
	s := serve(t, forgivingForms)
	c := gather(t, s)
	c.vanishes = true
	kills, slowest := roundsOr(12), time.Duration(0)
	wanted := []string{codesGiven, codesSpent, refreshes, repeats, sessionsOver, revoked, usersMade}
	for i := 0; c.ledger.goOn(i, kills, wanted...); i++ {
		c.come()
		someWhile(300 * time.Millisecond)
		s.kill()
		c.leave()
		slowest = max(slowest, s.start())
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
