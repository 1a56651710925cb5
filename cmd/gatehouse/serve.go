package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/cmd/gatehouse/config"
	"gatehouse/identity"
	"gatehouse/keys"
	"gatehouse/outbound"
	"gatehouse/provider"
	"gatehouse/storage"
	"gatehouse/storage/redisstore"
	"gatehouse/storage/sqlstore"
	"gatehouse/templates"
	"gatehouse/upstream"
	"gatehouse/web"
	"gatehouse/web/account"
	"gatehouse/web/signin"
)

func newServeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "serve", Short: "Run the provider",
		Long: `Runs the provider until SIGINT or SIGTERM; then it drains (drain_delay) and
finishes what is in flight, within 30 seconds. SIGHUP rereads the declared
clients and upstreams, the TLS certificate and the log file's path.

With nothing configured it makes ./data, with an embedded database and its
master key, listens on 127.0.0.1:8000, and prints a one-time address where the
first administrator is made.`,
		Example: "  gatehouse serve\n  gatehouse serve --issuer https://id.example.com --config /etc/gatehouse.yaml",
		Args:    cobra.NoArgs,
	}
	addSettingFlags(cmd.Flags(), "serve")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := loadSettings(cmd)
		if err := refusals(err, checkFiles(cfg)); err != nil {
			return refusals(err, checkRunning(cmd.Context(), cfg))
		}
		useMemoryFreely()
		log := openLog(cfg.Log, cmd.ErrOrStderr())
		for _, warning := range cfg.Warnings {
			log.Warn(warning)
		}
		s, err := startServer(cmd.Context(), cfg, log)
		if err != nil {
			return everyReason(err, checkRunning(cmd.Context(), cfg))
		}
		s.announce(cmd.OutOrStdout())
		s.reloadOnHangup(func() (*config.Config, error) { return loadSettings(cmd) })
		return s.wait(cmd.Context())
	}
	return cmd
}

// A server is a provider that answers.
type server struct {
	cfg       *config.Config
	log       *logSink
	db        *sqlstore.DB
	cache     *redisstore.DB // nil: the database counts
	store     *storage.Store
	people    *identity.People
	registrar *provider.Registrar
	upstreams *upstream.Set
	health    *web.Health
	http      *http.Server
	listener  net.Listener
	cert      *certificate // nil: plain http
	// setupLink is where the first administrator is made, and setupExpires until
	// when; empty where there is one already.
	setupLink    string
	setupExpires time.Time

	background context.Context // of the loops
	stop       context.CancelFunc
	loops      sync.WaitGroup
	stopped    chan error // what the listener ended with
}

