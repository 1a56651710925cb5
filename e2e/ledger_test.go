package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"sync"
	"time"
)

// A ledger is what the outside was told, and what of it turned out untrue. It
// knows nothing of how the provider keeps anything. Whatever befell the
// provider, nothing here may be lost, come back, or have been spent twice.
type ledger struct {
	mu sync.Mutex
	// given are codes that came back in an answer; spent those for which tokens
	// came back; doubted were sent, and what became of them nobody was told.
	given, spent, doubted []*handout
	// chains are families of refresh tokens: the newest that came back.
	chains []*chain
	// dead are tokens that were ended, and stay so for as long as the test runs;
	// so many of them were looked at already.
	dead   []corpse
	buried int
	// made and disabled are accounts that a command said exist, or are disabled.
	made, disabled []string
	// consented are those who allowed the app what it asks for.
	consented []account
	// deleted are clients that are no more.
	deleted []deletion

	seen  map[string]int // how often each kind of thing was acknowledged
	wrong []string       // what turned out untrue
}

// codeLifetime is that of a code, less a second for the way.
const codeLifetime = 59 * time.Second

// A handout is one code and what became of it.
type handout struct {
	response url.Values
	given    time.Time
	tokens   answer
}

// A chain is one family of refresh tokens.
type chain struct{ token string }

// A corpse is the tokens of a grant that was ended, and what ended it.
type corpse struct{ refresh, access, by string }

// A deletion is a client that a command said is deleted, and when.
type deletion struct {
	client client
	at     time.Time
}

// known is how long every node may remember a client that has changed: the
// promised two seconds, and what a busy machine adds.
const known = 3 * time.Second

func newLedger() *ledger { return &ledger{seen: map[string]int{}} }

// untrue notes that something acknowledged did not hold.
func (l *ledger) untrue(what string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrong = append(l.wrong, fmt.Sprintf(what, args...))
}

// note counts something acknowledged, and keeps it.
func (l *ledger) note(kind string, keep func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen[kind]++
	if keep != nil {
		keep()
	}
}

// What the kinds of things acknowledged are called.
const (
	codesGiven   = "codes given"
	codesSpent   = "codes spent"
	codesDoubted = "codes in doubt"
	refreshes    = "refreshes"
	repeats      = "refreshes repeated"
	sessionsOver = "sessions ended"
	revoked      = "grants revoked"
	usersMade    = "accounts made"
	usersGone    = "accounts disabled"
	consents     = "consents given"
	clientsGone  = "clients deleted"
	absences     = "answers that there is none"
)

// What the findings begin with.
const (
	lostRefresh    = "an acknowledged refresh token is gone"
	lostCode       = "an acknowledged code is gone"
	lostAccount    = "an acknowledged account is gone"
	lostSession    = "an acknowledged session is gone"
	lostConsent    = "an acknowledged consent is asked for again"
	spentTwice     = "a code was spent twice"
	replayLives    = "a replayed code did not end its grant"
	twoSuccessors  = "one refresh token has two successors"
	risen          = "what was ended gives tokens again"
	staleClient    = "a client that was deleted gets tokens"
	undisabled     = "an account that was disabled is not"
	refusedRefresh = "a good refresh token was refused"
	refusedCode    = "a fresh code was refused"
	rudeFailure    = "a failure that does not say so properly"
	failedAtAll    = "something failed that must not"
)

// audit holds the provider to everything in the ledger, once it is well again.
// What it asks changes nothing that it then asks about.
func (c *crowd) audit() {
	c.t.Helper()
	l := c.ledger
	for _, chain := range l.chains {
		c.auditChain(chain)
	}
	for _, h := range slices.Concat(l.given, l.doubted) {
		asked := time.Now()
		switch got := c.mustAsk(c.redemption(h.response)); {
		case got.status == http.StatusOK:
			h.tokens = got
			l.spent = append(l.spent, h)
		case slices.Contains(l.given, h) && asked.Sub(h.given) < codeLifetime:
			l.untrue("%s: %s", lostCode, got.body)
		}
	}
	for _, h := range l.spent {
		if c.mustAsk(c.redemption(h.response)).status == http.StatusOK {
			l.untrue("%s", spentTwice)
		}
		if c.mustAsk(refreshing(h.tokens.Refresh)).status == http.StatusOK {
			l.untrue("%s", replayLives)
		}
	}
	for i, body := range l.dead {
		if i >= l.buried || rand.N(l.buried) < 5 {
			c.auditCorpse(body)
		}
	}
	l.buried = len(l.dead)
	for _, username := range l.made {
		if _, complaint, err := c.server.try("", "user", "show", username); err != nil {
			l.untrue("%s: %s: %s", lostAccount, username, complaint)
		}
	}
	for _, username := range l.disabled {
		if out, _, err := c.server.try("", "user", "show", username, "-o", "json"); err != nil || !isDisabled.MatchString(out) {
			l.untrue("%s: %s: %s", undisabled, username, out)
		}
	}
	for _, p := range c.browsers {
		if _, got := c.codeIn(c.t.Context(), p); got != granted {
			l.untrue("%s", lostSession)
		}
	}
	for _, who := range l.consented {
		c.auditConsent(who)
	}
	c.auditClients(false)
	l.given, l.spent, l.doubted, l.made, l.disabled, l.consented = nil, nil, nil, nil, nil, nil
}

