// Package redisstore counts limits in Redis, so that nodes share them and no
// counted request writes to the database. It holds nothing that may not be
// lost: where Redis does not answer, the limits behind it count.
package redisstore

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"gatehouse/storage"
)

const (
	answerWithin = 200 * time.Millisecond // for a connection, and for an answer
	restFor      = time.Second            // after no answer, before Redis is asked again
	logEvery     = time.Minute
)

// Options are what a DB is made from.
type Options struct {
	URL    string         // redis://, rediss:// or unix://
	Behind storage.Limits // counts while Redis does not answer
	Log    *slog.Logger   // nil: nothing is logged
}

// A DB is limits in Redis.
type DB struct {
	client  *redis.Client
	address string // without the password
	behind  storage.Limits
	log     *slog.Logger
	rests   atomic.Int64 // Unix nanoseconds until which Redis is not asked
	logged  atomic.Int64 // Unix nanoseconds of the last line about it
}

// Open returns the limits in the Redis at o.URL. It does not wait for an
// answer: Redis may come later than its users. The only error is a URL that
// cannot be read, and it does not repeat the URL, which has a password in it.
func Open(o Options) (*DB, error) {
	c, err := options(o.URL, answerWithin)
	if err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &DB{client: redis.NewClient(c), address: c.Addr, behind: o.Behind, log: o.Log}, nil
}

// options are how the Redis at url is asked, which must answer within so long.
func options(url string, within time.Duration) (*redis.Options, error) {
	c, err := redis.ParseURL(url)
	if err != nil {
		return nil, errors.New("redis_url is not understood; allowed: redis://USER:PASSWORD@HOST:6379/0, rediss://… or unix:///PATH")
	}
	c.DialTimeout, c.ReadTimeout, c.WriteTimeout, c.PoolTimeout = within, within, within, within
	c.ContextTimeoutEnabled = true
	c.MaxRetries = -1 // a second try may count twice, and the limits behind are quicker
	c.DialerRetries = 1
	c.DisableIdentity = true
	c.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	logging.Disable() // what it has to say comes back as errors
	return c, nil
}

// Ping reports whether Redis answers and takes writes, without falling back.
func (d *DB) Ping(ctx context.Context) error {
	_, err := d.count(ctx, "health", storage.Rate{Burst: 1, Every: time.Microsecond})
	return err
}

// Close gives the connections back.
func (d *DB) Close() error { return d.client.Close() }

var _ storage.Limits = (*DB)(nil)

// allow is GCRA as sqlstore has it, in one step and by the clock of Redis: the
// key holds when the whole burst will be there again, in microseconds. Numbers
// of Lua are exact to 2^53, and only %.0f writes them in full.
var allow = redis.NewScript(`
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local every, whole = tonumber(ARGV[1]), tonumber(ARGV[2])
local tat = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
if tat + every - now > whole then
	return {0, tat - now}
end
tat = tat + every
redis.call('SET', KEYS[1], string.format('%.0f', tat), 'PX', math.ceil((tat - now) / 1000))
return {1, tat - now}
`)

// refund leaves what is not there alone: then the burst is whole already.
var refund = redis.NewScript(`
local tat = redis.call('GET', KEYS[1])
if tat then
	redis.call('SET', KEYS[1], string.format('%.0f', tat - ARGV[1]), 'KEEPTTL')
end
return 0
`)

// Allow counts in Redis and, where that does not answer, in the limits behind.
func (d *DB) Allow(ctx context.Context, key string, rate storage.Rate) (storage.Decision, error) {
	if rate.Every <= 0 {
		return storage.Decision{Allowed: true}, nil
	}
	if d.asked() {
		decision, err := d.count(ctx, key, rate)
		if err == nil || ctx.Err() != nil {
			return decision, err
		}
		d.silent(ctx, err)
	}
	return d.behind.Allow(ctx, key, rate)
}

// Refund gives back where acts are counted now.
func (d *DB) Refund(ctx context.Context, key string, rate storage.Rate) error {
	if rate.Every <= 0 {
		return nil
	}
	if d.asked() {
		err := refund.Run(ctx, d.client, []string{name(key)}, micros(rate.Every)).Err()
		if err == nil || ctx.Err() != nil {
			return err
		}
		d.silent(ctx, err)
	}
	return d.behind.Refund(ctx, key, rate)
}

// name is the key in Redis, which others may use too.
func name(key string) string { return "gatehouse:limit:" + key }

func micros(d time.Duration) int64 { return max(d.Microseconds(), 1) }

func (d *DB) count(ctx context.Context, key string, rate storage.Rate) (storage.Decision, error) {
	every := micros(rate.Every)
	whole := every * int64(max(rate.Burst, 1))
	said, err := allow.Run(ctx, d.client, []string{name(key)}, every, whole).Int64Slice()
	if err != nil {
		return storage.Decision{}, err
	}
	used := said[1]
	decision := storage.Decision{Allowed: said[0] == 1, ResetAfter: time.Duration(used) * time.Microsecond}
	if decision.Allowed {
		decision.Remaining = int((whole - used) / every)
	} else {
		decision.RetryAfter = time.Duration(used+every-whole) * time.Microsecond
	}
	return decision, nil
}

// asked reports whether Redis is to be asked. After a failure it rests, so that
// not every request waits for one that hangs.
func (d *DB) asked() bool { return time.Now().UnixNano() >= d.rests.Load() }

// silent notes that Redis did not answer, once a minute in the log.
func (d *DB) silent(ctx context.Context, err error) {
	now := time.Now()
	d.rests.Store(now.Add(restFor).UnixNano())
	last := d.logged.Load()
	if now.UnixNano()-last >= int64(logEvery) && d.logged.CompareAndSwap(last, now.UnixNano()) {
		d.log.WarnContext(ctx, "limits are counted in the database", "error", d.explained(ctx, err))
	}
}
