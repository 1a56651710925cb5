package e2e

import (
	"cmp"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A node is one `gatehouse serve`, and the directory it lives in.
type node struct {
	t       testing.TB
	address string   // host:port where it listens
	base    string   // the same as http://…
	host    string   // of the issuer, which every request names
	data    string   // its data directory
	env     []string // everything it is told
	stdout  *record
	stderr  *record
	binary  string    // what runs; empty: gatehouse
	cmd     *exec.Cmd // nil: it does not run
	exited  chan error

	isReady atomic.Bool // as the balancer knows it
}

func newNode(t testing.TB, port string) *node {
	t.Helper()
	return &node{
		t: t, address: "127.0.0.1:" + port, base: "http://127.0.0.1:" + port, data: filepath.Join(t.TempDir(), "data"),
		stdout: new(record), stderr: new(record),
	}
}

// dir is the directory that the node is started in.
func (n *node) dir() string { return filepath.Dir(n.data) }

// launch starts the process and waits for nothing.
func (n *node) launch() {
	n.t.Helper()
	n.cmd = exec.Command(cmp.Or(n.binary, gatehouse(n.t)), "serve")
	n.cmd.Env, n.cmd.Dir = n.env, n.dir()
	n.cmd.Stdout, n.cmd.Stderr = n.stdout, n.stderr
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	exited := make(chan error, 1)
	cmd := n.cmd
	go func() { exited <- cmd.Wait() }()
	n.exited = exited
}

// start runs the node until it is ready, and says how long that took.
func (n *node) start() time.Duration {
	n.t.Helper()
	begun := time.Now()
	n.launch()
	n.awaitReady(begun)
	return time.Since(begun)
}

func (n *node) awaitReady(begun time.Time) {
	n.t.Helper()
	for !ready(n.base + "/readyz") {
		select {
		case err := <-n.exited:
			n.cmd = nil
			n.t.Fatalf("gatehouse ended before it was ready: %v\n%s", err, n.stderr.String())
		case <-time.After(2 * time.Millisecond):
		}
		if time.Since(begun) > 30*time.Second {
			n.cmd.Process.Signal(syscall.SIGQUIT) // says where every goroutine is
			<-n.exited
			n.cmd = nil
			n.t.Fatalf("gatehouse is not ready after 30 s\n%s", n.stderr.String())
		}
	}
}

// impatient gives up on a server that takes connections and says nothing.
var impatient = http.Client{Timeout: 5 * time.Second}

// ready reports whether an address answers 200.
func ready(address string) bool {
	resp, err := impatient.Get(address)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// kill ends the process as a power cut would.
func (n *node) kill() {
	n.t.Helper()
	if err := n.cmd.Process.Kill(); err != nil {
		n.t.Fatal(err)
	}
	<-n.exited
	n.cmd = nil
}

// signal sends the process a signal.
func (n *node) signal(s os.Signal) {
	n.t.Helper()
	if err := n.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		n.t.Error(err)
	}
}

// stop ends the process as an operator does, and expects it to agree.
func (n *node) stop() {
	n.t.Helper()
	if n.cmd == nil {
		return
	}
	n.signal(syscall.SIGTERM)
	n.awaitEnd()
}

// awaitEnd waits until the process has ended well.
func (n *node) awaitEnd() {
	n.t.Helper()
	select {
	case err := <-n.exited:
		if err != nil {
			n.t.Errorf("gatehouse stopped badly: %v\n%s", err, n.stderr.String())
		}
	case <-time.After(35 * time.Second):
		n.kill()
		n.t.Error("gatehouse did not stop within 35 s of SIGTERM")
	}
	n.cmd = nil
}
