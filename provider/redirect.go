package provider

import (
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"gatehouse/storage"
)

const (
	letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	digits  = "0123456789"
)

// redirectRegistered: byte for byte (RFC 9700 §2.1). A native client may vary
// the port of a loopback IP literal (RFC 8252 §7.3), and nothing else.
func redirectRegistered(c *storage.Client, presented string) bool {
	if slices.Contains(c.Metadata.RedirectURIs, presented) {
		return true
	}
	if c.Metadata.ApplicationType != "native" {
		return false
	}
	rest, ok := withoutLoopbackPort(presented)
	if !ok {
		return false
	}
	return slices.ContainsFunc(c.Metadata.RedirectURIs, func(registered string) bool {
		r, ok := withoutLoopbackPort(registered)
		return ok && r == rest
	})
}

var loopbackLiteral = regexp.MustCompile(`^http://(127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?(/[!-~]*)?$`)

// withoutLoopbackPort takes the port out of an http URI on 127.0.0.1 or [::1].
func withoutLoopbackPort(uri string) (string, bool) {
	m := loopbackLiteral.FindStringSubmatch(uri)
	if m == nil || strings.ContainsAny(m[3], `#\`) {
		return "", false
	}
	return m[1] + m[3], true
}

// origin is scheme and authority of a URI, or just the scheme of one that has none.
func origin(uri string) string {
	u, err := url.Parse(uri)
	switch {
	case err != nil:
		return ""
	case u.Host == "":
		return u.Scheme + ":"
	}
	return u.Scheme + "://" + u.Host
}

// ClientURI is where a person can begin again at the client: an address that
// it registered for that, or the origin of its redirect URI; empty where none is known.
func ClientURI(c *storage.Client) string {
	if c == nil {
		return ""
	}
	for _, uri := range []string{c.Metadata.InitiateLoginURI, c.Metadata.ClientURI} {
		if uri != "" {
			return uri
		}
	}
	for _, uri := range c.Metadata.RedirectURIs {
		if o := origin(uri); strings.HasPrefix(o, "http") {
			return o + "/"
		}
	}
	return ""
}

// isLoopback reports whether a host, without its port, is this machine.
func isLoopback(host string) bool {
	return host == "localhost" || host == "127.0.0.1" || host == "::1"
}

// responseKeys are the parameters of authorization responses.
var responseKeys = []string{"code", "state", "iss", "error", "error_description", "error_uri", "id_token", "access_token", "response"}

// redirectProblem says why a redirect URI cannot be registered, or is empty.
// Stored URIs are compared by bytes, so their grammar is judged once, here.
func redirectProblem(uri string, native bool) string {
	if problem := uriProblem(uri); problem != "" {
		return problem
	}
	u, err := url.Parse(uri)
	if err != nil {
		return "must be an absolute URI"
	}
	for key := range u.Query() {
		if slices.Contains(responseKeys, key) {
			return "has the query parameter " + key + ", which responses use"
		}
	}
	switch {
	case u.Scheme == "https" && u.Host != "", u.Scheme == "http" && isLoopback(u.Hostname()):
		return hostProblem(u)
	case u.Scheme == "http":
		return "must be https; http is for localhost, 127.0.0.1 and [::1]"
	case native && strings.Contains(u.Scheme, ".") && u.Host == "":
		// RFC 8252 §7.1: a private-use scheme is a reversed domain name.
		return ""
	}
	return "must be https (native applications may also use a private scheme such as com.example.app:/callback)"
}

// uriProblem says what hides in a URI that must hide nothing, or is empty:
// absolute, ASCII, no user information, fragment, wildcard, backslash or dot segment.
func uriProblem(uri string) string {
	if len(uri) > maxValue {
		return "is longer than 2048 characters"
	}
	for i := range len(uri) {
		if c := uri[i]; c <= 0x20 || c >= 0x7f {
			return "has a space, a control character or one outside ASCII"
		}
	}
	u, err := url.Parse(uri)
	switch {
	case err != nil || u.Scheme == "":
		return "must be an absolute URI"
	case strings.ContainsAny(uri, `\*<>"{}|^`+"`"):
		return "has a character that is not allowed"
	case strings.Contains(uri, "#"):
		return "must not have a fragment"
	case u.User != nil || strings.Contains(u.Host, "@"):
		return "must not have user information"
	case dotSegment(u.Path):
		return "must not have . or .. in its path"
	}
	return ""
}

func dotSegment(path string) bool {
	return slices.ContainsFunc(strings.Split(path, "/"), func(s string) bool { return s == "." || s == ".." })
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$`)

func hostProblem(u *url.URL) string {
	_, err := netip.ParseAddr(u.Hostname())
	if strings.HasSuffix(u.Host, ":") || err != nil && !hostName.MatchString(u.Hostname()) {
		return "has a malformed host or port"
	}
	return ""
}
