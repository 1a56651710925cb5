package main

import (
	"context"

	"github.com/spf13/cobra"

	"gatehouse/cmd/gatehouse/config"
	"gatehouse/identity"
	"gatehouse/provider"
	"gatehouse/storage"
	"gatehouse/storage/sqlstore"
)

// A site is what a command that works beside a running serve has at hand.
type site struct {
	cfg       *config.Config
	db        *sqlstore.DB
	store     *storage.Store
	registrar *provider.Registrar
}

// withSite opens the database that is there for do. It makes none, and applies
// no migration.
func withSite(cmd *cobra.Command, do func(ctx context.Context, s *site) error) error {
	cfg, err := loadSettings(cmd)
	if err != nil {
		return err
	}
	ctx := storage.WithOrigin(cmd.Context(), storage.Origin{Actor: "command line"})
	db, err := sqlstore.Open(ctx, sqlstore.Options{URL: cfg.DatabaseURL.Reveal(), MinConns: 1})
	if err != nil {
		return err
	}
	defer db.Close()
	store := db.Store()
	return do(ctx, &site{cfg: cfg, db: db, store: store, registrar: registrar(cfg, store)})
}

// people are the accounts of the site.
func (s *site) people() (*identity.People, error) {
	return identity.New(peopleConfig(s.cfg, s.store, nil))
}

// pageSize is how many records a list reads at a time.
const pageSize = 200

// each walks a list that is read in pages, in order of its ids.
func each[T any](ctx context.Context, list func(ctx context.Context, after string, limit int) ([]T, error), id func(T) string, do func(T) error) error {
	for after := ""; ; {
		page, err := list(ctx, after, pageSize)
		if err != nil {
			return err
		}
		for _, record := range page {
			if err := do(record); err != nil {
				return err
			}
			after = id(record)
		}
		if len(page) < pageSize {
			return nil
		}
	}
}
