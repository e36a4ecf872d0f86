package attach

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"

	"github.com/containernetworking/cni/pkg/types"

	"mooring.dev/mooring/plugin/internal/boot"
	"mooring.dev/mooring/plugin/internal/cnierror"
	"mooring.dev/mooring/plugin/internal/delegate"
	"mooring.dev/mooring/plugin/internal/devices"
	"mooring.dev/mooring/plugin/internal/journal"
	"mooring.dev/mooring/plugin/internal/netconf"
	"mooring.dev/mooring/plugin/internal/networks"
	"mooring.dev/mooring/plugin/internal/podinfo"
	"mooring.dev/mooring/plugin/internal/resultcache"
	"mooring.dev/mooring/plugin/internal/sandbox"
)

// Add attaches the pod to its default network and to every network that it asks for, one
// after another, or to none of them. The journal is there and locked before anything is waited for.
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
	w, err := s.begin()
	if err != nil {
		return cnierror.Prefix(err, "pod %s", identity.Pod)
	}
	w.inside = inside
	result, err := w.add(ctx, &identity)
	if err == nil {
		err = s.Call.Print(result)
	}
	if err != nil {
		w.rollBack(ctx)
		return cnierror.Prefix(err, "pod %s", identity.Pod)
	}
	return w.close()
}

// work is an ADD under way.
type work struct {
	*Session
	journal  *journal.File
	header   journal.Header
	unwanted error // why there is no journal
	states   []journal.State
	inside   *sandbox.Sandbox
	later    func() // what waits until a delegate works, nil for nothing

	attaching *planned // what is worked for, so that an error names it
}

// setAttaching notes for which attachment something is done, should it fail.
func (w *work) setAttaching(plan *planned) {
	w.attaching, w.failed = plan, plan.network
}

// begin makes the journal. Where it cannot be written that is an error only for a pod that cannot
// do without.
func (s *Session) begin() (*work, error) {
	header := journal.Header{
		Network: s.Config.Name, BootID: boot.ID(), ContainerID: s.Call.ContainerID, IfName: s.Call.IfName, Netns: s.Call.Netns,
		Pod: s.pod, CNIArgs: s.Call.Args, CNIPath: s.Runner.Path,
	}
	file, err := journal.Create(s.Config.CNIDir, header, s.Now)
	switch {
	case errors.Is(err, journal.ErrExists):
		return nil, cnierror.New(types.ErrInvalidEnvironmentVariables, "CNI_CONTAINERID %s, CNI_IFNAME %s: %v; DEL must come before another ADD", s.Call.ContainerID, s.Call.IfName, err)
	case errors.Is(err, journal.ErrDeleted):
		return nil, cnierror.New(cnierror.TryAgain, "%v: nothing is attached", err)
	case err != nil:
		return &work{Session: s, journal: journal.Unwritten(), unwanted: err}, nil
	}
	return &work{Session: s, journal: file, header: header}, nil
}

func (w *work) add(ctx context.Context, identity *podinfo.Identity) (json.RawMessage, error) {
	if err := w.ready(ctx); err != nil {
		return nil, err
	}
	if err := w.canWriteStatus(); err != nil {
		return nil, err
	}
	plans, err := w.plan(ctx, identity)
	if err != nil {
		return nil, err
	}
	w.pod = identity.Pod
	if err := w.inside.Free(plans[0].ifName); err != nil {
		return nil, err
	}
	if err := w.intend(plans); err != nil {
		return nil, err
	}
	result, err := w.attachAll(ctx, plans)
	if err != nil {
		return nil, err
	}
	return result, w.writeStatus(ctx)
}

// needsJournal says whether DEL could not undo the pod from the configuration alone.
func needsJournal(plans []planned) bool { return len(plans) > 1 || plans[0].asked() }

