package demo

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// with returns a request of the browser that got w.
func with(w *httptest.ResponseRecorder) *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	for _, c := range w.Result().Cookies() {
		r.AddCookie(c)
	}
	return r
}

func TestASessionThatNobodyComesBackToEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := sessions{byID: map[string]*session{}}
		w := httptest.NewRecorder()
		all.add(w, &session{})
		for range 3 {
			time.Sleep(sessionIdle)
			if all.find(with(w)) == nil {
				t.Fatal("it ended while it was in use")
			}
		}
		time.Sleep(sessionIdle + 1)
		if all.find(with(w)) != nil {
			t.Error("it goes on for ever")
		}
	})
}

func TestANewKeyEndsTheOldOne(t *testing.T) {
	all := sessions{byID: map[string]*session{}}
	before, after := httptest.NewRecorder(), httptest.NewRecorder()
	s := &session{}
	all.add(before, s)
	all.renew(after, with(before), s)
	if all.find(with(before)) != nil {
		t.Error("the key of before the sign-in still opens it")
	}
	if all.find(with(after)) != s {
		t.Error("the new key does not")
	}
}

func TestSessionsAndAttemptsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := sessions{byID: map[string]*session{}}
		last := httptest.NewRecorder()
		for range maxSessions + 10 {
			time.Sleep(time.Nanosecond)
			last = httptest.NewRecorder()
			all.add(last, &session{})
		}
		if len(all.byID) != maxSessions || all.find(with(last)) == nil {
			t.Errorf("%d sessions, the newest: %v", len(all.byID), all.find(with(last)))
		}
		s := &session{pending: map[string]attempt{}}
		for i := range maxPending + 3 {
			time.Sleep(time.Nanosecond)
			s.begin(strconv.Itoa(i), attempt{begun: time.Now()})
		}
		if len(s.pending) != maxPending {
			t.Errorf("%d attempts", len(s.pending))
		}
		if _, ok := s.take("2"); ok {
			t.Error("the oldest attempts are still good")
		}
		newest := strconv.Itoa(maxPending + 2)
		if _, ok := s.take(newest); !ok {
			t.Error("the newest attempt is gone")
		}
		if _, ok := s.take(newest); ok {
			t.Error("a state is good twice")
		}
	})
}

// Whatever a token's end looks like, the forged one differs in what is signed.
func TestAForgedTokenDiffers(t *testing.T) {
	for _, token := range []string{"", "short", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"} {
		if got := changeSignature(token); len(got) != len(token) || len(token) > 20 && got == token {
			t.Errorf("%q became %q", token, got)
		}
	}
}
