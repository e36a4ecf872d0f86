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
)

const (
	stragglerTime  = 5 * time.Second
	stragglerPause = 2 * time.Millisecond
)

// EndStragglers kills every process that a delegate of this container left running and waits
// until they are gone. They are known by the marker in their environment.
func EndStragglers(containerID string) error {
	for deadline := time.Now().Add(stragglerTime); ; {
		running, err := stragglers(containerID)
		if err != nil {
			return err
		}
		if len(running) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes %v of a delegate do not end", running)
		}
		for _, process := range running {
			if err := syscall.Kill(process, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("process %d of a delegate: %w", process, err)
			}
		}
		time.Sleep(stragglerPause)
	}
}

func stragglers(containerID string) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	wanted := []byte(Marker + "=" + containerID)
	var found []int
	for _, entry := range entries {
		process, err := strconv.Atoi(entry.Name())
		if err != nil || process == os.Getpid() {
			continue
		}
		environment, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "environ"))
		if err != nil { // gone meanwhile, or a zombie's
			continue
		}
		for variable := range bytes.SplitSeq(environment, []byte{0}) {
			if bytes.Equal(variable, wanted) {
				found = append(found, process)
				break
			}
		}
	}
	return found, nil
}
