package web

import "net/http"

// What a page of ours may load, and where its forms may lead. Nothing may put
// it into a frame.
const (
	noScript    = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'"
	stayingHere = noScript + "; form-action 'self'"
)

// setHeaders sets what every answer carries. Nothing is kept unless the
// handler says so, since nearly everything here is about one person.
func setHeaders(h http.Header, secure bool) {
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", stayingHere)
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()")
	// Not no-referrer: under it, browsers send "Origin: null" with our own forms.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	if secure {
		h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains; preload")
	}
}
