package delegate

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// How long a process may take to end that was killed.
	killTime = 5 * time.Second

	shortestPause = 2 * time.Millisecond
	longestPause  = 50 * time.Millisecond

	// The unit of times in /proc: hundredths of a second for programs, whatever the kernel's clock.
	tick = 10 * time.Millisecond
)

// EndStragglers returns when nothing runs any more that delegates of this container left running:
// what a call started that was killed. A DEL is let finish, as long as it is younger than limit;
// everything else is killed.
func EndStragglers(containerID string, limit time.Duration) error {
	var killing time.Time
	for pause := shortestPause; ; pause = min(2*pause, longestPause) {
		running, err := stragglers(containerID)
		if err != nil || len(running) == 0 {
			return err
		}
		waiting := false
		for _, process := range running {
			if process.deletes && process.age < limit {
				waiting = true
				continue
			}
			if err := process.kill(); err != nil {
				return err
			}
		}
		switch {
		case waiting:
			killing = time.Time{}
		case killing.IsZero():
			killing = time.Now()
		case time.Since(killing) > killTime:
			return fmt.Errorf("processes %v of a delegate do not end", running)
		}
		time.Sleep(pause)
	}
}

// straggler is a process of a delegate whose caller is gone: the delegate, or what it started.
type straggler struct {
	pid     int
	age     time.Duration
	deletes bool
}

func (s straggler) String() string { return strconv.Itoa(s.pid) }

// kill ends the process, and its group where it leads one, as every delegate does.
func (s straggler) kill() error {
	target := s.pid
	if group, err := syscall.Getpgid(s.pid); err == nil && group == s.pid {
		target = -s.pid
	}
	if err := syscall.Kill(target, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("process %d of a delegate: %w", s.pid, err)
	}
	return nil
}

// stragglers finds processes by the marker in their environment: whose children they are now
// depends on where they were orphaned.
func stragglers(containerID string) ([]straggler, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	wanted, deleting := []byte(Marker+"="+containerID), []byte("CNI_COMMAND=DEL")
	var found []straggler
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		environment, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "environ"))
		if err != nil { // gone meanwhile, or a zombie's
			continue
		}
		process, ours := straggler{pid: pid}, false
		for variable := range bytes.SplitSeq(environment, []byte{0}) {
			ours = ours || bytes.Equal(variable, wanted)
			process.deletes = process.deletes || bytes.Equal(variable, deleting)
		}
		if !ours {
			continue
		}
		if process.age, err = age(pid); err == nil {
			found = append(found, process)
		}
	}
	return found, nil
}

// age is how long a process has run; an error where it is gone.
func age(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, err
	}
	// The name in parentheses may hold anything. The start is the 22nd value, the 20th after it.
	values := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(values) < 20 {
		return 0, fmt.Errorf("/proc/%d/stat: %d values after the name", pid, len(values))
	}
	started, err := strconv.ParseInt(string(values[19]), 10, 64)
	if err != nil {
		return 0, err
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return 0, err
	}
	return time.Duration(now.Nano()) - time.Duration(started)*tick, nil
}
