package main

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"gatehouse/storage/storagetest"
)

func TestAC238_WithoutRedisTheServerGoesOnAndCounts(t *testing.T) {
	redis := storagetest.Redis(t)
	s := startTest(t, settings(t, map[string]string{"redis_url": redis.URL, "rate_limit.authorize.per_minute": "1"}))
	// ask returns the status of GET path, and whether the body has the words.
	ask := func(path, words string) (int, bool) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.listener.Addr().String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = strings.TrimPrefix(s.cfg.Issuer, "http://")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, strings.Contains(string(body), words)
	}
	once := func(when string) {
		t.Helper()
		if status, _ := ask("/authorize", ""); status == http.StatusTooManyRequests {
			t.Errorf("%s the first request is one too many", when)
		}
		if status, _ := ask("/authorize", ""); status != http.StatusTooManyRequests {
			t.Errorf("%s the second request: %d", when, status)
		}
	}
	once("with Redis")
	redis.Stop()
	once("without Redis")

	s.health.Look(t.Context())
	if status, degraded := ask("/api/health/", `"cache":{"status":"degraded"`); status != http.StatusOK || !degraded {
		t.Errorf("health without Redis: %d, degraded: %t", status, degraded)
	}
	if status, ready := ask("/readyz", "ready"); status != http.StatusOK || !ready {
		t.Errorf("without Redis it is not ready: %d", status)
	}
	if status, page := ask("/login", `name="password"`); status != http.StatusOK || !page {
		t.Errorf("sign-in without Redis: %d", status)
	}
	redis.Start()
	s.health.Look(t.Context())
	if _, healthy := ask("/api/health/", `"cache":{"status":"healthy"`); !healthy {
		t.Error("with Redis again the cache is not healthy")
	}
}
