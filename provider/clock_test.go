package provider_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"gatehouse/keys"
	"gatehouse/provider/providertest"
)

// The clocks of nodes may be 5 s from the database's; two seconds apart nobody
// may notice, and no token lives more than five seconds longer than promised.
func TestAC244_NodesWhoseClocksAreTwoSecondsApartTakeWhatEachOtherGives(t *testing.T) {
	for _, ahead := range []time.Duration{2 * time.Second, -2 * time.Second} {
		for format, change := range formats {
			t.Run(fmt.Sprint(format, " ", ahead), func(t *testing.T) {
				h := providertest.New(t)
				h.Skip(time.Minute) // the first keys sign, by every clock
				h.User("alice")
				w := h.Client("w", providertest.Trusted, change)
				other := h.Node()
				other.Apart(ahead)
				there := w.At(other)
				b := h.Browser()

				tokens := there.Token(w.Redemption(w.Code(b, "alice"))).Tokens()
				next := w.Refresh(tokens.Refresh).Tokens()
				if again := there.Refresh(tokens.Refresh).Tokens(); again.Refresh != next.Refresh || next.Refresh == "" {
					t.Errorf("in the grace another successor came: %q %q", next.Error, again.Error)
				}
				for name, access := range map[string]string{"theirs": tokens.Access, "ours": next.Access} {
					if !h.Alive(access) || !other.Alive(access) {
						t.Errorf("userinfo refuses an access token of %s", name)
					}
					if w.Introspect(access).JSON()["active"] != true || there.Introspect(access).JSON()["active"] != true {
						t.Errorf("introspection refuses an access token of %s", name)
					}
				}
				if a := b.Get(w.Request("prompt", "none", "id_token_hint", tokens.ID).URL()); a.Location() == nil || a.Location().Query().Get("code") == "" {
					t.Errorf("an ID token of the other node is no hint: %d %v", a.Status, a.Header)
				}

				life := time.Duration(next.ExpiresIn) * time.Second
				h.Skip(life + 5*time.Second)
				for name, access := range map[string]string{"theirs": tokens.Access, "ours": next.Access} {
					if h.Alive(access) || other.Alive(access) {
						t.Errorf("an access token of %s lives longer than promised", name)
					}
				}
			})
		}
	}
}

func TestAC244_AKeyThatOneNodeSignsWithIsPublishedByTheOtherThoughTheirClocksDiffer(t *testing.T) {
	h := providertest.New(t)
	h.User("alice")
	w := h.Client("w", providertest.Trusted)
	nodes := []*providertest.House{h, h.Node(), h.Node()}
	nodes[1].Apart(2 * time.Second)
	nodes[2].Apart(-2 * time.Second)
	next, err := h.Keys.Rotate(t.Context(), keys.ES256)
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range nodes {
		node.Reread()
	}
	signed := map[string]bool{}
	h.Skip(next.SignAt.Sub(h.Now()) - 4*time.Second)
	for range 9 { // one second after the other, across the moment when it begins to sign
		h.Skip(time.Second)
		for i, node := range nodes {
			access := w.At(node).SignIn("alice").Access
			signed[providertest.Header(access)["kid"].(string)] = true
			for j, other := range nodes {
				if a := other.Userinfo(access); a.Status != http.StatusOK {
					t.Errorf("what node %d signed, node %d refuses: %s", i, j, a.Body)
				}
			}
		}
	}
	if len(signed) != 2 || !signed[next.ID] {
		t.Errorf("the keys that signed are %v; the next is %s", signed, next.ID)
	}
}
