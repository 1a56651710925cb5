package storagetest

import (
	"errors"
	"fmt"
	"time"

	"pgregory.net/rapid"

	"gatehouse/storage"
)

// A modelGrant is a grant as the contract has it, so short that one can see it
// to be right.
type modelGrant struct {
	now               time.Time
	offline           bool
	sessionEnded      bool
	sessionIdle       time.Time // when the session is over by itself
	revoked           bool
	codeSpent         bool
	codeEnd           time.Time
	generation        int // of the refresh token; 0: none yet
	rotated           time.Time
	idleEnd, wholeEnd time.Time
}

func (m *modelGrant) alive() bool {
	return !m.revoked && (m.offline || !m.sessionEnded && m.now.Before(m.sessionIdle))
}

func (m *modelGrant) advance() {
	m.generation++
	m.rotated, m.idleEnd = m.now, m.now.Add(idle)
	if m.idleEnd.After(m.wholeEnd) {
		m.idleEnd = m.wholeEnd
	}
}

// redeem returns what redeeming the code must end with.
func (m *modelGrant) redeem(rightly bool) error {
	switch {
	case m.codeSpent:
		m.revoked = true
		return storage.ErrReused
	case !rightly:
		m.codeSpent, m.revoked = true, true
		return storage.ErrMismatch
	case !m.now.Before(m.codeEnd):
		return storage.ErrExpired
	case !m.alive():
		return storage.ErrNotFound
	}
	m.codeSpent = true
	m.advance()
	return nil
}

// rotate returns what presenting the refresh token of this generation must
// end with.
func (m *modelGrant) rotate(generation int, rightly bool) (repeated bool, err error) {
	inGrace := generation > 0 && generation == m.generation-1 && m.now.Before(m.rotated.Add(time.Minute))
	switch {
	case m.generation == 0:
		return false, storage.ErrNotFound
	case !rightly:
		return false, storage.ErrMismatch
	case generation < m.generation && !inGrace:
		m.revoked = true
		return false, storage.ErrReused
	case !m.alive():
		return false, storage.ErrNotFound
	case !m.now.Before(m.idleEnd):
		return false, storage.ErrExpired
	case generation > m.generation:
		return false, storage.ErrNotFound
	case inGrace:
		return true, nil
	}
	m.advance()
	return false, nil
}

var modelStories = []story{
	{"a grant does in any order of acts what its model does", func(h *house) {
		h.relyingParty("app")
		h.relyingParty("thief")
		run := 0
		rapid.Check(h.T, func(t *rapid.T) {
			run++
			id := fmt.Sprint("g", run)
			u := h.account(id)
			g := h.grant(id, u, "app", h.signIn(u, id), func(g *storage.Grant) { g.Offline = rapid.Bool().Draw(t, "offline") })
			m := &modelGrant{
				now: h.now, offline: g.Offline, codeEnd: g.CodeExpiresAt,
				sessionIdle: h.after(8 * time.Hour), wholeEnd: g.RefreshExpiresAt,
			}
			h.sameLife(t, m, g)
			for range rapid.IntRange(1, 14).Draw(t, "acts") {
				h.step(t, m, g)
			}
		})
	}},
}

// step does one act, to the grant and to its model.
func (h *house) step(t *rapid.T, m *modelGrant, g *storage.Grant) {
	ends := func(err, want error) {
		if !errors.Is(err, want) || want == nil && err != nil {
			t.Fatalf("got error %v, want %v; the model is %+v", err, want, m)
		}
	}
	rightly := rapid.IntRange(0, 9).Draw(t, "rightly") > 0
	client := "app"
	if !rightly {
		client = "thief"
	}
	switch act := rapid.IntRange(0, 9).Draw(t, "act"); act {
	case 0, 1:
		r := h.redemption(g)
		r.ClientID, r.Now = client, m.now
		_, err := h.Grants.Redeem(h.ctx, r)
		ends(err, m.redeem(rightly))
	case 2, 3, 4, 5:
		generation := m.generation + rapid.IntRange(-2, 1).Draw(t, "generation")
		if act > 3 {
			generation = m.generation
		}
		r := h.rotation(g, generation, m.now)
		r.ClientID = client
		got, err := h.Grants.Rotate(h.ctx, r)
		repeated, want := m.rotate(generation, rightly)
		ends(err, want)
		if err == nil && (got.Repeated != repeated || got.Successor != 0 || got.Grant.Generation != int64(m.generation)) {
			t.Fatalf("got %+v, want generation %d, repeated %v", got, m.generation, repeated)
		}
	case 6, 7:
		m.now = m.now.Add(rapid.SampledFrom([]time.Duration{time.Second, time.Minute, 9 * time.Hour, 29 * day}).Draw(t, "wait"))
	case 8:
		ends(h.Sessions.End(h.ctx, g.SessionID, m.now, nil), nil)
		m.sessionEnded = true
		m.revoked = m.revoked || !m.offline
	case 9:
		if rapid.Bool().Draw(t, "revoke") {
			ends(h.Grants.Revoke(h.ctx, g.ID, m.now, nil), nil)
			m.revoked = true
		}
	}
	h.sameLife(t, m, g)
}

// sameLife ends the test unless access tokens are good where the model says so.
func (h *house) sameLife(t *rapid.T, m *modelGrant, g *storage.Grant) {
	_, _, err := h.Grants.Live(h.ctx, g.ID, "", m.now)
	if (err == nil) != m.alive() {
		t.Fatalf("live: got error %v; the model is %+v", err, m)
	}
}
