package attach

import (
	"context"
	"os"
	"time"

	"github.com/containernetworking/cni/pkg/types"

	"mooring.dev/mooring/plugin/internal/cnierror"
	"mooring.dev/mooring/plugin/internal/delegate"
	"mooring.dev/mooring/plugin/internal/journal"
	"mooring.dev/mooring/plugin/internal/podinfo"
	"mooring.dev/mooring/plugin/internal/resultcache"
)

// Check runs CHECK for every attachment with what it was made with; the first failure is
// returned. A sandbox without a journal has a default network only, as far as is known.
func (s *Session) Check(ctx context.Context) error {
	s.logAbout()
	limited, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	file, contents, err := journal.Open(limited, s.Conf.CNIDir, s.Call.ContainerID, s.Call.IfName, s.Now)
	if err != nil {
		return cnierror.New(types.ErrIOFailure, "the journal: %v", err)
	}
	if file == nil {
		return s.checkDefault(ctx)
	}
	defer file.Close()
	s.introduce(contents.Header)
	if !contents.Readable {
		return cnierror.New(types.ErrInternal, "pod %s: the journal of this sandbox is damaged", s.pod)
	}
	for i := range contents.States {
		state := &contents.States[i]
		if err := s.checkOne(ctx, state); err != nil {
			s.failed = state.Network
			return cnierror.Prefix(err, "pod %s: network %s (%s)", s.pod, state.Network, state.IfName)
		}
	}
	return nil
}

func (s *Session) checkOne(ctx context.Context, state *journal.State) error {
	if !state.Attached {
		return cnierror.New(types.ErrInternal, "it is not attached")
	}
	conf, err := confOf(state)
	if err != nil {
		return err
	}
	return s.Runner.CheckAttachment(ctx, conf, s.callOf(state, s.Call.Netns))
}

func (s *Session) checkDefault(ctx context.Context) error {
	conf, err := s.defaultConf(ctx)
	if err != nil {
		return err
	}
	identity, err := podinfo.Parse(s.Call.Args, s.Call.ContainerID)
	if err != nil {
		return err
	}
	s.pod = identity.Pod
	call := delegate.Call{ContainerID: s.Call.ContainerID, Netns: s.Call.Netns, IfName: s.Call.IfName, Args: identity.Args, CapabilityArgs: s.Conf.RuntimeConfig}
	for _, root := range append(s.roots(), resultcache.Runtime) {
		if call.PrevResult = resultcache.Result(root, conf.Name, call.ContainerID, call.IfName); call.PrevResult != nil {
			break
		}
	}
	if err := s.Runner.CheckAttachment(ctx, conf, call); err != nil {
		s.failed = conf.Name
		return cnierror.Prefix(err, "pod %s: network %s (%s)", s.pod, conf.Name, s.Call.IfName)
	}
	return nil
}

// statusTime is how long STATUS may take in all: runtimes hold a lock meanwhile. StatusPatience
// is the API server's part of it.
const (
	statusTime     = 900 * time.Millisecond
	StatusPatience = statusTime / 3
)

// Status fails only for the default network: kubelets make a node NotReady of it.
func (s *Session) Status(ctx context.Context) error {
	s.logAbout()
	limited, cancel := context.WithTimeout(ctx, statusTime)
	defer cancel()
	if file := s.Conf.ReadinessIndicatorFile; file != "" {
		if _, err := os.Stat(file); err != nil {
			return cnierror.New(cnierror.NotAvailable, "the default network is not ready: readinessindicatorfile %s is absent", file)
		}
	}
	conf, err := s.defaultConf(limited)
	if err != nil {
		return cnierror.New(cnierror.NotAvailable, "the default network: %v", err)
	}
	if err := s.Runner.Check(conf); err != nil {
		return cnierror.New(cnierror.NotAvailable, "network %s: %s", conf.Name, cnierror.From(err).Msg)
	}
	if err := s.Runner.Status(limited, conf); err != nil {
		failed := cnierror.Prefix(err, "network %s", conf.Name)
		s.failed = conf.Name
		if failed.Code != cnierror.LimitedConnectivity {
			failed.Code = cnierror.NotAvailable
		}
		return failed
	}
	return nil
}
