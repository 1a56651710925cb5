package templates

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// messages reads the texts of one language: for each id its forms.
func messages(t *testing.T, tag string) map[string][]string {
	t.Helper()
	content, err := locales.ReadFile("locales/" + tag + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var raw map[string]any
	if err := json.Unmarshal(content, &raw); err != nil {
		t.Fatalf("%s: %v", tag, err)
	}
	all := map[string][]string{}
	for id, m := range raw {
		switch m := m.(type) {
		case string:
			all[id] = []string{m}
		case map[string]any:
			for _, form := range m {
				all[id] = append(all[id], form.(string))
			}
		}
	}
	return all
}

var placeholder = regexp.MustCompile(`\{\{\.(\w+)\}\}`)

func placeholders(forms []string) []string {
	var names []string
	for _, f := range forms {
		for _, m := range placeholder.FindAllStringSubmatch(f, -1) {
			names = append(names, m[1])
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func TestEveryLanguageSaysTheSameThings(t *testing.T) {
	english := messages(t, "en")
	for _, tag := range Languages() {
		other := messages(t, tag)
		for id, forms := range english {
			if len(other[id]) == 0 {
				t.Errorf("%s has no text for %s", tag, id)
				continue
			}
			if got, want := placeholders(other[id]), placeholders(forms); !slices.Equal(got, want) {
				t.Errorf("%s: %s has the values %v, and %v in English", tag, id, got, want)
			}
			if slices.Contains(other[id], "") {
				t.Errorf("%s: %s is empty", tag, id)
			}
		}
		for id := range other {
			if len(english[id]) == 0 {
				t.Errorf("%s has a text for %s, and English has none", tag, id)
			}
		}
	}
}

// The ids that pages put together from parts are tested where the parts are.
func TestEveryMessageThatPagesNameHasAText(t *testing.T) {
	sources, err := filepath.Glob("*.templ")
	if err != nil || len(sources) == 0 {
		t.Fatalf("no templates: %v", err)
	}
	sources = append(sources, "layout.templ", "error.templ")
	named := regexp.MustCompile(`(?:say\(ctx, |phrase\(|Say\()"([^"]+)"\s*[,)]`)
	english, found := messages(t, "en"), 0
	for _, path := range sources {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range named.FindAllStringSubmatch(string(content), -1) {
			if found++; len(english[m[1]]) == 0 {
				t.Errorf("%s names %s, which has no text", path, m[1])
			}
		}
	}
	for scope := range knownScopes {
		for _, id := range []string{"scope." + scope, "scope." + scope + ".detail"} {
			if len(english[id]) == 0 {
				t.Errorf("there is no text for %s", id)
			}
		}
	}
	if found < 60 {
		t.Errorf("the templates name %d messages only: does this test still read them?", found)
	}
}

func TestCountsAreSaidInEveryLanguage(t *testing.T) {
	for _, tag := range Languages() {
		for id, forms := range messages(t, tag) {
			if !slices.Contains(placeholders(forms), "Count") {
				continue
			}
			for _, n := range []int{0, 1, 2, 8, 100} {
				if s := Spoken(tag).Say(id, "Count", n); s == id || strings.Contains(s, "{{") {
					t.Errorf("%s: %d of %s is %q", tag, n, id, s)
				}
			}
		}
	}
}

func TestSpeak(t *testing.T) {
	for name, c := range map[string]struct {
		preferences []string
		want        string
	}{
		"nothing is wished":                     {nil, "en"},
		"the application's wish comes first":    {[]string{"vi", "en"}, "vi"},
		"a regional form is good enough":        {[]string{"", "vi-VN,vi;q=0.9,en;q=0.8"}, "vi"},
		"the quality decides":                   {[]string{"fr;q=0.9, vi;q=0.5, en;q=0.1"}, "vi"},
		"an unknown wish passes to the next":    {[]string{"de fr", "vi"}, "vi"},
		"nobody has what is wished":             {[]string{"de", "fr"}, "en"},
		"a wish that is no list is no wish":     {[]string{"<script>", "vi"}, "vi"},
		"a wish without end is not read":        {[]string{strings.Repeat("vi,", 5000), "en"}, "en"},
		"several of ui_locales, in their order": {[]string{"fr vi en"}, "vi"},
	} {
		if got := Speak(c.preferences...).Tag(); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
