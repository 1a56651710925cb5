package sqlstore_test

import (
	"crypto/rand"
	"errors"
	"net/url"
	"strings"
	"testing"

	"gatehouse/storage"
	"gatehouse/storage/sqlstore"
	"gatehouse/storage/storagetest"
)

// Somebody else migrated, an extension has a table of its own in the same
// schema, and what is said to be the fix is one.
func TestRightsAreAskedOfOurOwnTablesAndTheFixGivesThem(t *testing.T) {
	t.Parallel()
	address := storagetest.PostgresURL(t)
	admin := unchecked(t, address)
	role := "serves_" + strings.ToLower(rand.Text())
	run(t, admin, `CREATE ROLE `+role+` LOGIN`)
	defer func() {
		run(t, admin, `DROP OWNED BY `+role)
		run(t, admin, `DROP ROLE `+role)
	}()
	run(t, admin, `GRANT SELECT ON ALL TABLES IN SCHEMA public TO `+role)
	as, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	as.User = url.User(role)
	o := sqlstore.Options{URL: as.String(), MinConns: 1}
	_, err = sqlstore.Open(t.Context(), o)
	trouble, ok := errors.AsType[*storage.Trouble](err)
	if !ok || !errors.Is(err, sqlstore.ErrRights) {
		t.Fatalf("without rights: %v", err)
	}
	_, grant, _ := strings.Cut(trouble.Fix, "run: ")
	run(t, admin, grant)
	run(t, admin, `CREATE TABLE spatial_ref_sys (srid INTEGER)`)
	open(t, o)
}
