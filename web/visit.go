package web

import (
	"context"
	"net/http"
	"net/netip"
)

// A visit is what the door knows of one request.
type visit struct {
	id      string     // the request id: in the log, in events, on error pages
	address netip.Addr // of the person, as far as our own proxies vouch for it
	browser string     // the secret made for a browser that had none
}

type visitKey struct{}

// visitOf is the visit of a request. One that did not come through the door
// gets its own.
func visitOf(r *http.Request) *visit {
	if v, ok := r.Context().Value(visitKey{}).(*visit); ok {
		return v
	}
	v := new(visit)
	*r = *r.WithContext(context.WithValue(r.Context(), visitKey{}, v))
	return v
}

// Address is where the request came from: the connection's other end, or what
// a trusted proxy says of it. Zero where the listener knows no address.
func Address(r *http.Request) netip.Addr { return visitOf(r).address }

// Network is the address as counters take it: a person has one IPv4 address
// and a whole /64 of IPv6.
func Network(a netip.Addr) string {
	bits := 32
	if a.Is6() {
		bits = 64
	}
	if p, err := a.Prefix(bits); err == nil && p.IsValid() {
		return p.String()
	}
	return "unknown"
}
