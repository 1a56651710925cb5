package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A crowd uses a provider in every way at once, and writes down in its ledger
// what it was told. It goes on while the provider is away, and holds it to
// saying so properly.
type crowd struct {
	*app
	ledger   *ledger
	browsers []*person
	visitor  account // comes and goes
	steady   account // whom the browsers are
	revokeAt string
	numbered atomic.Int64
	people   int // made so far

	// vanishes: connections may break, since nodes are killed. away: the provider
	// may be unable to answer, since what it needs is gone.
	vanishes, away bool
	stop           chan struct{}
	load           sync.WaitGroup
}

// forgivingForms is a setting for servers that are taken away in the middle of
// sign-ins: each such form stays counted as one that failed.
const forgivingForms = "GATEHOUSE_RATE_LIMIT_ANONYMOUS_PER_HOUR=0"

// gather brings a crowd to a server.
func gather(t testing.TB, s *server) *crowd {
	t.Helper()
	c := &crowd{app: newApp(t, s, "crowd", "--set", "refresh_grace=300"), ledger: newLedger()}
	c.revokeAt = s.endpoint("revocation_endpoint")
	c.steady, c.visitor = s.addUser("steady"), s.addUser("visitor")
	c.browsers = []*person{newPerson(t, c.steady), newPerson(t, c.steady)}
	for _, p := range c.browsers {
		for range 2 {
			c.ledger.chains = append(c.ledger.chains, &chain{c.enter(p).token.RefreshToken})
		}
		p.stopAt = c.callbackURL()
	}
	return c
}

// come begins the load, and leave ends it and waits until every answer is in.
func (c *crowd) come() {
	c.stop = make(chan struct{})
	for _, chain := range c.ledger.chains {
		c.load.Go(func() { c.keep(func(ctx context.Context) { c.refresh(ctx, chain) }) })
	}
	for _, p := range c.browsers {
		i := 0
		c.load.Go(func() { c.keep(func(ctx context.Context) { i++; c.getCode(ctx, p, i) }) })
	}
	c.load.Go(func() { c.keep(c.comeAndGo) })
	c.load.Go(func() { c.keep(c.administer) })
}

func (c *crowd) leave() {
	close(c.stop)
	c.load.Wait()
}

// keep does something again and again.
func (c *crowd) keep(do func(context.Context)) {
	for {
		select {
		case <-c.stop:
			return
		case <-c.t.Context().Done():
			return
		default:
			do(c.t.Context())
		}
	}
}

// An outcome is what became of something that was tried.
type outcome int

const (
	granted outcome = iota
	unheard         // no answer, or one that says that there is none
	denied          // an answer, and another than hoped for
)

// heard judges an answer that should have been good.
func (c *crowd) heard(status int, header http.Header, body string, program bool, err error) outcome {
	pause := func() outcome {
		time.Sleep(10 * time.Millisecond) // it is not there: that needs no storm
		return unheard
	}
	switch {
	case err != nil && c.vanishes:
		return pause()
	case err != nil:
		c.ledger.untrue("%s: %v", failedAtAll, err)
		return pause()
	case status < http.StatusInternalServerError:
		return denied
	case !c.away && !c.vanishes:
		c.ledger.untrue("%s: %d %s", failedAtAll, status, body)
	default:
		c.properlyAway(status, header, body, program)
	}
	return pause()
}

// tellsTales finds in an answer what is nobody's business.
var tellsTales = regexp.MustCompile(`(?i)\b(postgres\w*|pgx|sqlstate|sqlite\w*|redis|dial|refused|socket|select|insert)\b|/tmp/|/dev/shm`)

// properlyAway holds a failure to what a failure must look like: 503, when to
// come again, JSON for a program and a page for a person, and no word of what
// lies behind (AC-286).
func (c *crowd) properlyAway(status int, header http.Header, body string, program bool) {
	c.ledger.note(absences, nil)
	kind := header.Get("Content-Type")
	switch {
	case status != http.StatusServiceUnavailable, header.Get("Retry-After") == "":
		c.ledger.untrue("%s: %d, Retry-After %q: %s", rudeFailure, status, header.Get("Retry-After"), body)
	case program && !(strings.HasPrefix(kind, "application/json") && strings.Contains(body, `"error":"temporarily_unavailable"`)):
		c.ledger.untrue("%s: a program reads %s %s", rudeFailure, kind, body)
	case !program && !(strings.HasPrefix(kind, "text/html") && strings.Contains(body, "<h1")):
		c.ledger.untrue("%s: a person reads %s %s", rudeFailure, kind, body)
	}
	// The way back to the app may well be named.
	if tale := tellsTales.FindString(strings.ReplaceAll(body, c.http.URL, "")); tale != "" {
		c.ledger.untrue("%s: it tells of %q: %s", rudeFailure, tale, body)
	}
}

