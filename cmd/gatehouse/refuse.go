package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"gatehouse/cmd/gatehouse/config"
	"gatehouse/identity"
	"gatehouse/keys"
	"gatehouse/outbound"
	"gatehouse/storage"
	"gatehouse/storage/sqlstore"
)

// refusals joins what is wrong with the settings and what is wrong with the
// files they name, as one *config.Error, or nil.
func refusals(err error, more []error) error {
	e, ok := errors.AsType[*config.Error](err)
	if err != nil && !ok {
		return err
	}
	if !ok {
		e = new(config.Error)
	}
	for _, problem := range more {
		if !said(e.Problems, problem) {
			e.Problems = append(e.Problems, problem)
		}
	}
	if len(e.Problems) == 0 {
		return nil
	}
	return e
}

// checkFiles says what is wrong beyond the settings' own words, looking at
// files and changing nothing: declared clients, the data directory, the master
// key, the certificate, the database file, the mail server's address, the trust
// roots.
func checkFiles(cfg *config.Config) []error {
	var problems []error
	look := func(err error, settings ...string) {
		if err != nil && !cfg.Wrong(settings...) {
			problems = append(problems, err)
		}
	}
	if err := registrar(cfg, nil).Check(declarations(cfg)); err != nil {
		problems = append(problems, err)
	}
	look(checkDataDir(cfg.DataDir), "data_dir")
	look(sqlstore.CheckURL(cfg.DatabaseURL.Reveal()), "database_url", "data_dir")
	if cfg.MasterKey.IsZero() && !cfg.Wrong("master_key", "database_url", "data_dir") {
		if _, embedded := cfg.SQLite(); embedded {
			_, err := readMasterKeyFile(masterKeyPath(cfg))
			if !errors.Is(err, fs.ErrNotExist) {
				look(err)
			}
		}
	}
	_, err := loadCertificate(cfg.TLS)
	look(err, "tls.cert", "tls.key")
	if !cfg.Mail.URL.IsZero() {
		_, err = identity.NewMailer(cfg.Mail.URL.Reveal(), cfg.Mail.From)
		look(err, "mail.url", "mail.from")
	}
	_, err = outbound.New(outboundConfig(cfg))
	look(err, "outbound.ca_file")
	if cfg.Log.File != "" {
		_, err = os.Stat(filepath.Dir(cfg.Log.File))
		look(err, "log.file")
	}
	return problems
}

// checkRunning says what else would keep serve from starting: the database in
// use or closed to us, keys that do not open, the port taken. It is asked when
// something is wrong already, so that nobody has to start once for each error;
// it makes nothing.
func checkRunning(ctx context.Context, cfg *config.Config) []error {
	var problems []error
	locked := false
	if !cfg.Wrong("database_url", "data_dir") {
		problems = checkDatabase(ctx, cfg)
		locked = slices.ContainsFunc(problems, func(err error) bool { return errors.Is(err, sqlstore.ErrInUse) })
	}
	// Whoever has the database has the port too.
	if !locked && !cfg.Wrong("listen") {
		l, err := listen(cfg.Listen)
		if err != nil {
			return append(problems, err)
		}
		l.Close()
	}
	return problems
}

// everyReason joins why the start failed with what else would have failed it.
func everyReason(err error, others []error) error {
	all := []error{err}
	for _, o := range others {
		if !said(all, o) {
			all = append(all, o)
		}
	}
	return errors.Join(all...)
}

// said reports whether one of all has the text of err.
func said(all []error, err error) bool {
	return slices.ContainsFunc(all, func(e error) bool { return e.Error() == err.Error() })
}

// checkDatabase opens the database that is there, and its signing keys, also
// where another has it.
func checkDatabase(ctx context.Context, cfg *config.Config) []error {
	var problems []error
	o := sqlstore.Options{URL: cfg.DatabaseURL.Reveal(), Exclusive: true}
	db, err := sqlstore.Open(ctx, o)
	if errors.Is(err, sqlstore.ErrInUse) {
		problems = append(problems, err)
		o.Exclusive = false
		db, err = sqlstore.Open(ctx, o)
	}
	switch {
	case errors.Is(err, sqlstore.ErrMissing):
		return nil
	case err != nil:
		return append(problems, err)
	}
	if err := errors.Join(checkKeys(ctx, cfg, db.Store()), db.Close()); err != nil {
		problems = append(problems, err)
	}
	return problems
}

// checkKeys opens the signing keys that are there.
func checkKeys(ctx context.Context, cfg *config.Config, store *storage.Store) error {
	if rows, err := store.Keys.List(ctx); err != nil || len(rows) == 0 {
		return err
	}
	master, err := masterKeys(cfg)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return lostMasterKey(cfg)
	case err != nil:
		return nil // checkFiles said so
	}
	return startRing(ctx, cfg, keys.NewRing(ringConfig(cfg, store, master, nil)))
}
