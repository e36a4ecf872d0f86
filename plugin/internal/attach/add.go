package attach

import (
	"context"
	"encoding/json"
	"errors"
	"os"

	"github.com/containernetworking/cni/pkg/types"

	"mooring.dev/mooring/plugin/internal/cnierror"
	"mooring.dev/mooring/plugin/internal/delegate"
	"mooring.dev/mooring/plugin/internal/devices"
	"mooring.dev/mooring/plugin/internal/journal"
	"mooring.dev/mooring/plugin/internal/netconf"
	"mooring.dev/mooring/plugin/internal/networks"
	"mooring.dev/mooring/plugin/internal/podinfo"
	"mooring.dev/mooring/plugin/internal/sandbox"
)

// Add attaches the pod to its default network and to every network that it asks for, one
// after another, or to none of them.
func (s *Session) Add(ctx context.Context) error {
	identity, err := podinfo.Parse(s.Call.Args, s.Call.ContainerID)
	s.pod = identity.Pod
	s.logAbout()
	if err != nil {
		return err
	}
	inside, err := sandbox.Open(s.Call.Netns)
	if err != nil {
		return err
	}
	defer inside.Close()
	if err := s.ready(ctx); err != nil {
		return err
	}
	if err := s.canTellStatus(); err != nil {
		return err
	}
	plans, err := s.plan(ctx, &identity)
	if err != nil {
		return cnierror.Prefix(err, "pod %s", identity.Pod)
	}
	s.pod = identity.Pod
	if err := inside.Free(plans[0].ifName); err != nil {
		return cnierror.Prefix(err, "pod %s", identity.Pod)
	}
	work, err := s.begin(plans)
	if err != nil {
		return cnierror.Prefix(err, "pod %s", identity.Pod)
	}
	work.inside = inside
	result, err := work.attachAll(ctx, plans)
	if err == nil {
		err = work.tellStatus(ctx)
	}
	if err == nil {
		err = s.Call.Print(result)
	}
	if err != nil {
		work.rollBack(ctx)
		return cnierror.Prefix(err, "pod %s", identity.Pod)
	}
	return work.close()
}

// work is an ADD under way.
type work struct {
	*Session
	journal *journal.File // nil where none could be made and none is needed
	states  []journal.State
	inside  *sandbox.Sandbox
	later   func() // what waits until a delegate works, nil for nothing

	attaching *planned // what is worked for, so that an error names it
}

// setAttaching notes for which attachment something is done, should it fail.
func (w *work) setAttaching(plan *planned) {
	w.attaching, w.failed = plan, plan.network
}

// begin writes down what is about to happen.
func (s *Session) begin(plans []planned) (*work, error) {
	w := &work{Session: s}
	attachments := make([]journal.Attachment, 0, len(plans))
	for i := range plans {
		attachments = append(attachments, plans[i].attachment(i))
		w.states = append(w.states, journal.State{Attachment: attachments[i]})
	}
	file, err := journal.Create(s.Conf.CNIDir, journal.Header{
		BootID: networks.BootID(), ContainerID: s.Call.ContainerID, IfName: s.Call.IfName, Netns: s.Call.Netns,
		Pod: s.pod, CNIArgs: s.Call.Args, CNIPath: s.Runner.Path,
	}, attachments, s.Now)
	switch {
	case errors.Is(err, journal.ErrExists):
		return nil, cnierror.New(types.ErrInvalidEnvironmentVariables, "CNI_CONTAINERID %s, CNI_IFNAME %s: %v; DEL must come before another ADD", s.Call.ContainerID, s.Call.IfName, err)
	case err != nil && len(plans) == 1:
		// A pod without further networks can be undone from the configuration alone.
		s.Log.Errorf("the journal cannot be written: %v", err)
	case err != nil:
		return nil, cnierror.New(types.ErrIOFailure, "the journal in %s cannot be written, and without it further networks could not be undone: %v", journal.Dir(s.Conf.CNIDir), err)
	}
	w.journal = file
	return w, nil
}

// attachAll runs the delegates in order and returns the default network's result in the
// runtime's version. The journal reaches the disk while the default network's delegate works;
// nothing that another node could see happens before.
func (w *work) attachAll(ctx context.Context, plans []planned) (json.RawMessage, error) {
	for i := range plans {
		if err := w.attach(ctx, i, plans); err != nil {
			return nil, cnierror.Prefix(err, "network %s (%s)", w.attaching.network, w.attaching.ifName)
		}
	}
	w.catchUp()
	if err := w.written(w.journal.Flush()); err != nil {
		return nil, err
	}
	w.failed = ""
	return delegate.Convert(w.states[0].Result, w.Call.CNIVersion)
}

