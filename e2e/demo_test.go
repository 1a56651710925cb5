package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatehouse/storage/storagetest"
)

// demoSays finds what `gatehouse demo` prints for people.
var demoSays = regexp.MustCompile(`(?s)Open +(\S+)\n +Sign in as +(\S+)\n +Password +(\S+)\n.*Sample API`)

// runDemo runs `gatehouse demo` on free ports and returns what it printed.
func runDemo(t *testing.T) (app string, who account, started time.Time) {
	t.Helper()
	temporary := t.TempDir()
	cmd := exec.Command(gatehouse(t), "demo", "--port", freePort(t), "--app-port", freePort(t), "--api-port", freePort(t))
	var stdout, stderr record
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TMPDIR=" + temporary}
	started = time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the demo ended with %v:\n%s", err, stderr.String())
		}
		if left, err := filepath.Glob(filepath.Join(temporary, "*")); err != nil || len(left) > 0 {
			t.Errorf("the demo left %q, %v", left, err)
		}
		if m := tokens.FindString(stdout.String() + stderr.String()); m != "" {
			t.Errorf("the demo printed a token: %s…", m[:8])
		}
	})
	for time.Since(started) < 30*time.Second {
		if m := demoSays.FindStringSubmatch(stdout.String()); m != nil {
			return m[1], account{username: m[2], password: m[3]}, started
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("the demo did not say what to open:\n%s\n%s", stdout.String(), stderr.String())
	return
}

// Start it, open it, sign in: the API has accepted the token, within 30 s.
func TestDemo_InABrowser(t *testing.T) {
	storagetest.Once(t)
	t.Parallel()
	app, who, started := runDemo(t)
	b := openTab(t)
	b.open(app)
	b.press(`a[href="/sign-in"]`)
	b.signIn(who)
	if took := time.Since(started); took > 30*time.Second {
		t.Errorf("it took %s", took)
	}
	says := func(words ...string) {
		t.Helper()
		for _, w := range words {
			if !strings.Contains(b.text(), w) {
				t.Fatalf("%s does not say %q:\n%s", b.address(), w, b.text())
			}
		}
	}
	says("Signed in as Alice", "The API accepted the access token")
	b.look("demo-app")

	b.press(`button[name="case"][value="write"]`)
	says("The API refused", "403 Forbidden")
	b.look("demo-app-refused")
	b.press(`button[name="case"][value="changed"]`)
	says("401 Unauthorized", "signature")
	b.press(`form[action="/refresh"] button`)
	says("replaced 1 time", "The API accepted the access token")

	b.press(`form[action="/sign-out"] button`)
	says("You are signed out")
	b.look("demo-app-signed-out")
	b.open(app)
	b.look("demo-app-sign-in")
	b.open(app + "/callback?state=old&code=ghc_x&iss=x")
	says("This sign-in is over")
	b.look("demo-app-problem")
	b.press(`a[href="/sign-in"]`)
	if !b.has(`input[name="password"]`) {
		t.Errorf("the provider did not ask who this is: %s", b.text())
	}
	b.mustBeContent()
}
