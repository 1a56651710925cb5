package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"gatehouse/verify"
)

// quickKeys makes keys live for seconds instead of weeks.
var quickKeys = []string{
	"GATEHOUSE_KEYS_JWKS_MAX_AGE=1s", "GATEHOUSE_KEYS_PUBLISH_LEAD=3s", "GATEHOUSE_KEYS_ROTATE_EVERY=4s", "GATEHOUSE_KEYS_KEEP_AFTER=70s",
	"GATEHOUSE_TOKEN_ACCESS_LIFETIME=8s", "GATEHOUSE_TOKEN_ID_LIFETIME=8s",
}

func TestKeys_NoTokenIsRefusedWhileTheKeysRotateUnderLoad(t *testing.T) {
	const rotations, wanted = 5, 10_000
	s := serve(t, quickKeys...)
	c := s.addClient("worker", "--grant-type", "client_credentials", "--audience", "https://api.example", "--scope", "jobs:run", "--set", "redirect_uris=")
	address := s.endpoint("token_endpoint")

	library, err := verify.New(verify.Config{Issuer: s.issuer, Audience: "https://api.example", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	cache := &keyCache{address: s.endpoint("jwks_uri")}

	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var verified atomic.Int64
	var kids sync.Map
	generations := func() (n int) {
		kids.Range(func(any, any) bool { n++; return true })
		return n
	}
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for ctx.Err() == nil && (verified.Load() < wanted || generations() <= rotations) {
				got, err := c.ask(ctx, address, url.Values{"grant_type": {"client_credentials"}, "scope": {"jobs:run"}})
				if err != nil || got.status != http.StatusOK {
					t.Errorf("no token: %d %s %v", got.status, got.body, err)
					return
				}
				kid, err := cache.verify(ctx, got.Access)
				if err != nil {
					t.Errorf("after %d tokens a client that keeps the keys as long as it may refused one: %v", verified.Load(), err)
					return
				}
				if _, err := library.Verify(ctx, got.Access); err != nil {
					t.Errorf("after %d tokens the verify package refused one: %v", verified.Load(), err)
					return
				}
				kids.Store(kid, true)
				verified.Add(1)
			}
		})
	}
	workers.Wait()
	t.Logf("%d tokens of %d generations of keys were verified, with %d reads of the keys", verified.Load(), generations(), cache.reads)
	if verified.Load() < wanted || generations() <= rotations {
		t.Errorf("verified %d tokens of %d generations of keys", verified.Load(), generations())
	}
}

// A keyCache is the plainest client there is: it keeps the published keys for
// exactly as long as their Cache-Control allows, and never looks again for an
// unknown one.
type keyCache struct {
	address string

	mu    sync.Mutex
	keys  jose.JSONWebKeySet
	until time.Time
	reads int
}

func (k *keyCache) verify(ctx context.Context, token string) (kid string, err error) {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return "", err
	}
	kid = parsed.Headers[0].KeyID
	keys, err := k.current(ctx)
	if err != nil {
		return kid, err
	}
	found := keys.Key(kid)
	if len(found) != 1 {
		return kid, fmt.Errorf("key %s is not among the published", kid)
	}
	return kid, parsed.Claims(found[0].Key, &jwt.Claims{})
}

var maxAge = regexp.MustCompile(`max-age=(\d+)`)

func (k *keyCache) current(ctx context.Context) (jose.JSONWebKeySet, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Now().Before(k.until) {
		return k.keys, nil
	}
	asked := time.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.address, nil)
	if err != nil {
		return k.keys, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return k.keys, err
	}
	defer resp.Body.Close()
	m := maxAge.FindStringSubmatch(resp.Header.Get("Cache-Control"))
	if resp.StatusCode != http.StatusOK || m == nil {
		return k.keys, fmt.Errorf("the keys: %d, Cache-Control %q", resp.StatusCode, resp.Header.Get("Cache-Control"))
	}
	seconds, err := strconv.Atoi(m[1])
	if err != nil {
		return k.keys, err
	}
	var keys jose.JSONWebKeySet
	if err := json.NewDecoder(resp.Body).Decode(&keys); err != nil {
		return k.keys, err
	}
	k.keys, k.until, k.reads = keys, asked.Add(time.Duration(seconds)*time.Second), k.reads+1
	return k.keys, nil
}