// token asks the token endpoint for something that should be given.
func (c *crowd) token(ctx context.Context, form url.Values) (answer, outcome) {
	got, err := c.client.ask(ctx, c.oauth.Endpoint.TokenURL, form)
	if err == nil && got.status == http.StatusOK {
		return got, granted
	}
	if got.status != 0 {
		err = nil // there was an answer, and what it lacks is judged below
	}
	return got, c.heard(got.status, got.header, got.body, true, err)
}

// refresh renews a chain, and at times presents the token twice, as two tabs do.
func (c *crowd) refresh(ctx context.Context, chain *chain) {
	got, how := c.token(ctx, refreshing(chain.token))
	if how == denied {
		c.ledger.untrue("%s: %s", refusedRefresh, got.body)
		time.Sleep(10 * time.Millisecond)
	}
	if how != granted {
		return
	}
	c.ledger.note(refreshes, nil)
	if c.numbered.Add(1)%8 == 0 {
		switch again, how := c.token(ctx, refreshing(chain.token)); {
		case how == granted && again.Refresh != got.Refresh:
			c.ledger.untrue("%s", twoSuccessors)
		case how == granted:
			c.ledger.note(repeats, nil)
		case how == denied:
			c.ledger.untrue("%s: again, within the grace: %s", refusedRefresh, again.body)
		}
	}
	chain.token = got.Refresh
}

// getCode gets a code in a signed-in browser: every other is redeemed, and
// every fourth grant revoked by its client.
func (c *crowd) getCode(ctx context.Context, p *person, i int) {
	begun := time.Now()
	response, how := c.codeIn(ctx, p)
	if how == denied {
		c.ledger.untrue("%s", lostSession)
	}
	if how != granted {
		return
	}
	h := &handout{response: response, given: begun}
	if i%2 == 0 {
		c.ledger.note(codesGiven, func() { c.ledger.given = append(c.ledger.given, h) })
		return
	}
	got, how := c.token(ctx, c.redemption(response))
	switch {
	case how == unheard:
		c.ledger.note(codesDoubted, func() { c.ledger.doubted = append(c.ledger.doubted, h) })
	case how == denied:
		c.ledger.untrue("%s: %s", refusedCode, got.body)
	case i%4 == 1 && c.revoke(ctx, got.Refresh):
		c.ledger.note(revoked, func() { c.ledger.dead = append(c.ledger.dead, corpse{got.Refresh, got.Access, "its client"}) })
	case i%4 == 1: // it may be revoked, and may not
	default:
		h.tokens = got
		c.ledger.note(codesSpent, func() { c.ledger.spent = append(c.ledger.spent, h) })
	}
}

// revoke reports whether the revocation of a token was acknowledged.
func (c *crowd) revoke(ctx context.Context, token string) bool {
	form := url.Values{"token": {token}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.revokeAt, strings.NewReader(form.Encode()))
	if err != nil {
		c.ledger.untrue("%s: %v", failedAtAll, err)
		return false
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(c.client.id), url.QueryEscape(c.client.secret))
	status, header, body, err := whole(http.DefaultClient.Do(req))
	if err == nil && status == http.StatusOK {
		return true
	}
	if c.heard(status, header, body, true, err) == denied {
		c.ledger.untrue("a revocation was answered %d %s", status, body)
	}
	return false
}

