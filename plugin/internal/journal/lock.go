package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// lockPoll is how often a lock that another call holds is asked for.
const lockPoll = 5 * time.Millisecond

// lock waits for the lock and says whether path still names the locked file. While it waits it
// says so once.
func lock(ctx context.Context, file *os.File, path string, busy func(*os.File)) (bool, error) {
	for told := false; ; told = true {
		current, err := lockNow(file, path)
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return current, err
		}
		if !told {
			busy(file)
		}
		select {
		case <-ctx.Done():
			return false, fmt.Errorf("another call for this sandbox still runs: %w", ctx.Err())
		case <-time.After(lockPoll):
		}
	}
}

// lockNow takes the lock, without waiting, and says whether path still names the locked file.
func lockNow(file *os.File, path string) (bool, error) {
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return false, err
	}
	held, err := file.Stat()
	if err != nil {
		return false, err
	}
	named, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return os.SameFile(held, named), nil
}
