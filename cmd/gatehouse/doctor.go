package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/storage"
	"gatehouse/storage/sqlstore"
)

// A finding is what one check of doctor saw. All but Check and What are empty
// where it is well.
type finding struct {
	Check    string `json:"check"`
	OK       bool   `json:"ok"`
	What     string `json:"what"`
	Evidence string `json:"evidence,omitempty"`
	Cause    string `json:"usual_cause,omitempty"`
	Fix      string `json:"fix,omitempty"`
}

func well(check, format string, args ...any) finding {
	return finding{Check: check, OK: true, What: fmt.Sprintf(format, args...)}
}

func newDoctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "doctor", Short: "Say what is wrong, why, and how to put it right",
		Long: `Checks configuration, data directory, master key, database, schema, clock, Redis,
signing keys, mail server, whether the issuer answers under its own name, and each
upstream: its documents, our secret and our address there, its clock. Each failing
line has what is wrong, the evidence, the usual cause and the fix. It changes
nothing. The exit status is 1 where anything fails.

With --url, run where a calling service runs, it checks only the way from there to
the issuer: name, port, TLS, Host and issuer. It needs no settings then.`,
		Example: "  gatehouse doctor\n  gatehouse doctor -o json\n  gatehouse doctor --url https://id.example.com",
		Args:    cobra.NoArgs,
	}
	asJSON := outputFlag(cmd)
	address := cmd.Flags().String("url", "", "the `issuer` as a calling service has it: check the way to it from here")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx, cancel := context.WithTimeout(cmd.Context(), time.Minute)
		defer cancel()
		var all []finding
		if cmd.Flags().Changed("url") {
			all = []finding{probeIssuer(ctx, *address, nil)}
		} else {
			cfg, err := loadSettings(cmd)
			all = examine(ctx, cfg, err)
		}
		if err := printFindings(cmd.OutOrStdout(), all, asJSON()); err != nil {
			return err
		}
		failed := 0
		for _, f := range all {
			if !f.OK {
				failed++
			}
		}
		if failed > 0 {
			return fmt.Errorf("%d of %d checks failed", failed, len(all))
		}
		return nil
	}
	return cmd
}

func printFindings(w io.Writer, all []finding, asJSON bool) error {
	if asJSON {
		return printJSON(w, all)
	}
	for _, f := range all {
		status := "ok    "
		if !f.OK {
			status = "FAILED"
		}
		text := fmt.Sprintf("%s  %-13s  %s\n", status, f.Check, printable(f.What))
		for _, line := range [][2]string{{"evidence", f.Evidence}, {"usual cause", f.Cause}, {"fix", f.Fix}} {
			if line[1] != "" {
				text += fmt.Sprintf("        %-13s  %s\n", line[0], printable(line[1]))
			}
		}
		if _, err := io.WriteString(w, text); err != nil {
			return err
		}
	}
	return nil
}

// diagnoses are the usual cause and the fix of what serve refuses with one
// line: the line itself is the evidence.
var diagnoses = []struct {
	kind       error
	cause, fix string
}{
	{sqlstore.ErrMissing, "another data directory or working directory, or a first start that has not happened", "correct data_dir or database_url, or run: gatehouse serve"},
	{sqlstore.ErrModes, "a copy, or a restore, under another umask", "close the file to others: chmod 600"},
	{sqlstore.ErrBehind, "a newer gatehouse over an older database", "run: gatehouse migrate up"},
	{sqlstore.ErrAhead, "an older gatehouse after a newer one has migrated", "run the newer gatehouse again; there is no way back but a backup"},
	{sqlstore.ErrDamaged, "a failing disk, or a copy made while serve ran", "restore the database from a backup"},
	{sqlstore.ErrClock, "a machine without a time server", "let both machines follow a time server"},
}

// failed is a failing line from the error that serve would refuse with.
func failed(check string, err error) finding {
	f := finding{Check: check}
	if t, ok := errors.AsType[*storage.Trouble](err); ok {
		f.What, f.Evidence, f.Cause, f.Fix = t.Kind.Error()+": "+t.What, t.Evidence, t.Cause, t.Fix
		return f
	}
	for _, d := range diagnoses {
		if errors.Is(err, d.kind) {
			f.What, f.Cause, f.Fix = d.kind.Error(), d.cause, d.fix
			f.Evidence = strings.TrimPrefix(err.Error(), d.kind.Error()+": ")
			return f
		}
	}
	f.What, f.Evidence = check+" does not pass", err.Error()
	f.Cause, f.Fix = "what the evidence says", "put that right; gatehouse config reference explains each setting"
	return f
}
