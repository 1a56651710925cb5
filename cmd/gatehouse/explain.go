package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/provider"
	"gatehouse/storage"
	"gatehouse/web"
)

const keptDays = storage.FailuresKept / (24 * time.Hour)

// quotedShort is what was typed, as far as it is worth repeating.
func quotedShort(s string) string {
	if len(s) > 40 {
		return strconv.Quote(s[:40]) + "…"
	}
	return strconv.Quote(s)
}

func newExplainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "explain CODE", Short: "Say what lies behind the code on an error page",
		Long: `Says what was sent, what was expected, why that usually is and what to do, for
the code on an error page, or for the request_id of a line of the log. The code is
read as it is typed: in small letters, with spaces or without dashes.

Failures are kept for seven days, and so many of each network, since anybody can
make one. No password, code, token or secret is among what is kept.`,
		Example: "  gatehouse explain BCDF-GHJK-LMNP\n  gatehouse explain 'bcdf ghjk lmnp' -o json",
		Args:    cobra.MinimumNArgs(1),
	}
	asJSON := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		typed := strings.Join(args, " ")
		code := web.ReadRequestID(typed)
		if code == "" {
			return fmt.Errorf("%s is no code that stands on an error page: those have twelve letters, without vowels, as in BCDF-GHJK-LMNP, "+
				"and are kept for %d days", quotedShort(typed), keptDays)
		}
		return withSite(cmd, func(ctx context.Context, s *site) error {
			f, err := s.store.Failures.Get(ctx, code)
			switch {
			case errors.Is(err, storage.ErrNotFound):
				return fmt.Errorf("nothing is kept under the code %s; failures are kept for %d days, and so many of each network; "+
					"the log may have lines with request_id %[1]s", code, keptDays)
			case err != nil:
				return fmt.Errorf("look up the code: %w", err)
			}
			explained, err := (&provider.Explainer{Clients: s.store.Clients}).Explain(ctx, f)
			if err != nil {
				return err
			}
			return printExplanation(cmd.OutOrStdout(), explained, asJSON())
		})
	}
	return cmd
}

func printExplanation(w io.Writer, e *provider.Explanation, asJSON bool) error {
	if asJSON {
		return printJSON(w, e)
	}
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "  %-14s  %s\n", name, printable(value))
		}
	}
	fmt.Fprintf(&b, "%s, %s\n", e.Code, moment(e.At))
	line("failed", e.Kind)
	line("client", e.ClientID)
	line("upstream", e.Upstream)
	line("sent", e.Sent)
	line("expected", e.Expected)
	if d := e.Difference; d != nil {
		line("differs", fmt.Sprintf("at character %d: %s instead of %s", d.Position, character(d.Sent), character(d.Expected)))
	}
	for _, name := range slices.Sorted(maps.Keys(e.Details)) {
		line(name, e.Details[name])
	}
	line("told", map[bool]string{true: "the client, which was sent the error", false: "the person, on a page with this code"}[e.Answered])
	for _, f := range e.Findings {
		fmt.Fprintf(&b, "\n%s [%s]\n", printable(f.What), f.Code)
		line("evidence", f.Evidence)
		line("usual cause", f.Cause)
		line("fix", f.Fix)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// character is one that differs, so that a space and the end can be seen.
func character(s string) string {
	if s == "" {
		return "the end"
	}
	return "'" + s + "'"
}
