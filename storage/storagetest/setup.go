package storagetest

import (
	"fmt"
	"time"

	"gatehouse/storage"
)

func (h *house) first(name string) storage.NewUser {
	return storage.NewUser{
		User:        &storage.User{ID: "user-" + name, Username: name, Admin: true, CreatedAt: h.now},
		UsernameKey: name, PasswordHash: "$argon2id$" + name,
	}
}

func (h *house) issue(name string) storage.Digest {
	h.Helper()
	link := h.secret(storage.SetupSecret, name)
	h.must(h.Setup.Issue(h.ctx, link, h.now, h.after(time.Hour)))
	return link
}

var setupStories = []story{
	{"a link makes the first administrator", func(h *house) {
		link := h.issue("link")
		h.must(h.Setup.Check(h.ctx, link, h.now))
		h.must(h.Users.CreateFirst(h.ctx, link, h.first("root"), h.now, h.event("user.created")))
		u, p, err := h.Credentials.Password(h.ctx, "root")
		h.must(err)
		equal(h, "administrator", u.Admin, true)
		equal(h, "hash", p.Hash, "$argon2id$root")
		h.refused(storage.ErrNotFound, h.Setup.Check(h.ctx, link, h.now))
		equal(h, "events", h.events("user.created"), 1)
	}},
	{"a link works until its end, and only the newest does", func(h *house) {
		old, link := h.issue("old"), h.issue("new")
		for _, bad := range []struct {
			link storage.Digest
			at   time.Duration
		}{
			{old, 0}, {link, time.Hour}, {h.secret(storage.SetupSecret, "guessed"), 0}, {storage.Digest{}, 0},
			{h.secret(storage.CodeSecret, "new"), 0},
		} {
			h.refused(storage.ErrNotFound, h.Setup.Check(h.ctx, bad.link, h.after(bad.at)))
			h.refused(storage.ErrNotFound, h.Users.CreateFirst(h.ctx, bad.link, h.first("root"), h.after(bad.at), nil))
		}
		h.must(h.Setup.Check(h.ctx, link, h.after(time.Hour-time.Millisecond)))
		n, err := h.Users.Count(h.ctx)
		h.must(err)
		equal(h, "accounts", n, 0)
	}},
	{"links of several nodes work until one of them is used", func(h *house) {
		printed := h.issue("first node's")
		beside := h.secret(storage.SetupSecret, "second node's")
		h.must(h.Setup.Add(h.ctx, beside, h.now, h.after(time.Hour)))
		h.must(h.Setup.Check(h.ctx, printed, h.now))
		h.must(h.Setup.Check(h.ctx, beside, h.now))
		h.must(h.Users.CreateFirst(h.ctx, printed, h.first("root"), h.now, nil))
		h.refused(storage.ErrExists, h.Users.CreateFirst(h.ctx, beside, h.first("second"), h.now, nil))
	}},
	{"issuing a link ends those that were added", func(h *house) {
		beside := h.secret(storage.SetupSecret, "node's")
		h.must(h.Setup.Add(h.ctx, beside, h.now, h.after(time.Hour)))
		h.issue("fresh")
		h.refused(storage.ErrNotFound, h.Setup.Check(h.ctx, beside, h.now))
	}},
	{"no link makes a second administrator, and a name that is taken spends none", func(h *house) {
		h.account("alice")
		link := h.issue("link")
		h.refused(storage.ErrExists, h.Users.CreateFirst(h.ctx, link, h.first("alice"), h.now, nil))
		h.must(h.Setup.Check(h.ctx, link, h.now))
		h.administrator("root")
		h.refused(storage.ErrExists, h.Users.CreateFirst(h.ctx, link, h.first("second"), h.now, nil))
	}},
	{"of 16 that use one link at once, one becomes administrator", func(h *house) {
		link := h.issue("link")
		errs := race(16, func(i int) error {
			return h.Users.CreateFirst(h.ctx, link, h.first(fmt.Sprint("root", i)), h.now, h.event("user.created"))
		})
		h.tally(errs, map[error]int{nil: 1, storage.ErrExists: 15})
		n, err := h.Users.Count(h.ctx)
		h.must(err)
		equal(h, "accounts", n, 1)
		equal(h, "events", h.events("user.created"), 1)
	}},
}
