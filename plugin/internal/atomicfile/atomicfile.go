// Package atomicfile replaces files so that a reader sees the old content or the new.
//
// It does not make them outlive a power cut: the plugin's own files of this kind are caches.
package atomicfile

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Temporary is the name under which the file at path is written. It starts with a dot and
// ends in no extension that anybody loads; it is always the same, so that whoever removes the
// file can remove what a killed writer left.
func Temporary(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".tmp")
}

// Write puts data at path with this mode. One path has one writer at a time.
func Write(path string, data []byte, mode os.FileMode) error {
	temporary := Temporary(path)
	file, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, writeErr := file.Write(data)
	var modeErr error
	if mode != 0o600 {
		modeErr = file.Chmod(mode)
	}
	err = errors.Join(writeErr, modeErr, file.Close())
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	return nil
}

// Remove deletes the file at path and what a killed writer left of it; absence is no error.
func Remove(path string) error {
	var problems []error
	for _, name := range []string{path, Temporary(path)} {
		// Not os.Remove, which tries rmdir when unlink finds nothing.
		if err := unix.Unlink(name); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) {
			problems = append(problems, &os.PathError{Op: "unlink", Path: name, Err: err})
		}
	}
	return errors.Join(problems...)
}
