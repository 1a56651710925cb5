package storagetest

import (
	"bufio"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

var errNoRedis = errors.New("these tests need redis-server: apt-get install redis-server | dnf install redis | brew install redis")

// redisKeeper runs the server until its standard input ends, which it does with
// the process of the tests, however that ends.
const redisKeeper = `binary=$1 ; dir=$2 ; shift 2
"$binary" --port 0 --unixsocket "$dir/socket" --unixsocketperm 700 --dir "$dir" --save "" --appendonly no --loglevel warning "$@" </dev/null &
read -r _
kill -KILL $! ; wait $! ; cd / ; rm -rf "$dir"`

// A RedisServer is a throw-away Redis that keeps nothing and listens on a
// socket of its own. It can be stopped and started again at the same place,
// empty or with what a dump held.
type RedisServer struct {
	URL    string
	Socket string

	t        testing.TB
	binary   string
	dir      string
	settings []string
	keeper   *exec.Cmd
	hand     *os.File // closing it ends the server; it must stay reachable until then
}

// Redis starts a Redis for this test, with these settings beside the usual ones
// ("--requirepass", "secret"). Where there is none to start, the test fails and
// says what to install.
func Redis(t testing.TB, settings ...string) *RedisServer {
	t.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal(errNoRedis)
	}
	dir, err := os.MkdirTemp("", "gatehouse-redis-")
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "socket")
	s := &RedisServer{URL: "unix://" + socket, Socket: socket, t: t, binary: binary, dir: dir, settings: settings}
	t.Cleanup(s.Stop)
	s.Start()
	return s
}

// Start starts the server, empty, and waits until it listens.
func (s *RedisServer) Start() {
	s.t.Helper()
	s.StartFrom(nil)
}

// StartFrom starts the server with what it held when Dump returned this.
func (s *RedisServer) StartFrom(dump []byte) {
	s.t.Helper()
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		s.t.Fatal(err)
	}
	if dump != nil {
		if err := os.WriteFile(s.dump(), dump, 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	in, hand, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	defer in.Close()
	s.hand = hand
	s.keeper = exec.Command("/bin/sh", append([]string{"-c", redisKeeper, "keeper", s.binary, s.dir}, s.settings...)...)
	s.keeper.Stdin = in
	// A group of its own keeps an interrupt of the tests from the keeper.
	s.keeper.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.keeper.Start(); err != nil {
		s.t.Fatalf("start Redis: %v", err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		c, err := net.Dial("unix", s.Socket)
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("Redis does not answer: %v", err)
		}
	}
}

// Stop kills the server; what it held is lost.
func (s *RedisServer) Stop() {
	s.t.Helper()
	if s.keeper == nil {
		return
	}
	s.hand.Close()
	s.keeper.Wait() // the shell ends as rm does
	s.keeper = nil
}

// Dump returns all that the server holds, as it keeps it on a disk.
func (s *RedisServer) Dump() []byte {
	s.t.Helper()
	s.Say("SAVE")
	content, err := os.ReadFile(s.dump())
	if err != nil {
		s.t.Fatal(err)
	}
	return content
}

func (s *RedisServer) dump() string { return filepath.Join(s.dir, "dump.rdb") }

// Say gives the server a command that it answers with OK.
func (s *RedisServer) Say(command string) {
	s.t.Helper()
	c, err := net.Dial("unix", s.Socket)
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(command + "\r\n")); err != nil {
		s.t.Fatal(err)
	}
	answer, err := bufio.NewReader(c).ReadString('\n')
	if err != nil || strings.TrimSpace(answer) != "+OK" {
		s.t.Fatalf("Redis answers %s with %q (%v)", command, answer, err)
	}
}
