package identity

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/storage"
	"gatehouse/upstream"
)

// asserted is somebody at the upstream "partner", who vouches for the address.
func asserted(subject, address string, change ...func(*upstream.Assertion)) *upstream.Assertion {
	a := &upstream.Assertion{
		Upstream: "partner", Issuer: "https://partner.example", Subject: subject, Label: address, Email: address,
		Claims: map[string]string{"name": "Alice Liddell", "locale": "en-GB", "picture": "javascript:alert(1)"},
	}
	for _, f := range change {
		f(a)
	}
	return a
}

func openDoors(c *Config) { c.OpenRegistration = true }

func (p *people) events(name string) (all []*storage.Event) {
	p.t.Helper()
	every, err := p.Store.Events.List(p.t.Context(), time.Time{}, 1000)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, e := range every {
		if e.Name == name {
			all = append(all, e)
		}
	}
	return all
}

// arrives is a sign-in at the upstream that must work.
func (p *people) arrives(a *upstream.Assertion) *storage.User {
	p.t.Helper()
	u, err := p.Federated(p.t.Context(), a)
	if err != nil {
		p.t.Fatal(err)
	}
	return u
}

func TestAFirstSignInAtAnUpstreamMakesTheAccountAndTheNextFindsIt(t *testing.T) {
	p := open(t, openDoors)
	u := p.arrives(asserted("s", "alice@partner.example"))
	if u.Username != "alice@partner.example" || !u.EmailVerified || u.Admin || u.Profile.Name != "Alice Liddell" || u.Profile.Locale != "en-GB" || u.Profile.Picture != "" {
		t.Errorf("the account is %+v", *u)
	}
	// The address may move on; the person is who they were.
	again := p.arrives(asserted("s", "alice@elsewhere.example"))
	if again.ID != u.ID || again.Email != "alice@partner.example" {
		t.Errorf("came back as %+v", *again)
	}
	for name, details := range map[string]string{"user.created": "by", "identity.linked": "subject"} {
		if e := p.events(name); len(e) != 1 || e[0].Subject != u.ID || e[0].Details[details] == "" {
			t.Errorf("%d events %s: %+v", len(e), name, e)
		}
	}
	if _, err := p.SignIn(t.Context(), Proof{Login: "alice@partner.example", Password: ""}); !errors.Is(err, ErrWrong) {
		t.Errorf("an account without a password signs in with none: %v", err)
	}
}

func TestWithoutOpenRegistrationNobodyNewGetsIn(t *testing.T) {
	p := open(t)
	if _, err := p.Federated(t.Context(), asserted("s", "alice@partner.example")); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
	if n, err := p.Store.Users.Count(t.Context()); n != 0 || err != nil {
		t.Errorf("%d accounts, %v", n, err)
	}
}

func TestAC179_AnAddressThatHasAnAccountIsNotAdopted(t *testing.T) {
	for name, registration := range map[string]bool{"open": true, "closed": false} {
		t.Run(name, func(t *testing.T) {
			p := open(t, func(c *Config) { c.OpenRegistration = registration })
			victim := p.create(NewAccount{Username: "victim", Email: "victim@example.com", EmailVerified: true})
			_, err := p.Federated(t.Context(), asserted("evil", "Victim@Example.com"))
			taken, ok := errors.AsType[*AddressTaken](err)
			if !ok || taken.User.ID != victim.ID || !taken.Linkable {
				t.Fatalf("got %v", err)
			}
			if _, all, err := p.Ways(t.Context(), victim); err != nil || len(all) != 0 {
				t.Errorf("the victim has %d identities, %v", len(all), err)
			}
		})
	}
}

func TestAC179_AnUpstreamThatDoesNotVouchForTheAddressGetsASeparateAccountWithoutIt(t *testing.T) {
	p := open(t, openDoors)
	victim := p.create(NewAccount{Username: "victim", Email: "victim@example.com", EmailVerified: true})
	u := p.arrives(asserted("evil", "", func(a *upstream.Assertion) { a.Label = "victim@example.com" }))
	if u.ID == victim.ID || u.Email != "" || u.EmailVerified || !strings.HasPrefix(u.Username, "partner-") {
		t.Errorf("the account is %+v", *u)
	}
}

func TestAC180_AnAddressThatWasRegisteredByAnAttackerIsNotAdopted(t *testing.T) {
	p := open(t, openDoors)
	p.create(NewAccount{Username: "attacker", Email: "alice@gmail.com"})
	_, err := p.Federated(t.Context(), asserted("alice", "alice@gmail.com"))
	// R16: not verified here, it is not even offered for linking.
	if taken, ok := errors.AsType[*AddressTaken](err); !ok || taken.Linkable {
		t.Errorf("got %v", err)
	}
}

