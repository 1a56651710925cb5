package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/storage/sqlstore"
)

func newMigrateCommand() *cobra.Command {
	return group("migrate", "Bring the database schema up to date", "  gatehouse migrate status\n  gatehouse migrate up",
		newMigrateUpCommand(), newMigrateStatusCommand(), newMigrateResetCommand())
}

// withDatabase opens the database as o says, whatever its schema.
func withDatabase(cmd *cobra.Command, o sqlstore.Options, do func(ctx context.Context, db *sqlstore.DB) error) error {
	cfg, err := loadSettings(cmd)
	if err != nil {
		return err
	}
	o.URL, o.MinConns = cfg.DatabaseURL.Reveal(), 1
	db, err := sqlstore.Open(cmd.Context(), o)
	if err != nil {
		return err
	}
	defer db.Close()
	return do(cmd.Context(), db)
}

func newMigrateUpCommand() *cobra.Command {
	return &cobra.Command{
		Use: "up", Short: "Apply the migrations that are pending",
		Long:    "Applies the migrations that are pending, and makes an embedded database where\nthere is none. It refuses an embedded database that a running serve holds.",
		Example: "  gatehouse migrate up",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withDatabase(cmd, sqlstore.Options{Create: true, Exclusive: true, Migrate: true}, func(ctx context.Context, db *sqlstore.DB) error {
				all, err := db.Migrations(ctx)
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "The schema is at version %d.\n", all[len(all)-1].Version)
				return nil
			})
		},
	}
}

func newMigrateStatusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "status", Short: "List the migrations: applied, pending or foreign",
		Long:    "Lists the migrations: applied, pending, or foreign, which means applied by another\ngatehouse. It changes nothing.",
		Example: "  gatehouse migrate status\n  gatehouse migrate status -o json",
		Args:    cobra.NoArgs,
	}
	asJSON := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return withDatabase(cmd, sqlstore.Options{AnySchema: true}, func(ctx context.Context, db *sqlstore.DB) error {
			all, err := db.Migrations(ctx)
			if err != nil {
				return err
			}
			return printMigrations(cmd.OutOrStdout(), all, asJSON())
		})
	}
	return cmd
}

func printMigrations(w io.Writer, all []sqlstore.Migration, asJSON bool) error {
	type shown struct {
		Version   int64     `json:"version"`
		Name      string    `json:"name,omitempty"`
		State     string    `json:"state"`
		AppliedAt time.Time `json:"applied_at,omitzero"`
	}
	list := []shown{}
	rows := [][]any{{"VERSION", "STATE", "APPLIED", "NAME"}}
	for _, m := range all {
		state := "applied"
		switch {
		case m.Foreign:
			state = "foreign: unknown to this program"
		case m.AppliedAt.IsZero():
			state = "pending"
		}
		list = append(list, shown{m.Version, m.Name, state, m.AppliedAt})
		rows = append(rows, []any{m.Version, state, moment(m.AppliedAt), m.Name})
	}
	if asJSON {
		return printJSON(w, list)
	}
	return printTable(w, rows...)
}

func newMigrateResetCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "reset", Short: "Empty the database (for development)",
		Long:    "Drops everything in the database, or in the schema of PostgreSQL that the connection\nis in, and makes the tables anew. It is for development: it refuses a database with\nmore than one user, of another program, or that a running serve holds.",
		Example: "  gatehouse migrate reset --yes",
		Args:    cobra.NoArgs,
	}
	yes := cmd.Flags().Bool("yes", false, "do not ask")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return withDatabase(cmd, sqlstore.Options{AnySchema: true, Exclusive: true}, func(ctx context.Context, db *sqlstore.DB) error {
			if err := refuseUsed(ctx, db); err != nil {
				return err
			}
			if err := confirm(cmd, *yes, "This deletes every user, client and key in the database."); err != nil {
				return err
			}
			if err := db.Reset(ctx); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "The database is empty.")
			return nil
		})
	}
	return cmd
}

// refuseUsed refuses a database that people use.
func refuseUsed(ctx context.Context, db *sqlstore.DB) error {
	all, err := db.Migrations(ctx)
	if err != nil {
		return err
	}
	if len(all) > 0 && all[0].AppliedAt.IsZero() {
		return nil // there is no table of users yet
	}
	n, err := db.Store().Users.Count(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("count the users: %w", err)
	case n > 1:
		return errors.New("the database has more than one user; reset is for development only")
	}
	return nil
}
