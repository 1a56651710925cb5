package sqlstore_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"gatehouse/storage"
	"gatehouse/storage/sqlstore"
	"gatehouse/storage/storagetest"
)

// No act holds one connection and asks for another: with a single one, any
// number of them at once take turns, and none fails or waits for itself.
func TestASmallPoolMakesActsWaitAndFailsNone(t *testing.T) {
	t.Parallel()
	db := opened(t, sqlstore.Options{URL: storagetest.PostgresURL(t), MaxConns: 1})
	s := prepared(t, db)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			for name, act := range acts {
				err := act(ctx, s)
				if err != nil && !refused(err) && name != "write a line" { // of which there is one id
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
	all.Wait()
}

// refused reports whether err is what the contract decides.
func refused(err error) bool {
	for _, r := range refusals {
		if errors.Is(err, r) {
			return true
		}
	}
	return false
}

// Whoever waits for a connection waits as long as the request may take, and the
// next one is served.
func TestAnExhaustedPoolIsToldApartFromADatabaseThatIsGone(t *testing.T) {
	t.Parallel()
	for name, db := range map[string]*sqlstore.DB{
		"SQLite":     storagetest.SQLite(t),
		"PostgreSQL": opened(t, sqlstore.Options{URL: storagetest.PostgresURL(t), MaxConns: 1}),
	} {
		held, free := make(chan struct{}), make(chan struct{})
		done := make(chan error, 1)
		go func() { done <- db.Act(t.Context(), func() error { close(held); <-free; return nil }) }()
		<-held
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, err := db.Store().Grants.Rotate(ctx, rotation("g", 1))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: without a connection a request ends with %v", name, err)
		}
		cancel()
		ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
		if err := db.Ping(ctx); !errors.Is(err, sqlstore.ErrBusy) {
			t.Errorf("%s: without a connection the sign of life is %v", name, err)
		}
		cancel()
		close(free)
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, err := db.Store().Grants.Rotate(t.Context(), rotation("g", 1)); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("%s: afterwards it ends with %v", name, err)
		}
	}
}
