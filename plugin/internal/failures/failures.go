// Package failures notes every failed call where the agent reads it: failures.jsonl.
//
// The file is bounded; under its lock the older half is cut away when it is full. That a
// failure could not be noted never changes the outcome of a call.
package failures

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"mooring.dev/mooring/plugin/internal/journal"
	"mooring.dev/mooring/plugin/internal/object"
)

// Limit is the size that the file never exceeds.
const Limit = 1 << 20

// Failure is one line.
type Failure struct {
	Version      int         `json:"version"`
	Time         string      `json:"time"`
	Verb         string      `json:"verb"`
	ContainerID  string      `json:"containerID"`
	IfName       string      `json:"ifName"`
	Pod          journal.Pod `json:"pod"`
	Network      string      `json:"network"`
	Reason       string      `json:"reason,omitempty"`
	Code         uint        `json:"code"`
	Msg          string      `json:"msg"`
	Details      string      `json:"details"`
	Milliseconds int64       `json:"milliseconds"`
}

// Note appends one line to <cniDir>/failures.jsonl. The texts are bounded already, as those of
// every error of the plugin are (package cnierror).
func Note(cniDir string, failure Failure) error {
	failure.Version = 1
	text := append(object.Encode(failure), '\n')
	if err := os.MkdirAll(cniDir, 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(cniDir, "failures.jsonl"), os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(add(file, text), file.Close())
}

func add(file *os.File, text []byte) error {
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if info.Size()+int64(len(text)) > Limit {
		if err := halve(file); err != nil {
			return err
		}
	}
	_, err = file.Write(text)
	return err
}

// halve drops the older half, up to the end of a line.
func halve(file *os.File) error {
	data, err := io.ReadAll(file)
	if err != nil {
		return err
	}
	younger := data[len(data)/2:]
	if end := bytes.IndexByte(younger, '\n'); end >= 0 {
		younger = younger[end+1:]
	}
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err = file.Write(younger)
	return err
}
