package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/cmd/gatehouse/config"
	"gatehouse/cmd/gatehouse/demo"
	"gatehouse/identity"
	"gatehouse/storage"
	"gatehouse/verify"
	"gatehouse/web"
)

func newDemoCommand() *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use: "demo", Short: "Run a throw-away provider with a sample app and a sample API",
		Long: `Runs three things on this machine alone, until SIGINT or SIGTERM:

  a provider on a throw-away database, with one account,
  a sample web app, which signs people in (authorization code and PKCE),
  a sample API, which verifies the app's access tokens offline.

It prints what to open and whom to sign in as. It takes no settings, neither
from a file nor from the environment, and leaves nothing behind.

With --issuer it runs the app and the API alone, for a provider that is there
already, where the app is registered with --client-id.`,
		Example: "  gatehouse demo\n  gatehouse demo --port 9000 --app-port 9001 --api-port 9002\n  gatehouse demo --issuer https://id.example.com --client-id web --client-secret-file web.secret",
		Args:    cobra.NoArgs,
	}
	cmd.Flags().IntVar(&o.ports.provider, "port", 8000, "the `port` of the provider")
	cmd.Flags().IntVar(&o.ports.app, "app-port", 8001, "the `port` of the sample app")
	cmd.Flags().IntVar(&o.ports.api, "api-port", 8002, "the `port` of the sample API")
	cmd.Flags().StringVar(&o.level, "log-level", "warn", "the least important lines of the log: debug, info, warn or error")
	other := elsewhereFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := other.check(cmd); err != nil {
			return err
		}
		for _, name := range []string{"config", "data-dir"} {
			if f := cmd.Flags().Lookup(name); f != nil && f.Changed {
				return misuse("demo takes no settings: leave out --%s, or use serve", name)
			}
		}
		// Closing the terminal must not leave the database behind.
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGHUP)
		defer stop()
		if other.issuer != "" {
			return other.run(ctx, cmd, o)
		}
		d, err := startDemo(ctx, o, cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		d.announce(cmd.OutOrStdout())
		return d.wait(ctx)
	}
	return cmd
}

// The account and the client of the demo.
const (
	demoUser   = "alice"
	demoClient = "sample-app"
	// demoTokenLifetime lets people see a token expire, and a refresh help.
	demoTokenLifetime = 2 * time.Minute
)

// demoOptions are what flags, and tests, may change.
type demoOptions struct {
	ports demoPorts
	level string           // of the log
	now   func() time.Time // of the API; nil: time.Now
}

// A demoRun is everything that the demo started.
type demoRun struct {
	dir      string // of the database; removed at the end
	server   *server
	appURL   string
	apiURL   string
	password string
	samples  []sample
	stopped  chan error // what the first sample that failed ended with
}

// A sample is the app or the API, with the port that was taken for it.
type sample struct {
	server   *http.Server
	listener net.Listener
}

