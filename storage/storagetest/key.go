package storagetest

import (
	"fmt"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"gatehouse/storage"
)

func (h *house) signingKey(algorithm string, generation int64) *storage.SigningKey {
	return &storage.SigningKey{
		ID: fmt.Sprintf("%s-%d", algorithm, generation), Algorithm: algorithm, Generation: generation,
		Public: []byte(`{"kty":"EC"}`), Sealed: []byte{0, 1, 0xff, 0xfe}, CreatedAt: h.now, SignAt: h.after(time.Hour),
	}
}

var keyStories = []story{
	{"keys come back as they were added", func(h *house) {
		want := []*storage.SigningKey{h.signingKey("ES256", 1), h.signingKey("ES256", 2), h.signingKey("RS256", 1)}
		for _, k := range want {
			h.must(h.Keys.Add(h.ctx, k, h.event("key.added")))
		}
		got, err := h.Keys.List(h.ctx)
		h.must(err)
		if d := cmp.Diff(want, got, cmpopts.EquateApproxTime(0)); d != "" {
			h.Fatalf("added (-) and listed (+) differ:\n%s", d)
		}
		equal(h, "events", h.events("key.added"), 3)
	}},
	{"AC-246 of 16 nodes that make the next key at once, one adds it", func(h *house) {
		h.must(h.Keys.Add(h.ctx, h.signingKey("ES256", 1), nil))
		errs := race(16, func(i int) error {
			k := h.signingKey("ES256", 2)
			k.ID = fmt.Sprint("node", i)
			return h.Keys.Add(h.ctx, k, h.event("key.added"))
		})
		h.tally(errs, map[error]int{nil: 1, storage.ErrExists: 15})
		all, err := h.Keys.List(h.ctx)
		h.must(err)
		equal(h, "keys", len(all), 2)
		equal(h, "events", h.events("key.added"), 1)
	}},
	{"a key is retired once, and stays to be seen", func(h *house) {
		h.must(h.Keys.Add(h.ctx, h.signingKey("ES256", 1), nil))
		h.must(h.Keys.Retire(h.ctx, "ES256-1", h.after(time.Minute), h.event("key.retired")))
		h.must(h.Keys.Retire(h.ctx, "ES256-1", h.after(time.Hour), nil))
		all, err := h.Keys.List(h.ctx)
		h.must(err)
		h.sameInstant("RetiredAt", all[0].RetiredAt, h.after(time.Minute))
		h.refused(storage.ErrNotFound, h.Keys.Retire(h.ctx, "never", h.now, nil))
	}},
	{"a deleted key is gone", func(h *house) {
		h.must(h.Keys.Add(h.ctx, h.signingKey("ES256", 1), nil))
		h.must(h.Keys.Delete(h.ctx, "ES256-1", h.event("key.deleted")))
		all, err := h.Keys.List(h.ctx)
		h.must(err)
		equal(h, "keys", len(all), 0)
		h.refused(storage.ErrNotFound, h.Keys.Delete(h.ctx, "ES256-1", h.event("key.deleted")))
		equal(h, "events", h.events("key.deleted"), 1)
	}},
	{"every change is counted, and a refusal is none", func(h *house) {
		before := h.counter(storage.KeysChanged)
		h.must(h.Keys.Add(h.ctx, h.signingKey("ES256", 1), nil))
		h.must(h.Keys.Retire(h.ctx, "ES256-1", h.now, nil))
		h.must(h.Keys.Delete(h.ctx, "ES256-1", nil))
		equal(h, "counter", h.counter(storage.KeysChanged), before+3)
		h.refused(storage.ErrNotFound, h.Keys.Delete(h.ctx, "ES256-1", nil))
		h.must(h.Keys.Add(h.ctx, h.signingKey("ES256", 2), nil))
		h.refused(storage.ErrExists, h.Keys.Add(h.ctx, h.signingKey("ES256", 2), nil))
		equal(h, "counter", h.counter(storage.KeysChanged), before+4)
	}},
}
