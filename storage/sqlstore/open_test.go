package sqlstore_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatehouse/storage"
	"gatehouse/storage/sqlstore"
	"gatehouse/storage/storagetest"
)

// open opens a database that this test then closes.
func open(t *testing.T, o sqlstore.Options) *sqlstore.DB {
	t.Helper()
	db, err := sqlstore.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// refuses ends the test unless opening fails with want, and says each of words.
func refuses(t *testing.T, o sqlstore.Options, want error, words ...string) {
	t.Helper()
	db, err := sqlstore.Open(t.Context(), o)
	if err == nil {
		db.Close()
		t.Fatalf("%s was opened", o.URL)
	}
	if want != nil && !errors.Is(err, want) {
		t.Fatalf("got error %v, want %q", err, want)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error %q has more than one line", err)
	}
}

func TestOpenTakesRelativeAbsoluteAndOddPaths(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, path := range []string{"data/gatehouse.db", dir + "/absolute.db", "a b%20?x=1#y&z.db", "Hà Nội.db"} {
		db := open(t, sqlstore.Options{URL: "sqlite://" + path, Create: true, Migrate: true})
		if err := db.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); err != nil {
			t.Errorf("the database is not where it was asked for: %v", err)
		}
	}
}

func TestOpenMakesNoDatabaseUnlessAskedTo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "gatehouse.db")
	refuses(t, sqlstore.Options{URL: "sqlite://" + path, Migrate: true}, sqlstore.ErrMissing, path)
	if _, err := os.Stat(filepath.Dir(path)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory was made: %v", err)
	}
}

func TestOpenRefusesWhatIsNoDatabase(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(text, []byte(strings.Repeat("This is no database. ", 500)), 0o600); err != nil {
		t.Fatal(err)
	}
	refuses(t, sqlstore.Options{URL: "sqlite://" + text, Create: true, Migrate: true}, nil, text)
	refuses(t, sqlstore.Options{URL: "sqlite://" + dir, Create: true, Migrate: true}, nil, dir)
	for _, url := range []string{"", "gatehouse.db", "mysql://user:hunter2@db/x", "postgres://user:hunter2@db:port/x", "postgres://user:hunter2@127.0.0.1:1/x?connect_timeout=2"} {
		db, err := sqlstore.Open(t.Context(), sqlstore.Options{URL: url})
		if err == nil {
			db.Close()
			t.Fatalf("%q was opened", url)
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error for %q tells the password: %v", url, err)
		}
	}
	refuses(t, sqlstore.Options{URL: "postgres://user@127.0.0.1:1/x"}, sqlstore.ErrUnreachable, "x on 127.0.0.1", "refused")
	gone := storagetest.PostgresURL(t)
	refuses(t, sqlstore.Options{URL: strings.Replace(gone, "gatehouse_test_", "never_made_", 1)}, sqlstore.ErrUnreachable, "never_made_", "does not exist")
}

func TestAC254_ASecondServerOnOneSQLiteFileIsRefused(t *testing.T) {
	path := storagetest.File(t)
	first, err := sqlstore.Open(t.Context(), sqlstore.Options{URL: "sqlite://" + path, Exclusive: true})
	if err != nil {
		t.Fatal(err)
	}
	refuses(t, sqlstore.Options{URL: "sqlite://" + path, Exclusive: true}, sqlstore.ErrInUse, path)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, sqlstore.Options{URL: "sqlite://" + path, Exclusive: true})
}

