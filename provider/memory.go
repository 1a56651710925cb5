package provider

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"gatehouse/storage"
)

const (
	maxRemembered = 10_000
	reread        = time.Second
	// staleAfter: a node whose last look at the counters is older asks the database.
	staleAfter = 2 * time.Second
	// lookWithin: a look that takes longer is given up for the next one. A server
	// that vanished says no word, and nobody would look again.
	lookWithin = 5 * time.Second
)

// A memory keeps clients that were read, and drops them all when the counter of
// clients moved. What is absent is never kept, so a new client is seen at once.
type memory struct {
	store *storage.Store
	now   func() time.Time

	mu      sync.RWMutex
	clients map[string]*storage.Client
	counter int64
	lookAt  time.Time // of the last look at the counters
}

func newMemory(store *storage.Store, now func() time.Time) *memory {
	return &memory{store: store, now: now, clients: make(map[string]*storage.Client)}
}

// client returns the client with this id, enabled or not, and whether it was
// kept in memory. It is shared and must not be changed.
func (m *memory) client(ctx context.Context, id string) (c *storage.Client, kept bool, err error) {
	if id == "" || len(id) > maxClientID {
		return nil, false, storage.ErrNotFound
	}
	m.mu.RLock()
	c, counter := m.clients[id], m.counter
	fresh := m.now().Sub(m.lookAt) <= staleAfter
	m.mu.RUnlock()
	if c != nil && fresh {
		return c, true, nil
	}
	if c, err = m.store.Clients.Get(ctx, id); err != nil || !fresh {
		return c, false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	// Read before the counter moved, it may be old already.
	if m.counter == counter {
		if len(m.clients) >= maxRemembered {
			clear(m.clients)
		}
		m.clients[id] = c
	}
	return c, false, nil
}

func (m *memory) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	at := m.now() // before the read: what it shows is at least so new
	counters, err := m.store.Changes.Read(ctx)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lookAt = at
	if n := counters[storage.ClientsChanged]; n != m.counter {
		m.counter = n
		clear(m.clients)
	}
	return nil
}

func (m *memory) run(ctx context.Context, log *slog.Logger) error {
	tick := time.NewTicker(reread)
	defer tick.Stop()
	for {
		if err := m.look(ctx); err != nil && ctx.Err() == nil {
			log.ErrorContext(ctx, "read the change counters", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
