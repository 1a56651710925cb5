package sqlstore_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"gatehouse/storage/sqlstore"
	"gatehouse/storage/storagetest"
)

// A migrator brings the schema up to date, and can be broken off at its n-th
// word to the database, before or after the database has acted on it.
type migrator struct {
	url string
	// broken migrates until the n-th word; completed is true where there were
	// fewer. With the process, it is one of its own that dies of SIGKILL there;
	// else its connections break.
	broken func(t *testing.T, n int, after, process bool) (completed bool)
}

// Whoever migrates may die anywhere. The next run completes what it left, and
// what comes of it is what comes of an undisturbed one.
func TestAC249_AMigrationKilledAtEachStatementIsCompletedByTheNext(t *testing.T) {
	for _, kind := range []struct {
		name string
		make func(t *testing.T) migrator
	}{{"SQLite", sqliteMigrator}, {"PostgreSQL", postgresMigrator}} {
		for _, after := range []bool{false, true} {
			when := map[bool]string{false: "before it acts", true: "after it acted"}[after]
			t.Run(kind.name+" "+when, func(t *testing.T) {
				t.Parallel()
				m, undisturbed := kind.make(t), kind.make(t)
				at, kills := breakOffEverywhere(t, m, after)
				if least := len(statements(t)); at < least || kills < 2 {
					t.Errorf("broken off %d times, %d of them by SIGKILL: the migrations have %d statements", at, kills, least)
				}
				t.Logf("broken off %d times, %d of them by SIGKILL", at, kills)
				open(t, sqlstore.Options{URL: undisturbed.url, Create: true, Migrate: true, MinConns: 1})
				want, got := schemaOf(t, undisturbed.url), schemaOf(t, m.url)
				if len(want) < 20 || !slices.Equal(got, want) {
					t.Errorf("the schema is\n%s\nand an undisturbed one\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
			})
		}
	}
}

// breakOffEverywhere breaks a migration off at its first word, and the one that
// follows at its second, and so on; whenever one got a migration further, it
// begins again, as the words left to say are then fewer. It says how often.
func breakOffEverywhere(t *testing.T, m migrator, after bool) (at, kills int) {
	const sample = 23 // a process costs more than a connection
	applied := 0
	for n := 1; ; n++ {
		process := (at+n)%sample == 0
		if m.broken(t, n, after, process) {
			return at, kills
		}
		at++
		if process {
			kills++
		}
		if now := appliedTo(t, m.url); now > applied {
			applied, n = now, 0
		}
		if at > 5000 {
			t.Fatal("it does not end")
		}
	}
}

// statements are those of the migrations, roughly: it is a lower bound.
func statements(t *testing.T) (all []string) {
	t.Helper()
	files, err := os.ReadDir("../../migrations")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".sql") || strings.HasSuffix(f.Name(), ".postgres.sql") {
			continue
		}
		text, err := os.ReadFile(filepath.Join("../../migrations", f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "CREATE ") || strings.HasPrefix(line, "INSERT ") || strings.HasPrefix(line, "ALTER ") {
				all = append(all, line)
			}
		}
	}
	return all
}

// appliedTo is how many migrations are noted as applied.
func appliedTo(t *testing.T, url string) (n int) {
	t.Helper()
	db, err := sqlstore.Open(t.Context(), sqlstore.Options{URL: url, AnySchema: true, MinConns: 1})
	if errors.Is(err, sqlstore.ErrMissing) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	all, err := db.Migrations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if !m.AppliedAt.IsZero() {
			n++
		}
	}
	return n
}

