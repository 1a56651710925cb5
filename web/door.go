package web

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"gatehouse/provider"
)

// cleanPaths lets only paths through that mean one thing to every router: no
// dot segments, no empty ones, no matrix parameters, nothing that is a slash
// or an end once it is decoded (SECURITY-RULES R19).
func (d *door) cleanPaths(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !cleanPath(r.URL) {
			d.browser.fail(w, r, notFound)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func cleanPath(u *url.URL) bool {
	path, sent := u.Path, u.EscapedPath()
	switch {
	case u.Opaque != "" || !strings.HasPrefix(path, "/"):
		return false
	case strings.ContainsAny(path, `;\`) || strings.Contains(path, "//"):
		return false
	case strings.Count(path, "/") != strings.Count(sent, "/"): // %2F
		return false
	case !utf8.ValidString(path) || strings.ContainsFunc(path, unicode.IsControl):
		return false
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return false
		}
	}
	return true
}

// healthPaths answer under any host: probes know addresses, not names.
var healthPaths = []string{"/healthz", "/readyz", "/api/health/"}

// ownHost refuses other names than the issuer's, so that nothing can be made
// to stand for an origin that is not ours (SECURITY-RULES R12). A page asked
// for on another name of this machine is sent to the right one.
func (d *door) ownHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reading := r.Method == http.MethodGet || r.Method == http.MethodHead
		switch host := plainHost(d.origin.scheme, r.Host); {
		case host == d.origin.host || slices.Contains(healthPaths, r.URL.Path):
			next.ServeHTTP(w, r)
		case reading && loopback(host) && loopback(d.origin.host):
			d.sendHome(w, r, http.StatusTemporaryRedirect)
		default:
			d.browser.fail(w, r, misdirected)
		}
	})
}

// loopback reports whether a host, with or without a port, is this machine.
func loopback(host string) bool {
	if name, port, err := net.SplitHostPort(host); err == nil && strings.Trim(port, "0123456789") == "" {
		host = name
	}
	return slices.Contains([]string{"localhost", "127.0.0.1", "::1", "[::1]"}, host)
}

// sendHome redirects to the same path and query at the configured origin.
func (d *door) sendHome(w http.ResponseWriter, r *http.Request, status int) {
	w.Header().Set("Location", d.origin.String()+r.URL.RequestURI())
	w.WriteHeader(status)
}

// secure sends who came by plain http to https, where a proxy of ours says so.
// A form that came that way has been on the wire in clear and is not read.
func (d *door) secure(next http.Handler) http.Handler {
	if !d.origin.secure() {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case slices.Contains(healthPaths, r.URL.Path) || !cameInsecurely(r, d.proxies):
			next.ServeHTTP(w, r)
		case r.Method == http.MethodGet || r.Method == http.MethodHead:
			d.sendHome(w, r, http.StatusPermanentRedirect)
		default:
			d.browser.fail(w, r, insecure)
		}
	})
}

// The budgets of one request (SECURITY-RULES R18).
const (
	maxBody     = 64 << 10
	handlerTime = 15 * time.Second
)

// bounded gives a request so much body and so much time. A body of unknown
// length ends the connection after it: where its end is unclear to anyone
// between us and the sender, nothing of it may pass for a next request.
func (d *door) bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TransferEncoding) > 0 {
			w.Header().Set("Connection", "close")
		}
		if r.ContentLength > maxBody {
			w.Header().Set("Connection", "close")
			d.browser.fail(w, r, tooLarge)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		ctx, cancel := context.WithTimeout(r.Context(), handlerTime)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// sameSite refuses forms that another site's page sends, without exceptions
// among the pages; the protocol's endpoints are called across origins by
// design and stand outside (SECURITY-RULES R8).
func (d *door) sameSite(p *provider.Provider, next http.Handler) http.Handler {
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { d.browser.fail(w, r, crossSite) }))
	guarded := guard.Handler(next)
	var open []string
	if p != nil {
		open = p.Endpoints()
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if slices.Contains(open, r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		guarded.ServeHTTP(w, r)
	})
}

// route finds the handler. What http.ServeMux would answer by itself, it
// answers in our words: there is no such page, not by this method, and no
// redirects between a path and the same with a slash.
func (d *door) route(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler, pattern := mux.Handler(r)
		switch {
		case pattern == "":
			d.unrouted(w, r, handler)
		case wouldAddSlash(pattern, r.URL.Path):
			d.browser.fail(w, r, notFound)
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

// wouldAddSlash reports whether pattern fits path only once it ends in a slash.
func wouldAddSlash(pattern, path string) bool {
	_, fits, found := strings.Cut(pattern, " ")
	if !found {
		fits = pattern
	}
	return strings.TrimSuffix(fits, "{$}") == path+"/"
}

// unrouted tells a wrong method from a wrong path, by what the router says.
func (d *door) unrouted(w http.ResponseWriter, r *http.Request, handler http.Handler) {
	said := &silent{header: http.Header{}}
	handler.ServeHTTP(said, r)
	if said.status != http.StatusMethodNotAllowed {
		d.browser.fail(w, r, notFound)
		return
	}
	w.Header()["Allow"] = said.header["Allow"]
	d.browser.fail(w, r, wrongMethod)
}

// silent keeps the status and the headers of an answer that nobody gets.
type silent struct {
	header http.Header
	status int
}

func (s *silent) Header() http.Header         { return s.header }
func (s *silent) Write(b []byte) (int, error) { return len(b), nil }
func (s *silent) WriteHeader(status int)      { s.status = status }

// recovered turns a panic into the page that says so, once. The stack goes to
// the log, under the id that is on the page.
func (d *door) recovered(w *recorder, r *http.Request, stack []byte, reason any) {
	d.log.ErrorContext(r.Context(), "a handler panicked", "request_id", visitOf(r).id,
		slog.String("reason", fmt.Sprint(reason)), slog.String("stack", string(stack)))
	if w.status != 0 {
		panic(http.ErrAbortHandler) // half an answer is out: cut it off, so that it is not taken for a whole one
	}
	d.browser.fail(w, r, internal)
}
