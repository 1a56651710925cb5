package storagetest

import (
	"fmt"

	"gatehouse/storage"
)

// The acts after which somebody is no administrator any more.
var ousters = []struct {
	name string
	act  func(h *house, u *storage.User) error
}{
	{"disable", func(h *house, u *storage.User) error { return h.Users.Disable(h.ctx, u.ID, h.now, nil) }},
	{"delete", func(h *house, u *storage.User) error { return h.Users.Delete(h.ctx, u.ID, h.now, nil) }},
	{"demote", func(h *house, u *storage.User) error {
		demoted := *u
		demoted.Admin = false
		return h.Users.Update(h.ctx, storage.NewUser{User: &demoted, UsernameKey: u.Username}, h.now, nil)
	}},
}

var administratorStories = []story{
	{"the last administrator stays", func(h *house) {
		alice := h.administrator("alice")
		h.account("bob")
		off := h.administrator("carol")
		h.must(h.Users.Disable(h.ctx, off.ID, h.now, nil)) // and does not count
		h.relyingParty("app")
		h.redeemed("g", alice, "app", h.signIn(alice, "s"))
		for _, o := range ousters {
			h.refused(storage.ErrLastAdmin, o.act(h, alice))
			got := h.reread(alice.ID)
			equal(h, "administrator after "+o.name, got.Admin && !got.Disabled(), true)
		}
		equal(h, "epoch", h.reread(alice.ID).Epoch, alice.Epoch)
		equal(h, "signed in", h.signedIn("s", h.now), true)
		equal(h, "grant live", h.live("g"), true)
	}},
	{"of two administrators one may go", func(h *house) {
		for _, o := range ousters {
			u := h.administrator(o.name)
			h.administrator("stays-" + o.name)
			h.must(o.act(h, u))
		}
	}},
	{"who is no administrator may always go", func(h *house) {
		h.administrator("alice")
		for _, o := range ousters {
			h.must(o.act(h, h.account(o.name)))
		}
		off := h.administrator("off")
		h.must(h.Users.Disable(h.ctx, off.ID, h.now, nil))
		h.must(h.Users.Delete(h.ctx, off.ID, h.now, nil))
	}},
	{"two administrators who oust each other, 100 times: one remains", func(h *house) {
		stays := h.administrator("first")
		for i := range 100 {
			pair := [2]*storage.User{stays, h.administrator(fmt.Sprint("rival", i))}
			errs := race(2, func(n int) error { return ousters[(i+n*(i/3))%3].act(h, pair[n]) })
			h.tally(errs, map[error]int{nil: 1, storage.ErrLastAdmin: 1})
			if errs[0] == nil {
				stays = pair[1]
			}
			got := h.reread(stays.ID)
			equal(h, "the one who remained is an enabled administrator", got.Admin && !got.Disabled(), true)
		}
	}},
	{"an administrator exists even while disabled", func(h *house) {
		exists := func() bool {
			is, err := h.Users.AdminExists(h.ctx)
			h.must(err)
			return is
		}
		h.account("bob")
		equal(h, "administrator exists", exists(), false)
		alice := h.administrator("alice")
		equal(h, "administrator exists", exists(), true)
		carol := h.administrator("carol")
		h.must(h.Users.Disable(h.ctx, alice.ID, h.now, nil))
		carol.Admin = false
		h.refused(storage.ErrLastAdmin, h.Users.Update(h.ctx, storage.NewUser{User: carol, UsernameKey: "carol"}, h.now, nil))
		equal(h, "administrator exists", exists(), true)
	}},
}
