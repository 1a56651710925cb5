package provider

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/zitadel/oidc/v3/pkg/oidc"

	"gatehouse/storage"
)

// The kinds of a failure that is not about one parameter of a request, which
// its kind would name.
const (
	// requestFailed: the request as a whole cannot be read.
	requestFailed  = "request"
	requestUnknown = "request.unknown"
	requestExpired = "request.expired"
	requestSpent   = "request.spent"
	otherBrowser   = "request.other_browser"
	unavailable    = "unavailable"
)

// The names of a failure's details.
const (
	detailWhy         = "why"         // what is wrong with the parameter
	detailError       = "error"       // the code of the error that the client was sent
	detailDescription = "description" // what it was told
	detailEndpoint    = "endpoint"
	detailCookie      = "browser_cookie"
	detailDoing       = "doing" // what was being done when the database failed

	// Of failures at upstreams.
	detailReason           = "reason"            // what it ended for
	detailOutbound         = "outbound"          // the same, in one word
	detailAddress          = "address"           // that was asked
	detailErrorDescription = "error_description" // what the upstream said
)

const missing = "is missing"

// note keeps why a request failed. No answer depends on it.
func (p *Provider) note(ctx context.Context, f *storage.Failure) {
	if err := p.store.Failures.Note(ctx, f); err != nil {
		p.log.WarnContext(ctx, "keep why a request failed", "error", err, "request_id", f.Code)
	}
}

// missingFailure is a parameter that must be there and is not.
func missingFailure(parameter string) *storage.Failure {
	return &storage.Failure{Kind: parameter, Details: map[string]string{detailWhy: missing}}
}

// failure is what is kept of a fault. The value is not: it may be anything.
func (f *fault) failure() *storage.Failure {
	return &storage.Failure{Kind: f.kind(), Details: map[string]string{detailWhy: f.why}}
}

func (f *fault) kind() string { return cmp.Or(f.parameter, requestFailed) }

// malformed is the page for a fault.
func malformed(bad *fault) *PageError {
	return &PageError{Status: bad.status, Message: BadRequest, Parameter: bad.parameter, Failure: bad.failure()}
}

// at names the endpoint of a failure where it is not the authorization endpoint.
func at(endpoint string, f *storage.Failure) *storage.Failure {
	if f.Details == nil {
		f.Details = make(map[string]string)
	}
	f.Details[detailEndpoint] = endpoint
	return f
}

// unregistered is a redirect URI that is not among those of a client, with the
// nearest one that is.
func unregistered(parameter string, c *storage.Client, sent string, registered []string) *storage.Failure {
	return &storage.Failure{Kind: parameter, ClientID: c.ID, Sent: shownURI(sent, registered), Expected: nearestURI(sent, registered)}
}

// hidden stands where something was that may be a secret. A URI stays one by it.
const hidden = "***"

// shownURI is a URI as it may be kept: user information, fragment and the values
// of a query may be secrets, unless they are registered so.
func shownURI(uri string, registered []string) string {
	if before, _, found := strings.Cut(uri, "#"); found {
		uri = before + "#" + hidden
	}
	if start, end := authority(uri); strings.Contains(uri[start:end], "@") {
		uri = uri[:start] + hidden + uri[start+strings.LastIndex(uri[start:end], "@"):]
	}
	address, query, found := strings.Cut(uri, "?")
	if !found {
		return uri
	}
	var known []string
	for _, r := range registered {
		_, q, _ := strings.Cut(r, "?")
		known = append(known, strings.Split(q, "&")...)
	}
	pairs := strings.Split(query, "&")
	for i, pair := range pairs {
		if name, _, valued := strings.Cut(pair, "="); valued && !slices.Contains(known, pair) {
			pairs[i] = name + "=" + hidden
		}
	}
	return address + "?" + strings.Join(pairs, "&")
}

// authority is where the authority of a URI stands, however odd the URI is.
func authority(uri string) (start, end int) {
	start = strings.Index(uri, "//")
	if start < 0 {
		return 0, 0
	}
	start += 2
	if n := strings.IndexAny(uri[start:], "/?#"); n >= 0 {
		return start, start + n
	}
	return start, len(uri)
}

// nearestURI is the registered URI with the fewest differences, and of those
// the one that is alike for longest; empty where none is registered.
func nearestURI(sent string, registered []string) (nearest string) {
	fewest, longest := 0, 0
	for _, r := range registered {
		differences, alike := distance(uriDifferences(sent, r)), alike(sent, r)
		if nearest == "" || differences < fewest || differences == fewest && alike > longest {
			nearest, fewest, longest = r, differences, alike
		}
	}
	return nearest
}

// distance is how far apart two URIs are: whatever else they have in common, one
// of another host is farther than one of the same.
func distance(differences []string) int {
	if slices.Contains(differences, "redirect_host") {
		return 10
	}
	return len(differences)
}

