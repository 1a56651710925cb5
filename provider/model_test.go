package provider_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gatehouse/provider/providertest"
)

// The life of grants, as a model that any order of requests is held against:
// 100 lives of 100 steps.

const stepsOfALife = 100

// A modelGrant is what the model believes of one grant.
type modelGrant struct {
	party          *providertest.Party
	user           string
	code, verifier string
	codeAt         time.Time
	spent, revoked bool
	refresh        []string // every generation, the current one last
	rotatedAt      time.Time
	accesses       []*modelAccess
}

type modelAccess struct {
	of      *modelGrant
	token   string
	at      time.Time
	revoked bool
}

// A life is a house and what the model believes of it.
type life struct {
	*rapid.T
	h        *providertest.House
	parties  []*providertest.Party
	stranger *providertest.Party
	browsers map[string]*providertest.Browser
	grants   []*modelGrant
	accesses []*modelAccess
}

func TestAGrantDoesInAnyOrderOfRequestsWhatItsModelDoes(t *testing.T) {
	h := providertest.New(t)
	parties := []*providertest.Party{
		h.Client("web", providertest.Trusted), h.Client("opaque", providertest.Trusted, opaque), h.Client("spa", providertest.Trusted, providertest.Public),
	}
	stranger := h.Client("stranger")
	h.User("alice")
	h.User("bob")
	rapid.Check(t, func(rt *rapid.T) {
		l := &life{T: rt, h: h, parties: parties, stranger: stranger,
			browsers: map[string]*providertest.Browser{"alice": h.Browser(), "bob": h.Browser()}}
		steps := map[string]func(){
			"authorize": l.authorize, "authorize more": l.authorize, "redeem": l.redeem, "redeem more": l.redeem, "redeem wrongly": l.redeemWrongly,
			"refresh": l.refreshCurrent, "refresh more": l.refreshCurrent, "refresh an old one": l.refreshOld, "refresh as another": l.refreshAsAnother,
			"revoke an access token": l.revokeAccess, "revoke a refresh token": l.revokeRefresh, "revoke as another": l.revokeAsAnother,
			"look at an access token": l.lookAtAccess, "look at a refresh token": l.lookAtRefresh, "wait": l.wait, "sign out": l.signOut,
		}
		names := make([]string, 0, len(steps))
		for name := range steps {
			names = append(names, name)
		}
		step := rapid.SampledFrom(sorted(names))
		for range stepsOfALife {
			steps[step.Draw(rt, "step")]()
		}
		for _, a := range l.accesses {
			l.compare(a)
		}
	})
}

// sure moves the clock on where at is so near to its limit that the model
// cannot know on which side a request will come.
func (l *life) sure(at time.Time, limits ...time.Duration) {
	for _, limit := range limits {
		if distance := l.h.Now().Sub(at) - limit; distance > -3*time.Second && distance < 3*time.Second {
			l.h.Skip(7 * time.Second)
		}
	}
}

func (l *life) grant() *modelGrant {
	if len(l.grants) == 0 {
		return nil
	}
	return rapid.SampledFrom(l.grants).Draw(l.T, "grant")
}

func (l *life) access() *modelAccess {
	if len(l.accesses) == 0 {
		return nil
	}
	return rapid.SampledFrom(l.accesses).Draw(l.T, "access token")
}

func (l *life) must(what string, a *providertest.Answer, works bool) bool {
	switch {
	case works && a.Status != http.StatusOK:
		l.Fatalf("%s: got %d %s, want tokens", what, a.Status, a.Body)
	case !works && a.Tokens().Error != "invalid_grant":
		l.Fatalf("%s: got %d %s, want invalid_grant", what, a.Status, a.Body)
	}
	return works
}

func (l *life) authorize() {
	g := &modelGrant{
		party: rapid.SampledFrom(l.parties).Draw(l.T, "client"), user: rapid.SampledFrom([]string{"alice", "bob"}).Draw(l.T, "user"),
	}
	g.code, g.verifier = g.party.Code(l.browsers[g.user], g.user)
	g.codeAt = l.h.Now()
	l.grants = append(l.grants, g)
}

func (l *life) redeem() {
	g := l.grant()
	if g == nil {
		return
	}
	l.sure(g.codeAt, time.Minute)
	alive := !g.spent && !g.revoked && l.h.Now().Sub(g.codeAt) < time.Minute
	a := g.party.Token(g.party.Redemption(g.code, g.verifier))
	if l.must("redeem", a, alive) {
		g.spent = true
		l.given(g, a.Tokens())
		return
	}
	if g.spent {
		g.revoked = true // a replay ends what the first one gave
	}
}

func (l *life) redeemWrongly() {
	g := l.grant()
	if g == nil {
		return
	}
	l.must("redeem wrongly", g.party.Token(g.party.Redemption(g.code, "wrong-"+g.verifier)), false)
	g.spent, g.revoked = true, true
}

