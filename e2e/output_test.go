package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// hide notes a secret, so that the end of the test can look for it in
// everything that the server wrote.
func (s *server) hide(what, secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secrets[secret] = what
}

// tokens looks like what must never be logged: our codes, refresh tokens and
// client secrets, and any signed token.
var tokens = regexp.MustCompile(`gh[crs]_[A-Za-z0-9_-]{8,}|eyJ[A-Za-z0-9_-]{16,}\.eyJ[A-Za-z0-9_-]+\.`)

// examineOutput fails the test where the server printed a secret or panicked.
func (s *server) examineOutput() {
	s.t.Helper()
	written := map[string]string{"standard output": s.stdout.String(), "standard error": s.stderr.String()}
	for name, text := range written {
		if found := s.secretIn(text); found != "" {
			s.t.Errorf("%s has %s", name, found)
		}
		if strings.Contains(text, "panic") || strings.Contains(text, "goroutine 1 [") {
			s.t.Errorf("%s tells of a panic:\n%s", name, tail(text, 4<<10))
		}
	}
}

// secretIn names a secret that stands in text, or returns "".
func (s *server) secretIn(text string) string {
	if m := tokens.FindString(text); m != "" {
		return "a token: " + m[:8] + "…"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for secret, what := range s.secrets {
		if strings.Contains(text, secret) {
			return what
		}
	}
	return ""
}

// secretInFiles looks for a planted secret in every file of the data directory
// and names the file and the secret, or returns "".
func (s *server) secretInFiles() (string, error) {
	found := ""
	err := filepath.WalkDir(s.data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if what := s.secretIn(string(content)); what != "" {
			found = d.Name() + " has " + what
		}
		return nil
	})
	return found, err
}