// alike is how many bytes two strings begin with alike.
func alike(a, b string) (n int) {
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// A subject is what a refusal is about, for the administrator who asks with its
// code. It travels with the error, and is never written to the client.
type subject struct{ parameter, sent, expected string }

func (s *subject) Error() string { return s.parameter }

// about says what a refusal is about.
func about(e *oidc.Error, parameter, sent, expected string) *oidc.Error {
	return e.WithParent(&subject{parameter, sent, expected})
}

// refused is what is kept of an error that is sent to the client.
func (p *Provider) refused(ctx context.Context, client *storage.Client, e *oidc.Error) *storage.Failure {
	f := storage.NewFailure(ctx, p.now(), string(e.ErrorType))
	f.ClientID, f.Answered = client.ID, true
	f.Details = map[string]string{detailError: string(e.ErrorType), detailDescription: e.Description}
	if s, ok := errors.AsType[*subject](e.Parent); ok {
		f.Kind, f.Sent, f.Expected = s.parameter, s.sent, s.expected
	}
	if bad, ok := errors.AsType[*fault](e.Parent); ok {
		f.Kind, f.Details[detailWhy] = bad.kind(), bad.why
	}
	return f
}

// standingAs is a refusal by next, with what it was decided from.
func (p *Provider) standingAs(s *standing, refusal *oidc.Error) *oidc.Error {
	now, q := p.now(), s.request
	var asked []string
	if len(q.Prompt) > 0 {
		asked = append(asked, "prompt="+strings.Join(q.Prompt, " "))
	}
	if q.MaxAge != nil {
		asked = append(asked, fmt.Sprintf("max_age=%d", *q.MaxAge))
	}
	if q.HintedUser != "" {
		asked = append(asked, "a sign-in of the account "+q.HintedUser)
	}
	signedIn := "nobody is signed in in this browser"
	if s.session != nil {
		signedIn = fmt.Sprintf("the account %s, signed in %s before", s.session.UserID, spell(now.Sub(s.session.AuthTime)))
	}
	return about(refusal, string(refusal.ErrorType), strings.Join(asked, ", "), signedIn)
}

// PendingError is the page for an error of Pending, with the way on to the
// client where it is known.
func PendingError(pending *Pending, err error) PageError {
	e := PageError{Status: http.StatusBadRequest, Failure: new(storage.Failure)}
	if pending != nil && pending.Client != nil {
		e.ClientURI, e.Failure.ClientID = ClientURI(pending.Client), pending.Client.ID
	}
	switch {
	case errors.Is(err, storage.ErrNotFound):
		e.Message, e.Failure.Kind = RequestUnknown, requestUnknown
	case errors.Is(err, storage.ErrExpired):
		e.Message, e.Failure.Kind = RequestExpired, requestExpired
	case errors.Is(err, storage.ErrReused):
		e.Message, e.Failure.Kind = RequestSpent, requestSpent
	case errors.Is(err, storage.ErrMismatch):
		e.Message, e.Failure.Kind = OtherBrowser, otherBrowser
	default:
		e.Status, e.Message, e.Failure.Kind = http.StatusServiceUnavailable, Unavailable, unavailable
	}
	return e
}

// uriDifferences are the parts in which a URI is another than a registered one,
// as codes of findings, in the order of what they usually mean.
func uriDifferences(sent, want string) []string {
	s, err := url.Parse(sent)
	w, bad := url.Parse(want)
	switch {
	case strings.ContainsAny(sent, " \t\r\n"):
		return []string{"redirect_space"}
	case strings.Contains(strings.ToLower(sent), "%3a%2f%2f"):
		return []string{"redirect_encoded_twice"}
	case err != nil || bad != nil || s.Scheme == "" || s.Host == "" && w.Host != "":
		return []string{"redirect_malformed"}
	}
	host := hostDifference(s.Hostname(), w.Hostname())
	if host == "redirect_host" {
		return []string{host}
	}
	return slices.DeleteFunc([]string{
		schemeDifference(s.Scheme, w.Scheme), host, portDifference(s, w), userDifference(s), pathDifference(s.EscapedPath(), w.EscapedPath()),
		queryDifference(s, w), fragmentDifference(sent),
	}, func(code string) bool { return code == "" })
}

func schemeDifference(sent, want string) string {
	switch {
	case sent == want:
		return ""
	case sent == "http" && want == "https":
		return "redirect_scheme_lost"
	}
	return "redirect_scheme"
}

func hostDifference(sent, want string) string {
	switch {
	case sent == want:
		return ""
	case isLoopback(sent) && isLoopback(want):
		return "redirect_loopback"
	case strings.EqualFold(sent, want):
		return "redirect_host_case"
	case "www."+sent == want || sent == "www."+want:
		return "redirect_www"
	}
	return "redirect_host"
}

func portDifference(s, w *url.URL) string {
	standard := map[string]string{"http": "80", "https": "443"}
	port := func(u *url.URL) string {
		if u.Port() == "" {
			return standard[u.Scheme]
		}
		return u.Port()
	}
	switch {
	case s.Port() == w.Port():
		return ""
	case port(s) == standard[s.Scheme] && port(w) == standard[w.Scheme]:
		return "redirect_default_port"
	}
	return "redirect_port"
}

func userDifference(s *url.URL) string {
	if s.User == nil {
		return ""
	}
	return "redirect_user_information"
}

func pathDifference(sent, want string) string {
	plain := func(path string) string {
		decoded, err := url.PathUnescape(path)
		if err != nil {
			return path
		}
		return decoded
	}
	switch {
	case sent == want:
		return ""
	case strings.TrimSuffix(sent, "/") == strings.TrimSuffix(want, "/"):
		return "redirect_slash"
	case strings.EqualFold(sent, want):
		return "redirect_path_case"
	case plain(sent) == plain(want):
		return "redirect_path_encoding"
	}
	return "redirect_path"
}

func queryDifference(s, w *url.URL) string {
	switch {
	case s.RawQuery == w.RawQuery && s.ForceQuery == w.ForceQuery:
		return ""
	case w.RawQuery == "":
		return "redirect_query_added"
	}
	return "redirect_query"
}

func fragmentDifference(sent string) string {
	if strings.Contains(sent, "#") {
		return "redirect_fragment"
	}
	return ""
}
