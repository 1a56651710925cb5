package provider

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// Budgets of a request's parameters.
const (
	maxBody       = 64 << 10
	maxParameters = 64
	maxName       = 128
	maxValue      = 2 << 10
	maxLongValue  = 16 << 10
	maxClientID   = 255
)

// longParameters may carry whole tokens.
var longParameters = []string{"id_token_hint", "request", "client_assertion", "assertion", "subject_token", "actor_token", "token", "access_token", "claims"}

// A form is the parameters of one request, each present once. One without a
// value is absent (RFC 6749 §3.1).
type form struct {
	values map[string]string
	names  map[string]bool // all that were there, with a value or without
	// resources: the one parameter that may repeat (RFC 8707 §2).
	resources []string
	// faults are kept beside the values, since whether one may be told to a
	// redirect URI depends on what it is about.
	faults []*fault
}

// A fault is what is wrong with one parameter, or with the request as a whole.
type fault struct {
	parameter string // empty: the request as a whole
	why       string
	status    int
}

func (f *fault) Error() string {
	if f.parameter == "" {
		return f.why
	}
	return f.parameter + " " + f.why
}

func (f *form) get(name string) string { return f.values[name] }

func (f *form) refuse(parameter, why string) {
	f.faults = append(f.faults, &fault{parameter, why, http.StatusBadRequest})
}

// fault returns the first fault of these parameters or of the whole request.
func (f *form) fault(parameters ...string) *fault {
	for _, bad := range f.faults {
		if bad.parameter == "" || slices.Contains(parameters, bad.parameter) {
			return bad
		}
	}
	return nil
}

func (f *form) firstFault() *fault {
	if len(f.faults) == 0 {
		return nil
	}
	return f.faults[0]
}

// readForm reads the parameters of a request strictly: those of a POST from
// its body and nowhere else, since a secret in a URL ends up in logs (RFC 6749
// §3.2), those of any other from the query.
func readForm(r *http.Request) *form {
	f := &form{values: make(map[string]string), names: make(map[string]bool)}
	if r.Method != http.MethodPost {
		f.read(r.URL.RawQuery)
		return f
	}
	if r.URL.RawQuery != "" {
		f.refuse("", "parameters belong in the request body, not in the URL")
		return f
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" || len(r.Header.Values("Content-Type")) > 1 {
		f.refuse("", "Content-Type must be application/x-www-form-urlencoded")
		return f
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	switch _, tooLarge := errors.AsType[*http.MaxBytesError](err); {
	case tooLarge:
		f.faults = append(f.faults, &fault{"", "the request body is larger than 64 KiB", http.StatusRequestEntityTooLarge})
	case err != nil:
		f.refuse("", "the request body could not be read")
	default:
		f.read(string(body))
	}
	return f
}

// read parses: no repeated parameter, no broken encoding, nothing over its budget.
func (f *form) read(raw string) {
	if strings.Count(raw, "&") >= maxParameters {
		f.refuse("", "the request has more than 64 parameters")
		return
	}
	for pair := range strings.SplitSeq(raw, "&") {
		if pair != "" {
			f.add(pair)
		}
	}
}

func (f *form) add(pair string) {
	key, value, _ := strings.Cut(pair, "=")
	name, err := url.QueryUnescape(key)
	if err != nil || !plain(name) || len(name) > maxName {
		f.refuse("", "the request has a parameter whose name is malformed")
		return
	}
	text, err := url.QueryUnescape(value)
	twice := f.names[name] && name != "resource"
	f.names[name] = true
	switch {
	case err != nil:
		f.refuse(name, "is not form-encoded")
	case !readable(text):
		f.refuse(name, "has a character that is not allowed")
	case len(text) > maxValue && !(slices.Contains(longParameters, name) && len(text) <= maxLongValue):
		f.refuse(name, "is too long")
	case twice:
		f.refuse(name, "is repeated")
	case text == "":
	case name == "resource":
		f.resources = append(f.resources, text)
	default:
		f.values[name] = text
	}
}

// readable: text that a database stores and a page shows.
func readable(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// plain: what an error description may repeat (RFC 6749 §5.2).
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
