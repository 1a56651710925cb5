package sqlstore

import (
	"context"
	"sync"
	"time"

	"gatehouse/storage"
)

const (
	// maxFailures are kept in all.
	maxFailures = 20_000
	// noteTimeout is how long a page waits for its failure to be kept.
	noteTimeout = 300 * time.Millisecond
)

// What one network can have kept stays within half of maxFailures, so that
// nobody alone can push out the failures of everybody else.
var (
	notedOfNetwork = storage.Rate{Burst: 30, Every: time.Minute}
	notedOfNode    = storage.Rate{Burst: 300, Every: time.Second}
)

type failures struct{ *DB }

const failureColumns = `code, at, kind, client_id, upstream, sent, expected, details`

func (s failures) Note(ctx context.Context, f *storage.Failure) error {
	if f.Code == "" || !s.noted.allows(storage.OriginOf(ctx).Network, f.At) {
		return nil
	}
	// A browser that went away is explained too.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTimeout)
	defer cancel()
	f = f.Bounded()
	return s.write.exec(ctx, `INSERT INTO failures (`+failureColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING`,
		f.Code, ms(f.At), f.Kind, f.ClientID, f.Upstream, f.Sent, f.Expected, encode(f.Details))
}

func (s failures) Get(ctx context.Context, code string) (*storage.Failure, error) {
	return scanFailure(s.read.row(ctx, `SELECT `+failureColumns+` FROM failures WHERE code = $1`, code))
}

func (s failures) ListByUpstream(ctx context.Context, upstream string, since time.Time, limit int) ([]*storage.Failure, error) {
	return list(ctx, s.read, scanFailure, `SELECT `+failureColumns+` FROM failures
		WHERE upstream = $1 AND upstream <> '' AND at >= $2 ORDER BY at DESC, code DESC LIMIT $3`, upstream, since.UnixMilli(), limit)
}

func scanFailure(row scanner) (*storage.Failure, error) {
	f := new(storage.Failure)
	return f, notFound(row.Scan(&f.Code, instant{&f.At}, &f.Kind, &f.ClientID, &f.Upstream, &f.Sent, &f.Expected, decoded{&f.Details}))
}

// A budget counts what this node notes, in memory: counting in the database
// would cost what it saves.
type budget struct {
	mu       sync.Mutex
	node     time.Time            // when the whole burst is there again
	networks map[string]time.Time // the same of each network
}

// allows counts one failure more, unless there were too many. A network that
// had too many takes nothing from the others.
func (b *budget) allows(network string, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	ofNetwork, ok := counted(b.networks[network], now, notedOfNetwork)
	if !ok {
		return false
	}
	node, ok := counted(b.node, now, notedOfNode)
	if !ok {
		return false
	}
	if b.networks == nil {
		b.networks = make(map[string]time.Time)
	}
	b.node, b.networks[network] = node, ofNetwork
	b.forget(now)
	return true
}

// maxNetworks is how many networks are remembered before those that are at rest
// are forgotten. The rate of the node bounds the others.
const maxNetworks = 4096

func (b *budget) forget(now time.Time) {
	if len(b.networks) < maxNetworks {
		return
	}
	for network, whole := range b.networks {
		if !whole.After(now) {
			delete(b.networks, network)
		}
	}
}

// counted is GCRA: whole is when the whole burst will be there again.
func counted(whole, now time.Time, rate storage.Rate) (time.Time, bool) {
	if whole.Before(now) {
		whole = now
	}
	whole = whole.Add(rate.Every)
	return whole, whole.Sub(now) <= rate.Every*time.Duration(rate.Burst)
}
