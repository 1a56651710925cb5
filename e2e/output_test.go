package e2e

import (
	"database/sql"
	"encoding/hex"
	"errors"
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

// examineOutput fails the test where a node printed a secret or panicked.
func (s *server) examineOutput() {
	s.t.Helper()
	for _, n := range s.nodes {
		s.examine("standard output", n.stdout.String())
		s.examine("standard error", n.stderr.String())
	}
}

func (s *server) examine(name, text string) {
	s.t.Helper()
	if found := s.secretIn(text); found != "" {
		s.t.Errorf("%s has %s", name, found)
	}
	if strings.Contains(text, "panic") || strings.Contains(text, "goroutine 1 [") {
		s.t.Errorf("%s tells of a panic:\n%s", name, tail(text, 4<<10))
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

// secretInStore looks for a planted secret in everything that is kept: every
// file of the data directories, and every row of a cluster's database. It says
// where which one is, or returns "".
func (s *server) secretInStore() (string, error) {
	for _, n := range s.nodes {
		if found, err := s.secretInFiles(n.dir()); found != "" || err != nil {
			return found, err
		}
	}
	if s.database == "" {
		return "", nil
	}
	return s.secretInRows()
}

func (s *server) secretInFiles(dir string) (found string, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
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

// secretInRows reads every row of every table, as text.
func (s *server) secretInRows() (string, error) {
	db, err := sql.Open("pgx", s.database)
	if err != nil {
		return "", err
	}
	defer db.Close()
	tables, err := column(db, `SELECT tablename FROM pg_tables WHERE schemaname = 'public'`)
	if err != nil {
		return "", err
	}
	seen := 0
	for _, table := range tables {
		rows, err := column(db, `SELECT CAST(t AS TEXT) FROM `+table+` t`)
		if err != nil {
			return "", err
		}
		seen += len(rows)
		if what := s.secretIn(unhexed(strings.Join(rows, "\n"))); what != "" {
			return "table " + table + " has " + what, nil
		}
	}
	if seen == 0 {
		return "", errors.New("the database has no row")
	}
	return "", nil
}

var blob = regexp.MustCompile(`\\x([0-9a-f]{2})+`)

// unhexed shows what PostgreSQL writes as hexadecimal digits as it is.
func unhexed(text string) string {
	return blob.ReplaceAllStringFunc(text, func(digits string) string {
		plain, _ := hex.DecodeString(strings.TrimPrefix(digits, `\x`))
		return string(plain)
	})
}

// column is the one column that a query returns.
func column(db *sql.DB, query string, args ...any) (all []string, err error) {
	rows, err := db.Query(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		all = append(all, text)
	}
	return all, rows.Err()
}
