package main

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/storage/storagetest"
)

// abuse makes the test of leaks longer: `go test ./cmd/gatehouse -run AC230 -abuse=1h`.
var abuse = flag.Duration("abuse", 3*time.Second, "how long each provider is abused")

// Whatever strangers do, what they occupied is given back: goroutines,
// connections, files.
func TestAC230_NothingIsLeftOfAbuse(t *testing.T) {
	for name, more := range map[string]func(t *testing.T) map[string]string{
		"the embedded database": func(*testing.T) map[string]string { return nil },
		"PostgreSQL and Redis": func(t *testing.T) map[string]string {
			return map[string]string{"database_url": storagetest.PostgresURL(t), "redis_url": storagetest.Redis(t).URL,
				"master_key": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}
		},
	} {
		t.Run(name, func(t *testing.T) {
			set := map[string]string{"rate_limit.anonymous.per_hour": "0", "rate_limit.authorize.per_minute": "0", "password.hash.queue": "4", "issuer": "http://localhost:8000"}
			for setting, value := range more(t) {
				set[setting] = value
			}
			s := startTest(t, settings(t, set))
			a := abuser{t: t, address: s.listener.Addr().String()}
			a.rage(time.Second) // what the first of each makes is no growth
			before := settled(t)
			a.rage(*abuse)
			after := settled(t)
			t.Logf("%d acts; before %+v, after %+v", a.acts, before, after)
			if !after.within(before) {
				t.Errorf("something is left of it: before %+v, after %+v", before, after)
				pprof.Lookup("goroutine").WriteTo(t.Output(), 1)
			}
		})
	}
}

// occupied is what the process holds.
type occupied struct{ goroutines, files, connections int }

// pooled is how many files and connections a pool may open and close as it
// needs them, without anything being lost: what leaks, leaks with every act.
const pooled = 20

// within reports whether o is what b was, give or take a twentieth.
func (o occupied) within(b occupied) bool {
	fits := func(is, was int) bool { return is <= was+max(1, was/20) }
	b.files, b.connections = b.files+pooled, b.connections+pooled
	return fits(o.goroutines, b.goroutines) && fits(o.files, b.files) && fits(o.connections, b.connections)
}

// settled counts when nothing changes any more: connections are let go as
// their time comes.
func settled(t *testing.T) occupied {
	t.Helper()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	last, since := count(t), time.Now()
	for deadline := time.Now().Add(time.Minute); time.Since(since) < time.Second && time.Now().Before(deadline); {
		time.Sleep(50 * time.Millisecond)
		if now := count(t); now != last {
			last, since = now, time.Now()
		}
	}
	return last
}

func count(t *testing.T) (o occupied) {
	t.Helper()
	runtime.GC()
	o.goroutines = runtime.NumGoroutine()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if to, _ := os.Readlink(filepath.Join("/proc/self/fd", f.Name())); strings.HasPrefix(to, "socket:") {
			o.connections++
		} else {
			o.files++
		}
	}
	return o
}

// An abuser does to a server what strangers do.
type abuser struct {
	t       *testing.T
	address string
	mu      sync.Mutex
	acts    int
}

// rage does all of it, side by side, for so long.
func (a *abuser) rage(long time.Duration) {
	ctx, cancel := context.WithTimeout(a.t.Context(), long)
	defer cancel()
	var all sync.WaitGroup
	for _, act := range []func(context.Context){
		a.askAndLeave, a.sayHalf, a.sayNonsense, a.guess, a.wander, a.present, a.listenSlowly,
	} {
		for range 2 {
			all.Go(func() {
				for ctx.Err() == nil {
					act(a.t.Context()) // what was begun ends by itself
					time.Sleep(5 * time.Millisecond)
					a.mu.Lock()
					a.acts++
					a.mu.Unlock()
				}
			})
		}
	}
	all.Wait()
}

