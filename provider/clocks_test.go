package provider_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"gatehouse/keys"
	"gatehouse/provider"
	"gatehouse/provider/providertest"
	"gatehouse/storage"
)

// What clocks may do to a lifetime: nodes are within 2 s of the database, a
// node that is off by more than 5 s is not ready.
const (
	apart     = 2 * time.Second
	tolerance = 5 * time.Second
)

// clocked is two nodes and a client of both, whose access tokens have this format.
func clocked(t *testing.T, format string) (here, there *providertest.House, party *providertest.Party) {
	t.Helper()
	h := providertest.New(t)
	h.Stop()
	h.User("alice")
	party = h.Client("app", func(m *storage.ClientMetadata) { m.AccessTokenFormat = format })
	return h, h.Node(), party
}

// One node gives, another judges, and their clocks are up to 4 s apart: what
// was given is good until 5 s before its end, and never good 5 s after it.
func TestAC244_NothingLivesLongerThanPromisedWhereClocksDiffer(t *testing.T) {
	life := provider.DefaultLifetimes()
	for _, clocks := range [][2]time.Duration{{0, apart}, {0, -apart}, {apart, -apart}, {-apart, apart}} {
		for _, format := range []string{"jwt", "opaque"} {
			t.Run(fmt.Sprintf("%s tokens, given at %v, judged at %v", format, clocks[0], clocks[1]), func(t *testing.T) {
				t.Parallel()
				here, there, party := clocked(t, format)
				here.Apart(clocks[0])
				there.Apart(clocks[1])
				elsewhere, browser := party.At(there), here.Browser()
				active := func(token string) bool { return elsewhere.Introspect(token).JSON()["active"] == true }

				early, verifier := party.Code(browser, "alice")
				here.Skip(life.Code - tolerance)
				a := elsewhere.Token(party.Redemption(early, verifier))
				if a.Status != http.StatusOK {
					t.Fatalf("a code was refused %v before its end: %s", tolerance, a.Body)
				}
				late, verifier := party.Code(browser, "alice")
				here.Skip(life.Code + tolerance)
				if a := elsewhere.Token(party.Redemption(late, verifier)); a.Status == http.StatusOK {
					t.Errorf("a code was taken %v after its end", tolerance)
				}

				tokens := party.SignInWith(browser, "alice")
				if tokens.Access == "" || !active(tokens.Access) {
					t.Fatalf("another node does not know a fresh token: %+v", tokens)
				}
				here.Skip(life.AccessToken - tolerance)
				if !active(tokens.Access) {
					t.Errorf("an access token is over %v before its end", tolerance)
				}
				here.Skip(2 * tolerance)
				if active(tokens.Access) {
					t.Errorf("an access token lives %v after its end", tolerance)
				}
			})
		}
	}
}

// A refresh token ends by idling, and a session by its own idle time.
func TestAC244_IdleTimesHoldWhereClocksDiffer(t *testing.T) {
	life := provider.DefaultLifetimes()
	for _, off := range []time.Duration{apart, -apart} {
		here, there, party := clocked(t, "jwt")
		there.Apart(off)
		elsewhere, browser := party.At(there), here.Browser()
		offline := func() string {
			return party.SignInWith(browser, "alice", "scope", "openid offline_access").Refresh
		}
		early, late := offline(), offline()
		here.Skip(life.RefreshIdle - tolerance)
		if a := elsewhere.Refresh(early); a.Status != http.StatusOK {
			t.Errorf("off by %v: a refresh token was refused %v before its end: %s", off, tolerance, a.Body)
		}
		here.Skip(2 * tolerance)
		if a := elsewhere.Refresh(late); a.Status == http.StatusOK {
			t.Errorf("off by %v: a refresh token was taken %v after its end", off, tolerance)
		}
	}
}

// A clock that is an hour off ends what lives too early, and nothing too late:
// such a node is taken out, and what others gave does not outlive it there.
func TestAC244_ANodeAnHourAheadLetsNothingLiveLonger(t *testing.T) {
	here, there, party := clocked(t, "jwt")
	there.Apart(time.Hour)
	elsewhere, browser := party.At(there), here.Browser()
	tokens := party.SignInWith(browser, "alice")
	if elsewhere.Introspect(tokens.Access).JSON()["active"] == true {
		t.Error("a token of 10 minutes lives for a node that is an hour ahead")
	}
	code, verifier := party.Code(browser, "alice")
	if a := elsewhere.Token(party.Redemption(code, verifier)); a.Status == http.StatusOK {
		t.Error("a code of a minute is good for a node that is an hour ahead")
	}
	// The other node is none the worse for it.
	if party.Introspect(tokens.Access).JSON()["active"] != true {
		t.Error("a node that was an hour ahead ended what was good")
	}
}

// The clock of one node steps to and fro within what is tolerated, under load:
// nobody is refused a fresh token, and rotation and its grace hold.
func TestAC244_AClockThatStepsUnderLoadRefusesNobody(t *testing.T) {
	here, there, party := clocked(t, "jwt")
	browser := here.Browser()
	tokens := party.SignInWith(browser, "alice")
	elsewhere := party.At(there)
	for i, step := range []time.Duration{apart, -apart, time.Second, -time.Second, 0, 999 * time.Millisecond, -apart, apart, 0} {
		there.Apart(step)
		for _, at := range []*providertest.Party{elsewhere, party} {
			old := tokens.Refresh
			a := at.Refresh(old)
			if a.Status != http.StatusOK {
				t.Fatalf("step %d, %v: a refresh token was refused: %s", i+1, step, a.Body)
			}
			tokens = a.Tokens()
			if again := elsewhere.Refresh(old); again.Status != http.StatusOK || again.Tokens().Refresh != tokens.Refresh {
				t.Fatalf("step %d, %v: within the grace the answer differs: %s", i+1, step, again.Body)
			}
			for _, judge := range []*providertest.Party{elsewhere, party} {
				if judge.Introspect(tokens.Access).JSON()["active"] != true {
					t.Fatalf("step %d, %v: a fresh access token is refused", i+1, step)
				}
			}
			code, verifier := party.Code(browser, "alice")
			if a := at.Token(party.Redemption(code, verifier)); a.Status != http.StatusOK {
				t.Fatalf("step %d, %v: a fresh code is refused: %s", i+1, step, a.Body)
			}
		}
	}
}

func TestAC244_AKeyThatOneNodeSignsWithIsPublishedByTheOtherThoughTheirClocksDiffer(t *testing.T) {
	h := providertest.New(t)
	h.Stop()
	h.User("alice")
	w := h.Client("w", providertest.Trusted)
	nodes := []*providertest.House{h, h.Node(), h.Node()}
	nodes[1].Apart(2 * time.Second)
	nodes[2].Apart(-2 * time.Second)
	next, err := h.Keys.Rotate(t.Context(), keys.ES256)
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range nodes {
		node.Reread()
	}
	signed := map[string]bool{}
	h.Skip(next.SignAt.Sub(h.Now()) - 4*time.Second)
	for range 9 { // one second after the other, across the moment when it begins to sign
		h.Skip(time.Second)
		for i, node := range nodes {
			access := w.At(node).SignIn("alice").Access
			signed[providertest.Header(access)["kid"].(string)] = true
			for j, other := range nodes {
				if a := other.Userinfo(access); a.Status != http.StatusOK {
					t.Errorf("what node %d signed, node %d refuses: %s", i, j, a.Body)
				}
			}
		}
	}
	if len(signed) != 2 || !signed[next.ID] {
		t.Errorf("the keys that signed are %v; the next is %s", signed, next.ID)
	}
}
