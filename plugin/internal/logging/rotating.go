package logging

import (
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const megabyte = 1 << 20

// rotating is a file that is renamed away when it is full. It is opened for each line: calls
// are short, write few lines, and another process may rotate at any time.
type rotating struct {
	path     string
	rotation Rotation
	now      func() time.Time
}

func (r *rotating) write(text string) error {
	file, err := os.OpenFile(r.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(r.path), 0o755); err != nil {
			return err
		}
		file, err = os.OpenFile(r.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	}
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err == nil && r.rotation.MaxSize > 0 && info.Mode().IsRegular() && info.Size()+int64(len(text)) > int64(r.rotation.MaxSize)*megabyte {
		rotated, rotateErr := r.rotate(file)
		if rotateErr == nil {
			file, err = rotated, nil
		} else {
			err = rotateErr
		}
	}
	_, writeErr := io.WriteString(file, text)
	return errors.Join(err, writeErr, file.Close())
}

// rotate renames the full file and returns the new one; whoever else saw it full waits for
// the lock and then finds that the name stands for another file.
func (r *rotating) rotate(full *os.File) (*os.File, error) {
	if err := unix.Flock(int(full.Fd()), unix.LOCK_EX); err != nil {
		return nil, err
	}
	here, err := full.Stat()
	if err != nil {
		return nil, err
	}
	named, err := os.Stat(r.path)
	mine := err == nil && os.SameFile(here, named)
	extension := filepath.Ext(r.path)
	base := strings.TrimSuffix(r.path, extension)
	backup := base + "-" + r.now().UTC().Format("2006-01-02T15-04-05.000000") + extension
	if mine {
		if err := os.Rename(r.path, backup); err != nil {
			return nil, err
		}
	}
	fresh, err := os.OpenFile(r.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if mine {
		err = errors.Join(r.compress(backup), r.prune(base, extension))
	}
	return fresh, errors.Join(err, full.Close())
}

func (r *rotating) compress(path string) error {
	if !r.rotation.Compress {
		return nil
	}
	source, err := os.Open(path)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(path+".gz", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	writer, err := gzip.NewWriterLevel(target, gzip.BestSpeed) // a pod waits
	if err != nil {
		return err
	}
	_, err = io.Copy(writer, source)
	if err = errors.Join(err, writer.Close(), target.Close()); err != nil {
		return err
	}
	return os.Remove(path)
}

// prune removes backups beyond number and age.
func (r *rotating) prune(base, extension string) error {
	backups, err := filepath.Glob(base + "-[0-9]*" + extension + "*")
	if err != nil {
		return err
	}
	slices.Sort(backups)
	slices.Reverse(backups)
	var problems []error
	for i, backup := range backups {
		info, err := os.Stat(backup)
		old := err == nil && r.rotation.MaxAge > 0 && r.now().Sub(info.ModTime()) > time.Duration(r.rotation.MaxAge)*24*time.Hour
		if old || (r.rotation.MaxBackups > 0 && i >= r.rotation.MaxBackups) {
			problems = append(problems, os.Remove(backup))
		}
	}
	return errors.Join(problems...)
}
