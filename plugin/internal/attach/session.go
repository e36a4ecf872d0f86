// Package attach carries out the verbs: it decides what a pod is attached to, has the
// delegates do it, and undoes it.
//
// The order of things is the point of it: everything is decided and written down before the
// first delegate runs, and whatever was begun is undone when anything fails.
package attach

import (
	"context"
	"time"

	"mooring.dev/mooring/plugin/internal/call"
	"mooring.dev/mooring/plugin/internal/conf"
	"mooring.dev/mooring/plugin/internal/delegate"
	"mooring.dev/mooring/plugin/internal/journal"
	"mooring.dev/mooring/plugin/internal/logging"
	"mooring.dev/mooring/plugin/internal/netconf"
	"mooring.dev/mooring/plugin/internal/networks"
	"mooring.dev/mooring/plugin/internal/podinfo"
	"mooring.dev/mooring/plugin/internal/selection"
)

const multusCNIDir = conf.MultusCNIDir

// Session is one call with everything that it works with.
type Session struct {
	Call   *call.Call
	Conf   *conf.Conf
	Log    *logging.Logger
	Runner *delegate.Runner
	Finder *networks.Finder
	Now    func() time.Time

	pod    journal.Pod
	failed string // the network whose delegate failed
}

// Pod is whose sandbox the call was about, as far as it was found out.
func (s *Session) Pod() journal.Pod { return s.pod }

// FailedNetwork is the network that the call failed at, empty where it was none.
func (s *Session) FailedNetwork() string { return s.failed }

// annotations returns the pod's annotations.
func (s *Session) annotations(_ context.Context, _ *podinfo.Identity) (map[string]string, error) {
	annotations, _, err := podinfo.Annotations(s.Conf.RuntimeConfig)
	return annotations, err
}

// defaultNetworks returns the default network and those that every pod gets.
func (s *Session) defaultNetworks(_ context.Context, _ journal.Pod, _ map[string]string) ([]planned, error) {
	plans := make([]planned, 0, len(s.Conf.Delegates))
	for _, conf := range s.Conf.Delegates {
		plans = append(plans, planned{network: conf.Name, conf: conf.WithDefaults("", s.Call.CNIVersion)})
	}
	return plans, nil
}

func (s *Session) defaultConf(_ context.Context) (*netconf.Conf, error) {
	if len(s.Conf.Delegates) == 0 {
		return nil, nil
	}
	return s.Conf.Delegates[0].WithDefaults("", s.Call.CNIVersion), nil
}

func (s *Session) unresolved(_ context.Context, _ selection.Element, err error) error { return err }

func (s *Session) ready(_ context.Context) error { return nil }
