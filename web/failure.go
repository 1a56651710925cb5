package web

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"gatehouse/provider"
	"gatehouse/storage"
	"gatehouse/templates"
)

// A failure is an error of the door's own, for a person and for a program.
type failure struct {
	status  int
	message string // a message id
	code    string // for programs
	detail  string // for programs
}

var (
	notFound    = failure{http.StatusNotFound, "error.not_found", "not_found", "there is nothing at this address"}
	wrongMethod = failure{http.StatusMethodNotAllowed, provider.WrongMethod, "invalid_request", "this address takes other methods; see Allow"}
	misdirected = failure{http.StatusMisdirectedRequest, "error.misdirected", "misdirected_request", "this server does not answer under that host"}
	insecure    = failure{http.StatusForbidden, "error.insecure", "invalid_request", "use https"}
	tooLarge    = failure{http.StatusRequestEntityTooLarge, "error.too_large", "invalid_request", "the body is larger than 64 KiB"}
	crossSite   = failure{http.StatusForbidden, "error.cross_site", "invalid_request", "sent from another site"}
	cutOff      = failure{http.StatusBadRequest, "error.bad_request", "invalid_request", "the body ends too early"}
	unavailable = failure{http.StatusServiceUnavailable, provider.Unavailable, "temporarily_unavailable", "try again in a moment"}
	internal    = failure{http.StatusInternalServerError, "error.internal", "server_error", "something broke on our side"}
)

// Messages lists the message ids of the errors that this package shows by itself.
func Messages() []string {
	all := []string{slowDown, slowDownUser}
	for _, f := range []failure{notFound, wrongMethod, misdirected, insecure, tooLarge, crossSite, cutOff, unavailable, internal} {
		all = append(all, f.message)
	}
	return all
}

// The messages of a network, and of somebody signed in, that failed too often.
const (
	slowDown     = "error.slow_down"
	slowDownUser = "error.slow_down_user"
)

// fail answers with a failure: a page, or JSON for a program.
func (b *Browser) fail(w http.ResponseWriter, r *http.Request, f failure) {
	if b.forProgram(r) {
		writeProblem(w, f.status, map[string]any{"error": f.code, "error_description": f.detail, "request_id": visitOf(r).id})
		return
	}
	b.note(r, f.message, f.failure(r, b.origin))
	b.showError(w, r, f.status, templates.ErrorView{Message: f.message})
}

// failure is what is kept of an error of the door's own: what it saw, and what
// it wanted. What scanners find missing is not worth keeping.
func (f failure) failure(r *http.Request, o origin) *storage.Failure {
	kept := &storage.Failure{Details: map[string]string{"method": r.Method, "path": clean(r.URL.Path, 512)}}
	switch f {
	case notFound, wrongMethod:
		return nil
	case misdirected:
		kept.Sent, kept.Expected = clean(r.Host, 512), o.host
	case crossSite:
		kept.Sent, kept.Expected = clean(cmp.Or(r.Header.Get("Origin"), "Sec-Fetch-Site: "+r.Header.Get("Sec-Fetch-Site")), 512), o.String()
	case insecure:
		kept.Sent, kept.Expected = "http", "https"
	}
	return kept
}

// note keeps why a person sees an error page, under the id that stands on it.
// The page comes without, where that cannot be.
func (b *Browser) note(r *http.Request, message string, f *storage.Failure) {
	if b.failures == nil || f == nil {
		return
	}
	kept := *f
	kept.Code, kept.At = visitOf(r).id, b.now()
	kept.Kind = cmp.Or(kept.Kind, strings.TrimPrefix(message, "error."))
	if _, ok := b.cookies.secret(r, b.cookies.browser, browserPrefix); strings.HasPrefix(kept.Kind, "request.") || strings.HasPrefix(kept.Kind, "upstream.state") {
		kept.Details = maps.Clone(kept.Details)
		if kept.Details == nil {
			kept.Details = make(map[string]string)
		}
		kept.Details["browser_cookie"] = map[bool]string{true: "sent", false: "not sent"}[ok]
	}
	if err := b.failures.Note(r.Context(), &kept); err != nil {
		b.log.WarnContext(r.Context(), "keep why a page failed", "error", err, "request_id", kept.Code)
	}
}

// Keep keeps why a page that somebody else draws says that something failed,
// and returns the code that belongs on it.
func (b *Browser) Keep(r *http.Request, f *storage.Failure) (code string) {
	b.note(r, "", f)
	return visitOf(r).id
}

// Error shows an error that must not be sent to a redirect URI.
func (b *Browser) Error(w http.ResponseWriter, r *http.Request, e provider.PageError) {
	if e.Status == http.StatusServiceUnavailable && w.Header().Get("Retry-After") == "" {
		w.Header().Set("Retry-After", "2")
	}
	if e.Failure == nil {
		e.Failure = new(storage.Failure)
	}
	b.note(r, e.Message, e.Failure)
	b.showError(w, r, e.Status, templates.ErrorView{Message: e.Message, Parameter: e.Parameter, Back: e.ClientURI})
}

func (b *Browser) showError(w http.ResponseWriter, r *http.Request, status int, v templates.ErrorView) {
	v.Reference = visitOf(r).id
	frame := templates.Frame{Text: b.Text(w, r), Base: b.origin.path, Site: b.origin.host}
	if here := b.here(r); here != "" && status != http.StatusMisdirectedRequest {
		frame.Here = b.origin.path + here
	}
	if status == http.StatusMisdirectedRequest {
		frame.Base = b.origin.issuer // where we are not, our own links lead nowhere
	}
	b.draw(w, r, status, stayingHere, frame, templates.Error(v))
}

// FormPost shows the page that posts an authorization response to action.
func (b *Browser) FormPost(w http.ResponseWriter, r *http.Request, action string, fields map[string]string) {
	view := templates.FormPostView{Action: action}
	if u, err := url.Parse(action); err == nil {
		view.Host = cmp.Or(u.Host, u.Scheme)
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		view.Fields = append(view.Fields, templates.FormPostField{Name: name, Value: fields[name]})
	}
	frame := templates.Frame{Text: b.Text(w, r), Base: b.origin.path, Site: b.origin.host}
	b.draw(w, r, http.StatusOK, noScript+"; script-src "+templates.SubmitScriptHash(), frame, templates.FormPost(view))
}

// programPaths are the endpoints that no person opens.
var programPaths = []string{
	provider.TokenPath, provider.UserinfoPath, provider.JWKSPath, provider.DeviceAuthPath, provider.IntrospectPath, provider.RevokePath,
}

// forProgram reports whether a program reads the answer: at an address that no
// person opens, or where it says so.
func (b *Browser) forProgram(r *http.Request) bool {
	path := strings.TrimPrefix(r.URL.Path, b.origin.path)
	switch {
	case strings.HasPrefix(path, "/api/"), strings.HasPrefix(path, "/.well-known/"), strings.HasPrefix(r.URL.Path, "/.well-known/"):
		return true
	case slices.Contains(programPaths, path):
		return true
	}
	accept := r.Header.Get("Accept")
	return strings.Contains(accept, "json") && !strings.Contains(accept, "text/html")
}

func writeProblem(w http.ResponseWriter, status int, body map[string]any) {
	content, err := json.Marshal(body)
	if err != nil {
		panic("web: encode an error: " + err.Error()) // strings and numbers
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(content)
}
