package provider

import (
	"context"
	"log/slog"
	"net/url"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/storage"
)

// A silence is a database that vanished without a word: it neither answers nor fails.
type silence struct {
	storage.Deliveries
	asked atomic.Int64
}

func (s *silence) listen(ctx context.Context) error {
	s.asked.Add(1)
	<-ctx.Done()
	return ctx.Err()
}

func (s *silence) Read(ctx context.Context) (map[string]int64, error) { return nil, s.listen(ctx) }

func (s *silence) Claim(ctx context.Context, _ time.Time, _ time.Duration, _ int) ([]*storage.Delivery, error) {
	return nil, s.listen(ctx)
}

func (s *silence) PostForm(context.Context, string, url.Values) (int, error) { return 0, nil }

func TestADatabaseThatSaysNoWordIsAskedAgain(t *testing.T) {
	for name, loop := range map[string]func(*Provider, context.Context) error{"the counters": (*Provider).Run, "what is to be told": (*Provider).Deliver} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := new(silence)
				store := &storage.Store{Changes: s, Deliveries: s}
				p := &Provider{store: store, clients: newMemory(store, time.Now), tell: s, now: time.Now, log: slog.New(slog.DiscardHandler)}
				ctx, stop := context.WithCancel(t.Context())
				go loop(p, ctx)
				time.Sleep(10 * time.Minute)
				if s.asked.Load() < 2 {
					t.Error("it was asked once, and is waited for ever since")
				}
				stop()
				synctest.Wait()
			})
		})
	}
}
