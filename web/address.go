package web

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// clientAddress is where r came from. Forwarded headers count only where the
// connection comes from a proxy of ours, and then the right-most hop that is
// none: everything left of it is the client's own invention.
func clientAddress(r *http.Request, proxies []netip.Prefix) netip.Addr {
	peer := peerAddress(r)
	if !trusted(peer, proxies) {
		return peer
	}
	older, standard := r.Header.Values("X-Forwarded-For"), r.Header.Values("Forwarded")
	if len(older) > 0 && len(standard) > 0 {
		// One of the two may have come through our proxy unread.
		a, b := rightmost(split(older), peer, proxies), rightmost(forwardedFor(standard), peer, proxies)
		if a != b {
			return peer
		}
		return a
	}
	if len(standard) > 0 {
		return rightmost(forwardedFor(standard), peer, proxies)
	}
	return rightmost(split(older), peer, proxies)
}

// rightmost walks the hops from the right while they are proxies of ours.
func rightmost(hops []string, peer netip.Addr, proxies []netip.Prefix) netip.Addr {
	last := peer
	for _, hop := range slices.Backward(hops) {
		a, ok := readAddress(hop)
		if !ok {
			return last
		}
		last = a
		if !trusted(a, proxies) {
			return a
		}
	}
	return last
}

func peerAddress(r *http.Request) netip.Addr {
	a, _ := readAddress(r.RemoteAddr)
	return a
}

// readAddress reads an address with or without a port and brackets.
func readAddress(s string) (netip.Addr, bool) {
	s = strings.Trim(strings.TrimSpace(s), `"`)
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	return a.Unmap().WithZone(""), err == nil
}

func trusted(a netip.Addr, proxies []netip.Prefix) bool {
	return slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// split is the members of a list that may come on several lines.
func split(lines []string) []string {
	var all []string
	for _, line := range lines {
		all = append(all, strings.Split(line, ",")...)
	}
	return all
}

// forwardedFor is the for= of each hop (RFC 7239 §5.2); a hop without one is
// kept, as an address that cannot be read.
func forwardedFor(lines []string) []string { return forwarded(lines, "for") }

func forwarded(lines []string, name string) []string {
	hops := split(lines)
	for i, hop := range hops {
		hops[i] = ""
		for pair := range strings.SplitSeq(hop, ";") {
			if key, value, _ := strings.Cut(strings.TrimSpace(pair), "="); strings.EqualFold(key, name) {
				hops[i] = strings.Trim(value, `"`)
			}
		}
	}
	return hops
}

// cameInsecurely reports whether a proxy of ours says that the person used
// plain http. The first hop counts: between proxies http may be meant.
func cameInsecurely(r *http.Request, proxies []netip.Prefix) bool {
	if !trusted(peerAddress(r), proxies) {
		return false
	}
	said := append(split(r.Header.Values("X-Forwarded-Proto")), forwarded(r.Header.Values("Forwarded"), "proto")...)
	first := slices.IndexFunc(said, func(proto string) bool { return proto != "" })
	return first >= 0 && strings.EqualFold(strings.TrimSpace(said[first]), "http")
}
