package storagetest

import (
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"gatehouse/storage"
)

// resume reads the parked request for the browser b at d after the beginning.
func (h *house) resume(id string, b storage.Digest, d time.Duration) (*storage.AuthRequest, error) {
	return h.Flows.Get(h.ctx, id, b, h.after(d))
}

var flowStories = []story{
	{"a parked request comes back to the browser that began it", func(h *house) {
		r := h.parked("r", browser("b"))
		got, err := h.resume("r", browser("b"), time.Minute)
		h.must(err)
		if d := cmp.Diff(r, got, cmpopts.EquateApproxTime(0)); d != "" {
			h.Fatalf("parked (-) and read (+) differ:\n%s", d)
		}
		_, err = h.resume("other", browser("b"), 0)
		h.refused(storage.ErrNotFound, err)
	}},
	// L4: the id in the URL is not what lets anybody go on.
	{"L04 a parked request is worth nothing in another browser", func(h *house) {
		h.parked("r", browser("b"))
		for _, other := range []storage.Digest{browser("evil"), {}} {
			r, err := h.resume("r", other, time.Minute)
			h.refused(storage.ErrMismatch, err)
			if d := cmp.Diff(&storage.AuthRequest{ID: "r", Client: "app"}, r); d != "" {
				h.Fatalf("a strange browser reads (+) more than the way back (-):\n%s", d)
			}
		}
	}},
	{"a request whose time is over, or that was spent, says so", func(h *house) {
		h.parked("late", browser("b"))
		_, err := h.resume("late", browser("b"), 10*time.Minute-time.Millisecond)
		h.must(err)
		_, err = h.resume("late", browser("b"), 10*time.Minute)
		h.refused(storage.ErrExpired, err)
		h.refused(storage.ErrExpired, h.Flows.Take(h.ctx, "late", h.after(10*time.Minute)))
		h.parked("spent", browser("b"))
		h.must(h.Flows.Take(h.ctx, "spent", h.now))
		_, err = h.resume("spent", browser("b"), 0)
		h.refused(storage.ErrReused, err)
		_, err = h.resume("spent", browser("evil"), 0)
		h.refused(storage.ErrMismatch, err)
		h.refused(storage.ErrNotFound, h.Flows.Take(h.ctx, "never", h.now))
	}},
	{"a request that belongs to no browser is not parked", func(h *house) {
		r := &storage.AuthRequest{ID: "r", Client: "app", Params: []byte("{}"), CreatedAt: h.now, ExpiresAt: h.after(time.Minute)}
		if err := h.Flows.Park(h.ctx, r); err == nil {
			h.Fatal("a request that whoever has its id could resume was parked")
		}
		for _, b := range []storage.Digest{{}, browser("b")} {
			_, err := h.resume("r", b, 0)
			h.refused(storage.ErrNotFound, err)
		}
		if err := h.Flows.ParkLogout(h.ctx, &storage.LogoutRequest{ID: "r", CreatedAt: h.now, ExpiresAt: h.after(time.Minute)}); err == nil {
			h.Fatal("a sign-out of no browser was parked")
		}
	}},
	{"who signs in for a request is noted", func(h *house) {
		h.parked("r", browser("b"))
		h.must(h.Flows.SignedIn(h.ctx, "r", "alice", h.after(time.Second)))
		r, err := h.resume("r", browser("b"), 0)
		h.must(err)
		equal(h, "user", r.UserID, "alice")
		h.sameInstant("SignedInAt", r.SignedInAt, h.after(time.Second))
		h.refused(storage.ErrNotFound, h.Flows.SignedIn(h.ctx, "never", "alice", h.now))
	}},
	{"an answer stays with who gave it, and is forgotten for anybody else", func(h *house) {
		answer := func() (storage.Answer, string) {
			r, err := h.resume("r", browser("b"), 0)
			h.must(err)
			return r.Answer, r.AnsweredBy
		}
		h.parked("r", browser("b"))
		h.must(h.Flows.SignedIn(h.ctx, "r", "alice", h.now))
		h.must(h.Flows.Deny(h.ctx, "r", "alice", h.now, h.event("consent.denied")))
		if a, by := answer(); a != storage.Denied || by != "alice" {
			h.Fatalf("answer is %q by %q", a, by)
		}
		h.must(h.Flows.SignedIn(h.ctx, "r", "alice", h.after(time.Second)))
		if a, _ := answer(); a != storage.Denied {
			h.Fatalf("answer is %q after the same person signed in again", a)
		}
		h.must(h.Flows.SignedIn(h.ctx, "r", "bob", h.after(2*time.Second)))
		if a, _ := answer(); a != storage.Unanswered {
			h.Fatalf("answer is %q after somebody else signed in", a)
		}
		h.must(h.Flows.Deny(h.ctx, "r", "bob", h.after(3*time.Second), nil))
		equal(h, "events", h.events("consent.denied"), 1)
	}},
	{"a request is answered once", func(h *house) {
		u := h.account("alice")
		h.relyingParty("app")
		consent := storage.Consent{UserID: u.ID, ClientID: "app", Scopes: []string{"openid"}, GrantedAt: h.now}
		h.parked("r", browser("b"))
		errs := race(16, func(i int) error {
			if i%2 == 0 {
				return h.Consents.Allow(h.ctx, consent, "r", h.event("consent.granted"))
			}
			return h.Flows.Deny(h.ctx, "r", u.ID, h.now, h.event("consent.denied"))
		})
		h.tally(errs, map[error]int{nil: 1, storage.ErrReused: 15})
		equal(h, "events", h.events("consent.granted")+h.events("consent.denied"), 1)
		r, err := h.resume("r", browser("b"), 0)
		h.must(err)
		got, err := h.Consents.Get(h.ctx, u.ID, "app")
		h.must(err)
		equal(h, "scopes allowed where allowed", len(got.Scopes) == 1, r.Answer == storage.Allowed)
	}},
	{"a request that was taken is answered no more", func(h *house) {
		h.parked("r", browser("b"))
		h.must(h.Flows.Take(h.ctx, "r", h.now))
		h.refused(storage.ErrReused, h.Flows.Deny(h.ctx, "r", "alice", h.now, nil))
		h.refused(storage.ErrNotFound, h.Flows.Deny(h.ctx, "never", "alice", h.now, nil))
		if err := h.Flows.SignedIn(h.ctx, "r", "alice", h.now); err == nil {
			h.Fatal("somebody signed in for a request that was taken")
		}
	}},
	{"of 32 that take one request, one gets it", func(h *house) {
		h.parked("r", browser("b"))
		errs := race(32, func(int) error { return h.Flows.Take(h.ctx, "r", h.now) })
		h.tally(errs, map[error]int{nil: 1, storage.ErrReused: 31})
	}},
	{"a sign-out waits for the browser that asked, and is taken once", func(h *house) {
		park := func(id string) *storage.LogoutRequest {
			r := &storage.LogoutRequest{
				ID: id, Browser: browser("b"), Client: "app", Redirect: "https://app.example/bye", State: "s",
				CreatedAt: h.now, ExpiresAt: h.after(10 * time.Minute),
			}
			h.must(h.Flows.ParkLogout(h.ctx, r))
			return r
		}
		want := park("r")
		got, err := h.Flows.GetLogout(h.ctx, "r", browser("b"), h.now)
		h.must(err)
		if d := cmp.Diff(want, got, cmpopts.EquateApproxTime(0)); d != "" {
			h.Fatalf("parked (-) and read (+) differ:\n%s", d)
		}
		for _, read := range []func(string, storage.Digest, time.Time) (*storage.LogoutRequest, error){
			func(id string, b storage.Digest, now time.Time) (*storage.LogoutRequest, error) {
				return h.Flows.GetLogout(h.ctx, id, b, now)
			},
			func(id string, b storage.Digest, now time.Time) (*storage.LogoutRequest, error) {
				return h.Flows.TakeLogout(h.ctx, id, b, now)
			},
		} {
			r, err := read("r", browser("evil"), h.now)
			h.refused(storage.ErrMismatch, err)
			if d := cmp.Diff(&storage.LogoutRequest{ID: "r", Client: "app"}, r); d != "" {
				h.Fatalf("a strange browser reads (+) more than the way back (-):\n%s", d)
			}
			_, err = read("r", browser("b"), h.after(10*time.Minute))
			h.refused(storage.ErrExpired, err)
			_, err = read("never", browser("b"), h.now)
			h.refused(storage.ErrNotFound, err)
		}
		errs := race(16, func(int) error {
			_, err := h.Flows.TakeLogout(h.ctx, "r", browser("b"), h.now)
			return err
		})
		h.tally(errs, map[error]int{nil: 1, storage.ErrReused: 15})
		_, err = h.Flows.GetLogout(h.ctx, "r", browser("b"), h.now)
		h.refused(storage.ErrReused, err)
	}},
}
