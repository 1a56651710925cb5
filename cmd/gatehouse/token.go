package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"gatehouse/provider"
)

func newTokenCommand() *cobra.Command {
	return group("token", "Say why a token is, or is not, acceptable", "  gatehouse token inspect < token.txt", newTokenInspectCommand())
}

// errUnacceptable is the exit status of an inspection that found something.
var errUnacceptable = errors.New("the token is not acceptable")

func newTokenInspectCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "inspect [-]", Short: "Say exactly why a token is, or is not, acceptable",
		Long: `Reads an access token, ID token or refresh token, or whatever was sent in its
place, from standard input or from a prompt without echo, and says what is wrong
with it, how that shows, why that usually is and what to do. It exits with 0
where the token is acceptable here and now, and with 1 where it is not.

A token is never an argument. Nothing of it is stored or logged, and inspecting
a refresh token does not spend it.`,
		Example: "  gatehouse token inspect\n  pbpaste | gatehouse token inspect - --expect access --audience https://api.example",
		// Not cobra's words: they would repeat what was pasted.
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 || len(args) == 1 && args[0] != "-" {
				return misuse("a token is never an argument: it would stay in the shell's history; pipe it in, or run the command alone and paste it")
			}
			return nil
		},
	}
	asJSON := outputFlag(cmd)
	audience := cmd.Flags().String("audience", "", "whom the token must be for: the `name` that the API expects")
	expect := cmd.Flags().String("expect", "", "what the token must be: access, id or refresh")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		kind := provider.TokenKind(*expect)
		if kind != "" && kind != provider.AccessKind && kind != provider.IDKind && kind != provider.RefreshKind {
			return misuse("--expect is access, id or refresh")
		}
		return withSite(cmd, func(ctx context.Context, s *site) error {
			master, err := masterKeys(s.cfg)
			if err != nil {
				return err
			}
			pasted, err := readPasted(cmd, len(args) == 1)
			if err != nil {
				return err
			}
			inspector := provider.Inspector{Issuer: s.cfg.Issuer, Store: s.store, Keys: s.ring(master), Master: master, Lifetimes: lifetimes(s.cfg)}
			found, err := inspector.Inspect(ctx, provider.Question{Pasted: pasted, Audience: *audience, Expect: kind})
			if err != nil {
				return err
			}
			if err := printInspection(cmd.OutOrStdout(), found, asJSON()); err != nil || found.Acceptable {
				return err
			}
			return errUnacceptable
		})
	}
	return cmd
}

// readPasted takes all of standard input, line breaks too, since those may be
// what is wrong; at a terminal it asks, without echo.
func readPasted(cmd *cobra.Command, piped bool) (string, error) {
	terminal, ok := cmd.InOrStdin().(*os.File)
	if ok && !piped && term.IsTerminal(int(terminal.Fd())) {
		fmt.Fprint(cmd.ErrOrStderr(), "Token (it is not shown): ")
		b, err := term.ReadPassword(int(terminal.Fd()))
		fmt.Fprintln(cmd.ErrOrStderr())
		if err != nil {
			return "", fmt.Errorf("read the token: %w", err)
		}
		return string(b), nil
	}
	b, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), 2*maxSecret))
	if err != nil {
		return "", fmt.Errorf("read the token from standard input: %w", err)
	}
	return string(b), nil
}

func printInspection(w io.Writer, found *provider.Inspection, asJSON bool) error {
	if asJSON {
		return printJSON(w, found)
	}
	var b strings.Builder
	if found.Kind != "" {
		fmt.Fprintf(&b, "%s\n", found.Kind)
	}
	if len(found.Facts) > 0 && !found.Verified {
		b.WriteString("  (as it says of itself; not verified)\n")
	}
	for _, f := range found.Facts {
		fmt.Fprintf(&b, "  %-14s %s\n", f.Name, printable(f.Value))
	}
	for _, f := range found.Findings {
		mark := "FAIL"
		if f.OK {
			mark = "ok"
		}
		fmt.Fprintf(&b, "\n%s  %s [%s]\n  seen:   %s\n  cause:  %s\n  fix:    %s\n", mark, f.What, f.Code, f.Evidence, f.Cause, f.Fix)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
