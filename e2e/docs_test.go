package e2e

import (
	"io/fs"
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

// A quoted message is what somebody pastes into a search: it must be what is printed.
func TestDocs_EveryMessageInTroubleshootingIsPrinted(t *testing.T) {
	t.Parallel()
	said := sources(t)
	text, err := os.ReadFile("../docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, line := range strings.Split(string(text), "\n") {
		for _, part := range messagesOf(line) {
			seen++
			if !strings.Contains(said, part) {
				t.Errorf("nothing prints %q, of the line\n%s", part, line)
			}
		}
	}
	if seen < 120 {
		t.Errorf("only %d messages were found", seen)
	}
}

// sources are all texts of ours that can be printed.
func sources(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == "e2e" || d.Name() == "build"):
			return fs.SkipDir
		case strings.HasSuffix(path, "_test.go"), !strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "locales/en.json"):
			return nil
		}
		content, err := os.ReadFile(path)
		all.Write(content)
		all.WriteByte('\n')
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(all.String(), `\"`, `"`)
}

var (
	quotedMessage = regexp.MustCompile("`([^`]*)`|\"([A-Z][^\"|]*)\"")
	findingCode   = regexp.MustCompile(`\s*\[([a-z_.]+)\]`)
)

// messagesOf are the parts of a row of a table that are printed somewhere: codes
// of findings, sentences in backquotes, words of pages in quotation marks, and,
// where the first column has no quotes, the sentences that it lists.
func messagesOf(line string) (parts []string) {
	columns := strings.Split(strings.Trim(line, "| "), " | ")
	if !strings.HasPrefix(line, "| ") || len(columns) < 3 || strings.HasPrefix(columns[0], "---") || columns[0] == "symptom" || columns[0] == "what is printed" {
		return nil
	}
	printed := columns[0] + ", " + columns[1]
	if !strings.ContainsAny(columns[0]+columns[1], "`[\"") || !strings.Contains(columns[0], "`") && !strings.Contains(columns[1], "[") && !strings.HasPrefix(columns[1], "`") {
		return sentences(columns[0]) // the table of the doctor
	}
	for _, m := range findingCode.FindAllStringSubmatch(printed, -1) {
		parts = append(parts, `"`+m[1]+`"`)
	}
	for _, m := range quotedMessage.FindAllStringSubmatch(findingCode.ReplaceAllString(printed, ""), -1) {
		if message := m[1] + m[2]; strings.Contains(message, " ") {
			parts = append(parts, sentences(message)...)
		}
	}
	return parts
}

// sentences are the pieces of a message between what varies in it.
func sentences(message string) (pieces []string) {
	for _, piece := range regexp.MustCompile(`…|, (or )?`).Split(message, -1) {
		if piece = strings.Trim(piece, " `"); len(piece) > 6 {
			pieces = append(pieces, piece)
		}
	}
	return pieces
}
