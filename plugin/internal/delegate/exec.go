package delegate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/containernetworking/cni/pkg/types"

	"mooring.dev/mooring/plugin/internal/cnierror"
)

const (
	maxOutput = 4 << 20
	maxStderr = 64 << 10

	// A binary that is being replaced in place is "busy" for a moment.
	busyTries = 20
	busyPause = 50 * time.Millisecond

	// After a kill, how long descendants may hold the pipes before we let go of them.
	pipeGrace = 500 * time.Millisecond
)

// Marker is in the environment of every delegate, with the container's id: whoever finds it at
// its start was called by itself.
const Marker = "MOORING_DELEGATE"

var errTooMuch = errors.New("more output than allowed")

// bounded keeps the first limit bytes and tells when there were more.
type bounded struct {
	bytes.Buffer
	limit  int
	exceed func()
}

func (b *bounded) Write(data []byte) (int, error) {
	room := b.limit - b.Len()
	if room >= len(data) {
		return b.Buffer.Write(data)
	}
	b.Buffer.Write(data[:max(0, room)])
	b.exceed()
	return len(data), nil
}

// run executes one plugin and returns what it printed. It is killed, with its children, when
// ctx ends or when it prints too much, and dies with this process.
func (r *Runner) run(ctx context.Context, path string, stdin []byte, environ []string) ([]byte, error) {
	// Pdeathsig is tied to the thread that starts the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for try := 1; ; try++ {
		stdout, err := r.runOnce(ctx, path, stdin, environ)
		if !errors.Is(err, syscall.ETXTBSY) || try == busyTries {
			return stdout, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(busyPause):
		}
	}
}

func (r *Runner) runOnce(outer context.Context, path string, stdin []byte, environ []string) ([]byte, error) {
	ctx, cancel := context.WithCancelCause(outer)
	defer cancel(nil)
	stdout := &bounded{limit: maxOutput, exceed: func() { cancel(errTooMuch) }}
	stderr := &bounded{limit: maxStderr, exceed: func() {}}
	command := exec.CommandContext(ctx, path)
	command.Env, command.Stdin, command.Stdout, command.Stderr = environ, bytes.NewReader(stdin), stdout, stderr
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	command.WaitDelay = pipeGrace
	err := command.Run()
	if stderr.Len() > 0 {
		_, _ = r.Stderr.Write(stderr.Bytes())
	}
	name := filepath.Base(path)
	switch {
	case errors.Is(context.Cause(ctx), errTooMuch):
		return nil, cnierror.New(types.ErrDecodingFailure, "%s printed more than %d bytes and was stopped", name, maxOutput)
	case outer.Err() != nil:
		return nil, cnierror.New(cnierror.TryAgain, "%s did not answer within its time and was stopped", name)
	case err == nil || errors.Is(err, exec.ErrWaitDelay):
		return stdout.Bytes(), nil
	case errors.Is(err, syscall.ETXTBSY):
		return nil, err
	}
	return nil, explain(name, err, stdout.Bytes(), stderr.Bytes())
}

// explain finds the plugin's own error in what it printed before it failed.
func explain(name string, err error, stdout, stderr []byte) error {
	var failed *exec.ExitError
	if !errors.As(err, &failed) {
		return cnierror.New(types.ErrIOFailure, "%s cannot be executed: %v", name, err)
	}
	said := &types.Error{}
	if len(bytes.TrimSpace(stdout)) == 0 {
		text := strings.TrimSpace(string(stderr))
		if text == "" {
			text = "it said nothing"
		}
		return cnierror.New(types.ErrInternal, "%s ended with %v: %s", name, failed, text)
	}
	if json.Unmarshal(stdout, said) != nil || said.Msg == "" && said.Code == 0 {
		return cnierror.New(types.ErrDecodingFailure, "%s ended with %v and printed no CNI error: %.200q", name, failed, stdout)
	}
	return said
}

// find looks a plugin up and refuses this very program, by whatever name.
func (r *Runner) find(kind string) (string, error) {
	for _, folder := range r.Path {
		path := filepath.Join(folder, kind)
		found, err := os.Stat(path)
		if err != nil || found.IsDir() {
			continue
		}
		if self, err := os.Stat("/proc/self/exe"); err == nil && os.SameFile(self, found) {
			return "", cnierror.New(types.ErrInvalidNetworkConfig, "plugin %q is this program: it would call itself for ever", kind)
		}
		return path, nil
	}
	return "", cnierror.New(types.ErrInvalidNetworkConfig, "plugin %q is in none of the folders %s", kind, strings.Join(r.Path, ", "))
}

func environ(verb string, call Call, path []string) []string {
	kept := make([]string, 0, 32)
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "CNI_") || strings.HasPrefix(pair, "CNI_NETNS_OVERRIDE=") {
			kept = append(kept, pair)
		}
	}
	args := make([]string, 0, len(call.Args))
	for _, pair := range call.Args {
		args = append(args, pair[0]+"="+pair[1])
	}
	kept = append(kept, Marker+"="+call.marker(), "CNI_COMMAND="+verb, "CNI_PATH="+strings.Join(path, string(os.PathListSeparator)))
	if call.ContainerID != "" {
		kept = append(kept, "CNI_CONTAINERID="+call.ContainerID, "CNI_NETNS="+call.Netns, "CNI_IFNAME="+call.IfName, "CNI_ARGS="+strings.Join(args, ";"))
	}
	return kept
}

// marker is the container's id; STATUS and GC are about none.
func (c Call) marker() string {
	if c.ContainerID == "" {
		return "node"
	}
	return c.ContainerID
}

func describe(kind, verb string) string { return fmt.Sprintf("plugin %s (%s)", kind, verb) }
