package templates

import (
	"embed"
	"fmt"
	"strings"
	"unicode"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"golang.org/x/text/language"
)

//go:embed locales/*.json
var locales embed.FS

// The languages of the pages; the first is the one for everybody else.
var supported = []language.Tag{language.English, language.Vietnamese}

var matcher = language.NewMatcher(supported)

var bundle = func() *i18n.Bundle {
	b := i18n.NewBundle(supported[0])
	for _, tag := range supported {
		if _, err := b.LoadMessageFileFS(locales, "locales/"+tag.String()+".json"); err != nil {
			panic("templates: " + err.Error()) // embedded: a test reads every one
		}
	}
	return b
}()

var texts = func() []*Text {
	all := make([]*Text, len(supported))
	for i, tag := range supported {
		all[i] = &Text{tag: tag.String(), localizer: i18n.NewLocalizer(bundle, tag.String())}
	}
	return all
}()

// A Text is every message in one language.
type Text struct {
	tag       string
	localizer *i18n.Localizer
}

// Languages lists the languages there are, by their tags (BCP 47).
func Languages() []string {
	tags := make([]string, len(texts))
	for i, t := range texts {
		tags[i] = t.tag
	}
	return tags
}

// maxPreference is how much of a list of languages is read.
const maxPreference = 256

// Speak chooses the language of a page. Each preference is a list as in
// ui_locales (separated by spaces) or Accept-Language; the first that names a
// language we have decides.
func Speak(preferences ...string) *Text {
	for _, p := range preferences {
		if p == "" || len(p) > maxPreference {
			continue
		}
		wanted, _, err := language.ParseAcceptLanguage(strings.Join(strings.Fields(p), ","))
		if err != nil {
			continue
		}
		if _, i, confidence := matcher.Match(wanted...); confidence > language.No {
			return texts[i]
		}
	}
	return texts[0]
}

// Spoken is the language with exactly this tag, or nil.
func Spoken(tag string) *Text {
	for _, t := range texts {
		if t.tag == tag {
			return t
		}
	}
	return nil
}

// Tag is the language's tag (BCP 47).
func (t *Text) Tag() string { return t.tag }

// Say is the message id, with names and values put in. A value called Count
// also chooses between singular and plural.
func (t *Text) Say(id string, pairs ...any) string {
	values := make(map[string]any, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		values[fmt.Sprint(pairs[i])] = pairs[i+1]
	}
	// An error may come with a good text: a language that says one as it says many
	// has no form of its own for one.
	s, _ := t.localizer.Localize(&i18n.LocalizeConfig{MessageID: id, TemplateData: values, PluralCount: values["Count"]})
	if s == "" {
		return id // a test knows every id; a page is better off with one word wrong than not drawn
	}
	return s
}

// A run is a stretch of a sentence.
type run struct {
	text   string
	strong bool // a value, set apart from the words around it
}

// The control characters between which a value travels through a message.
const valueBegins, valueEnds = "\x02", "\x03"

// runs is a message cut at its values, so that a page can set them apart
// without markup in messages or values.
func (t *Text) runs(id string, pairs ...string) []run {
	marked := make([]any, len(pairs))
	for i, p := range pairs {
		marked[i] = p
		if i%2 == 1 {
			marked[i] = valueBegins + printable(p) + valueEnds
		}
	}
	var all []run
	rest := t.Say(id, marked...)
	for rest != "" {
		before, after, found := strings.Cut(rest, valueBegins)
		if before != "" {
			all = append(all, run{text: before})
		}
		if !found {
			break
		}
		value, end, _ := strings.Cut(after, valueEnds)
		all = append(all, run{text: value, strong: true})
		rest = end
	}
	return all
}

// printable drops what a value must not bring into a sentence.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, s)
}