// intend writes down what is about to happen. A default network that the pod itself names must be
// on the disk before its delegate runs: nothing else tells DEL which it was.
func (w *work) intend(plans []planned) error {
	attachments := make([]journal.Attachment, 0, len(plans))
	for i := range plans {
		attachments = append(attachments, plans[i].attachment(i))
		w.states = append(w.states, journal.State{Attachment: attachments[i]})
	}
	if w.unwanted != nil {
		if needsJournal(plans) {
			return cnierror.New(types.ErrIOFailure, "the journal in %s cannot be written, and without it these networks could not be undone: %v", journal.Dir(w.Config.CNIDir), w.unwanted)
		}
		w.Log.Errorf("the journal cannot be written: %v", w.unwanted)
		return nil
	}
	if w.header.Pod != w.pod { // the API server knew more of it than the runtime
		w.header.Pod = w.pod
		w.journal.Introduce(w.header)
	}
	w.journal.Intend(attachments)
	if !plans[0].asked() {
		return nil
	}
	err := w.journal.Flush()
	if err == nil {
		err = w.journal.Sync()
	}
	if err == nil {
		err = w.cache(0, plans[0].conf.Name)
	}
	if err != nil {
		return cnierror.New(types.ErrIOFailure, "the journal cannot be brought to disk, and the pod's own default network could not be undone without it: %v", err)
	}
	return nil
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
	if err := unwritten(w.journal.Flush()); err != nil {
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
	if err := w.stillWanted(); err != nil {
		return err
	}
	if err := unwritten(w.journal.Begin("ADD", index)); err != nil {
		return err
	}
	state.Begun = true
	if path := infoPath(state.CapabilityArgs); path != "" {
		if err := devices.PrepareInfo(path, plan.resource, plan.device); err != nil {
			return err
		}
	}
	started := w.Now()
	call := w.callOf(state, w.Call.Netns)
	call.PrevResult = plan.previous
	var unsynced error
	call.Meanwhile = func() {
		if index == 0 && len(plans) > 1 {
			unsynced = errors.Join(w.journal.Sync(), w.cacheIntents(plans))
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
		w.journal.AddFailed(index, took, failed)
		return failed
	}
	told := oneLine(state.Result)
	w.journal.Attached(index, took, told, state.DeviceInfo)
	state.Attached = true
	w.later = func() {
		if err := w.cache(index, plan.conf.Name); err != nil {
			w.Log.Warnf("network %s: libcni's result cache: %v", plan.network, err)
		}
	}
	w.Log.Verbose("attached", "network", plan.network, "interface", plan.ifName, "milliseconds", milliseconds(took), "result", string(told))
	return nil
}

// stillWanted is an error where a DEL waits for this call to end.
func (w *work) stillWanted() error {
	requested, err := w.journal.DelRequested()
	if err != nil {
		return cnierror.New(types.ErrIOFailure, "the journal: %v", err)
	}
	if requested {
		return cnierror.New(cnierror.TryAgain, "%v: nothing more is attached", journal.ErrDeleted)
	}
	return nil
}

// catchUp does what has waited.
func (w *work) catchUp() {
	if w.later != nil {
		w.later()
		w.later = nil
	}
}

// cache writes what is known of an attachment to libcni's result cache: the second witness.
func (w *work) cache(index int, name string) error {
	state := &w.states[index]
	return resultcache.Write(w.Config.CNIDir, &resultcache.Entry{
		ContainerID: w.Call.ContainerID, Netns: w.Call.Netns, Name: name, Caller: w.Config.Name, CallIfName: w.Call.IfName, Attachment: state.Attachment, Result: state.Result,
	})
}

// cacheIntents writes what the further attachments will be, so that even without the journal no
// delegate has run of which nothing tells.
func (w *work) cacheIntents(plans []planned) error {
	for i := range plans[1:] {
		if err := w.cache(i+1, plans[i+1].conf.Name); err != nil {
			return err
		}
	}
	return nil
}

// unwritten says what it means that the journal could not be written: what is not written down
// must not be done.
func unwritten(err error) error {
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
	t := &teardown{Session: w.Session, journal: w.journal, netns: w.Call.Netns}
	for i := range w.states {
		t.take(&w.states[i], w.states[i].Begun)
	}
	for _, problem := range t.undo(ctx).failed {
		w.Log.Errorf("rolling back: %v", problem)
	}
	w.failed = failed
	t.end()
}

func (w *work) close() error {
	if err := w.journal.Close(); err != nil {
		w.Log.Errorf("the journal: %v", err)
	}
	return nil
}

// oneLine makes a result fit into a line of the journal.
func oneLine(result json.RawMessage) json.RawMessage {
	if result == nil {
		return nil
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, result); err != nil {
		return nil
	}
	return compact.Bytes()
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
