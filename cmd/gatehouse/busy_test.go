package main

import (
	"context"
	"testing"
	"time"

	"gatehouse/storage/sqlstore"
	"gatehouse/storage/storagetest"
	"gatehouse/web"
)

func TestHealthTellsAnExhaustedPoolFromADatabaseThatIsGone(t *testing.T) {
	url := storagetest.PostgresURL(t)
	db, err := sqlstore.Open(t.Context(), sqlstore.Options{URL: url, MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	look := func() web.CheckResult {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		return databaseHealth(ctx, db, time.Now)
	}
	release := storagetest.LockTable(t, url, "auth_requests")
	waits := make(chan error, 1)
	go func() { waits <- db.Store().Flows.Take(t.Context(), "r", time.Now()) }()
	for deadline := time.Now().Add(time.Minute); look().Note != "every connection to it is in use"; {
		if time.Now().After(deadline) {
			t.Fatalf("with its one connection in use the database is %+v", look())
		}
	}
	release()
	<-waits
	for deadline := time.Now().Add(time.Minute); look().Status != web.Healthy; {
		if time.Now().After(deadline) {
			t.Fatalf("with its connection free again the database is %+v", look())
		}
	}
}
