package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/cmd/gatehouse/config"
	"gatehouse/cmd/gatehouse/demo"
	"gatehouse/storage"
	"gatehouse/verify"
)

// elsewhere is a provider that runs already: the demo is then the samples alone.
type elsewhere struct {
	issuer, client string
	appURL         string // where browsers find the app; "": on its own port
	secret         *secretInput
}

func elsewhereFlags(cmd *cobra.Command) *elsewhere {
	e := &elsewhere{secret: secretFlags(cmd, "client-secret", "client secret")}
	cmd.Flags().StringVar(&e.issuer, "issuer", "", "run the app and the API alone, for the provider at this `address`")
	cmd.Flags().StringVar(&e.client, "client-id", demoClient, "the `id` of the app there, with --issuer")
	cmd.Flags().StringVar(&e.appURL, "app-url", "", "the `address` of the app behind a proxy, with --issuer")
	return e
}

// check refuses flags that mean nothing, for there is or is not another provider.
func (e *elsewhere) check(cmd *cobra.Command) error {
	if e.issuer != "" {
		if cmd.Flags().Changed("port") {
			return misuse("--port is of the demo's own provider; --issuer names another")
		}
		return nil
	}
	for _, name := range []string{"client-id", "client-secret-file", "client-secret-stdin", "app-url"} {
		if cmd.Flags().Changed(name) {
			return misuse("--%s goes with --issuer", name)
		}
	}
	return nil
}

// run serves the samples to the end of ctx. The app's registration must name
// its address, and the API's as audience.
func (e *elsewhere) run(ctx context.Context, cmd *cobra.Command, o demoOptions) error {
	secret, err := e.secret.read(cmd)
	if err != nil {
		return err
	}
	ctx = storage.WithOrigin(ctx, storage.Origin{Actor: "gatehouse demo"})
	d := &demoRun{stopped: make(chan error, 2)}
	if err := d.startSamples(ctx, e, secret, o, cmd.ErrOrStderr()); err != nil {
		return errors.Join(err, d.close())
	}
	fmt.Fprintf(cmd.OutOrStdout(), "Sample app %s, sample API %s, for the provider %s.\n", d.appURL, d.apiURL, e.issuer)
	select {
	case err = <-d.stopped:
		err = fmt.Errorf("a sample stopped: %w", err)
	case <-ctx.Done():
		err = nil
	}
	return errors.Join(err, d.close())
}

func (d *demoRun) startSamples(ctx context.Context, e *elsewhere, secret string, o demoOptions, stderr io.Writer) error {
	if err := d.takeSamples(&o.ports); err != nil {
		return err
	}
	if e.appURL != "" {
		d.appURL = e.appURL
	}
	log := openLog(config.Log{Level: o.level, Format: "auto"}, stderr)
	app, err := demo.NewApp(ctx, demo.AppConfig{
		URL: d.appURL, API: d.apiURL, Issuer: e.issuer, ClientID: e.client, ClientSecret: secret, Log: log.Logger,
	})
	if err != nil {
		return err
	}
	verifier, err := verify.New(verify.Config{Issuer: e.issuer, Audience: d.apiURL, Leeway: 5 * time.Second, Log: log.Logger, Now: o.now})
	if err != nil {
		return err
	}
	d.serve(ready(app.Handler()), demo.NewAPI(verifier), log.Logger)
	return nil
}

// ready answers `gatehouse healthcheck`, under any Host.
func ready(next http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	mux.Handle("/", next)
	return mux
}