var isDisabled = regexp.MustCompile(`"disabled":\s*true`)

// auditChain: the newest token that came back is good, and presented again it
// has the very same successor.
func (c *crowd) auditChain(chain *chain) {
	c.t.Helper()
	got, again := c.mustAsk(refreshing(chain.token)), c.mustAsk(refreshing(chain.token))
	switch {
	case got.status != http.StatusOK:
		c.ledger.untrue("%s: %s", lostRefresh, got.body)
		return
	case again.Refresh != got.Refresh:
		c.ledger.untrue("%s: %s", twoSuccessors, again.body)
	}
	chain.token = got.Refresh
}

// exhume looks at everything that was ever ended, once more.
func (c *crowd) exhume() {
	c.t.Helper()
	for _, body := range c.ledger.dead {
		c.auditCorpse(body)
	}
	c.auditClients(true)
	c.ledger.hold(c, "at the end")
}

// auditClients asks for tokens as clients that are no more, at every node; those
// that may be remembered yet are left for another time, or waited for.
func (c *crowd) auditClients(all bool) {
	c.t.Helper()
	l := c.ledger
	for len(l.deleted) > 0 {
		d := l.deleted[0]
		if left := time.Until(d.at.Add(known)); left > 0 {
			if !all {
				return
			}
			time.Sleep(left)
		}
		l.deleted = l.deleted[1:]
		for range c.server.nodes { // the balancer takes them in turn
			got, err := d.client.ask(c.t.Context(), c.oauth.Endpoint.TokenURL, forItself())
			if err != nil {
				c.t.Fatal(err)
			}
			if got.status == http.StatusOK {
				l.untrue("%s: %s", staleClient, d.client.id)
			}
		}
	}
}

func (c *crowd) auditCorpse(body corpse) {
	c.t.Helper()
	if c.mustAsk(refreshing(body.refresh)).status == http.StatusOK {
		c.ledger.untrue("%s: the refresh token, by %s", risen, body.by)
	}
	if status, _ := c.server.userinfo(body.access); status == http.StatusOK {
		c.ledger.untrue("%s: the access token, by %s", risen, body.by)
	}
}

// auditConsent signs somebody in anew, which costs a hash, and looks whether
// the question comes again.
func (c *crowd) auditConsent(who account) {
	c.t.Helper()
	p := newPerson(c.t, who)
	p.stopAt = c.callbackURL()
	at, got := c.walk(c.t.Context(), p, func(at page) map[string]string {
		if at.asks("password") {
			return p.credentials()
		}
		return nil
	})
	if got != granted || !hasCode(at) {
		c.ledger.untrue("%s: %s ended at %s", lostConsent, who.username, at.address)
	}
}

// mustAsk asks the token endpoint of a provider that is well.
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

// hold fails the test for everything that turned out untrue.
func (l *ledger) hold(c *crowd, when string) {
	c.t.Helper()
	for i, what := range l.wrong {
		if i == 10 {
			c.t.Errorf("… and %d more", len(l.wrong)-i)
			break
		}
		c.t.Errorf("%s: %s", when, what)
	}
	if len(l.wrong) > 0 {
		c.t.FailNow()
	}
}

// goOn reports whether a fault strikes once more after so many rounds: as often
// as wanted, and, on a machine that is busy with other things, until each of
// these kinds was acknowledged.
func (l *ledger) goOn(round, wanted int, kinds ...string) bool {
	return round < wanted || round < 5*wanted && len(l.lacks(kinds)) > 0
}

func (l *ledger) lacks(kinds []string) []string {
	return slices.DeleteFunc(slices.Clone(kinds), func(kind string) bool { return l.count(kind) > 0 })
}

// busy fails the test where the load was none: that would show nothing.
func (l *ledger) busy(c *crowd, kinds ...string) {
	c.t.Helper()
	for _, kind := range l.lacks(kinds) {
		c.t.Errorf("the load had no %s: that shows nothing", kind)
	}
}
