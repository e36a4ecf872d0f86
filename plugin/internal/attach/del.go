package attach

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/containernetworking/cni/pkg/types"

	"mooring.dev/mooring/plugin/internal/cnierror"
	"mooring.dev/mooring/plugin/internal/delegate"
	"mooring.dev/mooring/plugin/internal/journal"
	"mooring.dev/mooring/plugin/internal/networks"
	"mooring.dev/mooring/plugin/internal/podinfo"
)

// lockPatience is how long DEL waits for a call of the same sandbox that still runs.
const lockPatience = 30 * time.Second

// Del undoes what the journal says, and the default network where there is none. It needs no
// API server, no network definition and no annotation.
func (s *Session) Del(ctx context.Context) error {
	s.logAbout()
	if err := journal.Sweep(s.Conf.CNIDir, s.Call.ContainerID, s.Call.IfName); err != nil {
		s.Log.Warnf("the journal: %v", err)
	}
	limited, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	file, contents, err := journal.Open(limited, s.Conf.CNIDir, s.Call.ContainerID, s.Call.IfName, s.Now)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return cnierror.New(types.ErrTryAgainLater, "%v", err)
	case err != nil:
		s.Log.Errorf("the journal cannot be read, undoing the default network only: %v", err)
		return s.delDefault(ctx)
	case file == nil:
		file, contents, err = s.importScratch(s.Call.ContainerID, s.Call.IfName)
		if err != nil {
			s.Log.Errorf("%v", err)
		}
		if file == nil {
			return s.delDefault(ctx)
		}
	}
	return s.undoJournal(ctx, file, contents)
}

// undoJournal undoes a journal whose lock is held and lets go of it.
func (s *Session) undoJournal(ctx context.Context, file *journal.File, contents *journal.Contents) error {
	if contents.Header != nil {
		s.pod = contents.Header.Pod
		s.logAbout()
		s.addFolders(contents.Header.CNIPath)
	}
	if !contents.Intact || len(contents.States) == 0 {
		return s.salvage(ctx, file, contents)
	}
	s.endStragglers(contents)
	problems := s.undo(ctx, file, pending(contents), s.Call.Netns, deleting)
	return s.finish(file, contents, problems)
}

// endStragglers sees to it that nothing runs any more of a call that was killed: a DEL of a
// delegate outlives us, and so does what any delegate started. Nothing may finish behind our back.
func (s *Session) endStragglers(contents *journal.Contents) {
	killed := slices.ContainsFunc(contents.States, func(state journal.State) bool { return state.Open })
	if !killed || contents.Header == nil || contents.Header.BootID != networks.BootID() {
		return
	}
	if err := delegate.EndStragglers(s.Call.ContainerID, s.Runner.Timeout); err != nil {
		s.Log.Errorf("an earlier call of this sandbox was killed: %v", err)
	}
}

// pending leaves out what was never begun. After a reboot "begun" proves nothing: only the
// intents were brought to disk.
func pending(contents *journal.Contents) []*journal.State {
	rebooted := contents.Header == nil || contents.Header.BootID != networks.BootID()
	states := make([]*journal.State, 0, len(contents.States))
	for i := range contents.States {
		if state := &contents.States[i]; state.Begun || rebooted {
			states = append(states, state)
		}
	}
	return states
}

// finish removes the journal when everything is undone.
func (s *Session) finish(file *journal.File, contents *journal.Contents, problems []error) error {
	kept := len(problems) > 0 || slices.ContainsFunc(contents.States, func(state journal.State) bool { return state.Quarantined })
	var err error
	if kept {
		err = file.Close()
	} else {
		s.removeScratch()
		err = file.Remove()
	}
	if err != nil {
		s.Log.Errorf("the journal: %v", err)
	}
	if failed := cnierror.Join(problems); failed != nil {
		return cnierror.Prefix(failed, "pod %s", s.pod)
	}
	return nil
}

// salvage undoes what can be read of a damaged journal, or of one that a later version of
// this program wrote, and sets the file aside unchanged.
func (s *Session) salvage(ctx context.Context, file *journal.File, contents *journal.Contents) error {
	version := "unreadable"
	if contents.Header != nil {
		version = "version"
		if contents.Header.Version > journal.Version {
			s.Log.Errorf("the journal is of version %d, which a later plugin wrote; this one knows %d: undoing what it understands", contents.Header.Version, journal.Version)
		}
	}
	s.Log.Errorf("the journal is damaged (%s header, %d records, %d attachments); what can be read is undone and the file is set aside", version, contents.Records, len(contents.States))
	var err error
	if len(contents.States) == 0 {
		err = s.delDefault(ctx)
	} else {
		err = cnierrorOrNil(s.undo(ctx, nil, pending(contents), s.Call.Netns, salvaging))
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	if err := file.SetAside(s.Conf.CNIDir); err != nil {
		s.Log.Errorf("setting the journal aside: %v", err)
	}
	return nil
}

func cnierrorOrNil(problems []error) error {
	if failed := cnierror.Join(problems); failed != nil {
		return failed
	}
	return nil
}

// addFolders lets delegates be found where they were at ADD.
func (s *Session) addFolders(folders []string) {
	for _, folder := range folders {
		if !slices.Contains(s.Runner.Path, folder) {
			s.Runner.Path = append(s.Runner.Path, folder)
		}
	}
}

// delDefault undoes the default network as the configuration has it, with the result that
// the runtime or libcni cached under the network's own name.
func (s *Session) delDefault(ctx context.Context) error {
	conf, err := s.defaultConf(ctx)
	if err != nil || conf == nil {
		s.Log.Errorf("nothing is known of this sandbox and there is no default network to undo: %v", err)
		return nil
	}
	identity, err := podinfo.Parse(s.Call.Args, s.Call.ContainerID)
	if err != nil {
		s.Log.Errorf("%v", err) // what could be read is used
	}
	s.pod = identity.Pod
	call := delegate.Call{ContainerID: s.Call.ContainerID, Netns: s.Call.Netns, IfName: s.Call.IfName, Args: identity.Args, CapabilityArgs: s.Conf.RuntimeConfig}
	roots := append(s.roots(), delegate.RuntimeCache)
	for _, root := range roots {
		if call.PrevResult = delegate.Recall(root, conf.Name, call.ContainerID, call.IfName); call.PrevResult != nil {
			break
		}
	}
	s.logAbout()
	s.Log.Verbose("no journal: undoing the default network", "network", conf.Name, "cachedResult", strconv.FormatBool(call.PrevResult != nil))
	if err := s.Runner.Del(ctx, conf, call); err != nil {
		s.failed = conf.Name
		return cnierror.Prefix(err, "pod %s: network %s (%s)", identity.Pod, conf.Name, s.Call.IfName)
	}
	for _, root := range roots {
		if err := delegate.Forget(root, conf.Name, call.ContainerID, call.IfName); err != nil {
			s.Log.Warnf("libcni's result cache: %v", err)
		}
	}
	return nil
}
