package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/keys"
	"gatehouse/storage"
)

func newKeysCommand() *cobra.Command {
	return group("keys", "Show and rotate the signing keys", "  gatehouse keys list\n  gatehouse keys rotate RS256",
		newKeysListCommand(), newKeysRotateCommand(), newKeysRetireCommand())
}

func newKeysListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List the signing keys with their place in the timetable",
		Long: `Lists the signing keys: next (published, and not signing yet), active (signing),
retiring (published until the last token it signed has expired) and gone.`,
		Example: "  gatehouse keys list\n  gatehouse keys list -o json",
		Args:    cobra.NoArgs,
	}
	asJSON := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return withSite(cmd, func(ctx context.Context, s *site) error {
			all, err := s.ring(nil).Status(ctx)
			if err != nil {
				return err
			}
			return printKeys(cmd.OutOrStdout(), all, asJSON())
		})
	}
	return cmd
}

// ring is the signing keys; without master keys they can only be listed and retired.
func (s *site) ring(master *keys.Master) *keys.Ring {
	return keys.NewRing(ringConfig(s.cfg, s.store, master, nil))
}

func printKeys(w io.Writer, all []keys.Status, asJSON bool) error {
	type shown struct {
		KeyID      string    `json:"kid"`
		Algorithm  string    `json:"alg"`
		Generation int64     `json:"generation"`
		State      string    `json:"state"`
		CreatedAt  time.Time `json:"created_at"`
		SignsFrom  time.Time `json:"signs_from"`
		SignsTo    time.Time `json:"signs_to,omitzero"`
		GoneAt     time.Time `json:"gone_at,omitzero"`
	}
	list := []shown{}
	rows := [][]any{{"KID", "ALG", "GENERATION", "STATE", "SIGNS FROM", "SIGNS TO", "GONE AT"}}
	for _, k := range all {
		list = append(list, shown{k.Key.ID, k.Key.Algorithm, k.Key.Generation, string(k.State), k.Key.CreatedAt.UTC(), k.SignsFrom.UTC(), utc(k.SignsTo), utc(k.GoneAt)})
		rows = append(rows, []any{k.Key.ID, k.Key.Algorithm, k.Key.Generation, k.State, moment(k.SignsFrom), moment(k.SignsTo), moment(k.GoneAt)})
	}
	if asJSON {
		return printJSON(w, list)
	}
	return printTable(w, rows...)
}

// utc keeps a zero time zero.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC()
}

func newKeysRotateCommand() *cobra.Command {
	return &cobra.Command{
		Use: "rotate [ALGORITHM…]", Short: "Make the next key of each algorithm now",
		Long: `Makes the next key of the algorithms named, or of all: RS256, PS256, ES256, EdDSA.
It is published at once and signs after keys.publish_lead, so that no relying
party meets a key it cannot know yet.`,
		Example:   "  gatehouse keys rotate\n  gatehouse keys rotate ES256",
		ValidArgs: keys.Algorithms,
		Args:      cobra.OnlyValidArgs,
		RunE: func(cmd *cobra.Command, algorithms []string) error {
			if len(algorithms) == 0 {
				algorithms = keys.Algorithms
			}
			return withSite(cmd, func(ctx context.Context, s *site) error {
				master, err := masterKeys(s.cfg)
				if err != nil {
					return err
				}
				ring, errs := s.ring(master), []error{}
				for _, alg := range algorithms {
					key, err := ring.Rotate(ctx, alg)
					switch {
					case errors.Is(err, keys.ErrSealed):
						return err // no algorithm fares better
					case err != nil:
						errs = append(errs, err)
						continue
					}
					fmt.Fprintf(cmd.OutOrStdout(), "%s %s signs from %s\n", alg, key.ID, moment(key.SignAt))
				}
				return errors.Join(errs...)
			})
		},
	}
}

func newKeysRetireCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "retire KID", Short: "Stop a key at once",
		Long: `Stops a key at once: it signs no more and leaves the published set, so that tokens
it signed verify no more. It is for a key that leaked; keys retire by themselves.
A key that still signs has to be rotated first.`,
		Example: "  gatehouse keys retire 4MRXPT5QZ2KHN7AB",
		Args:    cobra.ExactArgs(1),
	}
	yes := cmd.Flags().Bool("yes", false, "do not ask")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return withSite(cmd, func(ctx context.Context, s *site) error {
			if err := confirm(cmd, *yes, "Tokens signed with "+args[0]+" will verify no more."); err != nil {
				return err
			}
			switch err := s.ring(nil).Retire(ctx, args[0]); {
			case errors.Is(err, storage.ErrNotFound):
				return fmt.Errorf("there is no signing key %s; gatehouse keys list shows them", args[0])
			case err != nil:
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is retired.\n", args[0])
			return nil
		})
	}
	return cmd
}
