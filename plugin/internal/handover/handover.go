// Package handover lets the build of the plugin that has no client go on as the one that has.
//
// Most calls ask nobody, and the code that could ask costs each of them a third of the
// process's start. So the plugin is built twice (docs/decisions/0034): as itself, without the
// API server's client and the kubelet's, and whole, under another name. When something must be
// asked, this process becomes the whole one, with the same call. Each is a complete plugin:
// there is no protocol between them, and any two versions of them go together.
//
// It is for questions that come before anything was done. Those that come after are refused:
// whoever knows that there will be some becomes the whole plugin at once.
package handover

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"mooring.dev/mooring/plugin/internal/devices"
	"mooring.dev/mooring/plugin/internal/journal"
	"mooring.dev/mooring/plugin/internal/networks"
	"mooring.dev/mooring/plugin/internal/podinfo"
)

// Name is the whole plugin's, in the folder of this one or in one of the plugins' folders.
const Name = "mooring-api"

// Marker is in the environment of a process that was something else before.
const Marker = "MOORING_HANDED_OVER"

var errLate = errors.New("this build of the plugin cannot ask")

// Call is what is handed over: stdin was read already. Path is the folders to look in.
type Call struct {
	Stdin []byte
	Path  []string
}

// Become makes this process the whole plugin. It returns only where that fails: question is what
// cannot be asked then.
func (c *Call) Become(question string) error {
	if os.Getenv(Marker) != "" {
		return fmt.Errorf("%s: %s is a build without the client that asks; install both programs of one release", question, Name)
	}
	program, err := c.find()
	if err != nil {
		return fmt.Errorf("%s: %w", question, err)
	}
	if err := c.rewind(); err != nil {
		return fmt.Errorf("%s: handing the call over to %s: %w", question, program, err)
	}
	err = unix.Exec(program, os.Args, append(os.Environ(), Marker+"=1"))
	return fmt.Errorf("%s: %s cannot be executed: %w", question, program, err)
}

func (c *Call) find() (string, error) {
	folders := c.Path
	if self, err := os.Readlink("/proc/self/exe"); err == nil {
		folders = append([]string{filepath.Dir(self)}, folders...)
	}
	for _, folder := range folders {
		program := filepath.Join(folder, Name)
		if found, err := os.Stat(program); err == nil && !found.IsDir() {
			return program, nil
		}
	}
	return "", fmt.Errorf("the program %s, which asks, is in none of the folders %s", Name, strings.Join(folders, ", "))
}

// rewind makes stdin what it was.
func (c *Call) rewind() error {
	// A hardened node refuses memory files that could be executed; kernels before 6.3 do not know the flag.
	descriptor, err := unix.MemfdCreate("stdin", unix.MFD_NOEXEC_SEAL)
	if errors.Is(err, unix.EINVAL) {
		descriptor, err = unix.MemfdCreate("stdin", 0)
	}
	if err != nil {
		return err
	}
	file := os.NewFile(uintptr(descriptor), "stdin")
	_, err = file.Write(c.Stdin)
	if err == nil {
		_, err = file.Seek(0, 0)
	}
	if err == nil {
		err = unix.Dup3(descriptor, 0, 0)
	}
	return errors.Join(err, file.Close())
}

// Definition becomes the whole plugin.
func (c *Call) Definition(_ context.Context, namespace, name string) (*networks.Definition, error) {
	return nil, c.Become("asking the API server for network " + namespace + "/" + name)
}

// Pod becomes the whole plugin.
func (c *Call) Pod(_ context.Context, namespace, name string) (*podinfo.Pod, error) {
	return nil, c.Become("asking the API server for pod " + namespace + "/" + name)
}

// Devices becomes the whole plugin.
func (c *Call) Devices(_ context.Context, namespace, name, _ string) (devices.Allocated, error) {
	return nil, c.Become("asking the kubelet for the devices of pod " + namespace + "/" + name)
}

// Get is asked after Devices only.
func (c *Call) Get(context.Context, string, url.Values, any) error { return errLate }

// Annotate comes after the delegates.
func (c *Call) Annotate(context.Context, journal.Pod, string, string) error { return errLate }

// Warn comes after another question that failed.
func (c *Call) Warn(context.Context, journal.Pod, string, string, time.Time) error { return errLate }
