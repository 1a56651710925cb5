package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// What the outside was told. Nothing of it may be untrue after a crash.
type ledger struct {
	mu sync.Mutex
	// given are codes that came back in an answer, spent ones those for which
	// tokens came back; doubted were sent and never answered.
	given, spent, doubted []*handout
	// chains are refresh tokens: the newest that came back.
	chains []*chain
	// ended are refresh tokens whose session was signed out.
	ended []string
	// made are accounts that the command line says exist.
	made []account
}

// A handout is one code and what became of it.
type handout struct {
	response url.Values
	tokens   answer
	wins     int // how often tokens came back for it
}

// A chain is one family of refresh tokens.
type chain struct{ token string }

func TestAC231_NothingAcknowledgedIsLostOrSpentTwiceByKillingTheProcess(t *testing.T) {
	const kills = 20
	s := serve(t)
	a := newApp(t, s, "crash", "--set", "refresh_grace=300")
	regular, visitor := s.addUser("regular"), s.addUser("visitor")
	l := &ledger{}
	for range 4 {
		l.chains = append(l.chains, &chain{a.enter(newPerson(t, regular)).token.RefreshToken})
	}
	browsers := []*person{newPerson(t, regular), newPerson(t, regular)}
	for _, p := range browsers {
		a.enter(p)
		p.stopAt = a.callbackURL()
	}
	total, slowest := map[string]int{}, time.Duration(0)
	for round := range kills {
		ctx, cancel := context.WithCancel(t.Context())
		var load sync.WaitGroup
		for _, c := range l.chains {
			load.Go(func() { a.keepRefreshing(ctx, l, c) })
		}
		for _, p := range browsers {
			load.Go(func() { a.keepGettingCodes(ctx, l, p) })
		}
		load.Go(func() { a.keepComingAndGoing(ctx, l, visitor) })
		load.Go(func() { s.keepAddingUsers(ctx, l, round) })

		time.Sleep(100*time.Millisecond + rand.N(500*time.Millisecond))
		s.kill()
		cancel()
		load.Wait()

		took := s.start()
		slowest = max(slowest, took)
		a.audit(l, browsers, total)
		if t.Failed() {
			t.Fatalf("after kill %d", round+1)
		}
	}
	t.Logf("%d kills; looked up again: %v; ready again after %v at most", kills, total, slowest.Round(time.Millisecond))
	for _, kind := range []string{"codes given", "codes spent", "sessions ended", "accounts made"} {
		if total[kind] == 0 {
			t.Errorf("the load had no %s: that shows nothing", kind)
		}
	}
	if slowest > 10*time.Second {
		t.Errorf("one start took %v", slowest)
	}
}

// keepRefreshing renews one chain until the server is gone.
func (a *app) keepRefreshing(ctx context.Context, l *ledger, c *chain) {
	for ctx.Err() == nil {
		got, err := a.client.ask(ctx, a.oauth.Endpoint.TokenURL, refreshing(c.token))
		if err != nil {
			return
		}
		if got.status != http.StatusOK {
			a.t.Errorf("a good refresh token was answered %d %s", got.status, got.body)
			return
		}
		c.token = got.Refresh
	}
}

// keepGettingCodes collects codes in a signed-in browser, and redeems every other.
func (a *app) keepGettingCodes(ctx context.Context, l *ledger, p *person) {
	for i := 0; ctx.Err() == nil; i++ {
		response, err := a.silentCode(ctx, p)
		if err != nil {
			return
		}
		h := &handout{response: response}
		if i%2 == 0 {
			l.note(&l.given, h)
			continue
		}
		got, err := a.client.ask(ctx, a.oauth.Endpoint.TokenURL, a.redemption(response))
		if err != nil {
			l.note(&l.doubted, h)
			return
		}
		if got.status != http.StatusOK {
			a.t.Errorf("a fresh code was answered %d %s", got.status, got.body)
			return
		}
		h.tokens, h.wins = got, 1
		l.note(&l.spent, h)
	}
}

func (l *ledger) note(list *[]*handout, h *handout) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*list = append(*list, h)
}

// silentCode gets a code without meeting a page.
func (a *app) silentCode(ctx context.Context, p *person) (url.Values, error) {
	address, _ := a.begin()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	resp, err := p.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	to, err := resp.Location()
	if err != nil || !to.Query().Has("code") {
		return nil, fmt.Errorf("a signed-in browser got %d and no code", resp.StatusCode)
	}
	return to.Query(), nil
}

// keepComingAndGoing signs in and out, and notes the refresh tokens that died with it.
func (a *app) keepComingAndGoing(ctx context.Context, l *ledger, who account) {
	for ctx.Err() == nil {
		token, err := a.comeAndGo(ctx, who)
		if err != nil {
			return
		}
		l.mu.Lock()
		l.ended = append(l.ended, token)
		l.mu.Unlock()
	}
}

