package storagetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"gatehouse/storage"
)

// alice is an account with every field set.
func (h *house) alice() storage.NewUser {
	return storage.NewUser{
		User: &storage.User{
			ID: "user-alice", Username: "Alice", Email: "Alice@example.com", EmailVerified: true,
			Profile: storage.Profile{
				Name: "Alice Liddell", Locale: "vi", PhoneNumber: "+84 24 0000 0000", PhoneNumberVerified: true,
				Address: &storage.Address{Locality: "Hà Nội", Country: "VN"},
			},
			CreatedAt: h.now,
		},
		UsernameKey: "alice", EmailKey: "alice@example.com", PasswordHash: "$argon2id$alice",
	}
}

var userStories = []story{
	{"an account comes back as it was stored, by id, name and address", func(h *house) {
		n := h.alice()
		h.must(h.Users.Create(h.ctx, n, h.event("user.created")))
		for _, find := range []func() (*storage.User, error){
			func() (*storage.User, error) { return h.Users.Get(h.ctx, "user-alice") },
			func() (*storage.User, error) { return h.Users.Find(h.ctx, "alice") },
			func() (*storage.User, error) { return h.Users.Find(h.ctx, "alice@example.com") },
		} {
			got, err := find()
			h.must(err)
			if d := cmp.Diff(n.User, got, cmpopts.EquateApproxTime(0)); d != "" {
				h.Fatalf("stored (-) and read (+) differ:\n%s", d)
			}
		}
		equal(h, "events", h.events("user.created"), 1)
	}},
	{"what is not there is not found", func(h *house) {
		h.account("alice") // who has no address
		for _, key := range []string{"", "bob", "Alice", "%", "*)(uid=*"} {
			_, err := h.Users.Find(h.ctx, key)
			h.refused(storage.ErrNotFound, err)
		}
		_, err := h.Users.Get(h.ctx, "user-bob")
		h.refused(storage.ErrNotFound, err)
		nobody := storage.NewUser{User: &storage.User{ID: "user-bob", Version: 1}, UsernameKey: "bob"}
		h.refused(storage.ErrNotFound, h.Users.Update(h.ctx, nobody, h.now, nil))
		h.refused(storage.ErrNotFound, h.Users.Disable(h.ctx, "user-bob", h.now, nil))
		h.refused(storage.ErrNotFound, h.Users.Enable(h.ctx, "user-bob", h.now, nil))
		h.refused(storage.ErrNotFound, h.Users.Invalidate(h.ctx, "user-bob", h.now, nil))
		h.refused(storage.ErrNotFound, h.Users.Delete(h.ctx, "user-bob", h.now, nil))
	}},
	{"a name or an address belongs to one account, and is nobody else's other one", func(h *house) {
		h.must(h.Users.Create(h.ctx, h.alice(), nil))
		for _, n := range []storage.NewUser{
			{UsernameKey: "alice"},
			{UsernameKey: "bob", EmailKey: "alice@example.com"},
			{UsernameKey: "alice@example.com"},
			{UsernameKey: "bob", EmailKey: "alice"},
		} {
			n.User = &storage.User{ID: "user-bob", Username: "Bob", CreatedAt: h.now}
			h.refused(storage.ErrExists, h.Users.Create(h.ctx, n, h.event("user.created")))
			_, err := h.Users.Get(h.ctx, "user-bob")
			h.refused(storage.ErrNotFound, err)
		}
		equal(h, "events of refused creations", h.events("user.created"), 0)

		bob := h.account("bob")
		bob.Email = "alice@example.com"
		h.refused(storage.ErrExists, h.Users.Update(h.ctx, storage.NewUser{User: bob, UsernameKey: "bob", EmailKey: "alice@example.com"}, h.now, nil))
		h.refused(storage.ErrExists, h.Users.Update(h.ctx, storage.NewUser{User: bob, UsernameKey: "alice@example.com"}, h.now, nil))
		equal(h, "address after refused updates", h.reread(bob.ID).Email, "")
	}},
	{"one account may have its address for a name", func(h *house) {
		n := h.alice()
		n.UsernameKey = n.EmailKey
		h.must(h.Users.Create(h.ctx, n, nil))
		_, err := h.Users.Find(h.ctx, n.EmailKey)
		h.must(err)
	}},
	{"16 accounts that want one key at once: one gets it", func(h *house) {
		errs := race(16, func(i int) error {
			n := storage.NewUser{User: &storage.User{ID: "user-" + string(rune('a'+i)), CreatedAt: h.now}}
			if n.UsernameKey = "same@example.com"; i%2 == 0 { // as a name, or as an address
				n.UsernameKey, n.EmailKey = "name-"+string(rune('a'+i)), "same@example.com"
			}
			return h.Users.Create(h.ctx, n, nil)
		})
		h.tally(errs, map[error]int{nil: 1, storage.ErrExists: 15})
	}},
	{"two accounts that take each other's name at once are decided one after the other", func(h *house) {
		for round := range 30 {
			names := []string{fmt.Sprint("a", round), fmt.Sprint("b", round)}
			pair := []*storage.User{h.administrator(names[0]), h.administrator(names[1])}
			errs := race(2, func(i int) error {
				return h.Users.Update(h.ctx, storage.NewUser{User: pair[i], UsernameKey: names[1-i]}, h.now, nil)
			})
			for i, err := range errs {
				want := names[1-i]
				if err != nil {
					h.refused(storage.ErrExists, err)
					want = names[i]
				}
				u, err := h.Users.Find(h.ctx, want)
				h.must(err)
				equal(h, "owner of "+want, u.ID, pair[i].ID)
			}
		}
	}},
	{"an update writes what it may, and ends nothing", func(h *house) {
		h.must(h.Users.Create(h.ctx, h.alice(), nil))
		u := h.reread("user-alice")
		h.signIn(u, "s")
		u.Username, u.Email, u.EmailVerified, u.Admin = "Alicia", "", false, true
		u.Profile = storage.Profile{Nickname: "Ali"}
		u.Epoch, u.DisabledAt = 99, h.now // not its business
		h.must(h.Users.Update(h.ctx, storage.NewUser{User: u, UsernameKey: "alicia"}, h.after(time.Second), h.event("user.updated")))
		got := h.reread(u.ID)
		equal(h, "name", got.Username, "Alicia")
		equal(h, "administrator", got.Admin, true)
		equal(h, "profile", got.Profile, storage.Profile{Nickname: "Ali"})
		equal(h, "epoch", got.Epoch, 1)
		equal(h, "disabled", got.Disabled(), false)
		equal(h, "version", got.Version, u.Version)
		h.sameInstant("UpdatedAt", got.UpdatedAt, h.after(time.Second))
		equal(h, "signed in", h.signedIn("s", h.now), true)
		for _, old := range []string{"alice", "alice@example.com"} {
			_, err := h.Users.Find(h.ctx, old)
			h.refused(storage.ErrNotFound, err)
		}
		_, p, err := h.Credentials.Password(h.ctx, "alicia")
		h.must(err)
		equal(h, "password", p.Hash, "$argon2id$alice")
		equal(h, "events", h.events("user.updated"), 1)
	}},
	{"an update that read an older version changes nothing", func(h *house) {
		mine := h.account("alice")
		theirs := h.reread(mine.ID)
		mine.Profile.Name = "mine"
		h.must(h.Users.Update(h.ctx, storage.NewUser{User: mine, UsernameKey: "alice"}, h.now, nil))
		theirs.Profile.Name = "theirs"
		h.refused(storage.ErrConflict, h.Users.Update(h.ctx, storage.NewUser{User: theirs, UsernameKey: "alice"}, h.now, nil))
		equal(h, "name", h.reread(mine.ID).Profile.Name, "mine")
	}},
	{"disabling ends everything, and enabling gives nothing back", func(h *house) {
		u := h.withEverything("alice")
		h.withEverything("bob")
		h.must(h.Users.Disable(h.ctx, u.ID, h.after(time.Second), h.event("user.disabled")))
		got := h.reread(u.ID)
		equal(h, "disabled", got.Disabled(), true)
		h.sameInstant("DisabledAt", got.DisabledAt, h.after(time.Second))
		equal(h, "epoch rose", got.Epoch > u.Epoch, true)
		h.everythingEnded("alice")
		h.must(h.Users.Enable(h.ctx, u.ID, h.after(2*time.Second), h.event("user.enabled")))
		equal(h, "disabled", h.reread(u.ID).Disabled(), false)
		h.everythingEnded("alice")
		h.nothingEnded("bob")
		equal(h, "events", h.events("user.disabled")+h.events("user.enabled"), 2)
	}},
	{"invalidating ends everything, and a new sign-in works", func(h *house) {
		u := h.withEverything("alice")
		h.withEverything("bob")
		h.must(h.Users.Invalidate(h.ctx, u.ID, h.after(time.Second), h.event("user.invalidated")))
		h.everythingEnded("alice")
		h.nothingEnded("bob")
		got := h.reread(u.ID)
		equal(h, "epoch", got.Epoch, u.Epoch+1)
		h.signIn(got, "again")
		equal(h, "signed in", h.signedIn("again", h.now), true)
		equal(h, "events", h.events("user.invalidated"), 1)
	}},
	{"deleting removes the account and all that hangs from it", func(h *house) {
		u := h.withEverything("alice")
		h.withEverything("bob")
		h.must(h.Users.Delete(h.ctx, u.ID, h.after(time.Second), h.event("user.deleted")))
		_, err := h.Users.Get(h.ctx, u.ID)
		h.refused(storage.ErrNotFound, err)
		_, _, err = h.Credentials.Password(h.ctx, "alice")
		h.refused(storage.ErrNotFound, err)
		all, err := h.Consents.ListByUser(h.ctx, u.ID)
		h.must(err)
		equal(h, "consents", len(all), 0)
		known, err := h.Guesses.Known(h.ctx, u.ID, browser("alice"))
		h.must(err)
		equal(h, "browser known", known, false)
		h.everythingEnded("alice")
		h.nothingEnded("bob")
		h.account("alice") // the name is free again
		equal(h, "events", h.events("user.deleted"), 1)
	}},
	{"accounts are counted, and a list goes on where the last one ended", func(h *house) {
		for _, name := range []string{"c", "a", "d", "b"} {
			h.account(name)
		}
		n, err := h.Users.Count(h.ctx)
		h.must(err)
		equal(h, "count", n, 4)
		first, err := h.Users.List(h.ctx, "", 3)
		h.must(err)
		rest, err := h.Users.List(h.ctx, first[2].ID, 3)
		h.must(err)
		var names []string
		for _, u := range slices.Concat(first, rest) {
			names = append(names, u.Username)
		}
		if !slices.Equal(names, []string{"a", "b", "c", "d"}) {
			h.Fatalf("listed %v", names)
		}
	}},
}

