package web

import (
	"errors"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"gatehouse/provider"
)

// A Form is the body of a form of ours: each field once, and nothing in it
// that a database or a log would choke on.
type Form map[string]string

// What a form may hold (SECURITY-RULES R18).
const (
	maxFields = 64
	maxValue  = 2 << 10
)

var errForm = errors.New("malformed, repeated or too long")

// Form reads the form that r brings. Where it is none of ours the answer is
// given, and ok is false.
func (b *Browser) Form(w http.ResponseWriter, r *http.Request) (f Form, ok bool) {
	f, err := readForm(r)
	if err == nil {
		return f, true
	}
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		b.fail(w, r, tooLarge)
		return nil, false
	}
	b.Error(w, r, provider.PageError{Status: http.StatusBadRequest, Message: provider.BadRequest})
	return nil, false
}

// readForm reads the body alone: what stands in the query is not a form.
func readForm(r *http.Request) (Form, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, errForm
	}
	if err := r.ParseForm(); err != nil {
		return nil, err
	}
	return flat(r.PostForm)
}

func flat(values url.Values) (Form, error) {
	if len(values) > maxFields {
		return nil, errForm
	}
	f := make(Form, len(values))
	for name, all := range values {
		if len(all) != 1 || !plain(name) || !plain(all[0]) {
			return nil, errForm
		}
		f[name] = all[0]
	}
	return f, nil
}

func plain(s string) bool {
	return len(s) <= maxValue && utf8.ValidString(s) && !strings.ContainsRune(s, 0)
}

// Query is one parameter of the address, or nothing where it is repeated or
// malformed.
func Query(r *http.Request, name string) string {
	if all := r.URL.Query()[name]; len(all) == 1 && plain(all[0]) {
		return all[0]
	}
	return ""
}
