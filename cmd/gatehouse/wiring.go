package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"gatehouse/cmd/gatehouse/config"
	"gatehouse/identity"
	"gatehouse/keys"
	"gatehouse/outbound"
	"gatehouse/provider"
	"gatehouse/storage"
	"gatehouse/storage/redisstore"
	"gatehouse/storage/sqlstore"
	"gatehouse/upstream"
	"gatehouse/web"
	"gatehouse/web/signin"
)

// What each part takes of the settings. Commands beside serve make the same parts.

func ringConfig(cfg *config.Config, store *storage.Store, master *keys.Master, log *slog.Logger) keys.Config {
	return keys.Config{
		Store: store.Keys, Changes: store.Changes, Master: master, JWKSMaxAge: cfg.Keys.JWKSMaxAge, Log: log,
		Timetable: keys.Timetable{RotateEvery: cfg.Keys.RotateEvery, PublishLead: cfg.Keys.PublishLead, KeepAfter: cfg.Keys.KeepAfter},
	}
}

func peopleConfig(cfg *config.Config, store *storage.Store, log *slog.Logger) identity.Config {
	p, h := cfg.Password, cfg.Password.Hash
	c := identity.Config{
		Store: store, Issuer: cfg.Issuer, SetupTTL: cfg.Setup.LinkLifetime, Log: log, OpenRegistration: cfg.Registration == "open",
		Policy: identity.PasswordPolicy{
			MinLength: p.MinLength, Upper: p.Upper, Lower: p.Lower, Digit: p.Digit, Special: p.Special, RefuseCommon: p.RefuseCommon,
		},
		Hash: identity.HashCost{
			MemoryKiB: uint32(h.Memory), Iterations: uint32(h.Iterations), Parallelism: uint8(h.Parallelism), AtOnce: h.AtOnce, Queue: h.Queue,
		},
	}
	if !cfg.Mail.URL.IsZero() {
		// checkFiles made one of the same address before.
		c.Mailer, _ = identity.NewMailer(cfg.Mail.URL.Reveal(), cfg.Mail.From)
	}
	return c
}

func lifetimes(cfg *config.Config) provider.Lifetimes {
	t := cfg.Token
	return provider.Lifetimes{
		Code: t.Code, AccessToken: t.Access, IDToken: t.ID, RefreshIdle: t.RefreshIdle, RefreshMax: t.Refresh,
		RefreshGrace: t.RefreshGrace, RefreshGracePublic: t.RefreshGracePublic, AuthRequest: cfg.Session.Request,
	}
}

// outboundConfig lets plain http through, to loopback, where the provider is
// itself run by http on loopback: on a developer's machine.
func outboundConfig(cfg *config.Config) outbound.Config {
	return outbound.Config{
		Allow: cfg.Outbound.Allow, CAFile: cfg.Outbound.CAFile, AllowHTTP: strings.HasPrefix(cfg.Issuer, "http://"),
	}
}

// registrar is the one way in which clients are made and changed. store may be
// nil where they are only checked.
func registrar(cfg *config.Config, store *storage.Store) *provider.Registrar {
	return &provider.Registrar{Store: store, Issuer: cfg.Issuer}
}

func declarations(cfg *config.Config) []provider.Declaration {
	var all []provider.Declaration
	for _, c := range cfg.Clients {
		all = append(all, provider.Declaration{ID: c.ID, Secret: c.Secret.Reveal(), Metadata: c.Metadata})
	}
	return all
}

// upstreams are the providers that people may sign in at.
func upstreams(cfg *config.Config) []upstream.Config {
	var all []upstream.Config
	for _, u := range cfg.Upstreams {
		all = append(all, upstream.Config{
			ID: u.ID, Name: u.Name, Issuer: u.Issuer, ClientID: u.ClientID, ClientSecret: upstream.Secret(u.ClientSecret.Reveal()),
			AuthMethod: u.AuthMethod, RedirectURI: u.RedirectURI, Scopes: u.Scopes, Prompt: u.Prompt,
			HostedDomain: u.HostedDomain, Domains: [][]string{cfg.EmailDomains, u.EmailDomains}, TrustEmail: u.TrustEmail,
		})
	}
	return all
}

// setupAddress is where a browser spends the secret of a set-up link.
func setupAddress(cfg *config.Config, secret string) string {
	return cfg.Issuer + "/setup?token=" + secret
}

// doorRates are what a network may send, signinRates what it may get wrong.
func doorRates(cfg *config.Config) web.Rates {
	return web.Rates{Authorize: web.Per(time.Minute, cfg.RateLimit.Authorize), Device: web.Per(time.Hour, cfg.RateLimit.Device)}
}

