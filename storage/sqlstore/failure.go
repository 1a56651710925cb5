package sqlstore

import (
	"context"
	"sync"
	"time"

	"gatehouse/storage"
)

const (
	// maxFailures are kept in all.
	maxFailures = 30_000
	// noteTimeout is how long a page waits for its failure to be kept.
	noteTimeout = 300 * time.Millisecond
)

// What one network can have kept in storage.FailuresKept is about half of
// maxFailures, so that nobody alone can push out the failures of everybody else.
// Errors that clients are sent count apart: some ask all the time whether
// somebody is signed in, and no page must go unexplained for that.
var (
	shownOfNetwork    = storage.Rate{Burst: 30, Every: time.Minute}
	answeredOfNetwork = storage.Rate{Burst: 30, Every: 2 * time.Minute}
	notedOfNode       = storage.Rate{Burst: 300, Every: time.Second}
)

type failures struct{ *DB }

const failureColumns = `code, at, kind, client_id, upstream, sent, expected, details, answered`

func (s failures) Note(ctx context.Context, f *storage.Failure) error {
	if f.Code == "" || !s.noted.allows(account{storage.OriginOf(ctx).Network, f.Answered}, f.At) {
		return nil
	}
	// A browser that went away is explained too.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTimeout)
	defer cancel()
	f = f.Bounded()
	return s.write.exec(ctx, `INSERT INTO failures (`+failureColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING`,
		f.Code, ms(f.At), f.Kind, f.ClientID, f.Upstream, f.Sent, f.Expected, encode(f.Details), f.Answered)
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
	return f, notFound(row.Scan(&f.Code, instant{&f.At}, &f.Kind, &f.ClientID, &f.Upstream, &f.Sent, &f.Expected, decoded{&f.Details}, &f.Answered))
}

// An account is whose failures are counted together.
type account struct {
	network  string
	answered bool
}

func (a account) rate() storage.Rate {
	if a.answered {
		return answeredOfNetwork
	}
	return shownOfNetwork
}

// A budget counts what this node notes, in memory: counting in the database
// would cost what it saves.
type budget struct {
	mu       sync.Mutex
	node     time.Time             // when the whole burst is there again
	accounts map[account]time.Time // the same of each network
}

// allows counts one failure more, unless there were too many. A network that
// had too many takes nothing from the others.
func (b *budget) allows(a account, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	own, ok := counted(b.accounts[a], now, a.rate())
	if !ok {
		return false
	}
	node, ok := counted(b.node, now, notedOfNode)
	if !ok {
		return false
	}
	if b.accounts == nil {
		b.accounts = make(map[account]time.Time)
	}
	b.node, b.accounts[a] = node, own
	b.forget(now)
	return true
}

// maxAccounts are remembered before those that are at rest are forgotten. The
// rate of the node bounds the others.
const maxAccounts = 4096

func (b *budget) forget(now time.Time) {
	if len(b.accounts) < maxAccounts {
		return
	}
	for a, whole := range b.accounts {
		if !whole.After(now) {
			delete(b.accounts, a)
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
