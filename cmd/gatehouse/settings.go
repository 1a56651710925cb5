package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"gatehouse/cmd/gatehouse/config"
)

// addSettingFlags adds the settings that these commands take as flags. They
// have no default of their own: what was not given leaves the rest to decide.
func addSettingFlags(flags *pflag.FlagSet, commands string) {
	for _, s := range config.Settings() {
		if s.Flags == commands {
			flags.String(s.Flag(), "", s.Usage())
		}
	}
}

// loadSettings reads the settings for a command. The Config is there even
// where something is wrong with it.
func loadSettings(cmd *cobra.Command) (*config.Config, error) {
	s := config.Sources{Env: os.Environ(), Flags: make(map[string]string)}
	s.File, _ = cmd.Flags().GetString("config")
	for _, setting := range config.Settings() {
		if f := cmd.Flags().Lookup(setting.Flag()); setting.Flags != "" && f != nil && f.Changed {
			s.Flags[setting.Name] = f.Value.String()
		}
	}
	return config.Load(s)
}

func newConfigCommand() *cobra.Command {
	check := &cobra.Command{
		Use: "check", Short: "Say everything that is wrong with the settings",
		Long:    "Reads the settings as serve would, and the files they name, and says everything that\nis wrong with them. It changes nothing and needs no database.",
		Example: "  gatehouse config check --config gatehouse.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadSettings(cmd)
			if err := refusals(err, checkFiles(cfg)); err != nil {
				return err
			}
			for _, warning := range cfg.Warnings {
				fmt.Fprintln(cmd.ErrOrStderr(), "warning:", warning)
			}
			fmt.Fprintln(cmd.OutOrStdout(), "The settings are good.")
			return nil
		},
	}
	show := &cobra.Command{
		Use: "show", Short: "Print the settings in force, and where each came from",
		Long:    "Prints the settings in force with secrets masked, and where each one came from.",
		Example: "  gatehouse config show\n  gatehouse config show -o json",
		Args:    cobra.NoArgs,
	}
	asJSON := outputFlag(show)
	show.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := loadSettings(cmd)
		if err != nil {
			return err
		}
		return showSettings(cmd.OutOrStdout(), cfg, asJSON())
	}
	reference := &cobra.Command{
		Use: "reference", Short: "Print what every setting means",
		Example: "  gatehouse config reference | less",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return config.Reference(cmd.OutOrStdout()) },
	}
	return group("config", "Check, show and explain the settings", "  gatehouse config check\n  gatehouse config show\n  gatehouse config reference",
		check, show, reference)
}

func showSettings(w io.Writer, cfg *config.Config, asJSON bool) error {
	type shown struct {
		Value  string `json:"value"`
		Origin string `json:"origin"`
	}
	all := make(map[string]shown)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range config.Settings() {
		all[s.Name] = shown{cfg.Value(s), cfg.Origin(s.Name).String()}
		if !asJSON {
			fmt.Fprintf(table, "%s\t%s\t%s\n", s.Name, cfg.Value(s), cfg.Origin(s.Name))
		}
	}
	var clients []string
	for _, c := range cfg.Clients {
		clients = append(clients, c.ID)
		if !asJSON {
			fmt.Fprintf(table, "client %s\t\tfile %s\n", c.ID, c.Where)
		}
	}
	type upstream struct {
		ID          string `json:"id"`
		Issuer      string `json:"issuer"`
		ClientID    string `json:"client_id"`
		RedirectURI string `json:"redirect_uri"`
		Origin      string `json:"origin"`
	}
	upstreams := []upstream{}
	for _, u := range cfg.Upstreams {
		upstreams = append(upstreams, upstream{u.ID, u.Issuer, u.ClientID, u.RedirectURI, u.Where})
		if !asJSON {
			fmt.Fprintf(table, "upstream %s\t%s, back to %s\t%s\n", u.ID, u.Issuer, u.RedirectURI, u.Where)
		}
	}
	if !asJSON {
		return table.Flush()
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(map[string]any{"settings": all, "clients": clients, "upstreams": upstreams})
}