// startServer wires the provider in building order and lets it answer. Its
// listener is open when it returns; wait runs it to its end.
func startServer(ctx context.Context, cfg *config.Config, log *logSink) (*server, error) {
	s := &server{cfg: cfg, log: log, stopped: make(chan error, 1)}
	if err := s.start(storage.WithOrigin(ctx, storage.Origin{Actor: "gatehouse serve"})); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// start is the whole wiring.
func (s *server) start(ctx context.Context) (err error) {
	cfg, log := s.cfg, s.log.Logger
	s.db, err = sqlstore.Open(ctx, sqlstore.Options{
		URL: cfg.DatabaseURL.Reveal(), Create: true, Exclusive: true, Migrate: cfg.Migrate == "auto",
		MinConns: int32(cfg.Database.MinConnections), MaxConns: int32(cfg.Database.MaxConnections), Log: log,
	})
	if err != nil {
		return err
	}
	s.store = s.db.Store()
	limits, err := s.openLimits(cfg)
	if err != nil {
		return err
	}
	master, err := openMaster(ctx, cfg, s.store)
	if err != nil {
		return err
	}
	ring := keys.NewRing(ringConfig(cfg, s.store, master, log))
	if err := startRing(ctx, cfg, ring); err != nil {
		return err
	}
	s.people, err = identity.New(peopleConfig(cfg, s.store, log))
	if err != nil {
		return err
	}
	browser, err := web.NewBrowser(web.BrowserConfig{
		Issuer: cfg.Issuer, Sessions: s.store.Sessions, Failures: s.store.Failures,
		SessionIdle: cfg.Session.Idle, SessionLifetime: cfg.Session.Lifetime, Log: log,
	})
	if err != nil {
		return err
	}
	out, err := outbound.New(outboundConfig(cfg))
	if err != nil {
		return err
	}
	op, err := provider.New(provider.Config{
		Issuer: cfg.Issuer, Store: s.store, Keys: ring, Master: master, Pages: browser, Outbound: out, Tell: out,
		Lifetimes: lifetimes(cfg), Scopes: cfg.Scopes, UILocales: templates.Languages(), Log: log,
	})
	if err != nil {
		return err
	}
	s.upstreams = upstream.NewSet(out, time.Now, upstreams(cfg)...)
	s.health = web.NewHealth(healthEvery, time.Now, log, healthChecks(s.db, s.cache, ring, s.upstreams, time.Now)...)
	in := signin.New(signin.Config{
		Issuer: cfg.Issuer, Browser: browser, Provider: op, People: s.people, Limits: limits, Rates: signinRates(cfg), Log: log,
		Upstreams: s.upstreams, Master: master, Flows: s.store.Flows,
	})
	door, err := web.New(web.Config{
		Issuer: cfg.Issuer, Browser: browser, Provider: op, Health: s.health, TrustedProxies: cfg.TrustedProxies, Log: log,
		Limits: s.doorLimits(limits), Rates: doorRates(cfg), Callbacks: in.Callbacks(),
		Parts: []web.Part{
			in,
			account.New(account.Config{Browser: browser, People: s.people, Upstreams: s.upstreams, Limits: limits, Forms: userForms(cfg)}),
		},
	})
	if err != nil {
		return err
	}

	s.registrar = registrar(cfg, s.store)
	if err := s.declareClients(ctx, cfg); err != nil {
		return err
	}
	if err := s.makeSetupLink(ctx); err != nil {
		return err
	}
	if s.listener, err = listen(cfg.Listen); err != nil {
		return err
	}
	if s.cert, err = loadCertificate(cfg.TLS); err != nil {
		return err
	}
	s.http = web.NewServer(cfg.Listen, door, log)
	s.health.Look(ctx)
	s.run(context.WithoutCancel(ctx), ring.Run, op.Run, op.Deliver, s.db.Sweep, s.health.Run, giveMemoryBack)
	return nil
}

// openLimits returns what counts: Redis where it is configured, which has the
// database behind it.
func (s *server) openLimits(cfg *config.Config) (storage.Limits, error) {
	if cfg.RedisURL.IsZero() {
		return s.db.Limits(), nil
	}
	var err error
	s.cache, err = redisstore.Open(redisstore.Options{URL: cfg.RedisURL.Reveal(), Behind: s.db.Limits(), Log: s.log.Logger})
	return s.cache, err
}

// doorLimits returns what the door counts in: an embedded database is this
// process's own, so that the count of authorization requests may be too.
func (s *server) doorLimits(shared storage.Limits) storage.Limits {
	if _, embedded := s.cfg.SQLite(); embedded && s.cfg.RedisURL.IsZero() {
		return web.NewCounters(time.Now)
	}
	return shared
}

// run lets the listener answer and the loops turn, until stop.
func (s *server) run(ctx context.Context, loops ...func(context.Context) error) {
	s.background, s.stop = context.WithCancel(ctx)
	for _, loop := range loops {
		s.turn(loop)
	}
	go func() {
		if s.cert == nil {
			s.stopped <- s.http.Serve(s.listener)
			return
		}
		s.http.TLSConfig = s.cert.server()
		s.stopped <- s.http.ServeTLS(s.listener, "", "")
	}()
}

// turn lets one more loop turn until stop.
func (s *server) turn(loop func(context.Context) error) {
	s.loops.Go(func() {
		if err := loop(s.background); err != nil {
			s.log.Error("background", "error", err)
		}
	})
}

// stopWithin is how long stopping may take: what is in flight then is cut off.
const stopWithin = 30 * time.Second

// wait runs until ctx ends, or the listener fails; then it drains, stops
// accepting, finishes what is in flight and closes everything.
func (s *server) wait(ctx context.Context) error {
	var err error
	select {
	case err = <-s.stopped:
		err = fmt.Errorf("listen on %s: %w", s.cfg.Listen, err)
	case <-ctx.Done():
		s.log.InfoContext(ctx, "stopping")
		finish, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
		defer cancel()
		s.drain()
		if serr := s.http.Shutdown(finish); serr != nil {
			err = fmt.Errorf("requests were cut off after %s", stopWithin)
			s.http.Close()
		}
	}
	err = errors.Join(err, s.close())
	s.log.Info("stopped")
	return err
}

// drain tells balancers that this node is stopping, and goes on answering until
// they have noticed: one that closes its listener first fails whatever they
// send meanwhile.
func (s *server) drain() {
	s.health.Drain()
	time.Sleep(s.cfg.DrainDelay)
}

// close ends the loops and gives back what startServer took.
func (s *server) close() error {
	if s.stop != nil {
		s.stop()
	}
	s.loops.Wait()
	if s.listener != nil {
		s.listener.Close() // Shutdown has closed it already, or nothing serves it
	}
	var err error
	if s.cache != nil {
		err = s.cache.Close()
	}
	if s.db != nil {
		err = errors.Join(err, s.db.Close())
	}
	return err
}

// openMaster returns the master keys; the embedded database has them made at
// its first start. Signing keys that are there already opened under another
// one, which nothing can replace.
func openMaster(ctx context.Context, cfg *config.Config, store *storage.Store) (*keys.Master, error) {
	master, err := masterKeys(cfg)
	if !errors.Is(err, fs.ErrNotExist) {
		return master, err
	}
	rows, err := store.Keys.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the signing keys: %w", err)
	}
	if len(rows) > 0 {
		return nil, lostMasterKey(cfg)
	}
	if err := makeMasterKey(masterKeyPath(cfg)); err != nil {
		return nil, err
	}
	return masterKeys(cfg)
}

