package demo

import (
	"crypto/rand"
	"net/http"
	"sync"
	"time"
)

const (
	// Cookies do not know ports: the provider's, on the same host, have other names.
	cookieName  = "gatehouse_demo_app"
	sessionIdle = time.Hour
	maxSessions = 1000
	maxPending  = 8 // sign-ins that one browser has begun: one for each tab
)

// A session is one browser, as the app knows it. Whoever uses it holds its lock.
type session struct {
	mu      sync.Mutex
	pending map[string]attempt // by state
	person  *person            // nil until somebody has signed in
	answer  *answer            // the API's last; nil before
	problem *problem           // to be shown once

	seen time.Time // under the lock of sessions
}

// An attempt is a sign-in under way.
type attempt struct {
	nonce    string
	verifier string // of PKCE
	begun    time.Time
}

// begin notes an attempt and forgets the oldest where there are too many.
func (s *session) begin(state string, a attempt) {
	if len(s.pending) >= maxPending {
		oldest := ""
		for name, p := range s.pending {
			if oldest == "" || p.begun.Before(s.pending[oldest].begun) {
				oldest = name
			}
		}
		delete(s.pending, oldest)
	}
	s.pending[state] = a
}

// take spends an attempt: its state is good once.
func (s *session) take(state string) (attempt, bool) {
	a, ok := s.pending[state]
	delete(s.pending, state)
	return a, ok
}

// sessions keeps what browsers only hold a random key to.
type sessions struct {
	mu   sync.Mutex
	byID map[string]*session
}

// find returns the session of this browser, or nil.
func (all *sessions) find(r *http.Request) *session {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return nil
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	s := all.byID[cookie.Value]
	if s == nil || time.Since(s.seen) > sessionIdle {
		return nil
	}
	s.seen = time.Now()
	return s
}

// add keeps s under a new key and gives it to the browser.
func (all *sessions) add(w http.ResponseWriter, s *session) {
	all.mu.Lock()
	defer all.mu.Unlock()
	s.seen = time.Now()
	all.makeRoom()
	id := rand.Text()
	all.byID[id] = s
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: id, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// renew moves s to a new key, so that one known before the sign-in is worth
// nothing after it.
func (all *sessions) renew(w http.ResponseWriter, r *http.Request, s *session) {
	all.forget(r)
	all.add(w, s)
}

// remove ends the session of this browser.
func (all *sessions) remove(w http.ResponseWriter, r *http.Request) {
	all.forget(r)
	http.SetCookie(w, &http.Cookie{Name: cookieName, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// forget makes the key that this browser has worthless.
func (all *sessions) forget(r *http.Request) {
	if cookie, err := r.Cookie(cookieName); err == nil {
		all.mu.Lock()
		defer all.mu.Unlock()
		delete(all.byID, cookie.Value)
	}
}

// makeRoom drops what nobody came back to, and the oldest where that is not enough.
func (all *sessions) makeRoom() {
	oldest := ""
	for id, s := range all.byID {
		if time.Since(s.seen) > sessionIdle {
			delete(all.byID, id)
		} else if oldest == "" || s.seen.Before(all.byID[oldest].seen) {
			oldest = id
		}
	}
	if len(all.byID) >= maxSessions {
		delete(all.byID, oldest)
	}
}
