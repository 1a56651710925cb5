package web

import (
	"slices"
	"testing"

	"gatehouse/identity"
	"gatehouse/provider"
	"gatehouse/templates"
)

// Every error that a person can meet has a text of its own in every language.
func TestEveryErrorHasATextInEveryLanguage(t *testing.T) {
	ids := append(Messages(),
		provider.MissingParameter, provider.InvalidParameter, provider.BadRequest, provider.WrongMethod, provider.RequestUnknown,
		provider.RequestExpired, provider.RequestSpent, provider.OtherBrowser, provider.Unavailable)
	for _, id := range slices.Clone(ids) {
		ids = append(ids, id+".title")
	}
	ids = append(ids, identity.Messages()...)
	for _, rule := range identity.Rules {
		ids = append(ids, string(rule))
	}
	english := templates.Spoken("en")
	for _, tag := range templates.Languages() {
		text := templates.Spoken(tag)
		for _, id := range ids {
			said := text.Say(id, "Count", 8)
			if said == id {
				t.Errorf("%s has no text for %s", tag, id)
			}
			if tag != "en" && said == english.Say(id, "Count", 8) {
				t.Errorf("%s says %s in English", tag, id)
			}
		}
	}
}
