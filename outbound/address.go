package outbound

import (
	"net/netip"
	"slices"
	"strings"
)

// special are the addresses of the IANA special-purpose registries (RFC 6890
// and what was added since) that are not on the public Internet, multicast, and
// the tunnels whose addresses hide another one: 6to4 and Teredo.
var special = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
	"198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
)

// public is the only range of IPv6 that is given out to the public Internet.
var public = netip.MustParsePrefix("2000::/3")

// nat64 is the well-known prefix of translators (RFC 6052 §2.1): on a network
// that has IPv6 alone, the resolver hands every IPv4 address out below it.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

func prefixes(all ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(all))
	for i, s := range all {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// reachable reports whether a may be connected to: it is public, or listed.
func (o *Client) reachable(a netip.Addr) bool {
	if a.Zone() != "" { // of one link, and never the public Internet
		return false
	}
	a = embedded(a)
	contains := func(p netip.Prefix) bool { return p.Contains(a) }
	if slices.ContainsFunc(o.allow, contains) {
		return true
	}
	if a.Is6() && !public.Contains(a) {
		return false
	}
	return !slices.ContainsFunc(special, contains)
}

// embedded is the IPv4 address that a stands for, or a itself.
func embedded(a netip.Addr) netip.Addr {
	a = a.Unmap()
	if nat64.Contains(a) {
		b := a.As16()
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return a
}

// unmappedPrefix writes a range of IPv4-mapped addresses as the IPv4 range that
// it is, as the addresses held against it are.
func unmappedPrefix(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p
}

// loopbackName reports whether host is this machine by its very name, whatever
// a resolver says.
func loopbackName(host string) bool {
	a, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && a.Unmap().IsLoopback()
}
