package attach

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/containernetworking/cni/pkg/types"

	"mooring.dev/mooring/plugin/internal/cnierror"
	"mooring.dev/mooring/plugin/internal/delegate"
	"mooring.dev/mooring/plugin/internal/devices"
	"mooring.dev/mooring/plugin/internal/journal"
	"mooring.dev/mooring/plugin/internal/netconf"
	"mooring.dev/mooring/plugin/internal/object"
)

// patience is how long the failure of a secondary network's DEL is returned, so that the
// runtime tries again, before the attachment is given up to the agent: a sandbox that cannot
// be removed for ever blocks its node's drain.
const patience = 10 * time.Minute

// occasion tells undo what to make of a secondary network that keeps failing.
type occasion int

const (
	rollingBack occasion = iota // no delegate is given up
	deleting                    // given up after patience
	salvaging                   // from a damaged journal, where nothing can be noted: given up at once
)

// undo runs DEL for every attachment that is not undone, in reverse. One failure stops
// nothing. It returns the failures that count.
//
// While a delegate works the next one is prepared, and nothing that changes the node is done: a
// kill would take the delegate with it, and one that removes links first and rules afterwards
// cannot find its rules again (the reference plugin bridge).
func (s *Session) undo(ctx context.Context, file *journal.File, states []*journal.State, netns string, when occasion) []error {
	var problems []error
	left := slices.DeleteFunc(slices.Clone(states), func(state *journal.State) bool { return state.Undone || state.Quarantined })
	slices.Reverse(left)
	detachments := make([]*detachment, len(left))
	prepare := func(i int) {
		if i < len(left) && detachments[i] == nil {
			detachments[i] = s.prepare(left[i], netns)
		}
	}
	for i, state := range left {
		prepare(i)
		started := s.Now()
		if err := file.Begin("DEL", state.Index); err != nil {
			s.Log.Errorf("the journal cannot be written: %v", err) // undoing goes on
		}
		failed := detachments[i].run(ctx, func() { prepare(i + 1) })
		took := s.Now().Sub(started)
		if failed == nil {
			s.forget(detachments[i].conf, state)
			file.End("DEL", state.Index, took, nil)
			s.Log.Verbose("detached", "network", state.Network, "interface", state.IfName, "milliseconds", milliseconds(took))
			continue
		}
		file.End("DEL", state.Index, took, failed)
		failed = cnierror.Prefix(failed, "network %s (%s)", state.Network, state.IfName)
		if reason, give := givenUp(state, when, s.Now()); give {
			s.Log.Errorf("given up, the agent will try again: %v", failed)
			file.Quarantine(state.Index, reason+failed.Msg)
			state.Quarantined = true
			continue
		}
		if len(problems) == 0 {
			s.failed = state.Network
		}
		problems = append(problems, failed)
	}
	return problems
}

func givenUp(state *journal.State, when occasion, now time.Time) (string, bool) {
	if state.Default || when == rollingBack {
		return "", false
	}
	if when == salvaging {
		return "the journal is damaged: ", true
	}
	if state.FailedSince.IsZero() || now.Sub(state.FailedSince) < patience {
		return "", false
	}
	return fmt.Sprintf("DEL has failed since %s: ", state.FailedSince.UTC().Format(time.RFC3339)), true
}

// detachment is DEL of one attachment, ready to run.
type detachment struct {
	conf *netconf.Conf
	del  func(ctx context.Context, meanwhile func()) error
	err  error
}

// prepare makes DEL of an attachment ready, with what the attachment was made with.
func (s *Session) prepare(state *journal.State, netns string) *detachment {
	conf, err := confOf(state)
	if err != nil {
		return &detachment{err: err}
	}
	return &detachment{conf: conf, del: s.Runner.PrepareDel(conf, s.callOf(state, netns))}
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

// infoPath is the device-information file that a network was offered, empty for none.
func infoPath(given object.Object) string {
	path, err := given.String(devices.InfoCapability)
	if err != nil {
		return ""
	}
	return path
}

// forget removes the files that tell of an attachment which is undone.
func (s *Session) forget(conf *netconf.Conf, state *journal.State) {
	for _, root := range s.roots() {
		if err := delegate.Forget(root, conf.Name, s.Call.ContainerID, state.IfName); err != nil {
			s.Log.Warnf("libcni's result cache: %v", err)
		}
	}
	if path := infoPath(state.CapabilityArgs); path != "" {
		if err := devices.RemoveInfo(path); err != nil {
			s.Log.Warnf("the device-information file: %v", err)
		}
	}
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