func TestR16_ThePersonIsProviderIssuerAndSubjectTogether(t *testing.T) {
	p := open(t, openDoors)
	u := p.arrives(asserted("s", "alice@partner.example"))
	for name, change := range map[string]func(*upstream.Assertion){
		"the same subject at another provider": func(a *upstream.Assertion) { a.Upstream = "other" },
		"the same subject of another issuer":   func(a *upstream.Assertion) { a.Issuer = "https://evil.example" },
		"the address as the subject":           func(a *upstream.Assertion) { a.Subject = "alice@partner.example" },
	} {
		other, err := p.Federated(t.Context(), asserted("s", "", change))
		if err != nil || other.ID == u.ID {
			t.Errorf("%s: %v, %v", name, other, err)
		}
	}
}

func TestAC185_ADisabledAccountStaysDisabled(t *testing.T) {
	p := open(t, openDoors)
	u := p.arrives(asserted("s", "alice@partner.example"))
	if err := p.Disable(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Federated(t.Context(), asserted("s", "alice@partner.example")); !errors.Is(err, ErrDisabled) {
		t.Errorf("got %v", err)
	}
	if again, err := p.Store.Users.Get(t.Context(), u.ID); err != nil || !again.Disabled() {
		t.Errorf("the account is enabled again: %v", err)
	}
	if len(p.events("session.failed")) != 1 {
		t.Error("nothing tells of the attempt")
	}
}

func TestOfManyFirstSignInsAtOnceOneMakesTheAccount(t *testing.T) {
	p := open(t, openDoors)
	var wg sync.WaitGroup
	ids := make([]string, 8)
	for i := range ids {
		wg.Go(func() {
			u, err := p.Federated(t.Context(), asserted("s", "alice@partner.example"))
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = u.ID
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("they came in as %q", ids)
		}
	}
}

func TestAnIdentityIsLinkedToOneAccountAndUnlinkedWhileAnotherWayRemains(t *testing.T) {
	p := open(t, openDoors)
	alice, bob := p.create(NewAccount{Username: "alice"}), p.create(NewAccount{Username: "bob"})
	a := asserted("s", "alice@partner.example")
	for range 2 { // a second click changes nothing
		if err := p.Link(t.Context(), alice, a); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Link(t.Context(), bob, a); !errors.Is(err, ErrLinked) {
		t.Errorf("linked to another: %v", err)
	}
	if u := p.arrives(a); u.ID != alice.ID {
		t.Errorf("came in as %s", u.ID)
	}
	password, all, err := p.Ways(t.Context(), alice)
	if err != nil || !password || len(all) != 1 {
		t.Fatalf("ways: %v, %d, %v", password, len(all), err)
	}
	if err := p.Unlink(t.Context(), bob, all[0].ID, nil); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("unlinked by another: %v", err)
	}
	if err := p.Unlink(t.Context(), alice, all[0].ID, nil); err != nil {
		t.Error(err)
	}
	if e := p.events("identity.unlinked"); len(e) != 1 || e[0].Details["upstream"] != "partner" || e[0].Details["subject"] != "s" {
		t.Errorf("the event is %+v", e)
	}
	only := p.arrives(asserted("only", "only@partner.example"))
	_, all, err = p.Ways(t.Context(), only)
	if err != nil || len(all) != 1 {
		t.Fatal(err)
	}
	if err := p.Unlink(t.Context(), only, all[0].ID, []*upstream.Provider{{Config: upstream.Config{ID: "partner", Issuer: "https://partner.example"}}}); !errors.Is(err, storage.ErrLastWay) {
		t.Errorf("the last way in was unlinked: %v", err)
	}
}

func TestAC277_WhatIsParkedIsConfirmedByItsOwnerOnce(t *testing.T) {
	p := open(t)
	owner, other := p.create(NewAccount{Username: "owner", Email: "owner@example.com", EmailVerified: true}), p.create(NewAccount{Username: "other"})
	browser := storage.NewDigest(storage.BrowserSecret, "b")
	park := func(subject string) *storage.PendingIdentity {
		id, err := p.Await(t.Context(), owner, asserted(subject, "owner@example.com"), browser, "{}", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		pending, err := p.Store.Flows.GetIdentity(t.Context(), id, browser, p.Now())
		if err != nil {
			t.Fatal(err)
		}
		return pending
	}
	first, second := park("s"), park("t")
	if err := p.Confirm(t.Context(), owner, first); err != nil {
		t.Error(err)
	}
	if err := p.Confirm(t.Context(), owner, first); !errors.Is(err, storage.ErrReused) {
		t.Errorf("confirmed twice: %v", err)
	}
	if err := p.Confirm(t.Context(), other, second); !errors.Is(err, storage.ErrMismatch) {
		t.Errorf("confirmed by another: %v", err)
	}
	if u := p.arrives(asserted("s", "owner@example.com")); u.ID != owner.ID {
		t.Errorf("came in as %s", u.ID)
	}
}
