package web_test

import (
	"fmt"
	"testing"
	"time"

	"gatehouse/storage"
	"gatehouse/storage/storagetest"
	"gatehouse/web"
)

func TestCountersAreLimitsLikeAllOthers(t *testing.T) {
	storagetest.RunLimits(t, func(testing.TB) storage.Limits { return web.NewCounters(nil) })
}

func TestCountersForgetRatherThanGrow(t *testing.T) {
	now := time.Now()
	c := web.NewCounters(func() time.Time { return now })
	rate := storage.Rate{Burst: 1, Every: time.Minute}
	take := func(key string) bool {
		d, err := c.Allow(t.Context(), key, rate)
		if err != nil {
			t.Fatal(err)
		}
		return d.Allowed
	}
	for i := range 100_000 {
		if !take(fmt.Sprint("old", i)) {
			t.Fatal("the first act is refused")
		}
	}
	now = now.Add(2 * time.Minute)
	for i := range 50_000 {
		take(fmt.Sprint("young", i))
	}
	if take("young7") {
		t.Error("what lives was forgotten while there was room")
	}
}

func BenchmarkCounters(b *testing.B) {
	c := web.NewCounters(nil)
	b.ReportAllocs()
	for b.Loop() {
		c.Allow(b.Context(), "authorize:192.0.2.1", storage.Rate{Burst: 600, Every: 100 * time.Millisecond})
	}
}