func (l *life) given(g *modelGrant, t providertest.Tokens) {
	access := &modelAccess{of: g, token: t.Access, at: l.h.Now()}
	g.accesses, l.accesses = append(g.accesses, access), append(l.accesses, access)
	g.refresh, g.rotatedAt = append(g.refresh, t.Refresh), l.h.Now()
}

func (l *life) refreshCurrent() {
	g := l.grant()
	if g == nil || len(g.refresh) == 0 {
		return
	}
	a := g.party.Refresh(g.refresh[len(g.refresh)-1])
	if l.must("refresh", a, !g.revoked) {
		l.given(g, a.Tokens())
	}
}

func (l *life) refreshOld() {
	g := l.grant()
	if g == nil || len(g.refresh) < 2 {
		return
	}
	i := rapid.IntRange(0, len(g.refresh)-2).Draw(l.T, "generation")
	grace := time.Minute
	if g.party.Metadata.TokenEndpointAuthMethod == "none" {
		grace = 10 * time.Second
	}
	l.sure(g.rotatedAt, grace)
	again := i == len(g.refresh)-2 && l.h.Now().Sub(g.rotatedAt) < grace
	a := g.party.Refresh(g.refresh[i])
	if !l.must("refresh an old one", a, again && !g.revoked) {
		g.revoked = true
		return
	}
	t := a.Tokens()
	if t.Refresh != g.refresh[i+1] {
		l.Fatalf("the same token got another successor: %s, before %s", t.Refresh, g.refresh[i+1])
	}
	access := &modelAccess{of: g, token: t.Access, at: l.h.Now()}
	g.accesses, l.accesses = append(g.accesses, access), append(l.accesses, access)
}

func (l *life) refreshAsAnother() {
	if g := l.grant(); g != nil && len(g.refresh) > 0 {
		l.must("refresh as another", l.stranger.Refresh(g.refresh[len(g.refresh)-1]), false)
	}
}

func (l *life) revokeAccess() {
	if a := l.access(); a != nil {
		a.of.party.Revoke(a.token)
		a.revoked = true
		l.compare(a)
	}
}

func (l *life) revokeRefresh() {
	if g := l.grant(); g != nil && len(g.refresh) > 0 {
		g.party.Revoke(rapid.SampledFrom(g.refresh).Draw(l.T, "refresh token"))
		g.revoked = true
	}
}

func (l *life) revokeAsAnother() {
	if a := l.access(); a != nil {
		l.stranger.Revoke(a.token)
		l.stranger.Revoke(a.of.refresh[0])
		l.compare(a)
	}
}

func (l *life) lookAtAccess() {
	if a := l.access(); a != nil {
		l.compare(a)
	}
}

// compare holds introspection and userinfo against what the model believes.
func (l *life) compare(a *modelAccess) {
	l.sure(a.at, 10*time.Minute)
	want := !a.revoked && !a.of.revoked && l.h.Now().Sub(a.at) < 10*time.Minute
	caller := a.of.party
	if caller.Metadata.TokenEndpointAuthMethod != "none" {
		if got := caller.Introspect(a.token).JSON()["active"]; got != want {
			l.Fatalf("introspection says active %v, the model %v", got, want)
		}
	}
	if got := l.h.Alive(a.token); got != want {
		l.Fatalf("userinfo answers %v, the model %v", got, want)
	}
}

func (l *life) lookAtRefresh() {
	g := l.grant()
	if g == nil || len(g.refresh) == 0 || g.party.Metadata.TokenEndpointAuthMethod == "none" {
		return
	}
	i := rapid.IntRange(0, len(g.refresh)-1).Draw(l.T, "generation")
	if got, want := g.party.Introspect(g.refresh[i]).JSON()["active"], i == len(g.refresh)-1 && !g.revoked; got != want {
		l.Fatalf("introspection of generation %d of %d says active %v, the model %v", i+1, len(g.refresh), got, want)
	}
}

func (l *life) wait() {
	l.h.Skip(rapid.SampledFrom([]time.Duration{time.Second, 13 * time.Second, 70 * time.Second, 4 * time.Minute}).Draw(l.T, "time"))
}

// signOut ends the session of one of them, and with it what hangs from it:
// no party asked for offline_access.
func (l *life) signOut() {
	user := rapid.SampledFrom([]string{"alice", "bob"}).Draw(l.T, "user")
	a := l.browsers[user].Get("/logout")
	l.browsers[user].Walk(a, user, "allow")
	if to := a.Location(); to != nil && to.Path == "/logout/confirm" {
		l.browsers[user].Post("/logout/confirm", map[string][]string{"request": {to.Query().Get("request")}})
	}
	for _, g := range l.grants {
		if g.user == user {
			g.revoked = true
		}
	}
}

func sorted(names []string) []string {
	slices.Sort(names)
	return names
}
