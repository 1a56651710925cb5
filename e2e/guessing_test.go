package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Guessing takes the cores for hashes and no more: what the queue does not
// hold is sent away at once, and programs go on getting their tokens.
func TestAC223_BadSignInsByTheHundredLeaveRoomForTokens(t *testing.T) {
	const perSecond = 200
	lasting := time.Duration(roundsOr(4)) * time.Second // 60 s: -rounds=60
	s := serve(t, "GATEHOUSE_RATE_LIMIT_ANONYMOUS_PER_HOUR=0")
	c := s.addClient("worker", "--grant-type", "client_credentials", "--scope", "jobs:run", "--set", "redirect_uris=")
	address := s.endpoint("token_endpoint")
	form := newPerson(t, account{}).visit(s.issuer + "/login")
	ask := func() (time.Duration, error) {
		asked := time.Now()
		got, err := c.ask(t.Context(), address, url.Values{"grant_type": {"client_credentials"}, "scope": {"jobs:run"}})
		if err == nil && got.status != http.StatusOK {
			err = fmt.Errorf("%d %s", got.status, got.body)
		}
		return time.Since(asked), err
	}
	if _, err := ask(); err != nil {
		t.Fatal(err)
	}
	quiet := s.rss()

	ctx, cancel := context.WithTimeout(t.Context(), lasting)
	defer cancel()
	var guesses sync.WaitGroup
	answers := make(chan int, int(lasting/time.Second)*perSecond+perSecond)
	guesses.Go(func() {
		tick := time.NewTicker(time.Second / perSecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				guesses.Go(func() { answers <- guess(t, form, n) })
			}
		}
	})
	var took []time.Duration
	for ctx.Err() == nil {
		d, err := ask()
		if err != nil {
			t.Errorf("while somebody guesses a program gets no token: %v", err)
			break
		}
		took = append(took, d)
		time.Sleep(5 * time.Millisecond)
	}
	guesses.Wait()
	close(answers)
	seen := map[int]int{}
	for status := range answers {
		seen[status]++
	}
	slices.Sort(took)
	p99 := took[len(took)*99/100]
	grown := s.rss() - quiet
	t.Logf("guesses by answer: %v; %d tokens, p50 %v, p99 %v; memory grew by %d MiB", seen, len(took), took[len(took)/2], p99, grown>>20)
	if seen[http.StatusServiceUnavailable] == 0 || seen[http.StatusUnprocessableEntity] == 0 {
		t.Errorf("guesses by answer: %v; want some heard and some sent away", seen)
	}
	if p99 > 5*time.Second { // 250 ms on a machine that has nothing else to do
		t.Errorf("the slowest tokens took %v", p99)
	}
	// A hash takes 19 MiB: those of 200 at once would be 3.7 GiB.
	if grown > 512<<20 {
		t.Errorf("memory grew by %d MiB", grown>>20)
	}
}

// guess signs in as nobody, and returns the status.
func guess(t *testing.T, form page, n int) int {
	p := newPerson(t, account{})
	at, err := p.trySubmit(t.Context(), form, map[string]string{"username": fmt.Sprintf("nobody-%d", n), "password": "Lantern-guess-4711"})
	switch {
	case err != nil:
		t.Errorf("a guess got no answer: %v", err)
	case at.status == http.StatusServiceUnavailable && at.header.Get("Retry-After") == "":
		t.Error("who is sent away is not told when to come again")
	case at.status != http.StatusServiceUnavailable && at.status != http.StatusUnprocessableEntity:
		t.Errorf("a guess was answered %d %s", at.status, strings.TrimSpace(tail(at.body, 300)))
	}
	return at.status
}
