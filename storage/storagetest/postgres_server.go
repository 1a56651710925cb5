package storagetest

import (
	"cmp"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

var errNoPostgres = errors.New("these tests need PostgreSQL 15 or newer: " +
	"apt-get install postgresql | dnf install postgresql-server | brew install postgresql@17, " +
	"or put initdb and postgres on the PATH, or set GATEHOUSE_TEST_POSTGRES_URL to a server on which databases may be created")

// keepPostgres is the hand that keeps the server up. It closes when this
// process ends, however it ends, and must stay reachable until then: a file
// that is collected is closed.
var keepPostgres *os.File

// A keeper runs the server until its standard input ends, then stops it and
// removes its directory. It is a process of its own, so that not even kill -9
// of the tests leaves a server behind.
const keeper = `"$1"/postgres -D "$2/data" -k "$2" -h "" -c max_connections=300 -c shared_buffers=32MB \
	-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c autovacuum=off -c deadlock_timeout=50ms </dev/null &
read -r _
kill -QUIT $! ; wait $! ; cd / ; rm -rf "$2"`

// startPostgres starts a throw-away server that listens on a socket in its own
// directory and nowhere else, and returns the URL of its first database.
func startPostgres() (string, error) {
	place, err := initPostgres()
	if err != nil {
		return "", err
	}
	server, err := keep(place)
	if err != nil {
		return "", errors.Join(err, os.RemoveAll(place.dir))
	}
	if err := place.answers(time.Minute); err != nil {
		return "", errors.Join(err, keepPostgres.Close(), server.Wait())
	}
	return place.url("postgres"), nil
}

// A postgresPlace is a directory with an initialised database in data.
type postgresPlace struct {
	bin, dir string
	as       *syscall.SysProcAttr // who runs the server
}

// initPostgres makes a place for a server.
func initPostgres() (*postgresPlace, error) {
	bin, err := postgresBinaries()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(serverPlace(), "gatehouse-postgres-")
	if err != nil {
		return nil, err
	}
	as, err := serverUser(dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", filepath.Join(dir, "data"), "-U", "postgres",
		"--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions")
	initdb.Dir, initdb.SysProcAttr = dir, as
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("initdb: %w\n%s", err, out), os.RemoveAll(dir))
	}
	return &postgresPlace{bin, dir, as}, nil
}

// url is that of one of the server's databases.
func (p *postgresPlace) url(database string) string {
	u := url.URL{Scheme: "postgres", User: url.User("postgres"), Path: "/" + database, RawQuery: url.Values{"host": {p.dir}}.Encode()}
	return u.String()
}

// openLog opens the file that the server writes to: go test waits for whoever
// has its own output.
func (p *postgresPlace) openLog() (*os.File, error) {
	return os.OpenFile(p.logPath(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
}

func (p *postgresPlace) logPath() string { return filepath.Join(p.dir, "log") }

// serverPlace is memory where there is enough of it: a database is 300 files,
// and making them took 360 ms on a disk and 25 ms in memory here. Elsewhere it
// is the usual place for temporary files.
func serverPlace() string {
	const memory, enough = "/dev/shm", 1 << 30
	var fs syscall.Statfs_t
	if err := syscall.Statfs(memory, &fs); err != nil || fs.Bavail*uint64(fs.Bsize) < enough {
		return ""
	}
	return memory
}

// keep starts the keeper with its server.
func keep(p *postgresPlace) (*exec.Cmd, error) {
	in, hand, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	log, err := p.openLog()
	if err != nil {
		return nil, errors.Join(err, hand.Close())
	}
	defer log.Close()
	c := exec.Command("/bin/sh", "-c", keeper, "keeper", p.bin, p.dir)
	c.Dir, c.Stdin, c.Stdout, c.Stderr, c.SysProcAttr = p.dir, in, log, log, p.as
	if err := c.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start PostgreSQL: %w", err), hand.Close())
	}
	keepPostgres = hand
	return c, nil
}

// answers waits until the server does.
func (p *postgresPlace) answers(within time.Duration) error {
	db, err := sql.Open("pgx", p.url("postgres"))
	if err != nil {
		return err
	}
	defer db.Close()
	for deadline := time.Now().Add(within); ; time.Sleep(10 * time.Millisecond) {
		if err = db.Ping(); err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			said, _ := os.ReadFile(p.logPath())
			return fmt.Errorf("PostgreSQL does not answer: %w\n%s", err, said)
		}
	}
}

// serverUser says as whom the server runs: it refuses to be root. The group of
// its own keeps an interrupt of the tests from the keeper, which would die
// before it has cleaned up.
func serverUser(dir string) (*syscall.SysProcAttr, error) {
	as := &syscall.SysProcAttr{Setpgid: true}
	if os.Getuid() != 0 {
		return as, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return nil, fmt.Errorf("PostgreSQL does not run as root: %w", err)
		}
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return nil, err
	}
	as.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return as, os.Chown(dir, uid, gid)
}

// postgresBinaries returns the directory of the newest initdb and postgres.
func postgresBinaries() (string, error) {
	var dirs []string
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin",
		"/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin",
	} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return "", err
		}
		dirs = append(dirs, found...)
	}
	slices.SortFunc(dirs, func(a, b string) int { return cmp.Compare(majorVersion(b), majorVersion(a)) })
	if path, err := exec.LookPath("initdb"); err == nil {
		dirs = append(dirs, filepath.Dir(path))
	}
	for _, d := range dirs {
		if executable(filepath.Join(d, "initdb")) && executable(filepath.Join(d, "postgres")) {
			return d, nil
		}
	}
	return "", errNoPostgres
}

// majorVersion is the number in …/15/bin, …/pgsql-15/bin or …/postgresql@15/bin.
func majorVersion(bin string) int {
	name := filepath.Base(filepath.Dir(bin))
	n, err := strconv.Atoi(name[strings.LastIndexAny(name, "-@")+1:])
	if err != nil {
		return 0
	}
	return n
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}
