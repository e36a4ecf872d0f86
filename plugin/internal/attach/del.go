package attach

import (
	"context"
	"errors"
	"time"

	"mooring.dev/mooring/plugin/internal/journal"
	"mooring.dev/mooring/plugin/internal/resultcache"
)

// lockPatience is how long DEL waits for a call of the same sandbox that still runs.
const lockPatience = 30 * time.Second

// Del undoes the sandbox from what is on disk: no API server, no network definition and no
// annotation is needed. It succeeds only where everything is undone, or quarantined, or provably
// never was; a sandbox of which nothing is known has a default network.
func (s *Session) Del(ctx context.Context) error {
	s.logAbout()
	t, err := s.teardown(ctx, s.openToDelete(ctx))
	if errors.Is(err, journal.ErrRemoved) {
		s.Log.Verbose("another call has undone everything")
		return nil
	}
	if err != nil {
		return err
	}
	if t == nil {
		return s.delDefault(ctx)
	}
	return t.run(ctx)
}

// delDefault undoes the default network of a sandbox that no record tells of.
func (s *Session) delDefault(ctx context.Context) error {
	state, err := s.configuredDefault(ctx)
	if err != nil {
		return err
	}
	s.Log.Verbose("no record of this sandbox: undoing the default network", "network", state.Network)
	t := &teardown{Session: s, journal: journal.Unwritten(), states: []*journal.State{state}, netns: s.Call.Netns}
	if err := t.run(ctx); err != nil {
		return err
	}
	if err := resultcache.Remove(resultcache.Runtime, state.Network, s.Call.ContainerID, s.Call.IfName); err != nil {
		s.Log.Warnf("libcni's result cache: %v", err)
	}
	return nil
}
