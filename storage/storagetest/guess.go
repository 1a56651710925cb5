package storagetest

import (
	"time"

	"gatehouse/storage"
)

// policy: two tries without a wait, then 1 s, 2 s, 4 s, at most 5 s; eight in
// all; forgotten after an hour's rest.
var policy = storage.GuessPolicy{Free: 2, Base: time.Second, Cap: 5 * time.Second, Max: 8, Forget: time.Hour}

// try guesses at d after the beginning.
func (h *house) try(key string, p storage.GuessPolicy, d time.Duration) storage.Guess {
	h.Helper()
	g, err := h.Guesses.Try(h.ctx, key, p, h.after(d))
	h.must(err)
	return g
}

var guessStories = []story{
	{"each failure doubles the wait, up to the longest", func(h *house) {
		at := time.Duration(0)
		for i, wait := range []time.Duration{0, 1, 2, 4, 5, 5, 5, 5} {
			g := h.try("k", policy, at)
			equal(h, "allowed", g.Allowed, true)
			equal(h, "failures", g.Failures, i+1)
			h.sameInstant("next try", g.Next, h.after(at+wait*time.Second))
			at += wait * time.Second
		}
	}},
	{"a try that comes too early is refused, and counts for nothing", func(h *house) {
		h.try("k", policy, 0)
		second := h.try("k", policy, 0)
		for range 3 {
			early := h.try("k", policy, time.Second-time.Millisecond)
			equal(h, "allowed", early.Allowed, false)
			equal(h, "failures", early.Failures, 2)
			equal(h, "locked", early.Locked, false)
			h.sameInstant("next try", early.Next, second.Next)
		}
		equal(h, "allowed in time", h.try("k", policy, time.Second).Allowed, true)
	}},
	{"a policy with no free try waits after the first", func(h *house) {
		for _, free := range []int{0, 1} {
			strict := storage.GuessPolicy{Free: free, Base: time.Minute, Cap: time.Hour, Forget: 24 * time.Hour}
			key := string(rune('a' + free))
			equal(h, "first allowed", h.try(key, strict, 0).Allowed, true)
			equal(h, "second allowed at once", h.try(key, strict, 0).Allowed, false)
		}
	}},
	{"a policy without a wait never makes one wait, and the longest wait is the longest", func(h *house) {
		for range 5 {
			equal(h, "allowed", h.try("a", storage.GuessPolicy{Free: 1, Cap: time.Hour, Forget: time.Hour}, 0).Allowed, true)
		}
		short := storage.GuessPolicy{Free: 1, Base: time.Hour, Cap: time.Minute, Forget: 24 * time.Hour}
		for i := range 3 {
			at := time.Duration(i) * time.Minute
			h.sameInstant("next try", h.try("b", short, at).Next, h.after(at+time.Minute))
		}
	}},
	{"100 in a row are the end, however long one waits", func(h *house) {
		slow := storage.GuessPolicy{Free: 5, Base: 30 * time.Second, Cap: 15 * time.Minute, Max: 100, Forget: 365 * 24 * time.Hour}
		at := time.Duration(0)
		for i := range 100 {
			g := h.try("k", slow, at)
			if !g.Allowed {
				h.Fatalf("try %d is refused", i+1)
			}
			at = g.Next.Sub(h.now)
		}
		for _, later := range []time.Duration{at, at + 24*time.Hour, at + 1000*24*time.Hour} {
			g := h.try("k", slow, later)
			equal(h, "allowed", g.Allowed, false)
			equal(h, "locked", g.Locked, true)
			equal(h, "failures", g.Failures, 100)
		}
		h.must(h.Guesses.Forgive(h.ctx, "k"))
		equal(h, "allowed once forgiven", h.try("k", slow, at).Allowed, true)
	}},
	{"waits grow without end where nothing bounds them but the cap", func(h *house) {
		endless := storage.GuessPolicy{Free: 1, Base: time.Hour, Cap: 30 * 24 * time.Hour, Forget: 365 * 24 * time.Hour}
		at := time.Duration(0)
		for i := range 80 {
			g := h.try("k", endless, at)
			if !g.Allowed {
				h.Fatalf("try %d is refused", i+1)
			}
			if wait := g.Next.Sub(h.after(at)); i > 12 && wait != endless.Cap {
				h.Fatalf("after %d failures the wait is %v", i+1, wait)
			}
			at = g.Next.Sub(h.now)
		}
	}},
	{"a key that rested long enough starts anew", func(h *house) {
		for range 2 {
			h.try("k", policy, 0)
		}
		h.try("k", policy, time.Second)
		g := h.try("k", policy, time.Second+time.Hour)
		equal(h, "failures", g.Failures, 1)
		equal(h, "second allowed", h.try("k", policy, time.Second+time.Hour).Allowed, true)
	}},
	{"forgiving takes back what was counted under these keys, and no others", func(h *house) {
		for range 2 {
			h.try("account", policy, 0)
			h.try("network", policy, 0)
			h.try("other", policy, 0)
		}
		h.must(h.Guesses.Forgive(h.ctx, "account", "network", "never counted"))
		equal(h, "account", h.try("account", policy, 0).Failures, 1)
		equal(h, "network", h.try("network", policy, 0).Failures, 1)
		equal(h, "other allowed", h.try("other", policy, 0).Allowed, false)
	}},
	{"32 guesses at once do not outrun the count", func(h *house) {
		strict := storage.GuessPolicy{Free: 5, Base: time.Second, Cap: time.Minute, Max: 100, Forget: time.Hour}
		allowed := make([]bool, 32)
		errs := race(32, func(i int) error {
			g, err := h.Guesses.Try(h.ctx, "k", strict, h.now)
			allowed[i] = g.Allowed
			return err
		})
		h.tally(errs, map[error]int{nil: 32})
		n := 0
		for _, a := range allowed {
			if a {
				n++
			}
		}
		equal(h, "guesses allowed", n, 5)
	}},
	{"a browser is known to the user it signed in, and to nobody else", func(h *house) {
		alice, bob := h.account("alice"), h.account("bob")
		h.signIn(alice, "laptop")
		for _, k := range []struct {
			user    *storage.User
			browser storage.Digest
			known   bool
		}{
			{alice, browser("laptop"), true},
			{bob, browser("laptop"), false},
			{alice, browser("phone"), false},
			{alice, storage.Digest{}, false},
		} {
			known, err := h.Guesses.Known(h.ctx, k.user.ID, k.browser)
			h.must(err)
			equal(h, "known", known, k.known)
		}
	}},
}
