package attach

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/containernetworking/cni/pkg/types"

	"mooring.dev/mooring/plugin/internal/boot"
	"mooring.dev/mooring/plugin/internal/cnierror"
	"mooring.dev/mooring/plugin/internal/delegate"
	"mooring.dev/mooring/plugin/internal/devices"
	"mooring.dev/mooring/plugin/internal/journal"
	"mooring.dev/mooring/plugin/internal/netconf"
	"mooring.dev/mooring/plugin/internal/object"
	"mooring.dev/mooring/plugin/internal/resultcache"
)

// A secondary network that keeps failing must not block its node's drain for ever: the runtime is
// told of the failure, so that it tries again, for this long and so many times. After that the
// attachment is quarantined: it no longer fails a DEL, and every later call goes on trying it.
const (
	quarantineAfter = 10 * time.Minute
	quarantineTries = 5
)

// teardown undoes one sandbox. It alone decides what is tried again and what is quarantined; what
// there is to undo was found out before (witnesses.go).
type teardown struct {
	*Session
	journal *journal.File
	states  []*journal.State // in the order in which they were attached
	never   []*journal.State // were intended, and never begun
	netns   string
	final   bool // a failure that lasts is quarantined; not so in a roll-back

	damaged    *journal.File // locked, where no journal could be written in its place
	scratch    bool          // a Multus' scratch file tells of the sandbox
	unreadable []string      // files that tell of it in vain, to be set aside
}

// outcome is what a teardown came to.
type outcome struct {
	failed      []error // count as the call's failure
	quarantined []error // were tried once more, in vain
}

// take adds an attachment: one that was begun is to be undone, of one that was not only files tell.
func (t *teardown) take(state *journal.State, begun bool) {
	if begun {
		t.states = append(t.states, state)
	} else {
		t.never = append(t.never, state)
	}
}

// run undoes what a DEL is about. What is quarantined is no failure of it.
func (t *teardown) run(ctx context.Context) error {
	if err := t.endStragglers(); err != nil {
		t.close()
		return cnierror.Prefix(err, "pod %s", t.pod)
	}
	result := t.undo(ctx)
	t.end()
	if failed := cnierror.Join(result.failed); failed != nil {
		return cnierror.Prefix(failed, "pod %s", t.pod)
	}
	return nil
}

// undo runs DEL for every attachment that is not undone, in reverse. One failure stops nothing.
//
// While a delegate works the next one is prepared, and nothing that changes the node is done: a
// kill would leave it half done, and a delegate that removes links first and rules afterwards
// cannot find its rules again (the reference plugin bridge).
func (t *teardown) undo(ctx context.Context) outcome {
	left := slices.DeleteFunc(slices.Clone(t.states), func(state *journal.State) bool { return state.Undone })
	slices.Reverse(left)
	detachments := make([]*detachment, len(left))
	prepare := func(i int) {
		if i < len(left) && detachments[i] == nil {
			detachments[i] = t.prepare(left[i])
		}
	}
	var result outcome
	for i, state := range left {
		prepare(i)
		started := t.Now()
		if err := t.journal.Begin("DEL", state.Index); err != nil {
			t.Log.Errorf("the journal cannot be written: %v", err) // undoing goes on
		}
		err := detachments[i].run(ctx, func() { prepare(i + 1) })
		took := t.Now().Sub(started)
		if err == nil {
			state.Undone = true
			t.forget(detachments[i].conf.Name, state)
			t.journal.Undone(state.Index, took)
			t.Log.Verbose("detached", "network", state.Network, "interface", state.IfName, "milliseconds", milliseconds(took))
			continue
		}
		t.failedToUndo(state, took, err, &result)
	}
	return result
}