// schemaOf describes everything in the schema, one thing a line.
func schemaOf(t *testing.T, url string) (lines []string) {
	t.Helper()
	query := `SELECT type || ' ' || name || ' of ' || tbl_name || ': ' || COALESCE(sql, '') FROM sqlite_master ORDER BY 1`
	if strings.HasPrefix(url, "postgres") {
		query = `
			SELECT 'column ' || table_name || '.' || ordinal_position || ' ' || column_name || ' ' || data_type || ' ' || is_nullable || ' ' || COALESCE(column_default, '')
				FROM information_schema.columns WHERE table_schema = 'public'
			UNION ALL SELECT 'index ' || i.indexdef || ' valid ' || x.indisvalid FROM pg_indexes i JOIN pg_index x ON x.indexrelid = i.indexname::regclass WHERE i.schemaname = 'public'
			UNION ALL SELECT 'constraint ' || conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
			UNION ALL SELECT 'counter ' || kind || ' ' || n FROM changes
			ORDER BY 1`
	}
	pool, _ := unchecked(t, url).Pools()
	rows, err := pool.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

// The process that is killed is this test program, told so by its environment.
const (
	migrateURL   = "GATEHOUSE_TEST_MIGRATE"       // the database to migrate
	migrateUntil = "GATEHOUSE_TEST_MIGRATE_UNTIL" // SQLite: dies at this word
	migrateAfter = "GATEHOUSE_TEST_MIGRATE_AFTER" // SQLite: when it has been acted on
)

// migrateInstead migrates where this process was started for that.
func migrateInstead() {
	url := os.Getenv(migrateURL)
	if url == "" {
		return
	}
	var err error
	if until, given := os.LookupEnv(migrateUntil); given {
		n, _ := strconv.Atoi(until)
		err = sqlstore.MigrateInterrupted(context.Background(), url, n, os.Getenv(migrateAfter) != "", func() {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // until it arrives
		})
	} else {
		var db *sqlstore.DB
		if db, err = sqlstore.Open(context.Background(), sqlstore.Options{URL: url, Create: true, Exclusive: true, Migrate: true, MinConns: 1}); err == nil {
			err = db.Close()
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// aMigration is this test program as a process that migrates.
func aMigration(t *testing.T, url string, more ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), self)
	c.Env = append(append(os.Environ(), migrateURL+"="+url), more...)
	return c
}

// killed reports whether a process died of SIGKILL.
func killed(err error) bool {
	e, ok := errors.AsType[*exec.ExitError](err)
	return ok && e.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
}

// memoryDir is a directory in memory, where there is one: it is processes that
// die here, and a hundred of them would wait for a disk.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "gatehouse-migrations-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func sqliteMigrator(t *testing.T) migrator {
	url := "sqlite://" + filepath.Join(memoryDir(t), "gatehouse.db")
	return migrator{url: url, broken: func(t *testing.T, n int, after, process bool) bool {
		t.Helper()
		if !process {
			err := sqlstore.MigrateInterrupted(t.Context(), url, n, after, func() {})
			if err != nil && !errors.Is(err, sqlstore.ErrBroken) {
				t.Fatalf("word %d: %v", n, err)
			}
			return err == nil
		}
		more := []string{migrateUntil + "=" + strconv.Itoa(n)}
		if after {
			more = append(more, migrateAfter+"=1")
		}
		out, err := aMigration(t, url, more...).CombinedOutput()
		if err != nil && !killed(err) {
			t.Fatalf("word %d: %v\n%s", n, err, out)
		}
		return err == nil
	}}
}

func postgresMigrator(t *testing.T) migrator {
	direct := storagetest.EmptyPostgresURL(t)
	return migrator{url: direct, broken: func(t *testing.T, n int, after, process bool) bool {
		t.Helper()
		line := newTappedLine(t, direct)
		defer line.close()
		if !process {
			ctx, giveUp := context.WithCancel(t.Context()) // goose would try for seconds
			defer giveUp()
			line.at(n, after, func() { line.close(); giveUp() })
			db, err := sqlstore.Open(ctx, sqlstore.Options{URL: line.url, Migrate: true, MinConns: 1})
			if err == nil {
				db.Close()
			}
			if err != nil && !line.reached.Load() {
				t.Fatalf("word %d: %v", n, err)
			}
			return err == nil
		}
		c := aMigration(t, line.url)
		var died sync.WaitGroup
		died.Add(1)
		line.at(n, after, func() {
			c.Process.Kill()
			died.Wait() // the last that the server hears of it is that it is gone
		})
		var out strings.Builder
		c.Stdout, c.Stderr = &out, &out
		line.hold()
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		line.release()
		err := c.Wait()
		died.Done()
		if err != nil && !killed(err) {
			t.Fatalf("word %d: %v\n%s", n, err, out.String())
		}
		return err == nil
	}}
}

// A tappedLine carries what is said to PostgreSQL, and counts it: a word is
// what the server answers to.
type tappedLine struct {
	url      string
	listener net.Listener
	socket   string

	words   atomic.Int64
	reached atomic.Bool
	until   int64
	after   bool
	act     func()
	started sync.RWMutex // held until the process that speaks is known

	mu   sync.Mutex
	ends []net.Conn
	gone bool
}

func newTappedLine(t *testing.T, direct string) *tappedLine {
	t.Helper()
	u, err := url.Parse(direct)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tapped := url.URL{Scheme: "postgres", User: u.User, Host: l.Addr().String(), Path: u.Path, RawQuery: "sslmode=disable"}
	return &tappedLine{url: tapped.String(), listener: l, socket: filepath.Join(u.Query().Get("host"), ".s.PGSQL.5432")}
}

// at opens the line, and says what happens at the n-th word.
func (l *tappedLine) at(n int, after bool, act func()) {
	l.until, l.after, l.act = int64(n), after, act
	go l.accept()
}

func (l *tappedLine) hold()    { l.started.Lock() }
func (l *tappedLine) release() { l.started.Unlock() }

func (l *tappedLine) accept() {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return // closed
		}
		far, err := net.Dial("unix", l.socket)
		if err != nil || !l.keep(near, far) {
			near.Close()
			continue
		}
		c := &tapped{line: l, near: near, far: far, answered: make(chan struct{})}
		go c.listen()
		go c.speak()
	}
}

