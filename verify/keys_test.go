package verify_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/verify"
)

func accepted(t *testing.T, v *verify.Verifier, token string) {
	t.Helper()
	if _, err := v.Verify(t.Context(), token); err != nil {
		t.Errorf("refused: %v", err)
	}
}

func refused(t *testing.T, v *verify.Verifier, token string, want verify.Check) {
	t.Helper()
	if _, err := v.Verify(t.Context(), token); !errors.Is(err, want) {
		t.Errorf("got %v, want the check %q", err, string(want))
	}
}

func TestANewKeyIsFoundAndAWithdrawnOneForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newUnheard(t)
		v := p.verifier(t, nil)
		accepted(t, v, p.token(t, "ES256", time.Now()))

		time.Sleep(time.Minute)
		p.set(func() { p.keys = nil })
		p.publish(t, "next", "ES256", signers()["next"])
		accepted(t, v, p.token(t, "next", time.Now()))
		refused(t, v, p.token(t, "ES256", time.Now()), verify.ErrUnknownKey)
	})
}

// A service that was idle for long must not take a withdrawn key once more.
func TestAWithdrawnKeyIsRefusedAfterAnIdleTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newUnheard(t)
		v := p.verifier(t, nil)
		accepted(t, v, p.token(t, "ES256", time.Now()))
		p.set(func() { p.keys = p.keys[:1] })
		time.Sleep(time.Hour)
		refused(t, v, p.token(t, "ES256", time.Now()), verify.ErrUnknownKey)
	})
}

func TestKeysAreKeptAsLongAsTheProviderSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newUnheard(t)
		v := p.verifier(t, nil)
		for range 299 {
			accepted(t, v, p.token(t, "ES256", time.Now()))
			time.Sleep(time.Second)
		}
		if n := p.count(); n != 1 {
			t.Errorf("fetched %d times within max-age", n)
		}
		time.Sleep(time.Second)
		accepted(t, v, p.token(t, "ES256", time.Now())) // starts it, and does not wait
		synctest.Wait()
		if n := p.count(); n != 2 {
			t.Errorf("fetched %d times after max-age", n)
		}
	})
}

func TestCacheControlIsHonouredWithinBounds(t *testing.T) {
	for _, c := range []struct {
		name, header string
		kept         time.Duration
	}{
		{"a few seconds", "public, max-age=5", 5 * time.Second},
		{"nothing said", "", 10 * time.Minute},
		{"no-store", "no-store", time.Second},
		{"max-age 0", "max-age=0", time.Second},
		{"a year", "max-age=31536000", 24 * time.Hour},
		{"more seconds than fit", "max-age=99999999999999999999", 24 * time.Hour},
		{"nonsense", "max-age=soon", time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newUnheard(t)
				p.cacheControl = c.header
				v := p.verifier(t, nil)
				accepted(t, v, p.token(t, "ES256", time.Now()))
				time.Sleep(c.kept - 1)
				accepted(t, v, p.token(t, "ES256", time.Now()))
				synctest.Wait()
				if n := p.count(); n != 1 {
					t.Errorf("fetched %d times before %s", n, c.kept)
				}
				time.Sleep(time.Nanosecond)
				accepted(t, v, p.token(t, "ES256", time.Now()))
				synctest.Wait()
				if n := p.count(); n != 2 {
					t.Errorf("fetched %d times after %s", n, c.kept)
				}
			})
		})
	}
}

func TestGoesOnWhileTheProviderIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newUnheard(t)
		v := p.verifier(t, nil)
		accepted(t, v, p.token(t, "ES256", time.Now()))
		p.set(func() { p.down = true })
		for range 24 {
			time.Sleep(time.Hour)
			accepted(t, v, p.token(t, "ES256", time.Now()))
			refused(t, v, p.token(t, "next", time.Now()), verify.ErrUnknownKey)
		}
		// Once it is back, so is everything else.
		p.set(func() { p.down = false })
		p.publish(t, "next", "ES256", signers()["next"])
		time.Sleep(10 * time.Second)
		accepted(t, v, p.token(t, "next", time.Now()))
	})
}

// A provider that takes the connection and never answers holds up one moment's
// callers, once, for no longer than a fetch may take.
func TestAProviderThatHangsHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newUnheard(t)
		v := p.verifier(t, nil)
		accepted(t, v, p.token(t, "ES256", time.Now()))
		p.set(func() { p.hang = make(chan struct{}) })
		time.Sleep(5 * time.Minute) // stale, not yet late
		for range 600 {
			start := time.Now()
			accepted(t, v, p.token(t, "ES256", start))
			if took := time.Since(start); took != 0 {
				t.Fatalf("waited %s", took)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(3 * time.Second) // let the last fetch end
	})
}

func TestTheCallersDeadlineIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newUnheard(t)
		p.hang = make(chan struct{})
		v := p.verifier(t, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := v.Verify(ctx, p.token(t, "ES256", start))
		if took := time.Since(start); took != 50*time.Millisecond {
			t.Errorf("it took %s", took)
		}
		if !errors.Is(err, verify.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		// Whoever has more time waits for the same fetch, and no longer than it may take.
		_, err = v.Verify(t.Context(), p.token(t, "ES256", start))
		if took := time.Since(start); took != 3*time.Second || !errors.Is(err, verify.ErrUnavailable) {
			t.Errorf("after %s: %v", took, err)
		}
	})
}

