package attach

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containernetworking/cni/pkg/types"

	"mooring.dev/mooring/plugin/internal/cnierror"
	"mooring.dev/mooring/plugin/internal/delegate"
	"mooring.dev/mooring/plugin/internal/journal"
	"mooring.dev/mooring/plugin/internal/netconf"
)

// garbage is a GC under way.
type garbage struct {
	*Session
	known    map[string]bool          // container ids that the runtime knows
	valid    []types.GCAttachment     // what plugins are told to keep
	networks map[string]*netconf.Conf // by the conf's name
	problems []error
}

// GC removes what belongs to container ids that the runtime does not know, and lets plugins
// that can do so collect their own. A runtime that names no valid attachments has said
// nothing, and nothing is removed.
func (s *Session) GC(ctx context.Context) error {
	s.logAbout()
	if s.Conf.ValidAttachments == nil {
		s.Log.Warnf("cni.dev/valid-attachments is absent: nothing is removed")
		return nil
	}
	g := &garbage{Session: s, known: map[string]bool{}, valid: slices.Clone(s.Conf.ValidAttachments), networks: map[string]*netconf.Conf{}}
	for _, attachment := range s.Conf.ValidAttachments {
		g.known[attachment.ContainerID] = true
	}
	if conf, err := s.defaultConf(ctx); err == nil {
		g.networks[conf.Name] = conf
	} else {
		g.problems = append(g.problems, err)
	}
	g.journals(ctx)
	g.scratch(ctx)
	g.cached(ctx)
	g.delegates(ctx)
	if failed := cnierror.Join(g.problems); failed != nil {
		return failed
	}
	return nil
}

// of is the session as a DEL of that sandbox would have it.
func (g *garbage) of(containerID, ifName string) *Session {
	session, call := *g.Session, *g.Call
	call.ContainerID, call.IfName, call.Netns, call.Args = containerID, ifName, "", ""
	session.Call = &call
	return &session
}

func (g *garbage) journals(ctx context.Context) {
	files, err := os.ReadDir(journal.Dir(g.Conf.CNIDir))
	if err != nil {
		if !errors.Is(err, os.ErrNotExist) {
			g.problems = append(g.problems, cnierror.New(types.ErrIOFailure, "the journals: %v", err))
		}
		return
	}
	for _, entry := range files {
		name, isJournal := strings.CutSuffix(entry.Name(), ".jsonl")
		containerID, ifName, split := strings.Cut(name, "@")
		if !isJournal || !split || strings.HasPrefix(name, ".") {
			continue
		}
		if g.known[containerID] {
			g.keep(containerID, ifName)
			continue
		}
		g.collect(ctx, containerID, ifName)
	}
}

// keep notes the further interfaces of a sandbox that lives, so that no plugin collects them.
func (g *garbage) keep(containerID, ifName string) {
	data, err := os.ReadFile(journal.Path(g.Conf.CNIDir, containerID, ifName))
	if err != nil {
		return
	}
	for _, state := range journal.Parse(data).States {
		g.meet(&state)
		attachment := types.GCAttachment{ContainerID: containerID, IfName: state.IfName}
		if !slices.Contains(g.valid, attachment) {
			g.valid = append(g.valid, attachment)
		}
	}
}

func (g *garbage) meet(state *journal.State) {
	if conf, err := confOf(state); err == nil && g.networks[conf.Name] == nil {
		g.networks[conf.Name] = conf
	}
}

// collect undoes a journal whose sandbox is gone. One that a call holds the lock of is no
// garbage.
func (g *garbage) collect(ctx context.Context, containerID, ifName string) {
	now, cancel := context.WithCancel(ctx)
	cancel()
	file, contents, err := journal.Open(now, g.Conf.CNIDir, containerID, ifName, g.Now)
	if errors.Is(err, context.Canceled) || (err == nil && file == nil) {
		return
	}
	if err != nil {
		g.problems = append(g.problems, cnierror.New(types.ErrIOFailure, "the journal of %s: %v", containerID, err))
		return
	}
	g.undoAll(ctx, g.of(containerID, ifName), file, contents)
}

