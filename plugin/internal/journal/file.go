package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	"golang.org/x/sys/unix"

	"mooring.dev/mooring/plugin/internal/atomicfile"
)

// ErrExists says that this sandbox has a journal already.
var ErrExists = errors.New("this sandbox and interface are attached already")

// lockPoll is how often a lock that another call holds is asked for.
const lockPoll = 5 * time.Millisecond

// File is a journal that this call holds the lock of.
//
// Only Begin must be on file before the next step. Other records are held and go with it, or at
// the end: a write on the way of a pod costs more than what a kill in between makes DEL repeat.
//
// A nil File is one that cannot be written and need not: it takes all records and keeps none.
type File struct {
	file *os.File
	path string
	now  func() time.Time
	size int64  // bytes that are written
	held []byte // records that are not
}

// Dir is the folder of journals below cniDir.
func Dir(cniDir string) string { return filepath.Join(cniDir, "attachments") }

// Path is where a sandbox's journal is.
func Path(cniDir, containerID, ifName string) string {
	return filepath.Join(Dir(cniDir), containerID+"@"+ifName+".jsonl")
}

// Create writes header and intents and holds the lock. The file appears under its name with
// both in it: a crash leaves a whole journal or none. ErrExists where there is one already.
func Create(cniDir string, header Header, attachments []Attachment, now func() time.Time) (*File, error) {
	if err := os.MkdirAll(Dir(cniDir), 0o700); err != nil {
		return nil, err
	}
	header.Version, header.Time = Version, stamp(now())
	path := Path(cniDir, header.ContainerID, header.IfName)
	temporary := atomicfile.Temporary(path)
	file, err := os.OpenFile(temporary, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	j := &File{file: file, path: path, now: now}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(ErrExists, file.Close())
	}
	err = file.Truncate(0) // a call that was killed here may have left something
	if err == nil {
		j.held = append(line(header.body()), line(intents(attachments))...)
		err = j.Flush()
	}
	if err == nil {
		err = os.Link(temporary, path)
	}
	if errors.Is(err, os.ErrExist) {
		err = ErrExists
	}
	if removeErr := os.Remove(temporary); err == nil {
		err = removeErr
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return j, nil
}

// Open locks and reads a sandbox's journal; nil without error where there is none. While
// another call holds the lock it waits until ctx ends, which is an error.
func Open(ctx context.Context, cniDir, containerID, ifName string, now func() time.Time) (*File, *Contents, error) {
	path := Path(cniDir, containerID, ifName)
	for {
		file, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
		if errors.Is(err, os.ErrNotExist) {
			return nil, nil, nil
		}
		if err != nil {
			return nil, nil, err
		}
		current, err := lock(ctx, file, path)
		if err != nil {
			return nil, nil, errors.Join(err, file.Close())
		}
		if !current { // the call that held the lock removed the file
			_ = file.Close()
			continue
		}
		data, err := io.ReadAll(file)
		if err != nil {
			return nil, nil, errors.Join(err, file.Close())
		}
		contents := Parse(data)
		j := &File{file: file, path: path, now: now, size: int64(len(data))}
		if contents.Intact && contents.Torn {
			j.size = int64(contents.good)
			if err := file.Truncate(j.size); err != nil {
				return nil, nil, errors.Join(err, file.Close())
			}
		}
		return j, contents, nil
	}
}

// lock waits for the lock and says whether path still names the locked file.
func lock(ctx context.Context, file *os.File, path string) (bool, error) {
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return false, err
		}
		select {
		case <-ctx.Done():
			return false, fmt.Errorf("another call for this sandbox still runs: %w", ctx.Err())
		case <-time.After(lockPoll):
		}
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

// Sync makes header and intents outlive a power cut.
func (j *File) Sync() error {
	if err := unix.Fdatasync(int(j.file.Fd())); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(j.path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// Sweep removes what a call that was killed while it made the journal left.
func Sweep(cniDir, containerID, ifName string) error {
	err := os.Remove(atomicfile.Temporary(Path(cniDir, containerID, ifName)))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// Begin notes that a delegate is about to run, and writes what is held.
func (j *File) Begin(verb string, index int) error {
	j.hold(begun(verb, index, j.stamp()))
	return j.Flush()
}

// Attached holds that a delegate's ADD succeeded; device is nil for none.
func (j *File) Attached(index int, took time.Duration, result, device json.RawMessage) {
	j.hold(outcome{"ADD", index, j.stamp(), took, result, device, nil}.body())
}

// End holds that an ADD failed, or what became of a DEL.
func (j *File) End(verb string, index int, took time.Duration, failed *types.Error) {
	j.hold(outcome{verb, index, j.stamp(), took, nil, nil, failed}.body())
}

// Quarantine holds that an attachment is given up.
func (j *File) Quarantine(index int, reason string) {
	j.hold(quarantined(index, j.stamp(), reason))
}

func (j *File) stamp() string {
	if j == nil {
		return ""
	}
	return stamp(j.now())
}

func (j *File) hold(record json.RawMessage) {
	if j != nil {
		j.held = append(j.held, line(record)...)
	}
}

// Flush writes the records that are held. Where only a part could be written it is cut away: a
// record behind it would make of a torn line a damaged one.
func (j *File) Flush() error {
	if j == nil || len(j.held) == 0 {
		return nil
	}
	written, err := j.file.Write(j.held)
	j.held = nil
	if err != nil && written > 0 {
		return errors.Join(err, j.file.Truncate(j.size))
	}
	j.size += int64(written)
	return err
}

// Remove deletes the file with what is held, then lets go of the lock.
func (j *File) Remove() error {
	if j == nil {
		return nil
	}
	return errors.Join(os.Remove(j.path), j.file.Close())
}

// SetAside moves the file, unchanged, to where the agent and people find it, and lets go.
func (j *File) SetAside(cniDir string) error {
	folder := filepath.Join(cniDir, "quarantine")
	err := os.MkdirAll(folder, 0o700)
	if err == nil {
		err = os.Rename(j.path, filepath.Join(folder, filepath.Base(j.path)))
	}
	return errors.Join(err, j.file.Close())
}

// Close writes what is held, lets go of the lock and leaves the file.
func (j *File) Close() error {
	if j == nil {
		return nil
	}
	return errors.Join(j.Flush(), j.file.Close())
}
