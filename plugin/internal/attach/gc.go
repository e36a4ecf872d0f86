package attach

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/containernetworking/cni/pkg/types"

	"mooring.dev/mooring/plugin/internal/cnierror"
	"mooring.dev/mooring/plugin/internal/delegate"
	"mooring.dev/mooring/plugin/internal/journal"
	"mooring.dev/mooring/plugin/internal/netconf"
	"mooring.dev/mooring/plugin/internal/resultcache"
)

// garbage is a GC under way.
type garbage struct {
	*Session
	known    map[string]bool          // container ids that the runtime knows
	valid    []types.GCAttachment     // what plugins are told to keep
	networks map[string]*netconf.Conf // by the bytes of the conf: two networks may share a name
	problems []error
}

// sandboxKey is what tells sandboxes apart.
type sandboxKey struct{ containerID, ifName string }

// GC removes what belongs to container ids that the runtime does not know, and lets plugins
// that can do so collect their own. A runtime that names no valid attachments has said
// nothing, and nothing is removed. Sandboxes of other networks that share the folder are let be.
func (s *Session) GC(ctx context.Context) error {
	s.logAbout()
	if s.Config.ValidAttachments == nil {
		s.Log.Warnf("cni.dev/valid-attachments is absent: nothing is removed")
		return nil
	}
	g := &garbage{Session: s, known: map[string]bool{}, valid: slices.Clone(s.Config.ValidAttachments), networks: map[string]*netconf.Conf{}}
	for _, attachment := range s.Config.ValidAttachments {
		g.known[attachment.ContainerID] = true
	}
	if conf, err := s.defaultConf(ctx); err == nil {
		g.networks[string(conf.Bytes())] = conf
	} else {
		g.problems = append(g.problems, err)
	}
	for _, key := range g.sandboxes() {
		g.visit(ctx, key)
	}
	g.delegates(ctx)
	if failed := cnierror.Join(g.problems); failed != nil {
		return failed
	}
	return nil
}

// sandboxes lists what the witnesses name: journals, scratch files of a Multus, results. Files
// that are nobody's are passed over.
func (g *garbage) sandboxes() []sandboxKey {
	var keys []sandboxKey
	seen := map[string]bool{} // containers with a record that names their interface
	for _, name := range g.filesIn(journal.Dir(g.Config.CNIDir)) {
		stem, isJournal := strings.CutSuffix(name, ".jsonl")
		containerID, ifName, split := strings.Cut(stem, "@")
		if isJournal && split && containerID != "" && !strings.HasPrefix(name, ".") {
			keys, seen[containerID] = append(keys, sandboxKey{containerID, ifName}), true
		}
	}
	defaults := map[string]string{}
	var order []string
	note := func(containerID, ifName string, isDefault bool) {
		if seen[containerID] {
			return
		}
		if _, met := defaults[containerID]; !met {
			order = append(order, containerID)
		}
		if isDefault || defaults[containerID] == "" || ifName == usualIfName {
			defaults[containerID] = ifName
		}
	}
	for _, root := range g.roots() {
		entries, err := resultcache.All(root)
		if err != nil {
			g.Log.Warnf("libcni's result cache: %v", err)
		}
		for _, entry := range entries {
			if entry.Caller == "" || entry.Caller == g.Config.Name {
				note(entry.ContainerID, entry.Attachment.IfName, entry.Attachment.Default)
			}
		}
		for _, name := range g.filesIn(root) {
			if !strings.Contains(name, ".") && g.of(sandboxKey{name, usualIfName}).hasScratch() {
				note(name, usualIfName, true)
			}
		}
	}
	for _, containerID := range order {
		keys = append(keys, sandboxKey{containerID, defaults[containerID]})
	}
	return keys
}

// usualIfName is the default network's interface, where no record tells of another.
const usualIfName = "eth0"

func (g *garbage) filesIn(folder string) []string {
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		g.problems = append(g.problems, cnierror.New(types.ErrIOFailure, "%v", err))
	}
	var names []string
	for _, entry := range entries {
		if entry.Type().IsRegular() {
			names = append(names, entry.Name())
		}
	}
	return names
}

