package storagetest

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

var errNoRedis = errors.New("these tests need redis-server: apt-get install redis-server | dnf install redis | brew install redis")

// redisKeeper runs the server until its standard input ends, which it does with
// the process of the tests, however that ends.
const redisKeeper = `"$1" --port 0 --unixsocket "$2/socket" --unixsocketperm 700 --dir "$2" --save "" --appendonly no --loglevel warning </dev/null &
read -r _
kill -KILL $! ; wait $! ; cd / ; rm -rf "$2"`

// A RedisServer is a throw-away Redis that keeps nothing and listens on a
// socket of its own. It can be stopped and started again at the same place.
type RedisServer struct {
	URL string

	t      testing.TB
	binary string
	dir    string
	keeper *exec.Cmd
	hand   *os.File // closing it ends the server; it must stay reachable until then
}

// Redis starts a Redis for this test. Where there is none to start, the test
// fails and says what to install.
func Redis(t testing.TB) *RedisServer {
	t.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal(errNoRedis)
	}
	dir, err := os.MkdirTemp("", "gatehouse-redis-")
	if err != nil {
		t.Fatal(err)
	}
	s := &RedisServer{URL: "unix://" + filepath.Join(dir, "socket"), t: t, binary: binary, dir: dir}
	t.Cleanup(s.Stop)
	s.Start()
	return s
}

// Start starts the server, empty, and waits until it listens.
func (s *RedisServer) Start() {
	s.t.Helper()
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		s.t.Fatal(err)
	}
	in, hand, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	defer in.Close()
	s.hand = hand
	s.keeper = exec.Command("/bin/sh", "-c", redisKeeper, "keeper", s.binary, s.dir)
	s.keeper.Stdin = in
	// A group of its own keeps an interrupt of the tests from the keeper.
	s.keeper.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.keeper.Start(); err != nil {
		s.t.Fatalf("start Redis: %v", err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		c, err := net.Dial("unix", filepath.Join(s.dir, "socket"))
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