// A caller that gives up must not end the fetch that others wait for.
func TestOneFetchServesAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newUnheard(t)
		p.hang = make(chan struct{})
		v := p.verifier(t, nil)
		token := p.token(t, "ES256", time.Now())
		impatient, giveUp := context.WithCancel(t.Context())
		var served atomic.Int32
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := v.Verify(impatient, token); !errors.Is(err, context.Canceled) {
				t.Errorf("the impatient one got %v", err)
			}
		})
		synctest.Wait()
		for range 100 {
			wg.Go(func() {
				if _, err := v.Verify(t.Context(), token); err == nil {
					served.Add(1)
				}
			})
		}
		synctest.Wait()
		giveUp()
		synctest.Wait()
		close(p.hang)
		wg.Wait()
		if served.Load() != 100 || p.count() != 1 {
			t.Errorf("%d of 100 served by %d fetches", served.Load(), p.count())
		}
	})
}

// Made-up key ids cost the provider one fetch an interval, however many there are.
func TestAFloodOfUnknownKeysIsOneFetchAnInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newUnheard(t)
		v := p.verifier(t, func(c *verify.Config) { c.RefetchInterval = 20 * time.Second })
		accepted(t, v, p.token(t, "ES256", time.Now()))
		flood := func() {
			var wg sync.WaitGroup
			for i := range 500 {
				wg.Go(func() {
					refused(t, v, sign(t, "ES256", fmt.Sprintf("made up %d", i), signers()["next"], p.claims(time.Now()), nil), verify.ErrUnknownKey)
				})
			}
			wg.Wait()
		}
		flood()
		if n := p.count(); n != 1 {
			t.Errorf("%d fetches right after the first", n)
		}
		for interval := range 3 {
			time.Sleep(20 * time.Second)
			flood()
			flood()
			if n := p.count(); n != 2+interval {
				t.Errorf("%d fetches in interval %d", n, interval)
			}
		}
		p.set(func() { p.down = true })
		asked := p.asked
		time.Sleep(20 * time.Second)
		flood()
		flood()
		if n := p.asked - asked; n != 1 {
			t.Errorf("%d attempts while it is down", n)
		}
	})
}

func TestStartsBeforeItsProviderDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newUnheard(t)
		p.down = true
		v := p.verifier(t, nil)
		for range 100 {
			refused(t, v, p.token(t, "ES256", time.Now()), verify.ErrUnavailable)
		}
		if p.asked != 1 {
			t.Errorf("asked %d times in no time", p.asked)
		}
		p.set(func() { p.down = false })
		time.Sleep(time.Second)
		accepted(t, v, p.token(t, "ES256", time.Now()))
	})
}

// What the provider, or whoever stands in its way, may answer.
func TestDocumentsThatAreNotBelieved(t *testing.T) {
	elsewhere := newProvider(t)
	for _, c := range []struct {
		name      string
		discovery func(w http.ResponseWriter, r *http.Request, self string)
		want      string
	}{
		{"discovery of another issuer", func(w http.ResponseWriter, _ *http.Request, self string) {
			fmt.Fprintf(w, `{"issuer":"https://evil.example","jwks_uri":%q}`, self+"/jwks")
		}, "issuer"},
		{"discovery redirected to another host", func(w http.ResponseWriter, r *http.Request, _ string) {
			http.Redirect(w, r, elsewhere.Issuer+r.URL.Path, http.StatusFound)
		}, "redirected"},
		{"discovery that is redirected for ever", func(w http.ResponseWriter, r *http.Request, _ string) {
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
		}, "redirected"},
		{"keys over plain http from another machine", func(w http.ResponseWriter, _ *http.Request, self string) {
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":"http://id.example/jwks"}`, self)
		}, "https"},
		{"no address of keys", func(w http.ResponseWriter, _ *http.Request, self string) {
			fmt.Fprintf(w, `{"issuer":%q}`, self)
		}, "jwks_uri"},
		{"more than 64 KiB", func(w http.ResponseWriter, _ *http.Request, self string) {
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q,"x":%q}`, self, self+"/jwks", strings.Repeat("x", 64<<10))
		}, "65536"},
		{"a page instead of JSON", func(w http.ResponseWriter, _ *http.Request, _ string) {
			fmt.Fprint(w, "<!doctype html>")
		}, "invalid"},
		{"no usable key", func(w http.ResponseWriter, _ *http.Request, self string) {
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, self, self+"/none")
		}, "none can be used"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var self string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/jwks":
					elsewhere.ServeHTTP(w, r)
				case "/none":
					// A secret, an encryption key, a short RSA key, another curve, and one without id.
					fmt.Fprint(w, `{"keys":[{"kty":"oct","kid":"ES256","k":"AAAA"},
						{"kty":"OKP","crv":"Ed25519","kid":"EdDSA","use":"enc","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
						{"kty":"RSA","kid":"RS256","n":"AQAB","e":"AQAB"},
						{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
						"nonsense"]}`)
				default:
					c.discovery(w, r, self)
				}
			}))
			defer server.Close()
			self = server.URL
			p := &smallProvider{Issuer: self}
			_, err := p.verifier(t, nil).Verify(t.Context(), p.token(t, "ES256", time.Now()))
			if !errors.Is(err, verify.ErrUnavailable) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want it to name %q", err, c.want)
			}
		})
	}
}

// One key that cannot be read must not take the others with it.
func TestADamagedKeyDoesNotSpoilTheOthers(t *testing.T) {
	p := newProvider(t)
	p.set(func() {
		p.keys = append(p.keys[:0:0], []byte(`{"kty":"AKP","kid":"of the future"}`), []byte(`7`), p.keys[2])
	})
	accepted(t, p.verifier(t, nil), p.token(t, "ES256", time.Now()))
}
