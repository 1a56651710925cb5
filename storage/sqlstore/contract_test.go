package sqlstore_test

import (
	"testing"

	"gatehouse/storage/storagetest"
)

func TestSQLite(t *testing.T) {
	storagetest.Run(t, func(t testing.TB) storagetest.Backend { return storagetest.SQLite(t) })
}

func TestPostgreSQL(t *testing.T) {
	storagetest.Run(t, func(t testing.TB) storagetest.Backend { return storagetest.PostgreSQL(t) })
}
