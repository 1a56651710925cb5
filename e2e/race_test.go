package e2e

import (
	"net/http"
	"net/url"
	"sync"
	"testing"
)

const racers = 32

// race sends the same form racers times at once, by each of these HTTP clients
// in turn.
func (a *app) race(form url.Values, by ...*http.Client) []answer {
	a.t.Helper()
	if len(by) == 0 {
		by = []*http.Client{http.DefaultClient}
	}
	address := a.server.endpoint("token_endpoint")
	answers, errs := make([]answer, racers), make([]error, racers)
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	for i := range racers {
		ready.Add(1)
		done.Go(func() {
			own := url.Values{}
			for name := range form {
				own.Set(name, form.Get(name))
			}
			ready.Done()
			<-start
			answers[i], errs[i] = a.client.askBy(a.t.Context(), by[i%len(by)], address, own)
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
	for _, err := range errs {
		if err != nil {
			a.t.Fatal(err)
		}
	}
	return answers
}

func TestAC050_OfManyRedemptionsOfOneCodeOneSucceedsAndTheGrantIsRevoked(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a := newApp(t, s, "racer")
	p := newPerson(t, s.addUser("rita"))
	address := s.endpoint("token_endpoint")
	for round := range 5 {
		var won []answer
		for _, got := range a.race(a.redemption(a.code(p))) {
			switch {
			case got.status == 200:
				won = append(won, got)
			case got.status != 400 || got.Error != "invalid_grant":
				t.Errorf("round %d: a late redemption was answered %d %s", round, got.status, got.body)
			}
		}
		if len(won) != 1 {
			t.Fatalf("round %d: %d redemptions succeeded", round, len(won))
		}
		if status, _ := s.userinfo(won[0].Access); status != 401 {
			t.Errorf("round %d: the access token still works after the code was replayed: %d", round, status)
		}
		if got, err := a.client.ask(t.Context(), address, refreshing(won[0].Refresh)); err != nil || got.Error != "invalid_grant" {
			t.Errorf("round %d: the refresh token still works after the code was replayed: %d %s %v", round, got.status, got.body, err)
		}
	}
}

func TestAC083_ManyRefreshesOfOneTokenGetTheVerySameSuccessor(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a := newApp(t, s, "racer", "--set", "refresh_grace=60")
	p := newPerson(t, s.addUser("rosa"))
	address := s.endpoint("token_endpoint")
	token := a.enter(p).token.RefreshToken
	for round := range 5 {
		successor := ""
		for _, got := range a.race(refreshing(token)) {
			if got.status != 200 {
				t.Fatalf("round %d: a refresh was answered %d %s", round, got.status, got.body)
			}
			if successor == "" {
				successor = got.Refresh
			}
			if got.Refresh != successor || got.Refresh == token {
				t.Fatalf("round %d: two successors of one token", round)
			}
			if status, _ := s.userinfo(got.Access); status != 200 {
				t.Errorf("round %d: an access token of the race is refused: %d", round, status)
			}
		}
		token = successor
	}
	if got, err := a.client.ask(t.Context(), address, refreshing(token)); err != nil || got.status != 200 {
		t.Errorf("the last successor is not good: %d %s %v", got.status, got.body, err)
	}
}

func TestAC083_AfterTheGraceAnOldTokenEndsItsFamilyAndNoOther(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a := newApp(t, s, "racer", "--set", "refresh_grace=0")
	p := newPerson(t, s.addUser("ruth"))
	address := s.endpoint("token_endpoint")
	family, other := a.enter(p).token, a.enter(p).token

	next, err := a.client.ask(t.Context(), address, refreshing(family.RefreshToken))
	if err != nil || next.status != 200 {
		t.Fatalf("the first refresh: %d %s %v", next.status, next.body, err)
	}
	for i, got := range a.race(refreshing(family.RefreshToken)) {
		if got.status != 400 || got.Error != "invalid_grant" {
			t.Errorf("reuse %d was answered %d %s", i, got.status, got.body)
		}
	}
	if got, err := a.client.ask(t.Context(), address, refreshing(next.Refresh)); err != nil || got.Error != "invalid_grant" {
		t.Errorf("the successor outlived the reuse: %d %s %v", got.status, got.body, err)
	}
	if status, _ := s.userinfo(next.Access); status != 401 {
		t.Errorf("an access token outlived the reuse: %d", status)
	}
	if got, err := a.client.ask(t.Context(), address, refreshing(other.RefreshToken)); err != nil || got.status != 200 {
		t.Errorf("another family died with it: %d %s %v", got.status, got.body, err)
	}
}