// failedToUndo notes a failure and sorts it.
func (t *teardown) failedToUndo(state *journal.State, took time.Duration, err *types.Error, result *outcome) {
	told := cnierror.Prefix(err, "network %s (%s)", state.Network, state.IfName)
	now := boot.Now()
	if !state.Quarantined { // the record of one that is needs no more lines
		state.FailedDELs = append(state.FailedDELs, now)
		t.journal.DelFailed(state.Index, took, err, now)
	}
	if t.final && !state.Default && !state.Quarantined && len(state.FailedDELs) >= quarantineTries && state.FailingFor(now) >= quarantineAfter {
		state.Quarantined = true
		t.journal.Quarantine(state.Index, fmt.Sprintf("DEL has failed %d times: %s", len(state.FailedDELs), told.Msg))
	}
	if t.final && state.Quarantined {
		t.Log.Errorf("quarantined, to be tried again by later calls: %v", told)
		result.quarantined = append(result.quarantined, told)
		return
	}
	if len(result.failed) == 0 {
		t.failed = state.Network
	}
	result.failed = append(result.failed, told)
}

// end removes the journal where everything is undone, and lets go of it otherwise.
func (t *teardown) end() {
	if slices.ContainsFunc(t.states, func(state *journal.State) bool { return !state.Undone }) {
		t.close()
		return
	}
	for _, state := range t.never {
		if conf, err := confOf(state); err == nil {
			t.forget(conf.Name, state)
		}
	}
	if t.scratch {
		t.removeScratch()
	}
	t.setAside()
	err := t.journal.Remove()
	if t.damaged != nil {
		err = errors.Join(err, t.damaged.SetAside(t.Config.CNIDir))
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Log.Errorf("the journal: %v", err)
	}
}

// close lets go of the journal, which says what is left.
func (t *teardown) close() {
	err := t.journal.Close()
	if t.damaged != nil {
		err = errors.Join(err, t.damaged.Close())
	}
	if err != nil {
		t.Log.Errorf("the journal: %v", err)
	}
}

// setAside moves what could not be read to where people find it: nobody is to stumble over it again.
func (t *teardown) setAside() {
	for _, file := range t.unreadable {
		folder := journal.SetAsideDir(t.Config.CNIDir)
		err := os.MkdirAll(folder, 0o700)
		if err == nil {
			err = os.Rename(file, filepath.Join(folder, filepath.Base(file)))
		}
		if err != nil {
			t.Log.Warnf("setting %s aside: %v", file, err)
		}
	}
	t.unreadable = nil
}

// detachment is DEL of one attachment, ready to run.
type detachment struct {
	conf *netconf.Conf
	del  func(ctx context.Context, meanwhile func()) error
	err  error
}

// prepare makes DEL of an attachment ready, with what the attachment was made with.
func (t *teardown) prepare(state *journal.State) *detachment {
	conf, err := confOf(state)
	if err != nil {
		return &detachment{err: err}
	}
	return &detachment{conf: conf, del: t.Runner.PrepareDel(conf, t.callOf(state, t.netns))}
}

// run runs it, and meanwhile does something else.
func (d *detachment) run(ctx context.Context, meanwhile func()) *types.Error {
	if d.err == nil {
		d.err = d.del(ctx, meanwhile)
	}
	if d.err != nil {
		return cnierror.From(d.err)
	}
	return nil
}

// endStragglers sees to it that nothing runs any more of a call that was killed: a DEL of a
// delegate outlives us, and so does what any delegate started. Nothing may finish behind our back.
func (t *teardown) endStragglers() error {
	if !slices.ContainsFunc(t.states, func(state *journal.State) bool { return state.Open }) {
		return nil
	}
	if err := delegate.EndStragglers(t.Call.ContainerID, t.Runner.Timeout); err != nil {
		return cnierror.New(cnierror.TryAgain, "an earlier call of this sandbox was killed, and what it started still runs: %v", err)
	}
	return nil
}

// forget removes the files that tell of an attachment which is undone.
func (s *Session) forget(name string, state *journal.State) {
	for _, root := range s.roots() {
		if err := resultcache.Remove(root, name, s.Call.ContainerID, state.IfName); err != nil {
			s.Log.Warnf("libcni's result cache: %v", err)
		}
	}
	if path := infoPath(state.CapabilityArgs); path != "" {
		if err := devices.RemoveInfo(path); err != nil {
			s.Log.Warnf("the device-information file: %v", err)
		}
	}
}

// infoPath is the device-information file that a network was offered, empty for none.
func infoPath(given object.Object) string {
	path, err := given.String(devices.InfoCapability)
	if err != nil {
		return ""
	}
	return path
}
