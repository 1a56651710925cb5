package web

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"time"
)

// cookies are the names of our cookies, and whether they travel over https
// alone.
type cookies struct {
	session, browser, language string
	secure                     bool
}

// cookiesOf names the cookies of one issuer. The __Host- prefix keeps other
// hosts of the domain from setting them; browsers want it Secure, so an http
// issuer, which is a loopback one, goes without. Path is always /, so two
// issuers on one host are told apart by name.
func cookiesOf(o origin) cookies {
	prefix, suffix := "", ""
	if o.secure() {
		prefix = "__Host-"
	}
	if o.path != "" {
		sum := sha256.Sum256([]byte(o.issuer))
		suffix = "-" + hex.EncodeToString(sum[:4])
	}
	return cookies{
		session:  prefix + "gatehouse-session" + suffix,
		browser:  prefix + "gatehouse-browser" + suffix,
		language: prefix + "gatehouse-language" + suffix,
		secure:   o.secure(),
	}
}

// How long cookies stay.
const (
	untilClosed = time.Duration(0)
	browserAge  = 400 * 24 * time.Hour // the longest that browsers keep one
	dropped     = -time.Second
)

// set writes a cookie with the attributes that all of ours have.
func (c cookies) set(w http.ResponseWriter, name, value string, age time.Duration) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: int(age.Seconds()),
		Secure: c.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

func (c cookies) drop(w http.ResponseWriter, name string) { c.set(w, name, "", dropped) }

// isSet reports whether this answer sets the cookie already.
func (c cookies) isSet(w http.ResponseWriter, name string) bool {
	for _, line := range w.Header()["Set-Cookie"] {
		if strings.HasPrefix(line, name+"=") {
			return true
		}
	}
	return false
}

// The kinds of secrets in cookies, so that one that leaked is recognised.
const (
	sessionPrefix = "ghi_"
	browserPrefix = "ghb_"
)

// newSecret is a random value of 256 bits and a little more.
func newSecret(prefix string) string { return prefix + rand.Text() + rand.Text() }

var secretLength = len(newSecret(sessionPrefix))

// secret is the first well-formed secret in a cookie with this name. Browsers
// may send several, and anything may stand in them.
func (c cookies) secret(r *http.Request, name, prefix string) (string, bool) {
	for _, cookie := range r.CookiesNamed(name) {
		if rest, ok := strings.CutPrefix(cookie.Value, prefix); ok && len(cookie.Value) == secretLength && isBase32(rest) {
			return cookie.Value, true
		}
	}
	return "", false
}

func isBase32(s string) bool {
	return strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}
