// Package attach carries out the verbs: it decides what a pod is attached to, has the
// delegates do it, and undoes it.
//
// The order of things is the point of it: everything is decided and written down before the
// first delegate runs, and whatever was begun is undone when anything fails.
package attach

import (
	"context"
	"strconv"
	"time"

	"mooring.dev/mooring/plugin/internal/call"
	"mooring.dev/mooring/plugin/internal/config"
	"mooring.dev/mooring/plugin/internal/delegate"
	"mooring.dev/mooring/plugin/internal/devices"
	"mooring.dev/mooring/plugin/internal/journal"
	"mooring.dev/mooring/plugin/internal/logging"
	"mooring.dev/mooring/plugin/internal/networks"
	"mooring.dev/mooring/plugin/internal/podinfo"
)

const multusCNIDir = config.MultusCNIDir

// API is what may be asked of the API server. Nothing is asked between the first delegate's
// start and the last one's end.
type API interface {
	networks.Remote
	devices.Getter

	// Pod reads a pod; podinfo.ErrNoPod where there is none.
	Pod(ctx context.Context, namespace, name string) (*podinfo.Pod, error)

	// Annotate sets one annotation; podinfo.ErrNoPod, podinfo.ErrOtherPod.
	Annotate(ctx context.Context, pod journal.Pod, key, value string) error

	// Warn records a Warning event on a pod.
	Warn(ctx context.Context, pod journal.Pod, reason, message string, now time.Time) error
}

// Session is one call with everything that it works with.
type Session struct {
	Call   *call.Call
	Config *config.Config

	// ConfigError is what is wrong with Config. DEL goes on as far as its records reach.
	ConfigError error

	Log    *logging.Logger
	Runner *delegate.Runner
	Finder *networks.Finder
	API    API // nil where the conf names no kubeconfig
	Now    func() time.Time

	// Devices returns what the kubelet gave a pod.
	Devices func(ctx context.Context, namespace, name, uid string) (devices.Allocated, error)

	pod    journal.Pod
	failed string // the network whose delegate failed
	reason string // in one word what failed, where there is one for it
	leak   string // what may be left behind, since no record tells of it
}

// logAbout puts into every line of the log what the call is about, as far as it is known.
func (s *Session) logAbout() {
	pod := ""
	if s.pod != (journal.Pod{}) {
		pod = s.pod.String()
	}
	s.Log.About("verb", s.Call.Verb, "pod", pod, "container", s.Call.ContainerID)
}

// LogExecution tells of a delegate's plugin: which, how long it took, what went wrong.
func (s *Session) LogExecution(e delegate.Execution) {
	pairs := []string{"command", e.Verb, "network", e.Network, "interface", e.IfName, "plugin", e.Plugin, "milliseconds", milliseconds(e.Took)}
	if e.Err != nil {
		pairs = append(pairs, "error", e.Err.Error())
	}
	s.Log.Verbose("the plugin has ended", pairs...)
}

func milliseconds(took time.Duration) string {
	return strconv.FormatInt(took.Milliseconds(), 10)
}

// Pod is whose sandbox the call was about, as far as it was found out.
func (s *Session) Pod() journal.Pod { return s.pod }

// FailedNetwork is the network that the call failed at, empty where it was none.
func (s *Session) FailedNetwork() string { return s.failed }

// Reason is one word for why the call failed, where there is one that a pod's event would have.
func (s *Session) Reason() string { return s.reason }

// Leak says what may be left behind, since no record tells of it; empty for nothing.
func (s *Session) Leak() string { return s.leak }
