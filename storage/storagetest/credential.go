package storagetest

import (
	"time"

	"gatehouse/storage"
)

var credentialStories = []story{
	{"a password comes with its account, by name or address", func(h *house) {
		h.must(h.Users.Create(h.ctx, h.alice(), nil))
		for _, key := range []string{"alice", "alice@example.com"} {
			u, p, err := h.Credentials.Password(h.ctx, key)
			h.must(err)
			equal(h, "account", u.ID, "user-alice")
			equal(h, "owner", p.UserID, "user-alice")
			equal(h, "hash", p.Hash, "$argon2id$alice")
			h.sameInstant("ChangedAt", p.ChangedAt, h.now)
		}
		_, _, err := h.Credentials.Password(h.ctx, "bob")
		h.refused(storage.ErrNotFound, err)
	}},
	{"an account without a password comes alone, until it has one", func(h *house) {
		u := h.account("bob")
		_, p, err := h.Credentials.Password(h.ctx, "bob")
		h.must(err)
		equal(h, "password", p, nil)
		h.must(h.Credentials.SetPassword(h.ctx, storage.Password{UserID: u.ID, Hash: "$argon2id$bob", ChangedAt: h.now}, nil))
		_, p, err = h.Credentials.Password(h.ctx, "bob")
		h.must(err)
		equal(h, "hash", p.Hash, "$argon2id$bob")
	}},
	{"a new password ends everything that the old one began", func(h *house) {
		u := h.withEverything("alice")
		h.withEverything("bob")
		h.must(h.Credentials.SetPassword(h.ctx, storage.Password{UserID: u.ID, Hash: "$argon2id$new", ChangedAt: h.after(time.Second)}, h.event("password.changed")))
		got, p, err := h.Credentials.Password(h.ctx, "alice")
		h.must(err)
		equal(h, "hash", p.Hash, "$argon2id$new")
		h.sameInstant("ChangedAt", p.ChangedAt, h.after(time.Second))
		equal(h, "epoch", got.Epoch, u.Epoch+1)
		h.everythingEnded("alice")
		h.nothingEnded("bob")
		equal(h, "events", h.events("password.changed"), 1)
	}},
	{"nobody has no password to set", func(h *house) {
		h.refused(storage.ErrNotFound, h.Credentials.SetPassword(h.ctx, storage.Password{UserID: "user-bob", Hash: "$argon2id$bob", ChangedAt: h.now}, h.event("password.changed")))
		equal(h, "events", h.events("password.changed"), 0)
	}},
	{"a rehash replaces the hash it read, and ends nothing", func(h *house) {
		u := h.withEverything("alice")
		hash := func() string {
			_, p, err := h.Credentials.Password(h.ctx, "alice")
			h.must(err)
			return p.Hash
		}
		h.must(h.Credentials.Rehash(h.ctx, u.ID, "$argon2id$alice", "$argon2id$stronger"))
		equal(h, "hash", hash(), "$argon2id$stronger")
		// A password that was changed meanwhile stays.
		h.must(h.Credentials.Rehash(h.ctx, u.ID, "$argon2id$alice", "$argon2id$late"))
		equal(h, "hash", hash(), "$argon2id$stronger")
		equal(h, "epoch", h.reread(u.ID).Epoch, u.Epoch)
		h.nothingEnded("alice")
	}},
}
