package web

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// A HealthStatus is how well a part, or the whole, is.
type HealthStatus string

// The statuses, best first. Only an unhealthy whole answers 503.
const (
	Healthy   HealthStatus = "healthy"
	Degraded  HealthStatus = "degraded"
	Unhealthy HealthStatus = "unhealthy"
)

var healthRank = map[HealthStatus]int{Healthy: 0, Degraded: 1, Unhealthy: 2}

// A CheckResult is what a check found.
type CheckResult struct {
	Status HealthStatus
	// Note is for everybody: a fixed text such as "not configured", never one
	// that names a host, a path or a version.
	Note string
	// Err goes to the log, and nowhere else.
	Err error
}

// A Check looks at one part of the system.
type Check struct {
	Name string // database, cache, signing_keys, upstreams
	// Run looks, and stops when ctx ends.
	Run func(ctx context.Context) CheckResult
}

// Health runs checks in the background and serves their last results:
// /healthz, /readyz and /api/health/. Callers never make a check run, so they
// cannot load what it looks at.
type Health struct {
	interval time.Duration
	now      func() time.Time
	log      *slog.Logger
	checks   []Check
	draining atomic.Bool

	mu   sync.Mutex
	last map[string]checked
}

// checked is a result, and when it was found.
type checked struct {
	CheckResult
	at   time.Time
	took time.Duration
}

// A result older than so many intervals says nothing any more.
const staleAfter = 3

// NewHealth returns the health of these checks, run each interval.
func NewHealth(interval time.Duration, now func() time.Time, log *slog.Logger, checks ...Check) *Health {
	return &Health{interval: interval, now: now, log: log, checks: checks, last: make(map[string]checked)}
}

// Run runs the checks each interval until ctx ends.
func (h *Health) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(h.pause()):
			h.Look(ctx)
		}
	}
}

// Who is not ready gets no requests: it looks again soon, so as to be back
// when what it lacked is.
const impatience = 20 // times as often

func (h *Health) pause() time.Duration {
	if status, _ := h.results(); status == Unhealthy {
		return h.interval / impatience
	}
	return h.interval
}

// Look runs every check once, side by side, each for at most half an interval.
func (h *Health) Look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, h.interval/2)
	defer cancel()
	var all sync.WaitGroup
	for _, c := range h.checks {
		all.Go(func() {
			begin := h.now()
			result := c.Run(ctx)
			if context.Cause(ctx) != context.Canceled { // the server stops: that says nothing about the part
				h.note(ctx, c.Name, checked{result, begin, h.now().Sub(begin)})
			}
		})
	}
	all.Wait()
}

// note keeps a result, and logs it where the status changed.
func (h *Health) note(ctx context.Context, name string, c checked) {
	h.mu.Lock()
	before, known := h.last[name]
	h.last[name] = c
	h.mu.Unlock()
	switch {
	case c.Status != Healthy && (!known || before.Status != c.Status):
		h.log.ErrorContext(ctx, "health check", "check", name, "status", c.Status, "error", c.Err)
	case c.Status == Healthy && known && before.Status != Healthy:
		h.log.InfoContext(ctx, "health check", "check", name, "status", c.Status)
	}
}

// Drain makes /readyz answer 503 and every answer the last of its connection:
// the server is stopping.
func (h *Health) Drain() { h.draining.Store(true) }

// parting ends connections politely while the server is stopping: who keeps
// one open for more requests learns it with an answer, not by losing a request.
func (h *Health) parting(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.draining.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// Routes adds the three addresses to mux.
func (h *Health) Routes(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", h.alive)
	mux.HandleFunc("GET /readyz", h.ready)
	mux.HandleFunc("GET /api/health", h.report)
	mux.HandleFunc("GET /api/health/{$}", h.report)
}

// alive says that the process answers.
func (h *Health) alive(w http.ResponseWriter, _ *http.Request) {
	writePlain(w, http.StatusOK, "ok")
}

// ready says whether to send requests here.
func (h *Health) ready(w http.ResponseWriter, _ *http.Request) {
	switch status, _ := h.results(); {
	case h.draining.Load():
		writePlain(w, http.StatusServiceUnavailable, "stopping")
	case status == Unhealthy:
		writePlain(w, http.StatusServiceUnavailable, "not ready")
	default:
		writePlain(w, http.StatusOK, "ready")
	}
}

func writePlain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n"))
}

// A healthReport is the body of /api/health/.
type healthReport struct {
	Service   string                 `json:"service"`
	Status    HealthStatus           `json:"status"`
	Timestamp time.Time              `json:"timestamp"`
	Checks    map[string]checkReport `json:"checks"`
}

type checkReport struct {
	Status     HealthStatus `json:"status"`
	Message    string       `json:"message,omitempty"`
	AgeSeconds float64      `json:"age_seconds"`
	DurationMS float64      `json:"duration_ms"`
}

// report serves the last results with their age.
func (h *Health) report(w http.ResponseWriter, _ *http.Request) {
	status, checks := h.results()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if status == Unhealthy {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	// A client that went away is no error of ours.
	_ = json.NewEncoder(w).Encode(healthReport{"gatehouse", status, h.now().UTC().Truncate(time.Millisecond), checks})
}

// results is the last result of each check; the whole is as well as its worst part.
func (h *Health) results() (HealthStatus, map[string]checkReport) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now, worst := h.now(), Healthy
	reports := make(map[string]checkReport, len(h.checks))
	for _, c := range h.checks {
		last, known := h.last[c.Name]
		age := now.Sub(last.at)
		switch {
		case !known:
			last, age = checked{CheckResult: CheckResult{Status: Unhealthy, Note: "not checked yet"}}, 0
		case age > staleAfter*h.interval:
			last.Status, last.Note = Unhealthy, "the last result is too old"
		}
		if healthRank[last.Status] > healthRank[worst] {
			worst = last.Status
		}
		reports[c.Name] = checkReport{last.Status, last.Note, float64(age.Milliseconds()) / 1000, float64(last.took.Microseconds()) / 1000}
	}
	return worst, reports
}
