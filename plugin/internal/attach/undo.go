package attach

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
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
// What is left to do after a delegate's success waits until the next one works: where a kill
// comes in between, the next DEL repeats that attachment, which is harmless.
func (s *Session) undo(ctx context.Context, file *journal.File, states []*journal.State, netns string, when occasion) []error {
	var problems []error
	var later chores
	for i := len(states) - 1; i >= 0; i-- {
		state := states[i]
		if state.Undone || state.Quarantined {
			continue
		}
		started := s.Now()
		if err := file.Begin("DEL", state.Index); err != nil {
			s.Log.Errorf("the journal cannot be written: %v", err) // undoing goes on
		}
		conf, failed := s.detach(ctx, state, netns, later.do)
		took := s.Now().Sub(started)
		if failed == nil {
			later.add(func() {
				s.forget(conf, state)
				file.End("DEL", state.Index, took, nil)
			})
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
	later.do()
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

// detach runs DEL of one attachment with what it was made with, and meanwhile does something else.
func (s *Session) detach(ctx context.Context, state *journal.State, netns string, meanwhile func()) (*netconf.Conf, *types.Error) {
	conf, err := confOf(state)
	if err != nil {
		return nil, cnierror.From(err)
	}
	call := s.callOf(state, netns)
	call.Meanwhile = meanwhile
	if err := s.Runner.Del(ctx, conf, call); err != nil {
		return nil, cnierror.From(err)
	}
	return conf, nil
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
