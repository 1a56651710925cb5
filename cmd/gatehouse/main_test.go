package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// commands lists every command of ours below cmd.
func commands(cmd *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{cmd}
	for _, sub := range cmd.Commands() {
		all = append(all, commands(sub)...)
	}
	return all
}

func TestEveryCommandHasHelpWithAnExample(t *testing.T) {
	root, _ := newRootCommand()
	for _, cmd := range commands(root) {
		if cmd.Short == "" || !strings.Contains(cmd.Example, cmd.CommandPath()) && cmd.HasParent() {
			t.Errorf("%s: its help has no example of it", cmd.CommandPath())
		}
		for line := range strings.SplitSeq(cmd.Long, "\n") {
			if len(line) > 90 {
				t.Errorf("%s: a line of its help is too wide: %s", cmd.CommandPath(), line)
			}
		}
	}
}

func TestListShowAndStatusTakeJSON(t *testing.T) {
	root, _ := newRootCommand()
	for _, cmd := range commands(root) {
		switch cmd.Name() {
		case "list", "show", "status":
			if f := cmd.Flags().ShorthandLookup("o"); f == nil || f.Name != "output" {
				t.Errorf("%s has no -o", cmd.CommandPath())
			}
		}
	}
}

// A secret in an argument is in the shell's history and in the process list.
func TestNoFlagTakesASecret(t *testing.T) {
	root, _ := newRootCommand()
	for _, cmd := range commands(root) {
		for _, word := range []string{"password", "secret", "client-secret", "master-key", "database-url", "token", "mail-url"} {
			if f := cmd.Flags().Lookup(word); f != nil {
				t.Errorf("%s takes --%s", cmd.CommandPath(), word)
			}
		}
	}
}