func signinRates(cfg *config.Config) signin.Rates {
	return signin.Rates{Forms: web.Per(time.Hour, cfg.RateLimit.Anonymous), Codes: web.Per(time.Hour, cfg.RateLimit.DeviceCode), Users: userForms(cfg)}
}

// userForms is how many forms somebody signed in may get wrong.
func userForms(cfg *config.Config) storage.Rate { return web.Per(time.Hour, cfg.RateLimit.User) }

// healthEvery is how often the checks look.
const healthEvery = 10 * time.Second

// healthChecks are what /api/health/ reports. The cache and the upstreams are
// there from the start, so that who watches them need not change later.
func healthChecks(db *sqlstore.DB, cache *redisstore.DB, ring *keys.Ring, others *upstream.Set, now func() time.Time) []web.Check {
	notConfigured := func(context.Context) web.CheckResult {
		return web.CheckResult{Status: web.Healthy, Note: "not configured"}
	}
	return []web.Check{
		{Name: "database", Run: func(ctx context.Context) web.CheckResult { return databaseHealth(ctx, db, now) }},
		{Name: "cache", Run: func(ctx context.Context) web.CheckResult {
			if cache == nil {
				return notConfigured(ctx)
			}
			return checkCache(ctx, cache)
		}},
		{Name: "signing_keys", Run: func(context.Context) web.CheckResult { return checkSigning(ring) }},
		{Name: "upstreams", Run: func(ctx context.Context) web.CheckResult {
			if len(others.List()) == 0 {
				return notConfigured(ctx)
			}
			return checkUpstreams(others)
		}},
	}
}

// databaseHealth takes a node whose clock has left the database's out of service:
// it would keep what is over alive, and sign with keys that nobody knows yet. A
// database that takes no writes still answers for the tokens that were given.
func databaseHealth(ctx context.Context, db *sqlstore.DB, now func() time.Time) web.CheckResult {
	err := db.Ping(ctx)
	if err == nil {
		err = db.CheckClock(ctx, now)
	}
	if err == nil {
		err = db.CheckWritable(ctx)
	}
	switch {
	case errors.Is(err, sqlstore.ErrBusy):
		return web.CheckResult{Status: web.Unhealthy, Note: "every connection to it is in use", Err: err}
	case errors.Is(err, sqlstore.ErrReadOnly):
		return web.CheckResult{Status: web.Degraded, Note: "takes no writes", Err: err}
	case errors.Is(err, sqlstore.ErrClock):
		return web.CheckResult{Status: web.Unhealthy, Note: "its clock and this node's differ", Err: err}
	case err != nil:
		return web.CheckResult{Status: web.Unhealthy, Note: "does not answer", Err: err}
	}
	return web.CheckResult{Status: web.Healthy}
}

// checkCache never says unhealthy: without Redis everything goes on.
func checkCache(ctx context.Context, cache *redisstore.DB) web.CheckResult {
	if err := cache.Check(ctx); err != nil {
		return web.CheckResult{Status: web.Degraded, Note: "does not answer", Err: err}
	}
	return web.CheckResult{Status: web.Healthy}
}

// checkUpstreams tells of upstreams that did not answer when somebody last went
// there. It asks none itself, and never says unhealthy: other ways in remain.
func checkUpstreams(all *upstream.Set) web.CheckResult {
	var errs []error
	for _, u := range all.List() {
		errs = append(errs, u.Trouble())
	}
	if err := errors.Join(errs...); err != nil {
		return web.CheckResult{Status: web.Degraded, Note: "one does not answer as it should", Err: err}
	}
	return web.CheckResult{Status: web.Healthy}
}

// checkSigning signs and verifies with the key of every algorithm. RS256 and
// ES256 are what most clients use; the others are made in the background.
func checkSigning(ring *keys.Ring) web.CheckResult {
	for _, alg := range []string{keys.RS256, keys.ES256} {
		if _, err := ring.Signer(alg); err != nil {
			return web.CheckResult{Status: web.Unhealthy, Note: "cannot sign", Err: errors.Join(err, errors.New(alg))}
		}
	}
	for _, alg := range ring.Active() {
		signer, err := ring.Signer(alg)
		if err == nil {
			var token string
			if token, err = signer.Sign(keys.TypeJWT, map[string]string{"check": "health"}); err == nil {
				_, err = ring.Verify(token, keys.TypeJWT)
			}
		}
		if err != nil {
			return web.CheckResult{Status: web.Degraded, Note: "an algorithm cannot sign", Err: errors.Join(err, errors.New(alg))}
		}
	}
	return web.CheckResult{Status: web.Healthy}
}
