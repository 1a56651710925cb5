package e2e

import (
	"os/exec"
	"strings"
	"testing"
)

func TestDeps_EachMissingToolHasALineOfItsOwnEvenWithAnEmptyPath(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("../scripts/deps", "--check")
	cmd.Env = []string{"PATH="}
	out, err := cmd.CombinedOutput()
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 1 {
		t.Fatalf("with nothing on the PATH it ends with %v:\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	for _, tool := range []string{"go", "gcc", "make", "git", "node", "npm", "chromium", "redis-server", "python3"} {
		said := 0
		for _, line := range lines {
			if strings.HasPrefix(line, "missing: "+tool+": ") {
				said++
			}
		}
		if said != 1 {
			t.Errorf("%d lines name %s:\n%s", said, tool, out)
		}
	}
	for _, line := range lines {
		if !strings.HasPrefix(line, "missing: ") {
			t.Errorf("a line that names no tool: %s", line)
		}
	}
}

func TestDeps_NothingIsMissingWhereTheTestsRun(t *testing.T) {
	t.Parallel()
	if out, err := exec.Command("../scripts/deps", "--check").CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}
