package web

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// healthAnswer asks h for a path.
func healthAnswer(h *Health, method, path string) *httptest.ResponseRecorder {
	mux := http.NewServeMux()
	h.Routes(mux)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

// fixed is a check that finds what result says at the time.
func fixed(name string, result *CheckResult) Check {
	return Check{Name: name, Run: func(context.Context) CheckResult { return *result }}
}

func newTestHealth(log *slog.Logger, checks ...Check) *Health {
	return NewHealth(10*time.Second, time.Now, log, checks...)
}

func TestTheWholeIsAsWellAsItsWorstPart(t *testing.T) {
	for name, c := range map[string]struct {
		database, cache HealthStatus
		whole           HealthStatus
		report, ready   int
	}{
		"all is well":                         {Healthy, Healthy, Healthy, 200, 200},
		"a lost cache degrades and stops not": {Healthy, Degraded, Degraded, 200, 200},
		"a lost database stops":               {Unhealthy, Healthy, Unhealthy, 503, 503},
		"the worst decides":                   {Unhealthy, Degraded, Unhealthy, 503, 503},
	} {
		t.Run(name, func(t *testing.T) {
			h := newTestHealth(slog.New(slog.DiscardHandler), fixed("database", &CheckResult{Status: c.database}), fixed("cache", &CheckResult{Status: c.cache}))
			h.Look(t.Context())
			w := healthAnswer(h, "GET", "/api/health/")
			var report healthReport
			if err := json.Unmarshal(w.Body.Bytes(), &report); err != nil {
				t.Fatal(err)
			}
			if w.Code != c.report || report.Status != c.whole || report.Service != "gatehouse" ||
				report.Checks["database"].Status != c.database || report.Checks["cache"].Status != c.cache {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if ready := healthAnswer(h, "GET", "/readyz"); ready.Code != c.ready {
				t.Errorf("readyz %d", ready.Code)
			}
			if alive := healthAnswer(h, "GET", "/healthz"); alive.Code != 200 {
				t.Errorf("healthz %d: a process that answers is alive", alive.Code)
			}
		})
	}
}

func TestAC216_HealthShowsNoErrorText(t *testing.T) {
	var log strings.Builder
	secret := "dial tcp db.internal:5432: password hunter2"
	h := newTestHealth(slog.New(slog.NewTextHandler(&log, nil)),
		fixed("database", &CheckResult{Status: Unhealthy, Note: "does not answer", Err: errors.New(secret)}))
	h.Look(t.Context())
	for _, path := range []string{"/healthz", "/readyz", "/api/health/", "/api/health"} {
		w := healthAnswer(h, "GET", path)
		if strings.Contains(w.Body.String(), "db.internal") || strings.Contains(w.Body.String(), "hunter2") {
			t.Errorf("%s: %s", path, w.Body)
		}
		if got := w.Header().Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s: Cache-Control %q", path, got)
		}
	}
	if !strings.Contains(log.String(), "db.internal") {
		t.Error("the operator's log does not say what broke")
	}
}

func TestHealthIsLookedAtInTheBackgroundAndServedWithItsAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		var result atomic.Pointer[CheckResult]
		result.Store(&CheckResult{Status: Healthy})
		var looked atomic.Int64
		h := newTestHealth(slog.New(slog.NewTextHandler(&log, nil)), Check{Name: "database", Run: func(context.Context) CheckResult {
			looked.Add(1)
			return *result.Load()
		}})
		report := func() (r healthReport) {
			if err := json.Unmarshal(healthAnswer(h, "GET", "/api/health/").Body.Bytes(), &r); err != nil {
				t.Fatal(err)
			}
			return r
		}
		if r := report(); r.Status != Unhealthy || r.Checks["database"].Message != "not checked yet" {
			t.Errorf("before the first look: %+v", r)
		}
		h.Look(t.Context())
		ctx, stop := context.WithCancel(t.Context())
		stopped := make(chan error)
		go func() { stopped <- h.Run(ctx) }()

		time.Sleep(4 * time.Second)
		synctest.Wait()
		for range 100 {
			report()
		}
		if r := report(); looked.Load() != 1 || r.Checks["database"].AgeSeconds != 4 {
			t.Errorf("looked %d times, age %v: callers must not make a check run", looked.Load(), r.Checks["database"].AgeSeconds)
		}

		time.Sleep(20 * time.Second)
		synctest.Wait()
		if looked.Load() != 3 {
			t.Errorf("looked %d times in 24 s", looked.Load())
		}
		result.Store(&CheckResult{Status: Unhealthy, Err: errors.New("gone")})
		time.Sleep(8 * time.Second)
		synctest.Wait()
		if r := report(); looked.Load() < 4 || r.Status != Unhealthy {
			t.Errorf("looked %d times: %+v", looked.Load(), r)
		}
		result.Store(&CheckResult{Status: Healthy})
		time.Sleep(time.Second) // who is not ready is impatient
		synctest.Wait()
		if r := report(); r.Status != Healthy {
			t.Errorf("a second after it came back: %+v", r)
		}
		if n := strings.Count(log.String(), "health check"); n != 2 {
			t.Errorf("the log has %d lines, not one for each change:\n%s", n, log.String())
		}

		stop()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if r := report(); r.Status != Unhealthy {
			t.Errorf("a result of a minute ago is still believed: %+v", r)
		}
	})
}

func TestACheckThatHangsIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHealth(slog.New(slog.DiscardHandler), fixed("cache", &CheckResult{Status: Healthy}),
			Check{Name: "database", Run: func(ctx context.Context) CheckResult {
				<-ctx.Done()
				return CheckResult{Status: Unhealthy, Err: ctx.Err()}
			}})
		begin := time.Now()
		h.Look(t.Context())
		if took := time.Since(begin); took != 5*time.Second {
			t.Errorf("the look took %s", took)
		}
		if status, _ := h.results(); status != Unhealthy {
			t.Errorf("status %s", status)
		}
	})
}

func TestAStoppingServerIsNotReady(t *testing.T) {
	h := newTestHealth(slog.New(slog.DiscardHandler))
	if w := healthAnswer(h, "GET", "/readyz"); w.Code != 200 {
		t.Fatalf("before: %d", w.Code)
	}
	h.Drain()
	if w := healthAnswer(h, "GET", "/readyz"); w.Code != 503 {
		t.Errorf("ready: %d", w.Code)
	}
	if w := healthAnswer(h, "GET", "/healthz"); w.Code != 200 {
		t.Errorf("alive: %d", w.Code)
	}
	if w := healthAnswer(h, "POST", "/readyz"); w.Code != 405 {
		t.Errorf("POST: %d", w.Code)
	}
}

func TestAC233_AServerThatStopsEndsItsConnectionsWithAnAnswer(t *testing.T) {
	h := newTestHealth(slog.New(slog.DiscardHandler))
	door := h.parting(http.NotFoundHandler())
	for _, stopping := range []bool{false, true} {
		if stopping {
			h.Drain()
		}
		w := httptest.NewRecorder()
		door.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		if closes := w.Header().Get("Connection") == "close"; closes != stopping {
			t.Errorf("stopping: %t, and the connection ends: %t", stopping, closes)
		}
	}
}
