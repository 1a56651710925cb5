package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"gatehouse/identity"
)

func newSetupLinkCommand() *cobra.Command {
	return &cobra.Command{
		Use: "setup-link", Short: "Print a fresh one-time address for the first administrator",
		Long:    "Prints a fresh one-time address where the first administrator is made. Those\nprinted before stop working.",
		Example: "  gatehouse setup-link",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withSite(cmd, func(ctx context.Context, s *site) error {
				people, err := s.people()
				if err != nil {
					return err
				}
				secret, expires, err := people.NewSetupLink(ctx)
				if errors.Is(err, identity.ErrSetUp) {
					return errors.New("an administrator exists already; make another with: gatehouse user create --admin")
				}
				if err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), setupAddress(s.cfg, secret))
				fmt.Fprintf(cmd.ErrOrStderr(), "It works once, until %s.\n", moment(expires))
				return nil
			})
		},
	}
}