func (g *garbage) undoAll(ctx context.Context, session *Session, file *journal.File, contents *journal.Contents) {
	var collected []*journal.State
	for i := range contents.States {
		state := &contents.States[i]
		g.meet(state)
		if conf, err := confOf(state); err != nil || !conf.DisableGC {
			collected = append(collected, state)
		}
	}
	if len(collected) < len(contents.States) {
		g.partly(ctx, session, file, collected)
		return
	}
	if err := session.undoJournal(ctx, file, contents); err != nil {
		g.problems = append(g.problems, cnierror.Prefix(err, "collecting %s", session.Call.ContainerID))
	}
}

// partly undoes the attachments of networks that let GC do so; the journal stays for the rest,
// which their owner collects.
func (g *garbage) partly(ctx context.Context, session *Session, file *journal.File, states []*journal.State) {
	g.Log.Warnf("%s: networks with disableGC are left alone", session.Call.ContainerID)
	for _, err := range session.undo(ctx, file, states, "", deleting) {
		g.problems = append(g.problems, cnierror.Prefix(err, "collecting %s", session.Call.ContainerID))
	}
	if err := file.Close(); err != nil {
		g.Log.Errorf("the journal: %v", err)
	}
}

// scratch takes over what a Multus before us left of sandboxes that are gone.
func (g *garbage) scratch(ctx context.Context) {
	for _, root := range g.roots() {
		files, err := os.ReadDir(root)
		if err != nil {
			continue
		}
		for _, entry := range files {
			if !entry.Type().IsRegular() || g.known[entry.Name()] || strings.Contains(entry.Name(), ".") {
				continue
			}
			session := g.of(entry.Name(), "eth0")
			file, contents, err := session.importScratch(entry.Name(), "eth0")
			if err != nil {
				g.problems = append(g.problems, cnierror.New(types.ErrDecodingFailure, "%v", err))
			}
			if file != nil {
				g.undoAll(ctx, session, file, contents)
			}
		}
	}
}

// cached removes results whose sandbox is gone and whose journal is too; they hold what is
// needed for DEL.
func (g *garbage) cached(ctx context.Context) {
	for _, root := range g.roots() {
		entries, err := delegate.Entries(root)
		if err != nil {
			g.problems = append(g.problems, cnierror.New(types.ErrIOFailure, "libcni's cache: %v", err))
		}
		for _, entry := range entries {
			if g.known[entry.Call.ContainerID] || g.journalled(entry.Call.ContainerID) {
				continue
			}
			conf, err := netconf.Parse(entry.Config, "$")
			if err == nil && conf.DisableGC {
				continue
			}
			if err == nil {
				entry.Call.Netns = ""
				err = g.Runner.Del(ctx, conf.WithDefaults("", g.Call.CNIVersion), entry.Call)
			}
			if err == nil {
				err = os.Remove(entry.Path)
			}
			if err != nil {
				g.problems = append(g.problems, cnierror.Prefix(err, "collecting %s", filepath.Base(entry.Path)))
			}
		}
	}
}

func (g *garbage) journalled(containerID string) bool {
	files, err := filepath.Glob(journal.Path(g.Conf.CNIDir, containerID, "*"))
	return err == nil && len(files) > 0
}

// delegates lets every network's plugins collect, where its version knows GC.
func (g *garbage) delegates(ctx context.Context) {
	names := make([]string, 0, len(g.networks))
	for name := range g.networks {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		conf := g.networks[name]
		if conf.DisableGC || !delegate.AtLeast(conf.CNIVersion, "1.1.0") {
			continue
		}
		for _, err := range g.Runner.GC(ctx, conf, g.valid) {
			g.problems = append(g.problems, cnierror.Prefix(err, "network %s", name))
		}
	}
}
