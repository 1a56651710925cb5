package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"gatehouse/cmd/gatehouse/demo"
	"gatehouse/storage"
)

// The samples alone are registered with a provider that runs already.
func TestTheSamplesRunForAProviderThatIsThere(t *testing.T) {
	d := openDemo(t)
	r, err := d.server.registrar.Register(t.Context(), "elsewhere", "", storage.ClientMetadata{
		RedirectURIs: []string{"http://localhost:1" + demo.CallbackPath},
	})
	if err != nil {
		t.Fatal(err)
	}
	samples := &demoRun{stopped: make(chan error, 2)}
	t.Cleanup(func() {
		if err := samples.close(); err != nil {
			t.Error(err)
		}
	})
	e := &elsewhere{issuer: d.server.cfg.Issuer, client: r.Client.ID}
	if err := samples.startSamples(t.Context(), e, r.Secret, demoOptions{level: "warn"}, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{samples.appURL + "/readyz", samples.appURL + "/", samples.apiURL + "/"} {
		res, err := http.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("%s answers %s", address, res.Status)
		}
	}
}

func TestTheSamplesAloneNeedTheirOwnFlags(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("0123456789abcdef0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"a client id without an issuer": {"demo", "--client-id", "web"},
		"a secret without an issuer":    {"demo", "--client-secret-file", secret},
		"a port of another's provider":  {"demo", "--issuer", "http://localhost:1", "--port", "9000"},
		"an issuer without a secret":    {"demo", "--issuer", "http://localhost:1"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			stop()
			if status := run(ctx, args, nil, io.Discard, io.Discard); status != exitUsage {
				t.Errorf("exit status %d, not %d", status, exitUsage)
			}
		})
	}
}
