package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/migrations"
	"gatehouse/storage/storagetest"
)

// Both databases say which migrations are applied, pending or foreign, and serve
// refuses with the names of those that are pending.
func TestMigrateStatusTellsAppliedPendingAndForeignApart(t *testing.T) {
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			url, driver, address := "sqlite://"+storagetest.File(t), "sqlite", ""
			if address = strings.TrimPrefix(url, "sqlite://"); kind == "postgres" {
				url, driver = storagetest.PostgresURL(t), "pgx"
				address = url
			}
			t.Setenv("DATABASE_URL", url)
			t.Setenv("GATEHOUSE_MASTER_KEY", testMasterKey)
			t.Setenv("GATEHOUSE_MIGRATE", "manual")
			t.Setenv("GATEHOUSE_DATA_DIR", t.TempDir())
			t.Setenv("GATEHOUSE_CONFIG", emptyFile(t))
			said := func(status int, args ...string) string {
				t.Helper()
				var out, complaint bytes.Buffer
				if got := run(t.Context(), args, strings.NewReader(""), &out, &complaint); got != status {
					t.Fatalf("gatehouse %s ends with %d, want %d: %s%s", strings.Join(args, " "), got, status, &out, &complaint)
				}
				return out.String() + complaint.String()
			}
			files, err := migrations.Of(kind).ReadDir(".")
			if err != nil {
				t.Fatal(err)
			}
			last := files[len(files)-1].Name()

			if text := said(0, "migrate", "status"); strings.Count(text, " applied ") != len(files) || strings.Contains(text, "pending") {
				t.Errorf("a whole schema is shown as\n%s", text)
			}
			// The last one broke off before it was noted, or was not begun.
			version := strings.TrimLeft(strings.SplitN(last, "_", 2)[0], "0")
			execute(t, driver, address, `DELETE FROM goose_db_version WHERE version_id = `+version)
			if text := said(0, "migrate", "status"); !strings.Contains(text, "pending") || strings.Count(text, " applied ") != len(files)-1 {
				t.Errorf("a pending migration is shown as\n%s", text)
			}
			if text := said(1, "serve"); !strings.Contains(text, "pending: "+last) || !strings.Contains(text, "run: gatehouse migrate up") {
				t.Errorf("serve refuses with\n%s", text)
			}
			execute(t, driver, address, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (`+version+`, TRUE), (9999, TRUE)`)
			if text := said(0, "migrate", "status"); !strings.Contains(text, "foreign: unknown to this program") || !strings.Contains(text, "9999") {
				t.Errorf("a foreign migration is shown as\n%s", text)
			}
			if text := said(0, "migrate", "status", "-o", "json"); !strings.Contains(text, `"state": "foreign: unknown to this program"`) {
				t.Errorf("a foreign migration is printed as\n%s", text)
			}
			if text := said(1, "serve"); !strings.Contains(text, "foreign to it: 9999") || !strings.Contains(text, "newer gatehouse") {
				t.Errorf("serve refuses with\n%s", text)
			}
		})
	}
}

func emptyFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gatehouse.yaml")
	writeFile(t, path, "")
	return path
}
