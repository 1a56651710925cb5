package keys_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/keys"
	"gatehouse/storage"
	"gatehouse/storage/storagetest"
)

// A clock that tests move on.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) skip(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

var table = keys.Timetable{RotateEvery: 10 * time.Hour, PublishLead: time.Hour, KeepAfter: 2 * time.Hour}

func newMaster(t testing.TB, b byte) *keys.Master {
	t.Helper()
	m, err := keys.NewMaster(slices.Repeat([]byte{b}, keys.MasterKeySize))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func newRing(t testing.TB, store *storage.Store, master *keys.Master, now func() time.Time) *keys.Ring {
	t.Helper()
	return keys.NewRing(keys.Config{Store: store.Keys, Changes: store.Changes, Master: master, Timetable: table,
		JWKSMaxAge: time.Minute, Reread: 5 * time.Millisecond, Now: now})
}

func start(t testing.TB, r *keys.Ring) *keys.Ring {
	t.Helper()
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// run runs the ring until the test ends.
func run(t *testing.T, r *keys.Ring) {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// until waits for what a ring does by itself.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for range 2000 {
		if is() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("waited in vain until %s", what)
}

func TestEveryAlgorithmSignsAfterTheFirstStart(t *testing.T) {
	r := start(t, newRing(t, storagetest.SQLite(t).Store(), newMaster(t, 1), time.Now))
	if got := r.Active(); !slices.Equal(got, []string{keys.RS256, keys.ES256}) {
		t.Errorf("before the first answer %v sign", got)
	}
	run(t, r)
	until(t, "all algorithms sign", func() bool { return slices.Equal(r.Active(), keys.Algorithms) })
	for _, algorithm := range keys.Algorithms {
		signer, err := r.Signer(algorithm)
		if err != nil {
			t.Fatal(err)
		}
		token, err := signer.Sign(keys.TypeJWT, map[string]string{"sub": "a"})
		if err != nil {
			t.Fatal(err)
		}
		payload, err := r.Verify(token, keys.TypeJWT)
		if err != nil || string(payload) != `{"sub":"a"}` {
			t.Errorf("%s: %s, %v", algorithm, payload, err)
		}
	}
}

func TestR13_WhatTheRingDoesNotVerify(t *testing.T) {
	store := storagetest.SQLite(t).Store()
	r := start(t, newRing(t, store, newMaster(t, 1), time.Now))
	other := start(t, newRing(t, storagetest.SQLite(t).Store(), newMaster(t, 1), time.Now))
	sign := func(r *keys.Ring, algorithm, typ string) string {
		signer, err := r.Signer(algorithm)
		if err != nil {
			t.Fatal(err)
		}
		token, err := signer.Sign(typ, map[string]string{"sub": "a"})
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	good := sign(r, keys.ES256, keys.TypeJWT)
	parts := strings.Split(good, ".")
	for _, c := range []struct {
		name, token string
		want        error
	}{
		{"another issuer's key", sign(other, keys.ES256, keys.TypeJWT), keys.ErrUnknownKey},
		{"another type", sign(r, keys.ES256, keys.TypeAccessToken), keys.ErrType},
		{"no signature", "eyJhbGciOiJub25lIn0." + parts[1] + ".", keys.ErrMalformed},
		{"other claims", parts[0] + ".eyJzdWIiOiJiIn0." + parts[2], keys.ErrSignature},
		{"the header of another key", strings.Split(sign(r, keys.RS256, keys.TypeJWT), ".")[0] + "." + parts[1] + "." + parts[2], keys.ErrSignature},
		{"nothing", "", keys.ErrMalformed},
		{"AC-271 100,000 dots", strings.Repeat(".", 100_000), keys.ErrMalformed},
		{"cut", good[:len(good)-1], keys.ErrMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := r.Verify(c.token, keys.TypeJWT); !errors.Is(err, c.want) {
				if !(c.name == "cut" && errors.Is(err, keys.ErrSignature)) {
					t.Errorf("got %v, want %v", err, c.want)
				}
			}
		})
	}
}

func TestAC246_TwoNodesThatRotateAtOnceMakeOneKey(t *testing.T) {
	store := storagetest.SQLite(t).Store()
	now := &clock{now: time.Now()}
	master := newMaster(t, 1)
	a := start(t, newRing(t, store, master, now.Now))
	b := start(t, newRing(t, store, master, now.Now))
	var both sync.WaitGroup
	for _, r := range []*keys.Ring{a, b} {
		both.Go(func() { r.Rotate(t.Context(), keys.ES256) }) // one of them comes second
	}
	both.Wait()
	generations := 0
	all, err := a.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if s.Key.Algorithm == keys.ES256 {
			generations++
		}
	}
	if generations != 2 {
		t.Fatalf("%d generations, want 2", generations)
	}
	run(t, a)
	run(t, b)
	signs := func(r *keys.Ring) string {
		s, err := r.Signer(keys.ES256)
		if err != nil {
			t.Fatal(err)
		}
		return s.KeyID
	}
	first := signs(a)
	now.skip(table.PublishLead - time.Second)
	if signs(a) != first || signs(b) != first {
		t.Error("the new key signs before its time")
	}
	now.skip(time.Second)
	until(t, "both sign with the new key", func() bool { return signs(a) != first && signs(a) == signs(b) })
}

func TestAKeyLeavesTheJWKSWhenItsLastTokenIsOver(t *testing.T) {
	store := storagetest.SQLite(t).Store()
	now := &clock{now: time.Now()}
	r := start(t, newRing(t, store, newMaster(t, 1), now.Now))
	run(t, r)
	signer, err := r.Signer(keys.ES256)
	if err != nil {
		t.Fatal(err)
	}
	first, published := signer.KeyID, func(kid string) bool {
		body, _ := r.JWKS()
		return strings.Contains(string(body), kid)
	}
	until(t, "all algorithms sign", func() bool { return len(r.Active()) == 4 })
	now.skip(table.RotateEvery - table.PublishLead)
	until(t, "the next key is published", func() bool {
		body, _ := r.JWKS()
		var set struct{ Keys []struct{ Alg string } }
		if json.Unmarshal(body, &set) != nil {
			return false
		}
		n := 0
		for _, k := range set.Keys {
			if k.Alg == keys.ES256 {
				n++
			}
		}
		return n == 2
	})
	now.skip(table.PublishLead + table.KeepAfter - time.Second)
	time.Sleep(50 * time.Millisecond)
	if !published(first) {
		t.Error("it left while its tokens live")
	}
	now.skip(time.Second)
	until(t, "the first key is gone", func() bool { return !published(first) })
}

func TestRetiringNeedsASuccessor(t *testing.T) {
	now := &clock{now: time.Now()}
	r := start(t, newRing(t, storagetest.SQLite(t).Store(), newMaster(t, 1), now.Now))
	signer, err := r.Signer(keys.ES256)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Retire(t.Context(), signer.KeyID); err == nil {
		t.Error("the only key is retired")
	}
	if _, err := r.Rotate(t.Context(), keys.ES256); err != nil {
		t.Fatal(err)
	}
	if err := r.Retire(t.Context(), signer.KeyID); err == nil {
		t.Error("retired while its successor waits")
	}
	if _, err := r.Rotate(t.Context(), keys.ES256); err == nil {
		t.Error("two keys wait")
	}
	now.skip(table.PublishLead)
	if err := r.Retire(t.Context(), signer.KeyID); err != nil {
		t.Fatal(err)
	}
	run(t, r)
	until(t, "it left the JWKS", func() bool {
		body, _ := r.JWKS()
		return !strings.Contains(string(body), signer.KeyID)
	})
	if err := r.Retire(t.Context(), "nothing"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("an unknown key: %v", err)
	}
	if _, err := r.Rotate(t.Context(), "HS256"); err == nil || !strings.Contains(err.Error(), "ES256") {
		t.Errorf("an unknown algorithm: %v", err)
	}
}

// A damaged drawer changes what it lists.
type damaged struct {
	storage.Keys
	change func(*storage.SigningKey)
}

func (d damaged) List(ctx context.Context) ([]*storage.SigningKey, error) {
	rows, err := d.Keys.List(ctx)
	for _, row := range rows {
		d.change(row)
	}
	return rows, err
}

func TestAC248_DamagedKeysStopTheStartAndMakeNoNewOnes(t *testing.T) {
	store := storagetest.SQLite(t).Store()
	start(t, newRing(t, store, newMaster(t, 1), time.Now))
	count := func() int {
		rows, err := store.Keys.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return len(rows)
	}
	before := count()
	intact := store.Keys
	for name, c := range map[string]struct {
		master byte
		change func(*storage.SigningKey)
	}{
		"another master key":   {2, func(*storage.SigningKey) {}},
		"a changed seal":       {1, func(k *storage.SigningKey) { k.Sealed[20] ^= 1 }},
		"a cut seal":           {1, func(k *storage.SigningKey) { k.Sealed = k.Sealed[:10] }},
		"no seal":              {1, func(k *storage.SigningKey) { k.Sealed = nil }},
		"another public key":   {1, func(k *storage.SigningKey) { k.Public = []byte(`{"kty":"OKP"}`) }},
		"a public key in bits": {1, func(k *storage.SigningKey) { k.Public = []byte(`{`) }},
		"another row's key":    {1, func(k *storage.SigningKey) { k.ID = "other" }},
	} {
		t.Run(name, func(t *testing.T) {
			store.Keys = damaged{intact, c.change}
			defer func() { store.Keys = intact }()
			err := newRing(t, store, newMaster(t, c.master), time.Now).Start(t.Context())
			if err == nil || !strings.Contains(err.Error(), "signing key") || strings.Contains(err.Error(), "\n") {
				t.Errorf("it starts, or does not say why on one line: %v", err)
			}
			if count() != before {
				t.Error("it made new keys")
			}
		})
	}
}

func TestAC248_ARunningRingGoesOnWithoutAKeyThatItCannotOpen(t *testing.T) {
	store := storagetest.SQLite(t).Store()
	healthy := start(t, newRing(t, store, newMaster(t, 1), time.Now))
	var reread atomic.Bool
	store.Keys = damaged{store.Keys, func(k *storage.SigningKey) {
		if k.Generation == 2 {
			k.Sealed = nil
			reread.Store(true)
		}
	}}
	r := start(t, newRing(t, store, newMaster(t, 1), time.Now))
	run(t, r)
	signer, err := r.Signer(keys.ES256)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signer.Sign(keys.TypeJWT, map[string]string{"sub": "a"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := healthy.Rotate(t.Context(), keys.ES256); err != nil {
		t.Fatal(err)
	}
	until(t, "it saw the new key", reread.Load)
	if _, err := r.Verify(token, keys.TypeJWT); err != nil {
		t.Errorf("what it signed verifies no more: %v", err)
	}
	if _, err := r.Signer(keys.ES256); err != nil {
		t.Errorf("it signs no more: %v", err)
	}
}

func BenchmarkSign(b *testing.B) {
	r := newRing(b, storagetest.SQLite(b).Store(), newMaster(b, 1), time.Now)
	for _, algorithm := range keys.Algorithms {
		if _, err := r.Rotate(b.Context(), algorithm); err != nil {
			b.Fatal(err)
		}
		signer, err := r.Signer(algorithm)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(algorithm, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := signer.Sign(keys.TypeAccessToken, map[string]string{"sub": "a"}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A silence is a database that vanished without a word: it neither answers nor fails.
type silence struct{ asked atomic.Int64 }

func (s *silence) Read(ctx context.Context) (map[string]int64, error) {
	s.asked.Add(1)
	<-ctx.Done()
	return nil, ctx.Err()
}

// Else a node would never learn that a key was retired.
func TestADatabaseThatSaysNoWordIsAskedAgainForKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(silence)
		ctx, stop := context.WithCancel(t.Context())
		go keys.NewRing(keys.Config{Changes: s}).Run(ctx)
		time.Sleep(10 * time.Minute)
		if s.asked.Load() < 2 {
			t.Error("it was asked once, and is waited for ever since")
		}
		stop()
		synctest.Wait()
	})
}
