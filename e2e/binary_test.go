package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

func TestMain(m *testing.M) {
	if os.Getenv(nothingAt) != "" {
		fmt.Fprintln(os.Stderr, serveNothing())
		os.Exit(1)
	}
	code := m.Run()
	closeChromium()
	if path, err := binary(); err == nil {
		if err := os.RemoveAll(filepath.Dir(path)); err != nil {
			fmt.Fprintln(os.Stderr, "remove the binary:", err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// binary builds gatehouse as `make build` does, once, and returns its path.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "gatehouse-e2e-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "gatehouse")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "./cmd/gatehouse")
	build.Dir = ".."
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", errors.Join(fmt.Errorf("build gatehouse: %w\n%s", err, out), os.RemoveAll(dir))
	}
	return path, nil
})

// gatehouse is the path of the binary.
func gatehouse(t testing.TB) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}
