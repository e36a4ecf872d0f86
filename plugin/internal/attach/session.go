// Package attach carries out the verbs: it decides what a pod is attached to, has the
// delegates do it, and undoes it.
//
// The order of things is the point of it: everything is decided and written down before the
// first delegate runs, and whatever was begun is undone when anything fails.
package attach

import (
	"time"

	"mooring.dev/mooring/plugin/internal/apiserver"
	"mooring.dev/mooring/plugin/internal/call"
	"mooring.dev/mooring/plugin/internal/conf"
	"mooring.dev/mooring/plugin/internal/delegate"
	"mooring.dev/mooring/plugin/internal/journal"
	"mooring.dev/mooring/plugin/internal/logging"
	"mooring.dev/mooring/plugin/internal/networks"
)

const multusCNIDir = conf.MultusCNIDir

// Session is one call with everything that it works with.
type Session struct {
	Call   *call.Call
	Conf   *conf.Conf
	Log    *logging.Logger
	Runner *delegate.Runner
	Finder *networks.Finder
	API    *apiserver.Client // nil where the conf names no kubeconfig
	Now    func() time.Time

	pod    journal.Pod
	failed string // the network whose delegate failed
}

// Pod is whose sandbox the call was about, as far as it was found out.
func (s *Session) Pod() journal.Pod { return s.pod }

// FailedNetwork is the network that the call failed at, empty where it was none.
func (s *Session) FailedNetwork() string { return s.failed }