func (w *work) attach(ctx context.Context, index int, plans []planned) error {
	plan := &plans[index]
	w.setAttaching(plan)
	if index > 0 {
		if err := w.inside.Free(plan.ifName); err != nil {
			return err
		}
	}
	state := &w.states[index]
	if err := w.written(w.journal.Begin("ADD", index)); err != nil {
		return err
	}
	state.Begun = true
	if path := infoPath(state.CapabilityArgs); path != "" {
		if err := devices.PrepareInfo(path, plan.resource, plan.device); err != nil {
			return cnierror.New(types.ErrIOFailure, "the device-information file: %v", err)
		}
	}
	started := w.Now()
	call := w.callOf(state, w.Call.Netns)
	call.PrevResult = plan.previous
	var unsynced error
	call.Meanwhile = func() {
		if index == 0 && len(plans) > 1 {
			unsynced = w.journal.Sync()
		}
		w.catchUp()
	}
	result, err := w.Runner.Add(ctx, plan.conf, call)
	if err == nil {
		state.Result = result
		err = w.verify(plan, result)
	} else {
		err = explainFailure(err, plan)
	}
	if err == nil {
		state.DeviceInfo, err = devices.ReadInfo(infoPath(state.CapabilityArgs))
	}
	if err == nil && unsynced != nil {
		err = cnierror.New(types.ErrIOFailure, "the journal cannot be brought to disk: %v", unsynced)
	}
	if err == nil && index == len(plans)-1 {
		err = w.moveDefaultRoute(plans)
	}
	took := w.Now().Sub(started)
	if err != nil {
		failed := cnierror.From(err)
		w.journal.End("ADD", index, took, failed)
		return failed
	}
	w.journal.Attached(index, took, oneLine(state.Result), state.DeviceInfo)
	state.Attached = true
	w.later = func() {
		if err := delegate.Remember(w.Conf.CNIDir, plan.conf, call, state.Result); err != nil {
			w.Log.Warnf("network %s: libcni's result cache: %v", plan.network, err)
		}
	}
	w.Log.Verbose("attached", "network", plan.network, "interface", plan.ifName, "milliseconds", milliseconds(took), "result", string(oneLine(state.Result)))
	return nil
}

// catchUp does what has waited.
func (w *work) catchUp() {
	if w.later != nil {
		w.later()
		w.later = nil
	}
}

// written says what it means that the journal could not be written: what is not written down
// must not be done.
func (w *work) written(err error) error {
	if err != nil {
		return cnierror.New(types.ErrIOFailure, "the journal cannot be written: %v", err)
	}
	return nil
}

// rollBack undoes every attachment that was begun, in reverse. The runtime sees the error
// that led here; what could not be undone stays in the journal for DEL.
func (w *work) rollBack(ctx context.Context) {
	failed := w.failed
	w.later = nil // only undoing is left
	begun := make([]*journal.State, 0, len(w.states))
	for i := range w.states {
		if w.states[i].Begun {
			begun = append(begun, &w.states[i])
		}
	}
	problems := w.undo(ctx, w.journal, begun, w.Call.Netns, rollingBack)
	w.failed = failed
	for _, problem := range problems {
		w.Log.Errorf("rolling back: %v", problem)
	}
	var err error
	if len(problems) == 0 {
		err = w.journal.Remove()
	} else {
		err = w.journal.Close()
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		w.Log.Errorf("the journal: %v", err)
	}
}

func (w *work) close() error {
	if err := w.journal.Close(); err != nil {
		w.Log.Errorf("the journal: %v", err)
	}
	return nil
}

// callOf is what the delegates of an attachment are called with.
func (s *Session) callOf(state *journal.State, netns string) delegate.Call {
	return delegate.Call{
		Network: state.Network, ContainerID: s.Call.ContainerID, Netns: netns, IfName: state.IfName, Args: state.Args,
		CapabilityArgs: state.CapabilityArgs, PrevResult: state.Result,
	}
}

func confOf(state *journal.State) (*netconf.Conf, error) {
	conf, err := netconf.Parse(state.Conf, "conf of "+state.Network)
	if err != nil {
		return nil, cnierror.New(types.ErrInvalidNetworkConfig, "%s", networks.OneLine(err))
	}
	return conf, nil
}
