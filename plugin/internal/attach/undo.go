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
func (s *Session) undo(ctx context.Context, file *journal.File, states []*journal.State, netns string, when occasion) []error {
	var problems []error
	note := func(write func(*journal.File) error) {
		if file == nil {
			return
		}
		if err := write(file); err != nil {
			s.Log.Errorf("the journal cannot be written: %v", err) // undoing goes on
		}
	}
	for i := len(states) - 1; i >= 0; i-- {
		state := states[i]
		if state.Undone || state.Quarantined {
			continue
		}
		started := s.Now()
		note(func(j *journal.File) error { return j.Begin("DEL", state.Index) })
		failed := s.detach(ctx, state, netns)
		note(func(j *journal.File) error {
			return j.End("DEL", state.Index, s.Now().Sub(started), failed)
		})
		if failed == nil {
			s.Log.Verbosef("detached %s from %s", state.IfName, state.Network)
			continue
		}
		failed = cnierror.Prefix(failed, "network %s (%s)", state.Network, state.IfName)
		if reason, give := givenUp(state, when, s.Now()); give {
			s.Log.Errorf("given up, the agent will try again: %v", failed)
			note(func(j *journal.File) error { return j.Quarantine(state.Index, reason+failed.Msg) })
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

// detach undoes one attachment with what it was made with.
func (s *Session) detach(ctx context.Context, state *journal.State, netns string) *types.Error {
	conf, err := confOf(state)
	if err != nil {
		return cnierror.From(err)
	}
	if err := s.Runner.Del(ctx, conf, s.callOf(state, netns)); err != nil {
		return cnierror.From(err)
	}
	s.forget(conf, state.IfName)
	if path := infoPath(state.CapabilityArgs); path != "" {
		if err := devices.RemoveInfo(path); err != nil {
			s.Log.Warnf("the device-information file: %v", err)
		}
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

func (s *Session) forget(conf *netconf.Conf, ifName string) {
	for _, root := range s.roots() {
		if err := delegate.Forget(root, conf.Name, s.Call.ContainerID, ifName); err != nil {
			s.Log.Warnf("libcni's result cache: %v", err)
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
