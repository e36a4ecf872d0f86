package delegate

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shell runs a script as a plugin would be run.
func shell(t *testing.T, script string, limit time.Duration, most int) (string, string, syscall.WaitStatus, error) {
	t.Helper()
	out, err := &bounded{limit: most}, &bounded{limit: most}
	status, failed := spawn("/bin/sh", []byte(script), []string{"PATH=/usr/bin:/bin"}, false, time.Now().Add(limit), out, err, nil)
	return out.String(), err.String(), status, failed
}

// everyKernel runs a test with and without descriptors of processes.
func everyKernel(t *testing.T, test func(*testing.T)) {
	for name, without := range map[string]bool{"pidfd": false, "before 5.2": true} {
		t.Run(name, func(t *testing.T) {
			withoutPidfd = without
			defer func() { withoutPidfd = false }()
			test(t)
		})
	}
}

// runs says whether a process has not ended; nobody may have asked yet how it did.
func runs(process int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(process) + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestAChildGetsItsStdinAndItsOutputComesBack(t *testing.T) {
	everyKernel(t, func(t *testing.T) {
		long := strings.Repeat("x", 300_000) + "\n"
		out, said, status, err := shell(t, "cat <<'E'\n"+long+"E\necho careful >&2; exit 3\n", time.Minute, 1<<20)
		if err != nil || out != long || said != "careful\n" || status.ExitStatus() != 3 {
			t.Errorf("%d bytes, %q, status %d, %v", len(out), said, status.ExitStatus(), err)
		}
	})
}

func TestAChildThatHangsIsKilledWithItsChildren(t *testing.T) {
	everyKernel(t, func(t *testing.T) {
		told := t.TempDir() + "/grandchild"
		_, _, _, err := shell(t, "(trap '' TERM; exec sleep 600) & echo $! >"+told+"; exec sleep 600\n", 2*time.Second, 100)
		if !errors.Is(err, errTime) {
			t.Errorf("got %v", err)
		}
		text, err := os.ReadFile(told)
		if err != nil {
			t.Fatal(err)
		}
		grandchild, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		for patience := time.Now().Add(10 * time.Second); runs(grandchild); time.Sleep(time.Millisecond) {
			if time.Now().After(patience) {
				t.Fatal("a grandchild went on")
			}
		}
	})
}

func TestAFloodIsStopped(t *testing.T) {
	out, _, _, err := shell(t, "while :; do echo flood; done\n", time.Minute, 10_000)
	if !errors.Is(err, errTooMuch) || len(out) != 10_000 {
		t.Errorf("%d bytes, %v", len(out), err)
	}
}

func TestAFloodOnStderrIsCutAndDoesNoHarm(t *testing.T) {
	_, said, status, err := shell(t, "i=0; while [ $i -lt 5000 ]; do echo flood >&2; i=$((i+1)); done\n", time.Minute, 1000)
	if err != nil || len(said) != 1000 || status.ExitStatus() != 0 {
		t.Errorf("%d bytes, status %d, %v", len(said), status.ExitStatus(), err)
	}
}

func TestADescendantThatHoldsThePipesDoesNotHoldTheCall(t *testing.T) {
	everyKernel(t, func(t *testing.T) {
		for _, outlives := range []bool{false, true} {
			out := &bounded{limit: 100}
			status, err := spawn("/bin/sh", []byte("sleep 600 & echo $!\n"), []string{"PATH=/usr/bin:/bin"}, outlives, time.Now().Add(time.Minute), out, &bounded{limit: 100}, nil)
			if err != nil || status.ExitStatus() != 0 {
				t.Errorf("outlives %v: %q, status %d, %v", outlives, out, status.ExitStatus(), err)
			}
			descendant, err := strconv.Atoi(strings.TrimSpace(out.String()))
			if err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(descendant, syscall.SIGKILL); err != nil {
				t.Errorf("outlives %v: it did not go on: %v", outlives, err)
			}
		}
	})
}

func TestAChildThatNeverReadsItsStdinIsNoFailure(t *testing.T) {
	status, err := spawn("/bin/true", []byte(strings.Repeat("x", 1<<20)), nil, false, time.Now().Add(time.Minute), &bounded{limit: 10}, &bounded{limit: 10}, nil)
	if err != nil || status.ExitStatus() != 0 {
		t.Errorf("status %d, %v", status.ExitStatus(), err)
	}
}

func TestWhatIsDoneMeanwhileIsDoneWhileTheChildWorks(t *testing.T) {
	gate := t.TempDir() + "/gate"
	script := "while [ ! -e " + gate + " ]; do sleep 0.01; done; echo through\n"
	out := &bounded{limit: 100}
	_, err := spawn("/bin/sh", []byte(script), []string{"PATH=/usr/bin:/bin"}, false, time.Now().Add(time.Minute), out, &bounded{limit: 100}, func() {
		if err := os.WriteFile(gate, nil, 0o600); err != nil {
			t.Error(err)
		}
	})
	if err != nil || out.String() != "through\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
}

func TestAFileThatIsNoProgramCannotBeExecuted(t *testing.T) {
	path := t.TempDir() + "/text"
	if err := os.WriteFile(path, []byte("no program"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := spawn(path, nil, nil, false, time.Now().Add(time.Minute), &bounded{limit: 1}, &bounded{limit: 1}, nil); !errors.Is(err, syscall.ENOEXEC) {
		t.Errorf("got %v", err)
	}
}
