package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestDocs_TheListOfSettingsIsWhatTheBinaryPrints(t *testing.T) {
	t.Parallel()
	written, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	if printed := prepare(t).run("", "config", "reference"); printed != string(written) {
		t.Error("docs/configuration.md is stale: run make generate and commit the result")
	}
}

var link = regexp.MustCompile(`\]\(([^)#:]+)\)`)

func TestDocs_EveryLinkLeadsToAFile(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, page := range append(pages, "../README.md", "../SECURITY.md", "../CHANGELOG.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			found++
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s: %v", strings.TrimPrefix(page, "../"), err)
			}
		}
	}
	if found < 5 {
		t.Errorf("only %d links were found", found)
	}
}