// whole reads an answer to its end.
func whole(resp *http.Response, err error) (int, http.Header, string, error) {
	if err != nil {
		return 0, nil, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, string(body), err
}

// codeIn gets a code without meeting a page.
func (c *crowd) codeIn(ctx context.Context, p *person) (url.Values, outcome) {
	address, _ := c.begin()
	at, how := c.page(p.tryVisit(ctx, address))
	if how == granted && !hasCode(at) {
		return nil, denied
	}
	if how != granted {
		return nil, how
	}
	return at.address.Query(), granted
}

// page judges what a person sees.
func (c *crowd) page(at page, err error) (page, outcome) {
	if err != nil || at.status >= http.StatusBadRequest {
		return at, c.heard(at.status, at.header, at.body, false, err)
	}
	if at.body == "" && at.address.Query().Get("error") == "temporarily_unavailable" && (c.away || c.vanishes) {
		return at, unheard // what the standard has for it where a redirect URI stands
	}
	return at, granted
}

// walk opens the app's sign-in, and fills in what each page asks, until a page
// is left alone.
func (c *crowd) walk(ctx context.Context, p *person, fill func(page) map[string]string) (page, outcome) {
	address, _ := c.begin()
	at, how := c.page(p.tryVisit(ctx, address))
	for how == granted && at.body != "" {
		values := fill(at)
		if values == nil {
			return at, denied
		}
		at, how = c.page(p.trySubmit(ctx, at, values))
	}
	return at, how
}

// credentials are what this person types to sign in.
func (p *person) credentials() map[string]string {
	return map[string]string{"username": p.who.username, "password": p.who.password}
}

// enterAnew signs somebody in, in a new browser, and redeems the code.
func (c *crowd) enterAnew(ctx context.Context, who account) (p *person, got answer, ok bool) {
	p = newPerson(c.t, who)
	p.stopAt = c.http.URL
	at, how := c.walk(ctx, p, func(at page) map[string]string {
		switch {
		case at.asks("password"):
			return p.credentials()
		case at.asks("decision"):
			return map[string]string{"decision": "allow"}
		}
		return nil
	})
	if how == denied || how == granted && !hasCode(at) {
		c.ledger.untrue("a sign-in ended at %s (%d) %s", at.address, at.status, tail(at.body, 200))
	}
	if how != granted || !hasCode(at) {
		return p, got, false
	}
	got, how = c.token(ctx, c.redemption(at.address.Query()))
	if how == denied {
		c.ledger.untrue("%s: %s", refusedCode, got.body)
	}
	return p, got, how == granted
}

// comeAndGo signs in and out, and notes the tokens that died with the session.
func (c *crowd) comeAndGo(ctx context.Context) {
	p, got, ok := c.enterAnew(ctx, c.visitor)
	if !ok {
		return
	}
	query := url.Values{"id_token_hint": {got.ID}, "post_logout_redirect_uri": {c.http.URL + "/bye"}}
	at, how := c.page(p.tryVisit(ctx, c.server.issuer+"/logout?"+query.Encode()))
	switch {
	case how == granted && strings.HasPrefix(at.address.String(), c.http.URL+"/bye"):
		c.ledger.note(sessionsOver, func() {
			c.ledger.dead = append(c.ledger.dead, corpse{got.Refresh, got.Access, "the end of its session"})
		})
	case how != unheard:
		c.ledger.untrue("signing out ended at %s (%d)", at.address, at.status)
	}
}

// administer makes accounts beside the server. Each signs in and consents, and
// every other is then disabled.
func (c *crowd) administer(ctx context.Context) {
	c.people++
	if c.people%3 == 0 {
		c.deleteClient(ctx)
	}
	who := account{username: fmt.Sprintf("crowd-%d", c.people), password: "Lantern-crowd-4711"}
	_, _, err := c.server.try(who.password, "user", "create", "--username", who.username, "--email", who.username+"@people.example", "--password-stdin")
	if err != nil {
		return // that it is made was not said
	}
	c.ledger.note(usersMade, func() { c.ledger.made = append(c.ledger.made, who.username) })
	_, got, ok := c.enterAnew(ctx, who)
	switch {
	case !ok:
	case c.people%2 == 0:
		c.ledger.note(consents, func() { c.ledger.consented = append(c.ledger.consented, who) })
	default:
		if _, _, err := c.server.try("", "user", "disable", who.username); err != nil {
			return
		}
		c.ledger.note(usersGone, func() {
			c.ledger.disabled = append(c.ledger.disabled, who.username)
			c.ledger.dead = append(c.ledger.dead, corpse{got.Refresh, got.Access, "disabling the account"})
		})
	}
}

// deleteClient makes a client that every node comes to know, and deletes it.
func (c *crowd) deleteClient(ctx context.Context) {
	id := fmt.Sprintf("worker-%d", c.people)
	out, _, err := c.server.try("", "client", "create", "--id", id, "--grant-type", "client_credentials", "--scope", "jobs:run",
		"--set", "redirect_uris=", "-o", "json")
	var made struct {
		Secret string `json:"client_secret"`
	}
	if err != nil || json.Unmarshal([]byte(out), &made) != nil {
		return // that it is made was not said
	}
	worker := client{id, made.Secret}
	for range 2 * len(c.server.nodes) {
		got, err := worker.ask(ctx, c.oauth.Endpoint.TokenURL, forItself())
		if err == nil && got.status == http.StatusOK {
			continue
		}
		if got.status != 0 {
			err = nil // as in token
		}
		if c.heard(got.status, got.header, got.body, true, err) == denied {
			c.ledger.untrue("a new client was answered %d %s", got.status, got.body)
		}
	}
	if _, _, err := c.server.try("", "client", "delete", id, "--yes"); err == nil {
		c.ledger.note(clientsGone, func() { c.ledger.deleted = append(c.ledger.deleted, deletion{worker, time.Now()}) })
	}
}

// forItself is the form of a client that asks for itself.
func forItself() url.Values {
	return url.Values{"grant_type": {"client_credentials"}, "scope": {"jobs:run"}}
}
