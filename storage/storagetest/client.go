package storagetest

import (
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"gatehouse/storage"
)

var clientStories = []story{
	{"a client comes back as it was stored", func(h *house) {
		five := int64(300)
		c := &storage.Client{
			ID: "app",
			Metadata: storage.ClientMetadata{
				ClientName: "App “one”", RedirectURIs: []string{callback}, GrantTypes: []string{"authorization_code"},
				Contacts: []string{"a@example.com", "b@example.com"}, DefaultMaxAge: &five, SkipConsent: true, AccessTokenLifetime: 600,
			},
			Origins: []string{"https://a.example", "https://b.example"},
			Secrets: []storage.StoredSecret{
				{Digest: h.secret(storage.ClientSecret, "new"), CreatedAt: h.now},
				{Digest: h.secret(storage.ClientSecret, "old"), CreatedAt: h.now.Add(-time.Hour), ExpiresAt: h.after(time.Hour)},
			},
			Declared: true, CreatedAt: h.now, UpdatedAt: h.now,
		}
		h.must(h.Clients.Create(h.ctx, c, h.event("client.created")))
		got, err := h.Clients.Get(h.ctx, "app")
		h.must(err)
		slices.Sort(got.Origins)
		if d := cmp.Diff(c, got, cmpopts.EquateApproxTime(0)); d != "" {
			h.Fatalf("stored (-) and read (+) differ:\n%s", d)
		}
		equal(h, "events", h.events("client.created"), 1)
	}},
	{"an id is given once, and never again after its client is deleted", func(h *house) {
		c := h.relyingParty("app")
		h.refused(storage.ErrExists, h.Clients.Create(h.ctx, &storage.Client{ID: "app", CreatedAt: h.now, UpdatedAt: h.now}, h.event("client.created")))
		h.must(h.Clients.Delete(h.ctx, c.ID, h.now, nil))
		h.refused(storage.ErrExists, h.Clients.Create(h.ctx, &storage.Client{ID: "app", CreatedAt: h.now, UpdatedAt: h.now}, h.event("client.created")))
		equal(h, "events of refused creations", h.events("client.created"), 0)
	}},
	{"what is not there is not found", func(h *house) {
		_, err := h.Clients.Get(h.ctx, "app")
		h.refused(storage.ErrNotFound, err)
		h.refused(storage.ErrNotFound, h.Clients.Update(h.ctx, &storage.Client{ID: "app", Version: 1}, h.now, nil))
		h.refused(storage.ErrNotFound, h.Clients.Delete(h.ctx, "app", h.now, nil))
	}},
	{"an update that read an older version changes nothing", func(h *house) {
		mine, theirs := h.relyingParty("app"), new(storage.Client)
		*theirs = *mine
		mine.Metadata.ClientName = "mine"
		h.must(h.Clients.Update(h.ctx, mine, h.after(time.Second), h.event("client.updated")))
		equal(h, "version", mine.Version, theirs.Version+1)
		h.sameInstant("UpdatedAt", mine.UpdatedAt, h.after(time.Second))
		theirs.Metadata.ClientName = "theirs"
		h.refused(storage.ErrConflict, h.Clients.Update(h.ctx, theirs, h.after(2*time.Second), h.event("client.updated")))
		got, err := h.Clients.Get(h.ctx, "app")
		h.must(err)
		equal(h, "name", got.Metadata.ClientName, "mine")
		equal(h, "version", got.Version, mine.Version)
		equal(h, "events", h.events("client.updated"), 1)
	}},
	{"of 16 updates of one version one is written", func(h *house) {
		c := h.relyingParty("app")
		errs := race(16, func(int) error {
			mine := *c
			return h.Clients.Update(h.ctx, &mine, h.now, nil)
		})
		h.tally(errs, map[error]int{nil: 1, storage.ErrConflict: 15})
	}},
	{"every change is counted, and a creation is none", func(h *house) {
		before := h.counter(storage.ClientsChanged)
		c := h.relyingParty("app")
		equal(h, "counter after creating", h.counter(storage.ClientsChanged), before)
		h.must(h.Clients.Update(h.ctx, c, h.now, nil))
		equal(h, "counter after updating", h.counter(storage.ClientsChanged), before+1)
		h.must(h.Clients.Delete(h.ctx, c.ID, h.now, nil))
		equal(h, "counter after deleting", h.counter(storage.ClientsChanged), before+2)
		h.refused(storage.ErrNotFound, h.Clients.Delete(h.ctx, c.ID, h.now, nil))
		equal(h, "counter after a refusal", h.counter(storage.ClientsChanged), before+2)
	}},
	{"disabling a client revokes its grants, and enabling it gives none back", func(h *house) {
		u, c := h.account("alice"), h.relyingParty("app")
		h.relyingParty("other")
		s := h.signIn(u, "s")
		h.redeemed("g", u, "app", s, offline)
		h.redeemed("elsewhere", u, "other", s)
		c.DisabledAt = h.after(time.Second)
		h.must(h.Clients.Update(h.ctx, c, h.after(time.Second), nil))
		got, err := h.Clients.Get(h.ctx, "app")
		h.must(err)
		h.sameInstant("DisabledAt", got.DisabledAt, h.after(time.Second))
		equal(h, "grant of the disabled client live", h.live("g"), false)
		c.DisabledAt = time.Time{}
		h.must(h.Clients.Update(h.ctx, c, h.after(2*time.Second), nil))
		equal(h, "grant live again", h.live("g"), false)
		equal(h, "grant of another client live", h.live("elsewhere"), true)
	}},
	{"deleting a client ends what it was granted", func(h *house) {
		u := h.account("alice")
		h.relyingParty("app")
		g := h.redeemed("g", u, "app", h.signIn(u, "s"))
		h.must(h.Clients.Delete(h.ctx, "app", h.now, h.event("client.deleted")))
		equal(h, "grant live", h.live("g"), false)
		_, err := h.Grants.Rotate(h.ctx, h.rotation(g, 1, h.after(time.Minute)))
		h.refused(storage.ErrNotFound, err)
		_, err = h.Clients.Get(h.ctx, "app")
		h.refused(storage.ErrNotFound, err)
		equal(h, "events", h.events("client.deleted"), 1)
	}},
	{"an origin counts while an enabled client has it", func(h *house) {
		has := func(origin string) bool {
			ok, err := h.Clients.Origin(h.ctx, origin)
			h.must(err)
			return ok
		}
		c := h.relyingParty("app")
		equal(h, "unknown origin", has("https://a.example"), false)
		c.Origins = []string{"https://a.example", "https://b.example", "https://a.example"}
		h.must(h.Clients.Update(h.ctx, c, h.now, nil))
		equal(h, "new origin", has("https://a.example"), true)
		equal(h, "part of an origin", has("https://a.exampl"), false)
		c.Origins = []string{"https://b.example"}
		h.must(h.Clients.Update(h.ctx, c, h.now, nil))
		equal(h, "origin that was taken away", has("https://a.example"), false)
		equal(h, "origin that stayed", has("https://b.example"), true)
		c.DisabledAt = h.now
		h.must(h.Clients.Update(h.ctx, c, h.now, nil))
		equal(h, "origin of a disabled client", has("https://b.example"), false)
	}},
	{"a list goes on where the last one ended", func(h *house) {
		for _, id := range []string{"c", "a", "d", "b"} {
			h.relyingParty(id)
		}
		var ids []string
		for after := ""; ; {
			page, err := h.Clients.List(h.ctx, after, 3)
			h.must(err)
			if len(page) == 0 {
				break
			}
			for _, c := range page {
				ids = append(ids, c.ID)
			}
			after = ids[len(ids)-1]
		}
		if !slices.Equal(ids, []string{"a", "b", "c", "d"}) {
			h.Fatalf("listed %v", ids)
		}
	}},
}