func (l *tappedLine) keep(ends ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ends = append(l.ends, ends...)
	return !l.gone
}

// close breaks every connection and takes no new one.
func (l *tappedLine) close() {
	l.listener.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gone = true
	for _, end := range l.ends {
		end.Close()
	}
}

// A tapped connection is one of a tapped line.
type tapped struct {
	line      *tappedLine
	near, far net.Conn
	deaf      atomic.Bool   // the speaker hears no more
	answered  chan struct{} // closed when the server said what it does not hear
}

// speak carries messages to the server: the first without a type, then a type
// and a length (PostgreSQL, "Message Formats"). A query and a sync are words.
func (c *tapped) speak() {
	defer c.far.Close()
	for first := true; ; first = false {
		head := make([]byte, 5)
		if first {
			head = head[:4]
		}
		if _, err := io.ReadFull(c.near, head); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(head[len(head)-4:])-4)
		if _, err := io.ReadFull(c.near, body); err != nil {
			return
		}
		word := !first && (head[0] == 'Q' || head[0] == 'S')
		last := word && c.line.words.Add(1) == c.line.until
		if last && c.line.after {
			c.deaf.Store(true)
		}
		if !last || c.line.after {
			if _, err := c.far.Write(append(head, body...)); err != nil {
				return
			}
		}
		if last {
			if c.line.after {
				<-c.answered
			}
			c.line.breakOff()
			return
		}
	}
}

// listen carries what the server answers. The speaker that hears no more is left
// to whoever breaks the line off: it would see an end of its own otherwise.
func (c *tapped) listen() {
	answer := make([]byte, 16<<10)
	for {
		n, err := c.far.Read(answer)
		if c.deaf.Load() {
			close(c.answered)
			return
		}
		if err == nil {
			_, err = c.near.Write(answer[:n])
		}
		if err != nil {
			c.near.Close()
			return
		}
	}
}

func (l *tappedLine) breakOff() {
	l.reached.Store(true)
	l.started.RLock()
	defer l.started.RUnlock()
	l.act()
}

// Eight processes come at once. One migrates; on SQLite the others are told
// that it does, on PostgreSQL they wait and find it done.
func TestAC249_OfProcessesThatMigrateAtOnceOneMigrates(t *testing.T) {
	for _, kind := range []struct {
		name string
		url  func(t *testing.T) string
	}{
		{"SQLite", func(t *testing.T) string { return "sqlite://" + filepath.Join(t.TempDir(), "gatehouse.db") }},
		{"PostgreSQL", func(t *testing.T) string { return storagetest.EmptyPostgresURL(t) }},
	} {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			url := kind.url(t)
			outs, errs := make([]string, 8), make([]error, 8)
			var all sync.WaitGroup
			for i := range errs {
				c := aMigration(t, url)
				all.Go(func() {
					out, err := c.CombinedOutput()
					outs[i], errs[i] = string(out), err
				})
			}
			all.Wait()
			done := 0
			for i, err := range errs {
				switch {
				case err == nil:
					done++
				case kind.name == "SQLite" && strings.Contains(outs[i], sqlstore.ErrInUse.Error()):
				default:
					t.Errorf("one ended with %v: %s", err, outs[i])
				}
			}
			if done == 0 || kind.name == "PostgreSQL" && done != 8 {
				t.Errorf("%d of 8 found the schema up to date", done)
			}
			n, _ := steps(t)
			var noted int
			pool, _ := open(t, sqlstore.Options{URL: url, MinConns: 1}).Pools()
			if err := pool.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM goose_db_version WHERE version_id > 0`).Scan(&noted); err != nil || noted != n {
				t.Errorf("%d migrations were noted %d times (%v)", n, noted, err)
			}
		})
	}
}