func (a *abuser) dial(ctx context.Context, say string) net.Conn {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", a.address)
	if err != nil {
		if ctx.Err() == nil {
			a.t.Errorf("nobody is let in: %v", err)
		}
		return nil
	}
	c.SetDeadline(time.Now().Add(time.Second)) // strangers have no patience
	io.WriteString(c, say)                     // a server that closes is within its rights
	return c
}

const host = "\r\nHost: localhost:8000\r\n"

// askAndLeave breaks off before the answer is there.
func (a *abuser) askAndLeave(ctx context.Context) {
	form := "username=nobody&password=Wrong+horse+7!"
	for _, request := range []string{
		"GET /authorize?client_id=nobody HTTP/1.1" + host + "\r\n",
		fmt.Sprintf("POST /login HTTP/1.1%sContent-Type: application/x-www-form-urlencoded\r\nSec-Fetch-Site: same-origin\r\nContent-Length: %d\r\n\r\n%s", host, len(form), form),
	} {
		if c := a.dial(ctx, request); c != nil {
			c.Close()
		}
	}
}

// sayHalf stops in the middle of a request, and leaves.
func (a *abuser) sayHalf(ctx context.Context) {
	for _, half := range []string{"GET /authorize HT", "POST /token HTTP/1.1" + host + "Content-Length: 100\r\n\r\ngrant_type=", ""} {
		if c := a.dial(ctx, half); c != nil {
			c.Close()
		}
	}
}

// sayNonsense speaks no HTTP.
func (a *abuser) sayNonsense(ctx context.Context) {
	for _, nonsense := range []string{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", "SSH-2.0-x\r\n", "GET / HTTP/1.1" + host + "Transfer-Encoding: chunked\r\n\r\nZZ\r\n\r\n", strings.Repeat("A", 20_000)} {
		if c := a.dial(ctx, nonsense); c != nil {
			io.Copy(io.Discard, c)
			c.Close()
		}
	}
}

func (a *abuser) send(ctx context.Context, method, path string, form url.Values, header http.Header) {
	r, err := http.NewRequestWithContext(ctx, method, "http://"+a.address+path, strings.NewReader(form.Encode()))
	if err != nil {
		a.t.Error(err)
		return
	}
	r.Host, r.Header = "localhost:8000", header
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		if ctx.Err() == nil {
			a.t.Errorf("%s %s got no answer: %v", method, path, err)
		}
		return
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	if resp.StatusCode == http.StatusInternalServerError {
		a.t.Errorf("%s %s broke something", method, path)
	}
}

// guess tries passwords, more than are heard.
func (a *abuser) guess(ctx context.Context) {
	a.send(ctx, "POST", "/login", url.Values{"username": {rand.Text()}, "password": {"Wrong horse 7!"}}, http.Header{"Sec-Fetch-Site": {"same-origin"}})
}

// wander opens pages that are there and pages that are not.
func (a *abuser) wander(ctx context.Context) {
	for _, path := range []string{"/login", "/setup?token=x", "/authorize?client_id=" + rand.Text(), "/nowhere", "/logout", "/.well-known/openid-configuration", "/api/health/"} {
		a.send(ctx, "GET", path, nil, http.Header{})
	}
}

// present shows tokens and secrets that are none.
func (a *abuser) present(ctx context.Context) {
	a.send(ctx, "GET", "/userinfo", nil, http.Header{"Authorization": {"Bearer gha_" + rand.Text()}})
	a.send(ctx, "POST", "/token", url.Values{"grant_type": {"client_credentials"}}, http.Header{"Authorization": {"Basic bm9ib2R5Om5vdGhpbmc="}})
	a.send(ctx, "POST", "/introspect", url.Values{"token": {strings.Repeat(".", 2000)}}, http.Header{})
}

// listenSlowly asks for much and reads little of it.
func (a *abuser) listenSlowly(ctx context.Context) {
	c := a.dial(ctx, strings.Repeat("GET /login HTTP/1.1"+host+"\r\n", 20))
	if c == nil {
		return
	}
	io.ReadFull(c, make([]byte, 100))
	c.Close()
}
