package delegate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
)

// Marker is in the environment of every delegate, with the container's id: whoever finds it at
// its start was called by itself.
const Marker = "MOORING_DELEGATE"

// bounded keeps the first limit bytes and tells when there were more.
type bounded struct {
	bytes.Buffer
	limit int
	over  bool
}

func (b *bounded) add(data []byte) {
	room := max(0, b.limit-b.Len())
	if room < len(data) {
		b.over = true
		data = data[:room]
	}
	b.Write(data)
}

// run executes one plugin and returns what it printed.
func (r *Runner) run(ctx context.Context, in input, meanwhile func()) ([]byte, error) {
	path, err := r.find(in.about.Plugin)
	if err != nil {
		return nil, err
	}
	started := time.Now()
	printed, err := r.runPatiently(ctx, path, in, meanwhile)
	if r.Ran != nil {
		in.about.Took, in.about.Err = time.Since(started), err
		r.Ran(in.about)
	}
	return printed, err
}

// runPatiently tries again while the binary is being replaced.
func (r *Runner) runPatiently(ctx context.Context, path string, in input, meanwhile func()) ([]byte, error) {
	deadline := time.Now().Add(r.Timeout)
	if earlier, limited := ctx.Deadline(); limited && earlier.Before(deadline) {
		deadline = earlier
	}
	for try := 1; ; try++ {
		stdout, err := r.runOnce(path, in, deadline, meanwhile)
		if !errors.Is(err, syscall.ETXTBSY) || try == busyTries {
			return stdout, err
		}
		time.Sleep(busyPause)
	}
}

func (r *Runner) runOnce(path string, in input, deadline time.Time, meanwhile func()) ([]byte, error) {
	stdout, stderr := &bounded{limit: maxOutput}, &bounded{limit: maxStderr}
	// Half a DEL may be one that nobody can repeat: bridge removes its link first, and finds its
	// iptables rules by the link's addresses.
	outlives := in.about.Verb == "DEL"
	status, err := spawn(path, in.stdin, in.environ, outlives, deadline, stdout, stderr, meanwhile)
	if stderr.Len() > 0 {
		_, _ = r.Stderr.Write(stderr.Bytes())
	}
	name := filepath.Base(path)
	switch {
	case errors.Is(err, errTooMuch):
		return nil, cnierror.New(types.ErrDecodingFailure, "%s printed more than %d bytes and was stopped", name, maxOutput)
	case errors.Is(err, errTime):
		return nil, cnierror.New(cnierror.TryAgain, "%s did not answer within its time and was stopped", name)
	case errors.Is(err, syscall.ETXTBSY):
		return nil, err
	case err != nil:
		return nil, cnierror.New(types.ErrIOFailure, "%s cannot be executed: %v", name, err)
	case status.Exited() && status.ExitStatus() == 0:
		return stdout.Bytes(), nil
	case status.Signaled():
		return nil, explain(name, "signal: "+status.Signal().String(), stdout.Bytes(), stderr.Bytes())
	}
	return nil, explain(name, fmt.Sprintf("exit status %d", status.ExitStatus()), stdout.Bytes(), stderr.Bytes())
}

// explain finds the plugin's own error in what it printed before it failed.
func explain(name, ending string, stdout, stderr []byte) error {
	said := &types.Error{}
	if len(bytes.TrimSpace(stdout)) == 0 {
		text := strings.TrimSpace(string(stderr))
		if text == "" {
			text = "it said nothing"
		}
		return cnierror.New(types.ErrInternal, "%s ended with %s: %s", name, ending, text)
	}
	if json.Unmarshal(stdout, said) != nil || said.Msg == "" && said.Code == 0 {
		return cnierror.New(types.ErrDecodingFailure, "%s ended with %s and printed no CNI error: %.200q", name, ending, stdout)
	}
	return cnierror.From(said)
}

// find looks a plugin up, once, and refuses this very program, by whatever name.
func (r *Runner) find(kind string) (string, error) {
	if path, known := r.found[kind]; known {
		return path, nil
	}
	for _, folder := range r.Path {
		path := filepath.Join(folder, kind)
		found, err := os.Stat(path)
		if err != nil || found.IsDir() {
			continue
		}
		if self, err := os.Stat("/proc/self/exe"); err == nil && os.SameFile(self, found) {
			return "", cnierror.New(types.ErrInvalidNetworkConfig, "plugin %q is this program: it would call itself for ever", kind)
		}
		if r.found == nil {
			r.found = map[string]string{}
		}
		r.found[kind] = path
		return path, nil
	}
	return "", cnierror.New(types.ErrInvalidNetworkConfig, "plugin %q is in none of the folders %s", kind, strings.Join(r.Path, ", "))
}

// inherit returns what every delegate is given of our own environment.
func (r *Runner) inherit() []string {
	if r.inherited == nil {
		r.inherited = make([]string, 0, 32)
		for _, pair := range os.Environ() {
			if !strings.HasPrefix(pair, "CNI_") || strings.HasPrefix(pair, "CNI_NETNS_OVERRIDE=") {
				r.inherited = append(r.inherited, pair)
			}
		}
	}
	return slices.Clone(r.inherited)
}

func (r *Runner) environ(verb string, call Call) []string {
	kept := r.inherit()
	args := make([]string, 0, len(call.Args))
	for _, pair := range call.Args {
		args = append(args, pair[0]+"="+pair[1])
	}
	kept = append(kept, Marker+"="+call.marker(), "CNI_COMMAND="+verb, "CNI_PATH="+strings.Join(r.Path, string(os.PathListSeparator)))
	if call.ContainerID != "" {
		kept = append(kept, "CNI_CONTAINERID="+call.ContainerID, "CNI_NETNS="+call.Netns, "CNI_IFNAME="+call.IfName, "CNI_ARGS="+strings.Join(args, ";"))
	}
	// A Go program starts a thread for each processor, and at ADD a plugin has nothing for them to
	// do (docs/decisions/0033-one-processor-for-delegates-at-add.md).
	if _, set := os.LookupEnv("GOMAXPROCS"); verb == "ADD" && !set {
		kept = append(kept, "GOMAXPROCS=1")
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
