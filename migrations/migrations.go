// Package migrations holds the steps of the schema, forward only. A step is one
// file for both databases, NNNN_name.sql, or, where they do not say it alike, a
// pair, NNNN_name.sqlite.sql and NNNN_name.postgres.sql. It knows nothing else.
package migrations

import (
	"embed"
	"io/fs"
	"slices"
	"strings"
)

//go:embed *.sql
var files embed.FS

// Of returns the steps for a database, "sqlite" or "postgres", in goose's form.
func Of(database string) fs.ReadDirFS { return steps{files, database} }

// steps are the files without those of the other database.
type steps struct {
	embed.FS
	database string
}

func (s steps) ReadDir(name string) ([]fs.DirEntry, error) {
	all, err := s.FS.ReadDir(name)
	return slices.DeleteFunc(all, func(f fs.DirEntry) bool { return !s.own(f.Name()) }), err
}

// own reports whether a file is for both databases, or for this one.
func (s steps) own(name string) bool {
	_, database, pair := strings.Cut(strings.TrimSuffix(name, ".sql"), ".")
	return !pair || database == s.database
}
