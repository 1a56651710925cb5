package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A server is one `gatehouse serve`, and the directory it lives in.
type server struct {
	t      testing.TB
	issuer string
	data   string   // its data directory
	env    []string // everything it is told
	stdout record
	stderr record
	cmd    *exec.Cmd
	exited chan error

	mu      sync.Mutex
	secrets map[string]string // what must stand in no output, and what it is
}

// prepare makes a server that does not run yet. settings are environment
// variables, NAME=value; they win over those that every test sets.
func prepare(t testing.TB, settings ...string) *server {
	t.Helper()
	gatehouse(t) // building it is no part of starting it
	port := freePort(t)
	s := &server{
		t:       t,
		issuer:  "http://localhost:" + port,
		data:    filepath.Join(t.TempDir(), "data"),
		secrets: map[string]string{},
	}
	s.env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TMPDIR=" + os.TempDir(),
		"GATEHOUSE_ISSUER=" + s.issuer,
		"GATEHOUSE_LISTEN=127.0.0.1:" + port,
		"GATEHOUSE_DATA_DIR=" + s.data,
		// All that the tests send comes from one network.
		"GATEHOUSE_RATE_LIMIT_AUTHORIZE_PER_MINUTE=0",
	}, settings...)
	t.Cleanup(s.end)
	return s
}

// serve prepares a server and starts it.
func serve(t testing.TB, settings ...string) *server {
	t.Helper()
	s := prepare(t, settings...)
	s.start()
	return s
}

// freePort returns a port of 127.0.0.1 that nobody listens on.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// start runs the server until it is ready, and says how long that took.
func (s *server) start() time.Duration {
	s.t.Helper()
	begun := time.Now()
	s.launch()
	for {
		if ready(s.issuer + "/readyz") {
			return time.Since(begun)
		}
		select {
		case err := <-s.exited:
			s.t.Fatalf("gatehouse ended before it was ready: %v\n%s", err, s.stderr.String())
		case <-time.After(2 * time.Millisecond):
		}
		if time.Since(begun) > 30*time.Second {
			s.cmd.Process.Signal(syscall.SIGQUIT) // says where every goroutine is
			<-s.exited
			s.cmd = nil
			s.t.Fatalf("gatehouse is not ready after 30 s\n%s", s.stderr.String())
		}
	}
}

// launch starts the process and waits for nothing.
func (s *server) launch() {
	s.t.Helper()
	s.cmd = exec.Command(gatehouse(s.t), "serve")
	s.cmd.Env, s.cmd.Dir = s.env, filepath.Dir(s.data)
	s.cmd.Stdout, s.cmd.Stderr = &s.stdout, &s.stderr
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	exited := make(chan error, 1)
	cmd := s.cmd
	go func() { exited <- cmd.Wait() }()
	s.exited = exited
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
func (s *server) kill() {
	s.t.Helper()
	if err := s.cmd.Process.Kill(); err != nil {
		s.t.Fatal(err)
	}
	<-s.exited
	s.cmd = nil
}

// stop ends the process as an operator does, and expects it to agree.
func (s *server) stop() {
	s.t.Helper()
	if s.cmd == nil {
		return
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		s.t.Error(err)
	}
	select {
	case err := <-s.exited:
		if err != nil {
			s.t.Errorf("gatehouse stopped badly: %v\n%s", err, s.stderr.String())
		}
	case <-time.After(35 * time.Second):
		s.kill()
		s.t.Error("gatehouse did not stop within 35 s of SIGTERM")
	}
	s.cmd = nil
}

// end is what every test ends with: the server stops, and what it wrote is read.
func (s *server) end() {
	s.t.Helper()
	s.stop()
	if s.t.Failed() {
		s.t.Logf("the server's log:\n%s", tail(s.stderr.String(), 8<<10))
	}
	s.examineOutput()
}

func tail(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return "…" + text[len(text)-n:]
}

// run runs a command of the binary beside the server and returns its standard output.
func (s *server) run(stdin string, args ...string) string {
	s.t.Helper()
	out, complaint, err := s.try(stdin, args...)
	if err != nil {
		s.t.Fatalf("gatehouse %s: %v\n%s", strings.Join(args, " "), err, complaint)
	}
	return out
}

// try is run for commands that may fail.
func (s *server) try(stdin string, args ...string) (stdout, stderr string, err error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, gatehouse(s.t), args...)
	cmd.Env, cmd.Dir = s.env, filepath.Dir(s.data)
	cmd.Stdin = strings.NewReader(stdin)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err = cmd.Run()
	return out.String(), complaint.String(), err
}

// setupLink is the one-time address that the server printed.
func (s *server) setupLink() string {
	s.t.Helper()
	printed := s.stdout.String() + s.stderr.String()
	link := regexp.MustCompile(`http\S+/setup\?token=[^\s"\x1b]+`).FindString(printed)
	if link == "" {
		s.t.Fatalf("no set-up link was printed:\n%s", printed)
	}
	return link
}

// An account is somebody who can sign in.
type account struct{ username, email, password, sub string }

// addUser makes an account on the command line.
func (s *server) addUser(username string) account {
	s.t.Helper()
	a := account{username: username, email: username + "@people.example", password: "Lantern-" + username + "-4711"}
	s.hide("the password of "+username, a.password)
	out := s.run(a.password, "user", "create", "--username", a.username, "--email", a.email, "--email-verified",
		"--name", "The "+username, "--password-stdin", "-o", "json")
	var made struct{ Sub string }
	if err := json.Unmarshal([]byte(out), &made); err != nil || made.Sub == "" {
		s.t.Fatalf("user create printed %q: %v", out, err)
	}
	a.sub = made.Sub
	return a
}

// A client is a relying party's registration.
type client struct{ id, secret string }

// addClient registers a client on the command line.
func (s *server) addClient(id string, args ...string) client {
	s.t.Helper()
	out := s.run("", append([]string{"client", "create", "--id", id, "-o", "json"}, args...)...)
	var made struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	if err := json.Unmarshal([]byte(out), &made); err != nil || made.ID != id {
		s.t.Fatalf("client create printed %q: %v", out, err)
	}
	if made.Secret != "" {
		s.hide("the secret of client "+id, made.Secret)
	}
	return client{made.ID, made.Secret}
}

// discovery returns the discovery document.
func (s *server) discovery() map[string]any {
	s.t.Helper()
	resp, err := http.Get(s.issuer + "/.well-known/openid-configuration")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	var doc map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&doc); err != nil {
		s.t.Fatal(err)
	}
	return doc
}

// endpoint is an address that discovery names.
func (s *server) endpoint(name string) string {
	s.t.Helper()
	address, _ := s.discovery()[name].(string)
	if address == "" {
		s.t.Fatalf("discovery names no %s", name)
	}
	return address
}

// A record keeps what a process writes.
type record struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.String()
}
