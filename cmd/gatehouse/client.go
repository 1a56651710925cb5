package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/cmd/gatehouse/config"
	"gatehouse/provider"
	"gatehouse/storage"
)

func newClientCommand() *cobra.Command {
	return group("client", "Manage the applications that people sign in to",
		"  gatehouse client create --id web --redirect-uri https://app.example/callback\n  gatehouse client list",
		newClientCreateCommand(), newClientListCommand(), newClientShowCommand(),
		newClientUpdateCommand(), newClientDeleteCommand(), newClientRotateSecretCommand())
}

// metadataFlags are the flags for what a client registers most; --set takes the rest.
type metadataFlags struct {
	cmd *cobra.Command
	set []string
}

// metadataFlagNames maps each flag to its registered name. Of a list, each
// value is given by a flag of its own, so that it may have commas.
var metadataFlagNames = []struct {
	flag, metadata, usage string
	list                  bool
}{
	{"name", "client_name", "the `name` that people see", false},
	{"redirect-uri", "redirect_uris", "a `URI` where answers may go, byte for byte; may be repeated", true},
	{"post-logout-redirect-uri", "post_logout_redirect_uris", "a `URI` where a sign-out may lead; may be repeated", true},
	{"grant-type", "grant_types", "a grant `type`: authorization_code, refresh_token, client_credentials, urn:ietf:params:oauth:grant-type:device_code; may be repeated", true},
	{"scope", "scope", "the `scopes` it may ask for, space separated", false},
	{"auth-method", "token_endpoint_auth_method", "the `method` it authenticates by: client_secret_basic, client_secret_post, private_key_jwt, none", false},
	{"access-token", "access_token_format", "the `format` of its access tokens: jwt, opaque", false},
	{"audience", "audience", "the `URI` or client id of an API that its access tokens are for; may be repeated", true},
}

func addMetadataFlags(cmd *cobra.Command) *metadataFlags {
	f := &metadataFlags{cmd: cmd}
	for _, m := range metadataFlagNames {
		cmd.Flags().StringArray(m.flag, nil, m.usage)
	}
	cmd.Flags().Bool("public", false, "it cannot keep a secret, being a browser, mobile or desktop application")
	cmd.Flags().Bool("skip-consent", false, "people need not consent: the application is ours")
	cmd.Flags().StringArrayVar(&f.set, "set", nil, "any client metadata, as `name=value`; lists comma separated; an empty value takes it away")
	return f
}

// apply writes what the flags say over m.
func (f *metadataFlags) apply(m *storage.ClientMetadata) error {
	var errs []error
	set := func(name, text string) {
		if err := config.SetMetadata(m, name, text); err != nil {
			errs = append(errs, err)
		}
	}
	flags := f.cmd.Flags()
	if public, _ := flags.GetBool("public"); public {
		set("token_endpoint_auth_method", "none")
	}
	if flags.Changed("skip-consent") {
		skip, _ := flags.GetBool("skip-consent")
		m.SkipConsent = skip
	}
	for _, flag := range metadataFlagNames {
		if !flags.Changed(flag.flag) {
			continue
		}
		values, _ := flags.GetStringArray(flag.flag)
		if !flag.list {
			set(flag.metadata, strings.Join(values, " "))
		} else if err := config.SetMetadataList(m, flag.metadata, values); err != nil {
			errs = append(errs, err)
		}
	}
	for _, pair := range f.set {
		name, value, found := strings.Cut(pair, "=")
		if !found {
			errs = append(errs, fmt.Errorf("--set %s has no value; write --set name=value", pair))
			continue
		}
		set(name, value)
	}
	if err := errors.Join(errs...); err != nil {
		return &usageError{err}
	}
	return nil
}

func newClientCreateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "create", Short: "Register a client, and print its id and its secret",
		Long: `Registers a client, and prints its id and, this once, its secret. Without --id one
is made; without --client-secret-stdin or --client-secret-file a secret is made
where the client needs one.`,
		Example: `  gatehouse client create --id web --name "My app" --redirect-uri https://app.example/callback
  gatehouse client create --id spa --public --redirect-uri https://spa.example/callback --grant-type authorization_code --grant-type refresh_token
  gatehouse client create --id batch --grant-type client_credentials --scope "reports:read" --audience https://api.example -o json`,
		Args: cobra.NoArgs,
	}
	id := cmd.Flags().String("id", "", "its client_id; made where none is given")
	metadata, secret, asJSON := addMetadataFlags(cmd), secretFlags(cmd, "client-secret", "client secret"), outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var m storage.ClientMetadata
		if err := metadata.apply(&m); err != nil {
			return err
		}
		text, err := "", error(nil)
		if secret.given() {
			if text, err = secret.read(cmd); err != nil {
				return err
			}
		}
		return withSite(cmd, func(ctx context.Context, s *site) error {
			r, err := s.registrar.Register(ctx, *id, text, m)
			if err != nil {
				return err
			}
			return printClient(cmd.OutOrStdout(), r.Client, r.Secret, asJSON())
		})
	}
	return cmd
}

// printClient prints the registration response of c.
func printClient(w io.Writer, c *storage.Client, secret string, asJSON bool) error {
	response := provider.Response(c, secret)
	if asJSON {
		return printJSON(w, response)
	}
	rows := [][]any{{"client_id", c.ID}}
	if secret != "" {
		rows = append(rows, []any{"client_secret", secret + "  (shown this once)"})
	}
	for _, name := range append(config.MetadataNames(), "declared", "disabled") {
		if value, there := response[name]; there {
			rows = append(rows, []any{name, readable(value)})
		}
	}
	rows = append(rows, []any{"created", moment(c.CreatedAt)})
	return printTable(w, rows...)
}