// startDemo starts the provider and both samples. All of them answer when it
// returns; wait runs them to their end.
func startDemo(ctx context.Context, o demoOptions, stderr io.Writer) (*demoRun, error) {
	d := &demoRun{stopped: make(chan error, 2)}
	if err := d.start(storage.WithOrigin(ctx, storage.Origin{Actor: "gatehouse demo"}), o, stderr); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

func (d *demoRun) start(ctx context.Context, o demoOptions, stderr io.Writer) error {
	if err := d.take(&o.ports); err != nil {
		return err
	}
	var err error
	if d.dir, err = os.MkdirTemp("", "gatehouse-demo-"); err != nil {
		return fmt.Errorf("make a directory for the demo: %w", err)
	}
	cfg, err := demoSettings(o.ports.provider, d.dir, o.level)
	if err != nil {
		return err
	}
	log := openLog(cfg.Log, stderr)
	if d.server, err = startServer(ctx, cfg, log); err != nil {
		return err
	}
	if d.password, err = d.makeAccount(ctx); err != nil {
		return err
	}
	app, err := d.newApp(ctx, log.Logger)
	if err != nil {
		return err
	}
	verifier, err := verify.New(verify.Config{
		Issuer: cfg.Issuer, Audience: d.apiURL, Leeway: 5 * time.Second, Log: log.Logger, Now: o.now,
	})
	if err != nil {
		return err
	}
	d.serve(app, demo.NewAPI(verifier), log.Logger)
	return nil
}

// take takes the ports of the samples. The provider takes its own by itself.
func (d *demoRun) take(ports *demoPorts) error {
	listeners, err := ports.take()
	if err != nil {
		return err
	}
	d.sampleOn(listeners[1:], ports)
	return listeners[0].Close()
}

// takeSamples takes the ports of the samples alone.
func (d *demoRun) takeSamples(ports *demoPorts) error {
	listeners, err := ports.takeSamples()
	if err == nil {
		d.sampleOn(listeners, ports)
	}
	return err
}

func (d *demoRun) sampleOn(listeners []net.Listener, ports *demoPorts) {
	d.samples = []sample{{listener: listeners[0]}, {listener: listeners[1]}}
	d.appURL, d.apiURL = local(ports.app), local(ports.api)
}

// serve lets the samples answer, each on its port.
func (d *demoRun) serve(app, api http.Handler, log *slog.Logger) {
	for i, handler := range []http.Handler{app, api} {
		s := &d.samples[i]
		s.server = web.NewServer(s.listener.Addr().String(), handler, log)
		go func() { d.stopped <- s.server.Serve(s.listener) }()
	}
}

// demoSettings are the defaults but for what the demo is about. Neither the
// environment nor a file in this directory has a say: they are for serve.
func demoSettings(port int, dir, level string) (*config.Config, error) {
	return config.Load(config.Sources{
		File: os.DevNull,
		Flags: map[string]string{
			"issuer": local(port), "listen": net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
			"data_dir": dir, "log.level": level,
		},
	})
}

// makeAccount makes the account to sign in with. It is an administrator, which
// also spends the set-up link.
func (d *demoRun) makeAccount(ctx context.Context) (password string, err error) {
	password = demoPassword()
	_, err = d.server.people.Create(ctx, identity.NewAccount{
		Username: demoUser, Email: "alice@example.com", EmailVerified: true, Admin: true, Password: password,
		Profile: storage.Profile{Name: "Alice Liddell", GivenName: "Alice", FamilyName: "Liddell"},
	})
	if err != nil {
		return "", fmt.Errorf("make the account %s: %w", demoUser, err)
	}
	return password, nil
}

// demoPassword is random, easy to type, and what the password policy asks for.
func demoPassword() string {
	for {
		s := rand.Text() // A to Z, 2 to 7
		p := s[:4] + "-" + strings.ToLower(s[4:8]) + "-" + s[8:12] + "-" + strings.ToLower(s[12:16])
		if strings.ContainsAny(p, "234567") && p != strings.ToLower(p) && p != strings.ToUpper(p) {
			return p
		}
	}
}

// newApp registers the sample app, whose access tokens are for the API, and
// makes it.
func (d *demoRun) newApp(ctx context.Context, log *slog.Logger) (http.Handler, error) {
	r, err := d.server.registrar.Register(ctx, demoClient, "", storage.ClientMetadata{
		ClientName:             "Sample app",
		RedirectURIs:           []string{d.appURL + demo.CallbackPath},
		PostLogoutRedirectURIs: []string{d.appURL + demo.SignedOutPath},
		GrantTypes:             []string{"authorization_code", "refresh_token"},
		Scope:                  strings.Join(demo.Scopes, " "),
		Audience:               []string{d.apiURL},
		AccessTokenLifetime:    int64(demoTokenLifetime / time.Second),
		// The sample app is the house's own; its page has a link that asks all the same.
		SkipConsent: true,
	})
	if err != nil {
		return nil, fmt.Errorf("register the sample app: %w", err)
	}
	app, err := demo.NewApp(ctx, demo.AppConfig{
		URL: d.appURL, API: d.apiURL, Issuer: d.server.cfg.Issuer,
		ClientID: r.Client.ID, ClientSecret: r.Secret, LoginHint: demoUser, Log: log,
	})
	if err != nil {
		return nil, err
	}
	return app.Handler(), nil
}

// announce prints what to open and whom to sign in as.
func (d *demoRun) announce(w io.Writer) {
	fmt.Fprintf(w, `
gatehouse demo is ready.

  Open        %s
  Sign in as  %s
  Password    %s

  Provider    %s  signs people in; %[2]s is its administrator
  Sample app  %[1]s  authorization code and PKCE
  Sample API  %[5]s  verifies access tokens offline

  Ctrl-C stops all three, and nothing is kept.

`, d.appURL, demoUser, d.password, d.server.cfg.Issuer, d.apiURL)
}

// wait runs until ctx ends or one of the three fails; then it stops all of them.
func (d *demoRun) wait(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	failed := make(chan error, 1)
	go func() {
		select {
		case err := <-d.stopped:
			failed <- fmt.Errorf("a sample stopped: %w", err)
			stop()
		case <-ctx.Done():
			failed <- nil
		}
	}()
	err := d.server.wait(ctx)
	d.server = nil // wait has closed it
	stop()
	return errors.Join(<-failed, err, d.close())
}

// close stops what runs, and removes the database.
func (d *demoRun) close() error {
	var errs []error
	for _, s := range d.samples {
		if s.server != nil {
			errs = append(errs, s.server.Close())
		}
		s.listener.Close() // closed already where it was served
	}
	if d.server != nil {
		ended, stop := context.WithCancel(context.Background())
		stop()
		errs = append(errs, d.server.wait(ended))
	}
	if d.dir != "" {
		errs = append(errs, os.RemoveAll(d.dir))
	}
	return errors.Join(errs...)
}
