package storagetest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gatehouse/storage"
)

// slow gives nothing back while a test runs.
var slow = storage.Rate{Burst: 5, Every: time.Hour}

// RunLimits runs the contract of storage.Limits against a backend; open gives
// each test counters that nobody else uses.
func RunLimits(t *testing.T, open func(testing.TB) storage.Limits) {
	allow := func(t rapid.TB, l storage.Limits, key string, r storage.Rate) storage.Decision {
		t.Helper()
		d, err := l.Allow(context.Background(), key, r)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	t.Run("limits", func(t *testing.T) {
		t.Run("a burst is allowed, and then one each interval", func(t *testing.T) {
			t.Parallel()
			l := open(t)
			for i := range slow.Burst {
				d := allow(t, l, "k", slow)
				if !d.Allowed || d.Remaining != slow.Burst-1-i || d.RetryAfter != 0 {
					t.Fatalf("act %d: %+v", i+1, d)
				}
				if want := time.Duration(i+1) * slow.Every; d.ResetAfter > want || d.ResetAfter < want-time.Minute {
					t.Fatalf("act %d: the burst is there again after %v", i+1, d.ResetAfter)
				}
			}
			for range 3 { // a refused act counts for nothing
				d := allow(t, l, "k", slow)
				if d.Allowed || d.Remaining != 0 || d.RetryAfter > slow.Every || d.RetryAfter < slow.Every-time.Minute {
					t.Fatalf("act after the burst: %+v", d)
				}
			}
			if d := allow(t, l, "other", slow); !d.Allowed {
				t.Fatal("another key is refused")
			}
		})
		t.Run("an act is allowed again when it was said to be", func(t *testing.T) {
			t.Parallel()
			l, quick := open(t), storage.Rate{Burst: 1, Every: 200 * time.Millisecond}
			var d storage.Decision
			for range 100 { // a machine that stalls gives acts back meanwhile
				if d = allow(t, l, "k", quick); !d.Allowed {
					break
				}
			}
			if d.Allowed || d.RetryAfter <= 0 || d.RetryAfter > quick.Every {
				t.Fatalf("100 acts in a row end with %+v", d)
			}
			time.Sleep(d.RetryAfter + time.Millisecond)
			if d = allow(t, l, "k", quick); !d.Allowed {
				t.Fatalf("after the wait: %+v", d)
			}
		})
		t.Run("the zero rate is no limit", func(t *testing.T) {
			t.Parallel()
			l := open(t)
			for range 100 {
				if !allow(t, l, "k", storage.Rate{}).Allowed {
					t.Fatal("refused")
				}
			}
			if err := l.Refund(context.Background(), "k", storage.Rate{}); err != nil {
				t.Fatal(err)
			}
		})
		t.Run("a rate that is half a rate still counts, or is no limit", func(t *testing.T) {
			t.Parallel()
			l := open(t)
			for range 10 {
				if !allow(t, l, "endless", storage.Rate{Burst: 5}).Allowed {
					t.Fatal("refused where no time passes between acts")
				}
			}
			one := storage.Rate{Every: time.Hour}
			if d := allow(t, l, "one", one); !d.Allowed || d.Remaining != 0 {
				t.Fatalf("first act of a burst of none: %+v", d)
			}
			if allow(t, l, "one", one).Allowed {
				t.Fatal("second act of a burst of none is allowed")
			}
			if d := allow(t, l, "quick", storage.Rate{Burst: 5, Every: time.Nanosecond}); !d.Allowed || d.Remaining > 5 {
				t.Fatalf("an interval shorter than the clock's: %+v", d)
			}
		})
		t.Run("64 acts at once get no more than the burst", func(t *testing.T) {
			t.Parallel()
			l := open(t)
			var allowed atomic.Int64
			for _, err := range race(64, func(int) error {
				d, err := l.Allow(context.Background(), "k", slow)
				if d.Allowed {
					allowed.Add(1)
				}
				return err
			}) {
				if err != nil {
					t.Fatal(err)
				}
			}
			if allowed.Load() != int64(slow.Burst) {
				t.Fatalf("%d acts were allowed of a burst of %d", allowed.Load(), slow.Burst)
			}
		})
		t.Run("acts and refunds in any order are counted as a bucket counts them", func(t *testing.T) {
			t.Parallel()
			l := open(t)
			run := 0
			rapid.Check(t, func(t *rapid.T) {
				run++
				key := fmt.Sprint("bucket", run)
				rate := storage.Rate{Burst: rapid.IntRange(1, 5).Draw(t, "burst"), Every: time.Hour}
				used := 0
				for _, refund := range rapid.SliceOfN(rapid.Bool(), 1, 15).Draw(t, "refunds") {
					if refund {
						if err := l.Refund(context.Background(), key, rate); err != nil {
							t.Fatal(err)
						}
						used = max(used-1, 0)
						continue
					}
					d := allow(t, l, key, rate)
					if d.Allowed != (used < rate.Burst) {
						t.Fatalf("%d of %d used: %+v", used, rate.Burst, d)
					}
					if d.Allowed {
						used++
					}
					if d.Remaining != rate.Burst-used {
						t.Fatalf("%d of %d used: %d remain", used, rate.Burst, d.Remaining)
					}
				}
			})
		})
	})
}
