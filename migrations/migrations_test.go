package migrations

import (
	"io/fs"
	"slices"
	"strings"
	"testing"
)

// Both databases go through the same steps, whether a step is one file or two.
func TestBothDatabasesHaveTheSameSteps(t *testing.T) {
	names := func(database string) (all []string) {
		files, err := fs.Glob(Of(database), "*.sql")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			all = append(all, strings.TrimSuffix(strings.TrimSuffix(f, ".sql"), "."+database))
		}
		return all
	}
	sqlite, postgres := names("sqlite"), names("postgres")
	if len(sqlite) < 4 || !slices.Equal(sqlite, postgres) {
		t.Errorf("SQLite has the steps %v, PostgreSQL %v", sqlite, postgres)
	}
	all, err := fs.Glob(files, "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range all {
		if !(steps{files, "sqlite"}).own(name) && !(steps{files, "postgres"}).own(name) {
			t.Errorf("%s is a step of neither database", name)
		}
	}
}
