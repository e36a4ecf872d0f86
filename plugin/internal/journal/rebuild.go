package journal

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	"golang.org/x/sys/unix"

	"mooring.dev/mooring/plugin/internal/atomicfile"
	"mooring.dev/mooring/plugin/internal/object"
)

// SetAsideDir is the folder of damaged journals below cniDir, for people to look at.
func SetAsideDir(cniDir string) string { return filepath.Join(cniDir, "quarantine") }

// Rebuild puts a journal of what is known in the place of one that is damaged, whose lock is held,
// or where there is none (damaged is Unwritten). The damaged one is set aside, unchanged. The attachments
// that were begun are begun in the new one, too, and have their results. ErrBusy where another call
// of this sandbox was quicker.
func Rebuild(cniDir string, damaged *File, header Header, states []State, now func() time.Time) (*File, error) {
	for _, folder := range []string{Dir(cniDir), SetAsideDir(cniDir)} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, err
		}
	}
	path := Path(cniDir, header.ContainerID, header.IfName)
	temporary := atomicfile.Temporary(path)
	file, err := os.OpenFile(temporary, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	j := &File{file: file, path: path, now: now}
	err = j.rebuild(temporary, damaged, cniDir, header, states)
	if errors.Is(err, os.ErrExist) || errors.Is(err, unix.EWOULDBLOCK) {
		err = ErrBusy
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return j, nil
}

func (j *File) rebuild(temporary string, damaged *File, cniDir string, header Header, states []State) error {
	current, err := lockNow(j.file, temporary)
	if err == nil && !current { // another call made a journal of it
		err = unix.EWOULDBLOCK
	}
	if err != nil {
		return err
	}
	if err := j.file.Truncate(0); err != nil { // a call that was killed here may have left something
		return err
	}
	attachments := make([]Attachment, 0, len(states))
	for i := range states {
		attachments = append(attachments, states[i].Attachment)
	}
	j.Introduce(header)
	j.Intend(attachments)
	for i := range states {
		j.repeat(&states[i])
	}
	if err := j.Flush(); err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	if damaged.file == nil {
		// Not a rename, which would take the place of a journal that an ADD has just made.
		return errors.Join(os.Link(temporary, j.path), os.Remove(temporary))
	}
	if damaged.Empty() {
		return os.Rename(temporary, j.path)
	}
	aside := setAsidePath(cniDir, j.path)
	if err := os.Remove(aside); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return errors.Join(os.Link(damaged.path, aside), os.Rename(temporary, j.path))
}

// repeat writes down what is known of an attachment.
func (j *File) repeat(state *State) {
	if !state.Begun {
		return
	}
	j.hold(begun("ADD", state.Index, j.stamp()))
	switch {
	case len(state.Result) > 0:
		j.Attached(state.Index, 0, state.Result, state.DeviceInfo)
	case state.Attached: // a Multus' scratch file tells no result
		j.Attached(state.Index, 0, object.Object{}.Bytes(), nil)
	}
	for _, at := range state.FailedDELs {
		j.DelFailed(state.Index, 0, types.NewError(types.ErrInternal, "it failed before the journal was rebuilt", ""), at)
	}
	if state.Quarantined {
		j.Quarantine(state.Index, "given up before the journal was rebuilt")
	}
	if state.Undone {
		j.Undone(state.Index, 0)
	}
}

// SetAside moves the file, unchanged, to where people find it, and lets go.
func (j *File) SetAside(cniDir string) error {
	if j.Empty() {
		return j.Remove()
	}
	err := os.MkdirAll(SetAsideDir(cniDir), 0o700)
	if err == nil {
		err = os.Rename(j.path, setAsidePath(cniDir, j.path))
	}
	return errors.Join(err, j.file.Close())
}

// Empty says whether nothing was ever written, or none of it reached the disk: then no delegate of a
// further network had begun.
func (j *File) Empty() bool { return j.size == 0 }

func setAsidePath(cniDir, path string) string {
	return filepath.Join(SetAsideDir(cniDir), filepath.Base(path))
}
