package storagetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatehouse/storage/sqlstore"
)

// A PostgresServer is a throw-away PostgreSQL of one test's own, which the test
// stops, kills and starts again: at the same place, with what was committed. It
// runs with the settings of a real server. Its files may lie in memory: what a
// test takes away are processes, and never the machine.
type PostgresServer struct {
	URL string // of a migrated database

	t      testing.TB
	place  *postgresPlace
	server *exec.Cmd
	extra  []string      // settings beside the usual ones
	exited chan struct{} // closed when the postmaster has
}

// undertaker waits for the end of the tests, however they end, then ends the
// server that they left and removes its directory.
const undertaker = `read -r _
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null) && kill -QUIT "$pid" && while kill -0 "$pid"; do sleep 0.1; done
cd / ; rm -rf "$1"`

// Postgres starts a PostgreSQL for this test. Where there is none to start, the
// test fails and says what to install.
func Postgres(t testing.TB) *PostgresServer {
	t.Helper()
	place, err := initPostgres()
	if err != nil {
		t.Fatal(err)
	}
	s := &PostgresServer{URL: place.url("gatehouse"), t: t, place: place}
	s.bury()
	t.Cleanup(s.StopImmediate)
	s.Start()
	s.make()
	return s
}

// bury starts the undertaker, whom the end of the test sets to work.
func (s *PostgresServer) bury() {
	s.t.Helper()
	in, hand, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	defer in.Close()
	c := exec.Command("/bin/sh", "-c", undertaker, "undertaker", s.place.dir)
	c.Stdin, c.SysProcAttr = in, s.place.as
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		hand.Close()
		c.Wait() // the shell ends as rm does
	})
}

// make makes the database.
func (s *PostgresServer) make() {
	s.t.Helper()
	admin, err := sql.Open("pgx", s.place.url("postgres"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer admin.Close()
	if _, err := admin.ExecContext(s.t.Context(), `CREATE DATABASE gatehouse`); err != nil {
		s.t.Fatalf("make the database: %v", err)
	}
	db, err := sqlstore.Open(context.Background(), sqlstore.Options{URL: s.URL, Migrate: true, MinConns: 1})
	if err != nil {
		s.t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		s.t.Fatal(err)
	}
}

// Start starts the server where it was, and waits until it accepts connections.
func (s *PostgresServer) Start() {
	s.t.Helper()
	db, err := sql.Open("pgx", s.place.url("postgres"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	s.launch()
	for deadline := time.Now().Add(time.Minute); ; {
		err := db.PingContext(s.t.Context())
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			said, _ := os.ReadFile(s.place.logPath())
			s.t.Fatalf("PostgreSQL does not answer: %v\n%s", err, said)
		}
		select {
		case <-s.exited:
			// The children of one that was killed are still ending, and it will
			// not run beside them.
			s.launch()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// launch starts the postmaster and waits for nothing.
func (s *PostgresServer) launch() {
	s.t.Helper()
	log, err := s.place.openLog()
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	args := []string{"-D", filepath.Join(s.place.dir, "data"), "-k", s.place.dir, "-h", "",
		"-c", "max_connections=100", "-c", "shared_buffers=32MB", "-c", "fsync=on", "-c", "synchronous_commit=on", "-c", "full_page_writes=on"}
	for _, setting := range s.extra {
		args = append(args, "-c", setting)
	}
	s.server = exec.Command(filepath.Join(s.place.bin, "postgres"), args...)
	s.server.Dir, s.server.Stdout, s.server.Stderr, s.server.SysProcAttr = s.place.dir, log, log, s.place.as
	if err := s.server.Start(); err != nil {
		s.t.Fatalf("start PostgreSQL: %v", err)
	}
	exited, server := make(chan struct{}), s.server
	go func() {
		server.Wait() // however it ends
		close(exited)
	}()
	s.exited = exited
}

// Restart starts the server again with other settings ("max_connections=4"), and
// waits for nothing: it may be meant not to answer.
func (s *PostgresServer) Restart(settings ...string) {
	s.t.Helper()
	s.StopFast()
	s.extra = settings
	s.launch()
}

// Write writes a file into the server's data directory, for the server alone.
func (s *PostgresServer) Write(name, content string) {
	s.t.Helper()
	path := filepath.Join(s.place.dir, "data", name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if as := s.place.as.Credential; as != nil {
		if err := os.Chown(path, int(as.Uid), int(as.Gid)); err != nil {
			s.t.Fatal(err)
		}
	}
}

// StopFast stops the server as a restart does: connections are broken, and what
// runs on them is rolled back.
func (s *PostgresServer) StopFast() { s.end(syscall.SIGINT) }

// StopImmediate stops the server without letting it tidy up: it recovers when
// it starts again.
func (s *PostgresServer) StopImmediate() { s.end(syscall.SIGQUIT) }

// Kill kills the postmaster, as the kernel does where memory runs out.
func (s *PostgresServer) Kill() { s.end(syscall.SIGKILL) }

func (s *PostgresServer) end(how syscall.Signal) {
	s.t.Helper()
	select {
	case <-s.exited: // it has ended already
		return
	default:
	}
	if err := s.server.Process.Signal(how); err != nil {
		s.t.Errorf("stop PostgreSQL: %v", err)
	}
	select {
	case <-s.exited:
	case <-time.After(time.Minute):
		s.t.Error("PostgreSQL does not stop")
	}
}

// Freeze stops every process of the server where it is: connections stay, and
// nobody answers on them. Thaw lets them go on.
func (s *PostgresServer) Freeze() { s.signalAll(syscall.SIGSTOP) }

// Thaw lets a frozen server go on.
func (s *PostgresServer) Thaw() { s.signalAll(syscall.SIGCONT) }

func (s *PostgresServer) signalAll(what syscall.Signal) {
	s.t.Helper()
	postmaster := s.server.Process.Pid
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", postmaster, postmaster))
	if err != nil {
		s.t.Fatalf("list the processes of PostgreSQL: %v", err)
	}
	for _, pid := range append(strings.Fields(string(children)), strconv.Itoa(postmaster)) {
		n, err := strconv.Atoi(pid)
		if err != nil {
			s.t.Fatal(err)
		}
		// One may have ended since.
		if err := syscall.Kill(n, what); err != nil && !errors.Is(err, syscall.ESRCH) {
			s.t.Errorf("signal PostgreSQL: %v", err)
		}
	}
}