func lostMasterKey(cfg *config.Config) error {
	return fmt.Errorf("the master key %s is missing, and nothing else opens the signing keys in the database: restore it from a backup", masterKeyPath(cfg))
}

// startRing loads the signing keys, and makes the first ones where there are none.
func startRing(ctx context.Context, cfg *config.Config, ring *keys.Ring) error {
	err := ring.Start(ctx)
	if errors.Is(err, keys.ErrSealed) {
		return fmt.Errorf("%w; the master key in use is that of %s", err, masterKeySource(cfg))
	}
	return err
}

// masterKeySource is where the master key comes from, for messages.
func masterKeySource(cfg *config.Config) string {
	if cfg.MasterKey.IsZero() {
		return masterKeyPath(cfg)
	}
	return cfg.Origin("master_key").Name
}

// declareClients makes the declared clients what the file says.
func (s *server) declareClients(ctx context.Context, cfg *config.Config) error {
	ctx = storage.WithOrigin(ctx, storage.Origin{Actor: "configuration file"})
	return s.registrar.Declare(ctx, declarations(cfg))
}

// makeSetupLink makes the address for the first administrator, where there is none yet.
func (s *server) makeSetupLink(ctx context.Context) error {
	secret, expires, err := s.people.AddSetupLink(ctx)
	if errors.Is(err, identity.ErrSetUp) {
		return nil
	}
	s.setupLink, s.setupExpires = setupAddress(s.cfg, secret), expires
	return err
}

// announce prints what whoever started the server needs next.
func (s *server) announce(w io.Writer) {
	database := "PostgreSQL"
	if path, embedded := s.cfg.SQLite(); embedded {
		database = path
	}
	fmt.Fprintf(w, "\ngatehouse %s is ready.\n\n  Address    %s\n  Listening  %s\n  Database   %s\n", release(), s.cfg.Issuer, s.listener.Addr(), database)
	if s.setupLink != "" {
		fmt.Fprintf(w, "\n  There is no administrator yet. Make the first one here, once, until %s:\n\n  %s\n\n"+
			"  \"gatehouse setup-link\" prints another.\n", s.setupExpires.Local().Format("15:04 MST"), s.setupLink)
	}
	fmt.Fprintln(w)
}

// reloadOnHangup rereads on SIGHUP what can change under a running server: the
// declared clients and upstreams, the TLS certificate and the log file. What is
// wrong is logged, and what was in force stays.
func (s *server) reloadOnHangup(load func() (*config.Config, error)) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	s.turn(func(ctx context.Context) error {
		defer signal.Stop(hangup)
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-hangup:
				s.reload(ctx, load)
			}
		}
	})
}

func (s *server) reload(ctx context.Context, load func() (*config.Config, error)) {
	var errs []error
	if cfg, err := load(); err != nil {
		errs = append(errs, err)
	} else {
		errs = append(errs, s.declareClients(ctx, cfg), s.replaceUpstreams(cfg))
	}
	if s.cert != nil {
		errs = append(errs, s.cert.reload())
	}
	if err := errors.Join(append(errs, s.log.reopen())...); err != nil {
		s.log.ErrorContext(ctx, "reload", "error", err)
		return
	}
	s.log.InfoContext(ctx, "reloaded")
}

// replaceUpstreams makes the upstreams what the settings say now. The addresses
// that they come back to were settled when the server started.
func (s *server) replaceUpstreams(cfg *config.Config) error {
	served := make(map[string]bool)
	for _, u := range s.cfg.Upstreams {
		served[u.ID+" "+u.RedirectURI] = true
	}
	for _, u := range cfg.Upstreams {
		if own := cfg.Issuer + config.UpstreamCallback(u.ID); u.RedirectURI != own && !served[u.ID+" "+u.RedirectURI] {
			return fmt.Errorf("the upstreams stay as they were: %s is to come back to %s, which is served after a restart", u.ID, u.RedirectURI)
		}
	}
	s.upstreams.Replace(upstreams(cfg))
	return nil
}

// listen takes the address, and says what to do where it cannot.
func listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s is in use by another program; stop that, or choose another address with GATEHOUSE_LISTEN or PORT", address)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("this user may not listen on %s; choose a port from 1024 with GATEHOUSE_LISTEN or PORT", address)
	case err != nil:
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return l, nil
}