// withEverything stores an account that is signed in, has consented, and has
// one grant that lives with the session and one that outlives it.
func (h *house) withEverything(name string) *storage.User {
	h.Helper()
	n := storage.NewUser{
		User:        &storage.User{ID: "user-" + name, Username: name, CreatedAt: h.now},
		UsernameKey: name, PasswordHash: "$argon2id$" + name,
	}
	h.must(h.Users.Create(h.ctx, n, nil))
	if _, err := h.Clients.Get(h.ctx, "app"); err != nil {
		h.relyingParty("app")
	}
	s := h.signIn(n.User, name)
	h.parked("request-"+name, browser(name))
	h.must(h.Consents.Allow(h.ctx, storage.Consent{UserID: n.User.ID, ClientID: "app", Scopes: []string{"openid"}, GrantedAt: h.now}, "request-"+name, nil))
	h.redeemed("online-"+name, n.User, "app", s)
	h.redeemed("offline-"+name, n.User, "app", s, offline)
	return h.reread(n.User.ID)
}

func (h *house) everythingEnded(name string) { h.Helper(); h.everything(name, false) }
func (h *house) nothingEnded(name string)    { h.Helper(); h.everything(name, true) }

func (h *house) everything(name string, there bool) {
	h.Helper()
	equal(h, name+" signed in", h.signedIn(name, h.after(2*time.Second)), there)
	equal(h, "grant of "+name+" live", h.live("online-"+name), there)
	equal(h, "offline grant of "+name+" live", h.live("offline-"+name), there)
	if there {
		return
	}
	for _, id := range []string{"online-" + name, "offline-" + name} {
		_, err := h.Grants.Rotate(h.ctx, h.rotation(&storage.Grant{ID: id, ClientID: "app"}, 1, h.after(time.Minute)))
		h.refused(storage.ErrNotFound, err)
	}
}