// comeAndGo signs somebody in, redeems the code and signs them out.
func (a *app) comeAndGo(ctx context.Context, who account) (refreshToken string, err error) {
	p := newPerson(a.t, who)
	p.stopAt = a.http.URL
	address, _ := a.begin()
	at, err := p.tryVisit(ctx, address)
	for err == nil && at.body != "" {
		switch {
		case at.asks("password"):
			at, err = p.trySubmit(ctx, at, map[string]string{"username": who.username, "password": who.password})
		case at.asks("decision"):
			at, err = p.trySubmit(ctx, at, map[string]string{"decision": "allow"})
		default:
			return "", fmt.Errorf("stuck at %s (%d)", at.address, at.status)
		}
	}
	if err != nil {
		return "", err
	}
	v, err := a.redeem(ctx, at.address.Query())
	if err != nil {
		return "", err
	}
	query := url.Values{"id_token_hint": {v.raw}, "post_logout_redirect_uri": {a.http.URL + "/bye"}}
	at, err = p.tryVisit(ctx, a.server.issuer+"/logout?"+query.Encode())
	if err != nil {
		return "", err
	}
	if !strings.HasPrefix(at.address.String(), a.http.URL+"/bye") {
		return "", fmt.Errorf("signing out ended at %s", at.address)
	}
	return v.token.RefreshToken, nil
}

// keepAddingUsers makes accounts beside the server.
func (s *server) keepAddingUsers(ctx context.Context, l *ledger, round int) {
	for i := 0; ctx.Err() == nil; i++ {
		who := account{username: fmt.Sprintf("crash-%d-%d", round, i)}
		_, _, err := s.try("Lantern-crash-4711", "user", "create", "--username", who.username, "--email", who.username+"@people.example", "--password-stdin")
		if err == nil {
			l.mu.Lock()
			l.made = append(l.made, who)
			l.mu.Unlock()
		}
	}
}

// audit holds the server to everything in the ledger, empties it, and adds up
// how much that was.
func (a *app) audit(l *ledger, browsers []*person, total map[string]int) {
	a.t.Helper()
	for kind, n := range map[string]int{
		"codes given": len(l.given), "codes spent": len(l.spent), "codes in doubt": len(l.doubted), "refresh tokens": len(l.chains),
		"sessions ended": len(l.ended), "accounts made": len(l.made), "sessions": len(browsers),
	} {
		total[kind] += n
	}
	for _, c := range l.chains {
		got := a.mustAsk(refreshing(c.token))
		if got.status != http.StatusOK {
			a.t.Fatalf("an acknowledged refresh token is gone: %d %s", got.status, got.body)
		}
		c.token = got.Refresh
	}
	for _, h := range slices.Concat(l.given, l.doubted) {
		got := a.mustAsk(a.redemption(h.response))
		if got.status == http.StatusOK {
			h.tokens, h.wins = got, 1
			l.spent = append(l.spent, h)
		} else if slices.Contains(l.given, h) {
			a.t.Errorf("an acknowledged code is gone: %d %s", got.status, got.body)
		}
	}
	for _, h := range l.spent {
		if got := a.mustAsk(a.redemption(h.response)); got.status == http.StatusOK {
			a.t.Error("a code was spent twice")
		}
		if got := a.mustAsk(refreshing(h.tokens.Refresh)); got.status == http.StatusOK {
			a.t.Error("a replayed code did not end its grant")
		}
	}
	for _, token := range l.ended {
		if got := a.mustAsk(refreshing(token)); got.status == http.StatusOK {
			a.t.Error("a session that was signed out gives tokens again")
		}
	}
	for _, who := range l.made {
		if _, complaint, err := a.server.try("", "user", "show", who.username); err != nil {
			a.t.Errorf("account %s is gone: %s", who.username, complaint)
		}
	}
	for _, p := range browsers {
		if _, err := a.silentCode(a.t.Context(), p); err != nil {
			a.t.Errorf("a session is gone: %v", err)
		}
	}
	l.given, l.spent, l.doubted, l.ended, l.made = nil, nil, nil, nil, nil
}

func (a *app) mustAsk(form url.Values) answer {
	a.t.Helper()
	got, err := a.client.ask(a.t.Context(), a.oauth.Endpoint.TokenURL, form)
	if err != nil {
		a.t.Fatal(err)
	}
	if got.status != http.StatusOK && got.Error != "invalid_grant" {
		a.t.Fatalf("the token endpoint answers %d %s", got.status, got.body)
	}
	return got
}
