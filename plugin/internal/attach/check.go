package attach

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"

	"github.com/containernetworking/cni/pkg/types"

	"mooring.dev/mooring/plugin/internal/cnierror"
	"mooring.dev/mooring/plugin/internal/delegate"
	"mooring.dev/mooring/plugin/internal/journal"
	"mooring.dev/mooring/plugin/internal/netconf"
)

// Check runs CHECK for every attachment with what it was made with; the first failure is
// returned. Where the journal is lost, the other witnesses tell what there is to check.
func (s *Session) Check(ctx context.Context) error {
	s.logAbout()
	limited, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	file, contents, err := journal.Open(limited, s.Config.CNIDir, s.Call.ContainerID, s.Call.IfName, s.Now)
	if errors.Is(err, context.DeadlineExceeded) {
		return cnierror.New(types.ErrTryAgainLater, "%v", err)
	}
	if err != nil {
		return cnierror.New(types.ErrIOFailure, "the journal: %v", err)
	}
	if file != nil {
		defer file.Close()
		s.introduce(contents.Header)
	}
	states, err := s.attachments(ctx, contents)
	if err != nil {
		return err
	}
	return s.checkAll(ctx, states)
}

// checkAll checks every attachment of the sandbox, and then what we made of its routes.
func (s *Session) checkAll(ctx context.Context, states []journal.State) error {
	inside := inspection{netns: s.Call.Netns}
	defer inside.close()
	moved := slices.ContainsFunc(states, func(state journal.State) bool { return state.DefaultRoute != nil })
	for i := range states {
		if err := s.checkOne(ctx, &inside, &states[i], moved); err != nil {
			return s.failedCheck(&states[i], err)
		}
	}
	if !moved {
		return nil
	}
	if at, err := inside.checkRoutes(states, s.Config.KeepClusterRoutes); err != nil {
		return s.failedCheck(&states[at], err)
	}
	return nil
}

func (s *Session) failedCheck(state *journal.State, err error) error {
	s.failed = state.Network
	return cnierror.Prefix(err, "pod %s: network %s (%s)", s.pod, state.Network, state.IfName)
}

// checkOne asks those plugins of one attachment that can pass, and looks itself where one cannot.
func (s *Session) checkOne(ctx context.Context, inside *inspection, state *journal.State, moved bool) error {
	if !state.Attached {
		return cnierror.New(types.ErrInternal, "it is not attached")
	}
	conf, err := confOf(state)
	if err != nil {
		return err
	}
	if !checked(conf) {
		return nil
	}
	result, err := parseResult(state.Result)
	if err != nil {
		return cnierror.New(types.ErrDecodingFailure, "the result of its ADD is unreadable: %v", err)
	}
	has, call, unasked := traitsOf(result, moved), s.callOf(state, s.Call.Netns), false
	for i := range conf.Plugins {
		why := hindrance(conf, i, has)
		if why == "" {
			one := *conf
			one.Plugins = conf.Plugins[i : i+1]
			err := s.Runner.CheckAttachment(ctx, &one, call)
			if err == nil {
				continue
			}
			if !hasNoCheck(err) {
				return err
			}
			why = err.Error()
		}
		unasked = true
		s.Log.Verbose("the plugin's CHECK does not count", "network", state.Network, "interface", state.IfName, "plugin", conf.Plugins[i].Type, "why", why)
	}
	if !unasked {
		return nil
	}
	return inside.checkInterfaces(state, result, movesRoutes(conf.Plugins) != "")
}

// checked says whether a network is to be checked at all.
func checked(conf *netconf.Conf) bool {
	return !conf.DisableCheck && delegate.AtLeast(conf.CNIVersion, "0.4.0")
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
	if file := s.Config.ReadinessIndicatorFile; file != "" {
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
