package e2e

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

var rollingRequests = flag.Int("requests", 6_000, "how many requests TestAC233 sends through rolling restarts")

// A rolling load is what many users do while the nodes restart one by one.
type rollingLoad struct {
	a        *app
	by       *http.Client
	service  client
	sent     atomic.Int64
	mu       sync.Mutex
	failures []string
}

func TestAC233_NoRequestFailsWhileEachNodeInTurnIsStoppedAndStartedAnew(t *testing.T) {
	s := cluster(t, 2, "GATEHOUSE_DRAIN_DELAY=2s")
	l := &rollingLoad{
		a:  newApp(t, s, "roller", "--skip-consent", "--set", "refresh_grace=300"),
		by: &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
		service: s.addClient("worker", "--grant-type", "client_credentials", "--audience", "https://api.example", "--scope", "jobs:run",
			"--set", "redirect_uris="),
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var workers sync.WaitGroup
	for i := range 6 {
		p := newPerson(t, s.addUser(fmt.Sprint("walker", i)))
		token := l.a.enter(p).token.RefreshToken
		p.http.Transport, p.stopAt = l.by.Transport, l.a.callbackURL()
		workers.Go(func() { l.work(ctx, p, token) })
	}
	begun, restarts := time.Now(), 0
	for restarts < 2*len(s.nodes) || (l.sent.Load() < int64(*rollingRequests) && !l.failed()) {
		n := s.nodes[restarts%len(s.nodes)]
		n.stop()
		n.start()
		s.awaitAgreement(time.Now())
		restarts++
	}
	stop()
	workers.Wait()
	t.Logf("%d requests in %v, %d restarts, %d failures", l.sent.Load(), time.Since(begun).Round(time.Millisecond), restarts, len(l.failures))
	for _, f := range l.failures {
		t.Error(f)
	}
}

// work does one of everything, again and again.
func (l *rollingLoad) work(ctx context.Context, p *person, refreshToken string) {
	for ctx.Err() == nil {
		l.discover(ctx)
		token := l.ask(ctx, "a service's token", l.service, l.a.oauth.Endpoint.TokenURL, url.Values{"grant_type": {"client_credentials"}, "scope": {"jobs:run"}})
		l.introspect(ctx, l.service, token.Access)
		if next := l.ask(ctx, "a refresh", l.a.client, l.a.oauth.Endpoint.TokenURL, refreshing(refreshToken)); next.Refresh != "" {
			refreshToken = next.Refresh
			l.introspect(ctx, l.a.client, next.Access)
		}
		l.signIn(ctx, p)
	}
}

func (l *rollingLoad) discover(ctx context.Context) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.a.server.issuer+"/.well-known/openid-configuration", nil)
	if err != nil {
		l.a.t.Error(err)
		return
	}
	resp, err := l.by.Do(req)
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("status %d", resp.StatusCode)
		}
	}
	l.note(ctx, "discovery", err)
}

// ask sends a form that must be answered 200.
func (l *rollingLoad) ask(ctx context.Context, what string, c client, address string, form url.Values) answer {
	got, err := c.askBy(ctx, l.by, address, form)
	if err == nil && got.status != http.StatusOK {
		err = fmt.Errorf("status %d: %s", got.status, got.body)
	}
	l.note(ctx, what, err)
	return got
}

func (l *rollingLoad) introspect(ctx context.Context, c client, token string) {
	got, err := c.askBy(ctx, l.by, l.a.server.issuer+"/introspect", url.Values{"token": {token}})
	if err == nil && !strings.Contains(got.body, `"active":true`) {
		err = fmt.Errorf("status %d: %s", got.status, got.body)
	}
	l.note(ctx, "an introspection", err)
}

// signIn gets a code by a session that is there, and redeems it.
func (l *rollingLoad) signIn(ctx context.Context, p *person) {
	response, err := l.a.silentCode(ctx, p)
	l.note(ctx, "a sign-in", err)
	if err == nil {
		l.ask(ctx, "a redemption", l.a.client, l.a.oauth.Endpoint.TokenURL, l.a.redemption(response))
	}
}

// note counts a request, and keeps the first failures.
func (l *rollingLoad) note(ctx context.Context, what string, err error) {
	if ctx.Err() != nil {
		return // the load ends, and breaks off what was under way
	}
	l.sent.Add(1)
	if err == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.failures) < 20 {
		l.failures = append(l.failures, fmt.Sprintf("request %d, %s: %v", l.sent.Load(), what, err))
	}
}

func (l *rollingLoad) failed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.failures) > 0
}

func TestAC233_WhatIsInFlightIsFinishedThoughItOutlivesTheDrain(t *testing.T) {
	t.Parallel()
	s := cluster(t, 2, "GATEHOUSE_DRAIN_DELAY=2s")
	worker := s.addClient("worker", "--grant-type", "client_credentials", "--set", "redirect_uris=")
	n := s.nodes[0]
	const form = "grant_type=client_credentials"
	slow := s.dial()
	head := "POST /token HTTP/1.1\r\nHost: " + s.host() + "\r\nContent-Type: application/x-www-form-urlencoded\r\n" +
		"Authorization: Basic " + basic(worker) + "\r\nContent-Length: " + fmt.Sprint(len(form)) + "\r\n\r\n"
	if _, err := io.WriteString(slow, head+form[:10]); err != nil {
		t.Fatal(err)
	}
	kept := n.client()
	if got, err := worker.askBy(t.Context(), kept, s.issuer+"/token", url.Values{"grant_type": {"client_credentials"}}); err != nil || got.status != 200 || got.closes {
		t.Fatalf("before the signal: %d, closes %t, %v", got.status, got.closes, err)
	}

	n.signal(syscall.SIGTERM)
	eventually(t, "/readyz says so", func() bool {
		status, _ := fetch(t, http.MethodGet, n.base+"/readyz", nil)
		return status == http.StatusServiceUnavailable
	})
	if got, err := worker.askBy(t.Context(), kept, s.issuer+"/token", url.Values{"grant_type": {"client_credentials"}}); err != nil || got.status != 200 || !got.closes {
		t.Errorf("while it drains: %d, closes %t, %v", got.status, got.closes, err)
	}
	eventually(t, "it takes no more connections", func() bool {
		c, err := net.Dial("tcp", n.address)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	if _, err := io.WriteString(slow, form[10:]); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(slow), nil)
	if err != nil {
		t.Fatalf("what was in flight was cut off: %v", err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || !resp.Close {
		t.Errorf("what was in flight: %d, closes %t", resp.StatusCode, resp.Close)
	}
	n.awaitEnd()
}

// eventually waits until something holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in 30 s it never was that %s", what)
		}
	}
}
