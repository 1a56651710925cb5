package e2e

import (
	"database/sql"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"gatehouse/storage/storagetest"
)

// A full disk is no reason to say yes: writes are refused while it lasts,
// reads go on, and nothing needs a hand when there is room again.
func TestAC240_AFullDiskRefusesWritesServesReadsAndIsForgottenWhenThereIsRoom(t *testing.T) {
	storagetest.OnlySQLite(t)
	t.Parallel()
	if !mayMount(t) {
		return
	}
	s := prepare(t, forgivingForms)
	disk := mountSmallDisk(t, s.data)
	s.start()
	c := gather(t, s)
	alive := c.enter(newPerson(t, c.steady)).token.AccessToken
	c.away = true
	wanted := []string{codesGiven, codesSpent, refreshes, sessionsOver, revoked, usersMade, absences}
	for i := 0; c.ledger.goOn(i, roundsOr(1), wanted...); i++ {
		c.come()
		someWhile(100 * time.Millisecond)
		disk.fill()
		before := c.ledger.count(absences)
		for deadline := time.Now().Add(time.Minute); c.ledger.count(absences) < before+10; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the disk is full, and no write was refused")
			}
		}
		for range 20 {
			s.mustServeReads(alive)
		}
		disk.free()
		freed := time.Now()
		c.awaitEveryNode(c.enterLate())
		took := time.Since(freed)
		c.leave()
		c.audit()
		c.ledger.hold(c, "after a full disk")
		t.Logf("writes again %v after there was room", took.Round(time.Millisecond))
		if took > 20*time.Second { // 5 s on a machine that has nothing else to do
			t.Errorf("it took %v until a write was taken", took)
		}
	}
	c.exhume()
	t.Logf("acknowledged and looked up again: %v", c.ledger.seen)
	c.ledger.busy(c, wanted...)
	s.stop()
	integrity(t, filepath.Join(s.data, "gatehouse.db"))
	s.start() // it reads the file through
}

// enterLate is a refresh token of somebody who tried until it worked.
func (c *crowd) enterLate() string {
	c.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if _, got, ok := c.enterAnew(c.t.Context(), c.steady); ok {
			return got.Refresh
		}
	}
	c.t.Fatal("nobody can sign in")
	return ""
}

// mustServeReads asks what needs no writing.
func (s *server) mustServeReads(accessToken string) {
	s.t.Helper()
	for _, address := range []string{s.issuer + "/.well-known/openid-configuration", s.endpoint("jwks_uri"), s.issuer + "/healthz"} {
		if !ready(address) {
			s.t.Errorf("%s is not served", address)
		}
	}
	if status, _ := s.userinfo(accessToken); status != http.StatusOK {
		s.t.Errorf("userinfo is answered %d", status)
	}
}

// integrity reads a database through with another hand.
func integrity(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var found string
	if err := db.QueryRowContext(t.Context(), `PRAGMA integrity_check`).Scan(&found); err != nil || found != "ok" {
		t.Errorf("the database is damaged: %s %v", found, err)
	}
}

func (l *ledger) count(kind string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen[kind]
}

// A smallDisk is one that can be filled.
type smallDisk struct {
	t       *testing.T
	ballast string
}

// mountSmallDisk puts a disk of 16 MB at dir, in memory.
func mountSmallDisk(t *testing.T, dir string) *smallDisk {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("gatehouse-test", dir, "tmpfs", 0, "size=16m,mode=0700"); err != nil {
		t.Fatalf("mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount the small disk: %v", err)
		}
	})
	return &smallDisk{t, filepath.Join(dir, "ballast")}
}

// fill takes every byte that is left.
func (d *smallDisk) fill() {
	d.t.Helper()
	f, err := os.OpenFile(d.ballast, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	for chunk := make([]byte, 4096); err == nil; {
		_, err = f.Write(chunk)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		d.t.Fatal(err)
	}
}

func (d *smallDisk) free() {
	d.t.Helper()
	if err := os.Remove(d.ballast); err != nil {
		d.t.Fatal(err)
	}
}

// mayMount reports whether this process may mount a disk. Where it may not, it
// runs the test in a process that is root in a namespace of its own.
func mayMount(t *testing.T) bool {
	t.Helper()
	if os.Getuid() == 0 {
		return true
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), self, "-test.v", "-test.run=^"+t.Name()+"$")
	c.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	out, err := c.CombinedOutput()
	t.Logf("in a namespace of its own:\n%s", out)
	if err != nil {
		t.Errorf("in a namespace of its own, which this user must be allowed to make: %v", err)
	}
	return false
}
