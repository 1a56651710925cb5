package redisstore

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/storage"
	"gatehouse/storage/storagetest"
)

func open(t testing.TB, url string, behind storage.Limits, log *slog.Logger) *DB {
	t.Helper()
	db, err := Open(Options{URL: url, Behind: behind, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return db
}

func TestContract(t *testing.T) {
	server := storagetest.Redis(t)
	// Nothing is behind: an act that Redis did not judge is a panic.
	t.Run("redis", func(t *testing.T) {
		storagetest.RunLimits(t, func(t testing.TB) storage.Limits {
			db := open(t, server.URL, nil, nil)
			return apart{db, t.Name() + "/"}
		})
	})
}

// apart gives each test keys of its own.
type apart struct {
	storage.Limits
	prefix string
}

func (a apart) Allow(ctx context.Context, key string, rate storage.Rate) (storage.Decision, error) {
	return a.Limits.Allow(ctx, a.prefix+key, rate)
}

func (a apart) Refund(ctx context.Context, key string, rate storage.Rate) error {
	return a.Limits.Refund(ctx, a.prefix+key, rate)
}

var hourly = storage.Rate{Burst: 5, Every: time.Hour}

// allowed makes 32 acts at once, and says how many were let through.
func allowed(t *testing.T, l storage.Limits, key string) int {
	t.Helper()
	var n atomic.Int64
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			d, err := l.Allow(t.Context(), key, hourly)
			if err != nil {
				t.Error(err)
			}
			if d.Allowed {
				n.Add(1)
			}
		})
	}
	all.Wait()
	return int(n.Load())
}

func TestAC238_WhateverHappensToRedisActsAreCounted(t *testing.T) {
	var log lines
	server := storagetest.Redis(t)
	db := open(t, server.URL, storagetest.SQLite(t).Limits(), slog.New(slog.NewTextHandler(&log, nil)))
	if n := allowed(t, db, "k"); n != 5 {
		t.Fatalf("of 32 acts at once %d are let through, not 5", n)
	}

	server.Stop()
	first := allowed(t, db, "k")
	if first != 5 {
		t.Fatalf("with Redis stopped %d are let through, not the 5 of the database", first)
	}
	if n := allowed(t, db, "k"); n != 0 {
		t.Fatalf("with Redis still stopped %d more are let through", n)
	}
	if err := db.Ping(t.Context()); err == nil {
		t.Fatal("a stopped Redis is well")
	}
	if n := strings.Count(log.String(), "limits are counted in the database"); n != 1 {
		t.Errorf("%d lines in the log for one minute:\n%s", n, log.String())
	}

	server.Start()
	recovered(t, db)
	if n := allowed(t, db, "k"); n != 5 {
		t.Fatalf("with Redis empty again %d are let through, not 5", n)
	}
	if err := db.client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if n := allowed(t, db, "k"); n != 5 {
		t.Fatalf("with Redis flushed %d are let through, not 5", n)
	}
	if n := allowed(t, db, "k"); n != 0 {
		t.Fatalf("after those %d more are let through", n)
	}
}

// serve does not refuse to start without Redis, and says why in the words of doctor.
func TestTheLogSaysWhyRedisDoesNotCount(t *testing.T) {
	for want, settings := range map[string][]string{
		"demands a password":     {"--requirepass", "secret"},
		"is a read-only replica": {"--replicaof", "127.0.0.1", "1"},
		"has no memory left":     {"--maxmemory", "1", "--maxmemory-policy", "noeviction"},
	} {
		var log bytes.Buffer
		db := open(t, storagetest.Redis(t, settings...).URL, storagetest.SQLite(t).Limits(), slog.New(slog.NewTextHandler(&log, nil)))
		if n := allowed(t, db, "k"); n != 5 {
			t.Errorf("%s: %d are let through, not the 5 of the database", want, n)
		}
		if n := strings.Count(log.String(), want); n != 1 {
			t.Errorf("the log says %d times that it %s:\n%s", n, want, &log)
		}
	}
}

// recovered waits until Redis is asked again.
func recovered(t *testing.T, db *DB) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !db.asked() || db.Ping(t.Context()) != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("Redis is back and is not asked")
		}
	}
}

func TestR24_ARedisThatTakesNoWritesCountsNothing(t *testing.T) {
	server := storagetest.Redis(t)
	db := open(t, server.URL, storagetest.SQLite(t).Limits(), nil)
	if err := db.client.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if n := allowed(t, db, "k"); n != 5 {
		t.Errorf("%d are let through, not the 5 of the database", n)
	}
	if db.Ping(t.Context()) == nil {
		t.Error("it is well")
	}
}

func TestR24_ARedisThatHangsHoldsUpFewRequests(t *testing.T) {
	hangs, err := net.Listen("unix", filepath.Join(t.TempDir(), "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer hangs.Close()
	db := open(t, "unix://"+hangs.Addr().String(), storagetest.SQLite(t).Limits(), nil)
	begin := time.Now()
	for range 20 {
		if _, err := db.Allow(t.Context(), "k", hourly); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("20 acts took %v", took)
	}
}

func TestKeysExpireWithWhatTheyCount(t *testing.T) {
	db := open(t, storagetest.Redis(t).URL, nil, nil)
	if _, err := db.Allow(t.Context(), "k", hourly); err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		left, err := db.client.PTTL(t.Context(), name("k")).Result()
		if err != nil || left <= 0 || left > time.Hour {
			t.Errorf("%s the key is kept for %v (%v)", when, left, err)
		}
	}
	check("after an act")
	if err := db.Refund(t.Context(), "k", hourly); err != nil {
		t.Fatal(err)
	}
	check("after a refund")
}

func TestR23_AnAddressThatCannotBeReadIsNotRepeated(t *testing.T) {
	_, err := Open(Options{URL: "rodis://someone:the-password@host"})
	if err == nil || strings.Contains(err.Error(), "the-password") {
		t.Errorf("%v", err)
	}
}

// lines is a log that several goroutines write.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
