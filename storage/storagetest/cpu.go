package storagetest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A tick is what /proc counts processor time in, on every Linux there is.
const tick = 10 * time.Millisecond

// ProcessCPU is the processor time that a process has used.
func ProcessCPU(pid int) (time.Duration, error) {
	own, _, _, err := processTimes(pid)
	return own, err
}

// processTimes reads the times of a process, those of its children that have
// ended, and its parent (proc_pid_stat(5)).
func processTimes(pid int) (own, ended time.Duration, parent int, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, 0, fmt.Errorf("read the time of process %d: %w", pid, err)
	}
	// The name of the program may hold anything, parentheses too.
	_, rest, _ := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')'):]), " ")
	fields := strings.Fields(rest)
	const ppid, utime, cstime = 1, 11, 14
	if len(fields) <= cstime {
		return 0, 0, 0, fmt.Errorf("process %d has the status %q", pid, stat)
	}
	var n [4]int
	for i := range n {
		if n[i], err = strconv.Atoi(fields[utime+i]); err != nil {
			return 0, 0, 0, err
		}
	}
	parent, err = strconv.Atoi(fields[ppid])
	return time.Duration(n[0]+n[1]) * tick, time.Duration(n[2]+n[3]) * tick, parent, err
}

// CPU is the processor time that the server has used: the postmaster and every
// child of it, those that have ended too.
func (s *PostgresServer) CPU() time.Duration {
	s.t.Helper()
	own, ended, _, err := processTimes(s.server.Process.Pid)
	if err != nil {
		s.t.Fatal(err)
	}
	total := own + ended
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, dir := range all {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		own, ended, parent, err := processTimes(pid)
		if err == nil && parent == s.server.Process.Pid { // one that has ended meanwhile is counted in the postmaster's next time
			total += own + ended
		}
	}
	return total
}
