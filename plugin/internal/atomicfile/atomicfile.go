// Package atomicfile replaces files so that a reader sees the old content or the new.
//
// It does not make them outlive a power cut: the plugin's own files of this kind are caches.
package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
)

// Write puts data at path with this mode. The temporary name starts with a dot and carries
// no extension, so that nobody who reads the folder takes it for a file of theirs.
func Write(path string, data []byte, mode os.FileMode) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), ".mooring-")
	if err != nil {
		return err
	}
	_, writeErr := temporary.Write(data)
	err = errors.Join(writeErr, temporary.Chmod(mode), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary.Name()))
	}
	return nil
}