func TestAdministrationWorksBesideARunningServer(t *testing.T) {
	path := storagetest.File(t)
	serve := open(t, sqlstore.Options{URL: "sqlite://" + path, Exclusive: true})
	admin := open(t, sqlstore.Options{URL: "sqlite://" + path})
	now := time.UnixMilli(1_790_000_000_000)
	u := &storage.User{ID: "alice", CreatedAt: now}
	if err := admin.Store().Users.Create(t.Context(), storage.NewUser{User: u, UsernameKey: "alice"}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := serve.Store().Users.Get(t.Context(), "alice"); err != nil {
		t.Fatalf("the server does not see it: %v", err)
	}
	if err := admin.Reset(t.Context()); !errors.Is(err, sqlstore.ErrInUse) {
		t.Fatalf("reset beside a running server: got error %v", err)
	}
	if _, err := serve.Store().Users.Get(t.Context(), "alice"); err != nil {
		t.Fatalf("the refused reset did something: %v", err)
	}
}

func TestAC287_FilesAreTheOwnersAloneWhateverTheUmask(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	path := filepath.Join(dir, "gatehouse.db")
	before := syscall.Umask(0) // no test runs beside this one: it is not parallel
	defer syscall.Umask(before)
	db := open(t, sqlstore.Options{URL: "sqlite://" + path, Create: true, Migrate: true, Exclusive: true})
	if err := db.Store().Events.Append(t.Context(), &storage.Event{ID: "e", At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{
		dir: fs.ModeDir | 0o700, path: 0o600, path + "-wal": 0o600, path + "-shm": 0o600, path + ".lock": 0o600,
	} {
		info, err := os.Stat(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", name, info.Mode(), want)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 4 {
		t.Errorf("the data directory has %v (%v), want the database, its log, its index and its lock", files, err)
	}
}

func TestOpenRefusesAFileThatOthersMayRead(t *testing.T) {
	path := storagetest.File(t)
	for _, mode := range []fs.FileMode{0o644, 0o640, 0o602} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		refuses(t, sqlstore.Options{URL: "sqlite://" + path}, sqlstore.ErrModes, path, "chmod 600")
	}
}

func TestSQLiteIsOpenedWithTheSettingsThatKeepAcknowledgedWrites(t *testing.T) {
	db := storagetest.SQLite(t)
	write, read := db.Pools()
	if n := write.Stats().MaxOpenConnections; n != 1 {
		t.Errorf("%d connections write, want one", n)
	}
	if n := read.Stats().MaxOpenConnections; n < 4 {
		t.Errorf("%d connections read, want 4 or more", n)
	}
	for pragma, want := range map[string]string{
		"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000",
	} {
		var got string
		if err := write.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q (%v), want %q", pragma, got, err, want)
		}
	}
	if _, err := read.ExecContext(t.Context(), `DELETE FROM changes`); err == nil {
		t.Error("a connection that reads wrote")
	}
}

func TestPostgreSQLKeepsBetween5And20Connections(t *testing.T) {
	t.Parallel()
	url := storagetest.PostgresURL(t)
	db := open(t, sqlstore.Options{URL: url})
	watch := open(t, sqlstore.Options{URL: storagetest.PostgresURL(t), MinConns: 1})
	conns := func() (n int) {
		pool, _ := watch.Pools()
		name := url[strings.LastIndex(url, "/")+1 : strings.Index(url, "?")]
		err := pool.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM pg_stat_activity WHERE datname = $1`, name).Scan(&n)
		if err != nil {
			t.Error(err)
		}
		return n
	}
	for deadline := time.Now().Add(20 * time.Second); conns() < 5; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are kept, want 5", conns())
		}
	}
	pool, _ := db.Pools()
	done := make(chan error, 60)
	for range 60 {
		go func() {
			_, err := pool.ExecContext(t.Context(), `SELECT pg_sleep(0.1)`)
			done <- err
		}()
	}
	most := 0
	for range 60 {
		most = max(most, conns())
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if most > 20 || most < 6 {
		t.Errorf("60 at once used %d connections, want more than the 5 kept and no more than 20", most)
	}
}

// pgx tries each address with TLS and without.
func TestWhatAnAddressSaysTwiceIsToldOnce(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	_, err = sqlstore.Open(t.Context(), sqlstore.Options{URL: "postgres://u@" + l.Addr().String() + "/db"})
	if err == nil || strings.Count(err.Error(), "refused") != 1 {
		t.Errorf("got error %v", err)
	}
}
