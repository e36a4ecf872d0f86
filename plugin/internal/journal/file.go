package journal

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	"golang.org/x/sys/unix"

	"mooring.dev/mooring/plugin/internal/atomicfile"
	"mooring.dev/mooring/plugin/internal/boot"
)

// What may stand in the way of a new journal.
var (
	ErrExists  = errors.New("this sandbox and interface are attached already")
	ErrDeleted = errors.New("a DEL of this sandbox came meanwhile")
	ErrBusy    = errors.New("another call for this sandbox runs")
)

// ErrRemoved says that the call that held the lock removed the journal: it has undone everything.
var ErrRemoved = errors.New("the call that held the journal's lock has undone everything")

// File is a journal that this call holds the lock of.
//
// Only Begin must be on file before the next step. Other records are held and go with it, or at
// the end: a write on the way of a pod costs more than what a kill in between makes DEL repeat.
type File struct {
	file *os.File // nil in a journal that keeps nothing
	path string
	now  func() time.Time
	size int64  // bytes that are written
	held []byte // records that are not
}

// Unwritten is a journal that takes all records and keeps none: for a sandbox that can be undone
// without one.
func Unwritten() *File { return &File{} }

// Dir is the folder of journals below cniDir.
func Dir(cniDir string) string { return filepath.Join(cniDir, "attachments") }

// Path is where a sandbox's journal is.
func Path(cniDir, containerID, ifName string) string {
	return filepath.Join(Dir(cniDir), containerID+"@"+ifName+".jsonl")
}

// Create makes a journal that holds its header, and holds its lock from the first moment on.
// ErrExists where there is one already, ErrDeleted where a DEL was quicker.
func Create(cniDir string, header Header, now func() time.Time) (*File, error) {
	path := Path(cniDir, header.ContainerID, header.IfName)
	file, err := create(path)
	if errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(Dir(cniDir), 0o700); err != nil {
			return nil, err
		}
		file, err = create(path)
	}
	if errors.Is(err, os.ErrExist) {
		return nil, ErrExists
	}
	if err != nil {
		return nil, err
	}
	current, err := lockNow(file, path)
	if errors.Is(err, unix.EWOULDBLOCK) || (err == nil && !current) {
		return nil, errors.Join(ErrDeleted, file.Close())
	}
	j := &File{file: file, path: path, now: now}
	j.Introduce(header)
	if err == nil {
		err = j.Flush()
	}
	if err != nil {
		return nil, errors.Join(err, j.Remove())
	}
	return j, nil
}

func create(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
}

// Open locks and reads a sandbox's journal; nil without error where there is none. While
// another call holds the lock it waits until ctx ends, which is an error.
func Open(ctx context.Context, cniDir, containerID, ifName string, now func() time.Time) (*File, *Contents, error) {
	return open(ctx, Path(cniDir, containerID, ifName), now, func(*os.File) {})
}

// OpenToDelete is Open for DEL: an ADD that holds the lock is told, so that it gives up where it
// has not begun. ErrRemoved where it, or another DEL, has undone everything.
func OpenToDelete(ctx context.Context, cniDir, containerID, ifName string, now func() time.Time) (*File, *Contents, error) {
	waited := false
	file, contents, err := open(ctx, Path(cniDir, containerID, ifName), now, func(held *os.File) {
		waited = true
		// Where this cannot be written the ADD goes to its end, and is undone then.
		_, _ = held.Write(line(delRequested(stamp(now()))))
	})
	if file == nil && err == nil && waited {
		err = ErrRemoved
	}
	return file, contents, err
}

func open(ctx context.Context, path string, now func() time.Time, busy func(*os.File)) (*File, *Contents, error) {
	for {
		file, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
		if errors.Is(err, os.ErrNotExist) {
			return nil, nil, nil
		}
		if err != nil {
			return nil, nil, err
		}
		current, err := lock(ctx, file, path, busy)
		if err != nil {
			return nil, nil, errors.Join(err, file.Close())
		}
		if !current { // the call that held the lock removed the file
			_ = file.Close()
			continue
		}
		data, err := io.ReadAll(io.NewSectionReader(file, 0, math.MaxInt64)) // what was appended has moved the file's own position
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

// Introduce holds the header; of several the last counts.
func (j *File) Introduce(header Header) {
	header.Version, header.Time = Version, j.stamp()
	j.hold(header.body())
}

// Intend holds what is about to be attached, in order.
func (j *File) Intend(attachments []Attachment) { j.hold(intents(attachments)) }

// DelRequested says whether a DEL waits for the lock.
func (j *File) DelRequested() (bool, error) {
	if j.file == nil {
		return false, nil
	}
	info, err := j.file.Stat()
	return err == nil && info.Size() > j.size, err
}

// Sync makes header and intents outlive a power cut.
func (j *File) Sync() error {
	if j.file == nil {
		return nil
	}
	if err := unix.Fdatasync(int(j.file.Fd())); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(j.path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// Begin notes that a delegate is about to run, and writes what is held.
func (j *File) Begin(verb string, index int) error {
	j.hold(begun(verb, index, j.stamp()))
	return j.Flush()
}

// Attached holds that a delegate's ADD succeeded; device is nil for none.
func (j *File) Attached(index int, took time.Duration, result, device json.RawMessage) {
	j.hold(outcome{verb: "ADD", index: index, time: j.stamp(), took: took, result: result, device: device}.body())
}

// AddFailed holds that a delegate's ADD failed.
func (j *File) AddFailed(index int, took time.Duration, failed *types.Error) {
	j.hold(outcome{verb: "ADD", index: index, time: j.stamp(), took: took, failed: failed}.body())
}

// Undone holds that a delegate's DEL succeeded.
func (j *File) Undone(index int, took time.Duration) {
	j.hold(outcome{verb: "DEL", index: index, time: j.stamp(), took: took}.body())
}

// DelFailed holds that a delegate's DEL failed, and when.
func (j *File) DelFailed(index int, took time.Duration, failed *types.Error, at boot.Moment) {
	j.hold(outcome{verb: "DEL", index: index, time: j.stamp(), took: took, failed: failed, at: at}.body())
}

// Quarantine holds that an attachment is given up.
func (j *File) Quarantine(index int, reason string) {
	j.hold(quarantined(index, j.stamp(), reason))
}

func (j *File) stamp() string {
	if j.file == nil {
		return ""
	}
	return stamp(j.now())
}

func (j *File) hold(record json.RawMessage) {
	if j.file != nil {
		j.held = append(j.held, line(record)...)
	}
}

// Flush writes the records that are held. Where only a part could be written it is cut away: a
// record behind it would make of a torn line a damaged one.
func (j *File) Flush() error {
	if len(j.held) == 0 {
		return nil
	}
	written, err := j.file.Write(j.held)
	if err != nil {
		if written > 0 {
			err = errors.Join(err, j.file.Truncate(j.size))
		}
		return err // what is held stays so: there may be room the next time
	}
	j.held = nil
	j.size += int64(written)
	return nil
}

// Remove deletes the file with what is held, and what a killed Rebuild left, then lets go of the
// lock.
func (j *File) Remove() error {
	if j.file == nil {
		return nil
	}
	return errors.Join(atomicfile.Remove(j.path), j.file.Close())
}

// Close writes what is held, lets go of the lock and leaves the file.
func (j *File) Close() error {
	if j.file == nil {
		return nil
	}
	return errors.Join(j.Flush(), j.file.Close())
}