// of is the session as a DEL of that sandbox would have it.
func (g *garbage) of(key sandboxKey) *Session {
	session, call := *g.Session, *g.Call
	call.ContainerID, call.IfName, call.Netns, call.Args = key.containerID, key.ifName, "", ""
	session.Call, session.pod = &call, journal.Pod{}
	return &session
}

// visit keeps a sandbox that lives, or is another network's, and collects one that is gone.
func (g *garbage) visit(ctx context.Context, key sandboxKey) {
	session := g.of(key)
	contents := session.readJournal()
	foreign := session.isForeign(contents)
	if g.known[key.containerID] || foreign {
		g.keep(session, contents, foreign)
		return
	}
	g.collect(ctx, session)
}

// isForeign says whether a sandbox is another configuration's: by its journal's word, and where
// that is damaged by its results'.
func (s *Session) isForeign(contents *journal.Contents) bool {
	switch {
	case contents == nil:
		return false
	case contents.Header != nil:
		return contents.Header.Network != "" && contents.Header.Network != s.Config.Name
	}
	own, others := false, false
	for _, root := range s.roots() {
		entries, _, err := resultcache.Sandbox(root, s.Call.ContainerID)
		if err != nil {
			return true // who cannot be asked is let be
		}
		for _, entry := range entries {
			own = own || entry.Caller == "" || entry.Caller == s.Config.Name
			others = others || entry.Caller != "" && entry.Caller != s.Config.Name
		}
	}
	return others && !own
}

// keep notes the interfaces of a sandbox that lives, so that no plugin collects them.
func (g *garbage) keep(session *Session, contents *journal.Contents, foreign bool) {
	var states []journal.State
	if contents != nil && trusted(contents) {
		states = contents.States
	} else if found, err := session.witnessed(contents); err == nil {
		states = found.states
	} else {
		g.problems = append(g.problems, err)
	}
	for i := range states {
		if !foreign {
			g.remember(&states[i])
		}
		attachment := types.GCAttachment{ContainerID: session.Call.ContainerID, IfName: states[i].IfName}
		if !slices.Contains(g.valid, attachment) {
			g.valid = append(g.valid, attachment)
		}
	}
}

// remember lets the plugins of an attachment's network collect, too.
func (g *garbage) remember(state *journal.State) {
	if conf, err := confOf(state); err == nil {
		g.networks[string(conf.Bytes())] = conf
	}
}

// collect undoes a sandbox that is gone, but for networks that forbid it: those are their owner's.
// One whose journal a call holds the lock of is no garbage.
func (g *garbage) collect(ctx context.Context, session *Session) {
	t, err := session.teardown(ctx, session.openAtOnce)
	if errors.Is(err, context.Canceled) || (err == nil && t == nil) {
		return
	}
	if err != nil {
		g.problems = append(g.problems, cnierror.Prefix(err, "collecting %s", session.Call.ContainerID))
		return
	}
	all := t.states
	t.states = slices.DeleteFunc(slices.Clone(all), func(state *journal.State) bool {
		g.remember(state)
		conf, err := confOf(state)
		return err == nil && conf.DisableGC
	})
	if len(t.states) < len(all) {
		g.Log.Warnf("%s: networks with disableGC are left alone", session.Call.ContainerID)
	}
	if err := t.endStragglers(); err != nil {
		g.problems = append(g.problems, cnierror.Prefix(err, "collecting %s", session.Call.ContainerID))
		t.close()
		return
	}
	result := t.undo(ctx)
	t.states = all
	t.end()
	for _, err := range slices.Concat(result.failed, result.quarantined) {
		g.problems = append(g.problems, cnierror.Prefix(err, "collecting %s", session.Call.ContainerID))
	}
	if session.leak != "" {
		g.leak = session.leak
	}
}

// delegates lets every network's plugins collect, where its version knows GC.
func (g *garbage) delegates(ctx context.Context) {
	keys := make([]string, 0, len(g.networks))
	for key := range g.networks {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		conf := g.networks[key]
		if conf.DisableGC || !delegate.AtLeast(conf.CNIVersion, "1.1.0") {
			continue
		}
		for _, err := range g.Runner.GC(ctx, conf, g.valid) {
			g.problems = append(g.problems, cnierror.Prefix(err, "network %s", conf.Name))
		}
	}
}
