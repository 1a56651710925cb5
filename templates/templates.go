// Package templates is how every page looks: the markup, the style sheet, the
// mark, and the words in each language. It takes plain view structs and knows
// nothing else of the house: a page is drawn in a test with three lines.
package templates

import (
	"context"
	"strings"
	"unicode"

	"github.com/a-h/templ"
)

//go:generate go run github.com/a-h/templ/cmd/templ@v0.3.1020 generate

// A Frame is what stands around every page.
type Frame struct {
	Text *Text  // the language
	Base string // the issuer's path: in front of every address of ours
	Site string // the issuer's host, so that people see where they are
	// Here is where this page can be had by GET, with its query: the links to
	// the other languages lead there. Empty: there are none.
	Here string
}

type frameKey struct{}

// In returns the context in which a page is drawn within f.
func In(ctx context.Context, f Frame) context.Context {
	return context.WithValue(ctx, frameKey{}, f)
}

// frame is the frame that In put there: English and no site without one.
func frame(ctx context.Context) Frame {
	f, ok := ctx.Value(frameKey{}).(Frame)
	if !ok || f.Text == nil {
		f.Text = Speak()
	}
	return f
}

// say is the message id in the language of the page.
func say(ctx context.Context, id string, pairs ...any) string {
	return frame(ctx).Text.Say(id, pairs...)
}

// at is an address of ours, below the issuer's path.
func at(ctx context.Context, path string) string { return frame(ctx).Base + path }

// away is an address that somebody else registered: http, https, or the
// private scheme of a native application (RFC 8252 §7.1). Any other leads nowhere.
func away(uri string) templ.SafeURL {
	scheme, _, found := strings.Cut(uri, ":")
	scheme = strings.ToLower(scheme)
	if found && (scheme == "https" || scheme == "http" || strings.Contains(scheme, ".")) {
		return templ.SafeURL(uri)
	}
	return "#"
}

// inLanguage is this page in the language with this tag.
func inLanguage(here, tag string) string {
	separator := "?"
	if strings.Contains(here, "?") {
		separator = "&"
	}
	return here + separator + "lang=" + tag
}

// An App is the application that sent a person here.
type App struct {
	Name   string // empty: its host, or its id, is shown
	Host   string // where the answer goes
	Home   string // a way back; empty: none is known
	Policy string
	Terms  string
	// Development: it runs over plain http, on a loopback name.
	Development bool
}

// A Person is whoever is signed in.
type Person struct {
	Name  string // may be empty
	Login string
}

// shown is what to call a person in a heading.
func (p Person) shown() string {
	if p.Name != "" {
		return p.Name
	}
	return p.Login
}

// initial is the letter in the round badge of a name.
func initial(name string) string {
	for _, r := range name {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return string(unicode.ToUpper(r))
		}
	}
	return "·"
}

// A Problem is one thing wrong with a form.
type Problem struct {
	Field string // the name of the input; empty: the form as a whole
	Text  string // in the language of the page
}

// Problems are all that is wrong with a form.
type Problems []Problem

// of is what is wrong with one field.
func (ps Problems) of(field string) []string {
	var texts []string
	for _, p := range ps {
		if p.Field == field {
			texts = append(texts, p.Text)
		}
	}
	return texts
}

// summary is one problem of each field: the others stand beside the field.
func (ps Problems) summary() Problems {
	var first Problems
	seen := map[string]bool{}
	for _, p := range ps {
		if p.Field == "" || !seen[p.Field] {
			first = append(first, p)
		}
		seen[p.Field] = true
	}
	return first
}

// focused reports whether the cursor belongs in this field: the first that is
// wrong, or else first, the first of the form.
func (ps Problems) focused(field, first string) bool {
	for _, p := range ps {
		if p.Field != "" {
			return p.Field == field
		}
	}
	return field == first
}
