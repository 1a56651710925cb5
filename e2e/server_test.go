package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gatehouse/storage/storagetest"
)

// A server is gatehouse as its users meet it, at its issuer: one node on a
// database of its own, or several nodes on one database behind a balancer.
type server struct {
	t        testing.TB
	issuer   string
	nodes    []*node
	data     string   // the data directory of the first node, and of commands
	env      []string // everything that commands are told
	database string   // the URL of a cluster's database; the embedded one is a file
	stdout   records  // what all nodes wrote
	stderr   records

	mu      sync.Mutex
	secrets map[string]string // what must stand in no output, and what it is
}

// prepare makes a server that does not run yet, of as many nodes as this run
// is for. settings are environment variables, NAME=value; they win over those
// that every test sets, and NAME= leaves one of those out.
func prepare(t testing.TB, settings ...string) *server {
	t.Helper()
	if nodes := storagetest.Nodes(t); nodes > 1 {
		return assembleCluster(t, nodes, settings)
	}
	port := freePort(t)
	return assemble(t, "http://localhost:"+port, []*node{newNode(t, port)}, settings)
}

// assemble makes a server of nodes, and tells each what it needs to know.
func assemble(t testing.TB, issuer string, nodes []*node, settings []string) *server {
	t.Helper()
	gatehouse(t) // building it is no part of starting it
	s := &server{t: t, issuer: issuer, nodes: nodes, data: nodes[0].data, secrets: map[string]string{}}
	for _, n := range nodes {
		n.host = s.host()
		n.env = append([]string{
			"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TMPDIR=" + os.TempDir(),
			"GATEHOUSE_ISSUER=" + s.issuer,
			"GATEHOUSE_LISTEN=" + n.address,
			"GATEHOUSE_DATA_DIR=" + n.data,
			// All that the tests send comes from one network.
			"GATEHOUSE_RATE_LIMIT_AUTHORIZE_PER_MINUTE=0",
			// Nobody sends anything to a server that a test stops.
			"GATEHOUSE_DRAIN_DELAY=0s",
		}, settings...)
		for _, setting := range settings {
			if name, value, _ := strings.Cut(setting, "="); value == "" {
				n.env = slices.DeleteFunc(n.env, func(set string) bool { return strings.HasPrefix(set, name+"=") })
			}
		}
		s.stdout, s.stderr = append(s.stdout, n.stdout), append(s.stderr, n.stderr)
	}
	s.env = nodes[0].env
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

// start runs the server until all of it is ready, and says how long that took.
func (s *server) start() time.Duration {
	s.t.Helper()
	begun := time.Now()
	s.launch()
	for _, n := range s.nodes {
		n.awaitReady(begun)
	}
	took := time.Since(begun)
	if len(s.nodes) > 1 {
		s.awaitAgreement(begun)
	}
	return took
}

// launch starts every node and waits for nothing.
func (s *server) launch() {
	s.t.Helper()
	for _, n := range s.nodes {
		n.launch()
	}
}

// kill ends every node as a power cut would.
func (s *server) kill() {
	s.t.Helper()
	for _, n := range s.nodes {
		n.kill()
	}
}

// stop ends every node as an operator does, and expects them to agree.
func (s *server) stop() {
	s.t.Helper()
	for _, n := range s.nodes {
		if n.cmd != nil {
			n.signal(syscall.SIGTERM)
		}
	}
	for _, n := range s.nodes {
		if n.cmd != nil {
			n.awaitEnd()
		}
	}
}

// end is what every test ends with: the server stops, and what it wrote is read.
func (s *server) end() {
	s.t.Helper()
	s.stop()
	if s.t.Failed() {
		for i, log := range s.stderr {
			s.t.Logf("the log of node %d:\n%s", i+1, tail(log.String(), 8<<10))
		}
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

// records are what several processes write.
type records []*record

// String is all of it, one after the other.
func (rs records) String() string {
	var all strings.Builder
	for _, r := range rs {
		all.WriteString(r.String())
	}
	return all.String()
}
