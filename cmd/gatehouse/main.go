// Command gatehouse is an OpenID Connect provider in one binary. This package
// is the only place that knows which parts exist: it reads the settings, wires
// the parts and has one file for each command.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"gatehouse/cmd/gatehouse/config"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// The exit statuses.
const (
	exitDone   = 0
	exitFailed = 1 // the operation failed
	exitUsage  = 2 // wrong usage or configuration
)

// run is one invocation, from its arguments to its exit status.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root, begun := newRootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(stderr, "gatehouse: %s\n", printable(strings.TrimRight(line, "\n")))
	}
	_, misused := errors.AsType[*usageError](err)
	if misused || !*begun {
		fmt.Fprintf(stderr, "See: %s --help\n", cmd.CommandPath())
		return exitUsage
	}
	if _, misconfigured := errors.AsType[*config.Error](err); misconfigured {
		return exitUsage
	}
	return exitFailed
}

// newRootCommand returns the whole tree. begun tells a command that failed
// from one that was never understood.
func newRootCommand() (root *cobra.Command, begun *bool) {
	begun = new(bool)
	root = &cobra.Command{
		Use:   "gatehouse",
		Short: "An OpenID Connect provider in one binary",
		Long: `gatehouse signs people in to your applications, by OpenID Connect and OAuth 2.0.

With nothing configured, "gatehouse serve" runs on http://localhost:8000 with an
embedded database in ./data and prints a one-time address for its first
administrator. "gatehouse config reference" lists every setting.`,
		Example:           "  gatehouse serve\n  gatehouse client create --id web --redirect-uri https://app.example/callback",
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRun:  func(*cobra.Command, []string) { *begun = true },
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.PersistentFlags().String("config", "", "the configuration `file` (default: gatehouse.yaml where there is one)")
	addSettingFlags(root.PersistentFlags(), "all")
	root.AddCommand(
		newServeCommand(),
		newDemoCommand(),
		newSetupLinkCommand(),
		newMigrateCommand(),
		newDoctorCommand(),
		newClientCommand(),
		newUserCommand(),
		newKeysCommand(),
		newTokenCommand(),
		newExplainCommand(),
		newConfigCommand(),
		newVersionCommand(),
		newHealthcheckCommand(),
		newCompletionCommand(),
	)
	return root, begun
}

// A usageError is a mistake in how a command was called.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

func misuse(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// group is a command that only has subcommands.
func group(use, short, example string, subcommands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Example: example,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return misuse("%s needs a subcommand: %s", cmd.CommandPath(), names(subcommands))
			}
			return misuse("%s has no subcommand %q; it has %s", cmd.CommandPath(), args[0], names(subcommands))
		},
	}
	cmd.AddCommand(subcommands...)
	return cmd
}

func names(commands []*cobra.Command) string {
	var words []string
	for _, c := range commands {
		words = append(words, c.Name())
	}
	return strings.Join(words, ", ")
}
