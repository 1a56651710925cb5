// Package upstream is the other side of the wire: the relying party that we
// are at other OpenID Connect providers. It sends a browser there, exchanges
// the code that comes back and judges what it gives. It knows no page, no
// account and no database; which accounts somebody at an upstream has here is
// for identity to say.
package upstream

import (
	"slices"
	"sync/atomic"
	"time"

	"gatehouse/jwks"
	"gatehouse/outbound"
)

// Google is the id of Google, whose endpoints and peculiarities are built in.
const Google = "google"

// Config is what is known of one upstream.
type Config struct {
	ID           string
	Name         string // as people read it
	Issuer       string
	ClientID     string
	ClientSecret Secret
	AuthMethod   string // client_secret_basic, client_secret_post or none
	RedirectURI  string
	Scopes       []string
	Prompt       string // where the request asks for none
	// HostedDomain is the hd that people must have; * is any, empty none.
	HostedDomain string
	// Domains are lists of domains of addresses; of each that is not empty, an
	// address must be in one.
	Domains [][]string
	// TrustEmail: an address that it calls verified is one.
	TrustEmail bool
}

// A Secret prints as [redacted].
type Secret string

// String is what fmt and slog print.
func (Secret) String() string { return "[redacted]" }

// GoString is what %#v prints.
func (Secret) GoString() string { return "[redacted]" }

// A Set is the upstreams there are. It may be replaced while it is in use.
type Set struct {
	out  *outbound.Client
	keys *jwks.Keeper
	now  func() time.Time
	all  atomic.Pointer[[]*Provider]
}

// NewSet returns a set of these upstreams. Nothing is fetched before somebody
// goes to one.
func NewSet(out *outbound.Client, now func() time.Time, all ...Config) *Set {
	s := &Set{out: out, keys: jwks.NewKeeper(out, now), now: now}
	s.Replace(all)
	return s
}

// Replace makes these the upstreams there are. Who is on the way to one that
// is gone, or became another, does not arrive.
func (s *Set) Replace(all []Config) {
	before := s.List()
	next := make([]*Provider, 0, len(all))
	for _, c := range all {
		p := &Provider{Config: c, set: s}
		if i := slices.IndexFunc(before, func(b *Provider) bool { return b.ID == c.ID && b.Issuer == c.Issuer }); i >= 0 {
			p.known = before[i].known
		} else {
			p.known = &kept{document: builtIn(c)}
		}
		next = append(next, p)
	}
	s.all.Store(&next)
}

// List returns the upstreams in their order.
func (s *Set) List() []*Provider {
	if all := s.all.Load(); all != nil {
		return *all
	}
	return nil
}

// Find returns the upstream with this id, or nil.
func (s *Set) Find(id string) *Provider {
	for _, p := range s.List() {
		if p.ID == id {
			return p
		}
	}
	return nil
}

// A Provider is one upstream.
type Provider struct {
	Config
	set   *Set
	known *kept
}
