package main

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gatehouse/storage/storagetest"
	"gatehouse/web"
)

func TestAC244_ANodeWhoseClockLeavesTheDatabasesIsNotReadyUntilItIsBack(t *testing.T) {
	t.Parallel()
	var off time.Duration
	now := func() time.Time { return time.Now().Add(off) }
	var log strings.Builder
	database := healthChecks(storagetest.PostgreSQL(t), nil, nil, nil, now)[0]
	health := web.NewHealth(time.Minute, time.Now, slog.New(slog.NewTextHandler(&log, nil)), database)
	door := http.NewServeMux()
	health.Routes(door)
	for _, c := range []struct {
		off  time.Duration
		want int
	}{
		{0, 200}, {2 * time.Second, 200}, {-2 * time.Second, 200}, {-time.Hour, 503}, {0, 200}, {time.Hour, 503}, {7 * time.Second, 503}, {-7 * time.Second, 503},
	} {
		off = c.off
		health.Look(t.Context())
		for _, path := range []string{"/readyz", "/api/health/"} {
			w := httptest.NewRecorder()
			if door.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil)); w.Code != c.want {
				t.Errorf("off by %v: %s answers %d %s", c.off, path, w.Code, w.Body)
			}
		}
	}
	if !strings.Contains(log.String(), "time server") {
		t.Errorf("the log does not say what to do: %s", log.String())
	}
}