// readable is a JSON value as a table shows it.
func readable(value any) string {
	list, ok := value.([]any)
	if !ok {
		return fmt.Sprint(value)
	}
	words := make([]string, len(list))
	for i, v := range list {
		words[i] = fmt.Sprint(v)
	}
	return strings.Join(words, ", ")
}

func newClientListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List the clients",
		Example: "  gatehouse client list\n  gatehouse client list -o json",
		Args:    cobra.NoArgs,
	}
	asJSON := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return withSite(cmd, func(ctx context.Context, s *site) error {
			list := []map[string]any{}
			rows := [][]any{{"CLIENT ID", "NAME", "KIND", "GRANT TYPES", "STATE"}}
			err := each(ctx, s.store.Clients.List, func(c *storage.Client) string { return c.ID }, func(c *storage.Client) error {
				list = append(list, provider.Response(c, ""))
				rows = append(rows, []any{c.ID, c.Metadata.ClientName, clientKind(c), strings.Join(c.Metadata.GrantTypes, " "), clientState(c)})
				return nil
			})
			if err != nil {
				return fmt.Errorf("list the clients: %w", err)
			}
			if asJSON() {
				return printJSON(cmd.OutOrStdout(), list)
			}
			return printTable(cmd.OutOrStdout(), rows...)
		})
	}
	return cmd
}

func clientKind(c *storage.Client) string {
	if c.Public() {
		return "public"
	}
	return "confidential"
}

func clientState(c *storage.Client) string {
	state := "enabled"
	if !c.DisabledAt.IsZero() {
		state = "disabled"
	}
	if c.Declared {
		state += ", declared"
	}
	return state
}

// client returns the client with this id.
func (s *site) client(ctx context.Context, id string) (*storage.Client, error) {
	c, err := s.store.Clients.Get(ctx, id)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil, fmt.Errorf("there is no client %s", id)
	case err != nil:
		return nil, fmt.Errorf("look up client %s: %w", id, err)
	}
	return c, nil
}

// withClient is withSite for a command about one client.
func withClient(cmd *cobra.Command, id string, do func(ctx context.Context, s *site, c *storage.Client) error) error {
	return withSite(cmd, func(ctx context.Context, s *site) error {
		c, err := s.client(ctx, id)
		if err != nil {
			return err
		}
		return do(ctx, s, c)
	})
}

func newClientShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show a client",
		Example: "  gatehouse client show web -o json",
		Args:    cobra.ExactArgs(1),
	}
	asJSON := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return withClient(cmd, args[0], func(_ context.Context, _ *site, c *storage.Client) error {
			return printClient(cmd.OutOrStdout(), c, "", asJSON())
		})
	}
	return cmd
}

func newClientUpdateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "update ID", Short: "Change what a client registered",
		Long:    "Changes what the flags name, and leaves the rest. A list is replaced as a whole.",
		Example: "  gatehouse client update web --redirect-uri https://app.example/callback --redirect-uri https://app.example/other\n  gatehouse client update web --set access_token_lifetime=300 --set logo_uri=",
		Args:    cobra.ExactArgs(1),
	}
	metadata, asJSON := addMetadataFlags(cmd), outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return withClient(cmd, args[0], func(ctx context.Context, s *site, c *storage.Client) error {
			m := c.Metadata
			if err := metadata.apply(&m); err != nil {
				return err
			}
			err := s.registrar.Update(ctx, c, m)
			if errors.Is(err, storage.ErrConflict) {
				return errors.New("somebody else changed the client at this moment; look, and try again")
			}
			if err != nil {
				return err
			}
			return printClient(cmd.OutOrStdout(), c, "", asJSON())
		})
	}
	return cmd
}

func newClientDeleteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "delete ID", Short: "Delete a client, and end everything it was granted",
		Example: "  gatehouse client delete web --yes",
		Args:    cobra.ExactArgs(1),
	}
	yes := cmd.Flags().Bool("yes", false, "do not ask")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return withClient(cmd, args[0], func(ctx context.Context, s *site, c *storage.Client) error {
			if err := confirm(cmd, *yes, "Everything that client "+c.ID+" was granted ends."); err != nil {
				return err
			}
			if err := s.registrar.Delete(ctx, c); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "Client %s is deleted.\n", c.ID)
			return nil
		})
	}
	return cmd
}

func newClientRotateSecretCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "rotate-secret ID", Short: "Give a client a new secret, and print it",
		Long:    "Gives a client a new secret and prints it, this once. The secret before stays good\nfor a while, so that the client changes over without a gap.",
		Example: "  gatehouse client rotate-secret web\n  gatehouse client rotate-secret web --overlap 0s",
		Args:    cobra.ExactArgs(1),
	}
	overlap := cmd.Flags().Duration("overlap", 24*time.Hour, "how `long` the secret before stays good")
	asJSON := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *overlap < 0 {
			return misuse("--overlap is %s; it cannot be negative", *overlap)
		}
		return withClient(cmd, args[0], func(ctx context.Context, s *site, c *storage.Client) error {
			secret, err := s.registrar.RotateSecret(ctx, c, *overlap)
			if err != nil {
				return err
			}
			return printClient(cmd.OutOrStdout(), c, secret, asJSON())
		})
	}
	return cmd
}
