package attach

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mooring.dev/mooring/plugin/internal/boot"
	"mooring.dev/mooring/plugin/internal/cnierror"
	"mooring.dev/mooring/plugin/internal/journal"
	"mooring.dev/mooring/plugin/internal/podinfo"
	"mooring.dev/mooring/plugin/internal/resultcache"
)

// Of what a sandbox is attached to there are three witnesses: our journal, the scratch file of a
// Multus before us, and libcni's result cache. The journal is believed where it is whole;
// otherwise they complete each other, and a new journal is written of what they say.

// anyBoot is the boot id of a journal that was rebuilt: no boot has it, so whatever is intended in
// it is undone, "begun" or not.
const anyBoot = "00000000-0000-0000-0000-000000000000"

// opener locks and reads the journal of the call's sandbox.
type opener func() (*journal.File, *journal.Contents, error)

// openToDelete waits for another call of the sandbox.
func (s *Session) openToDelete(ctx context.Context) opener {
	return func() (*journal.File, *journal.Contents, error) {
		limited, cancel := context.WithTimeout(ctx, lockPatience)
		defer cancel()
		return journal.OpenToDelete(limited, s.Config.CNIDir, s.Call.ContainerID, s.Call.IfName, s.Now)
	}
}

// openAtOnce is context.Canceled while another call of the sandbox runs.
func (s *Session) openAtOnce() (*journal.File, *journal.Contents, error) {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	return journal.Open(now, s.Config.CNIDir, s.Call.ContainerID, s.Call.IfName, s.Now)
}

// teardown finds out what there is to undo of the call's sandbox. Nil without error: nothing is
// known of it. A journal that is there and cannot be opened is an error: success would be a guess.
func (s *Session) teardown(ctx context.Context, open opener) (*teardown, error) {
	file, contents, err := open()
	switch {
	case errors.Is(err, journal.ErrRemoved), errors.Is(err, context.Canceled):
		return nil, err
	case errors.Is(err, context.DeadlineExceeded):
		return nil, cnierror.New(cnierror.TryAgain, "%v", err)
	case err != nil:
		return nil, cnierror.New(cnierror.TryAgain, "the journal of this sandbox cannot be opened, and without it nothing can be undone for certain: %v", err)
	case file == nil:
		return s.rebuilt(ctx, journal.Unwritten(), nil)
	}
	s.introduce(contents.Header)
	cached, err := s.cachedResults(contents)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if !trusted(contents) || (len(contents.States) == 0 && len(cached) > 0) {
		return s.rebuilt(ctx, file, contents)
	}
	t := &teardown{Session: s, journal: file, netns: s.netns(contents.Header.Netns), final: true, scratch: contents.Header.BootID == anyBoot}
	// "Begun" proves nothing after a reboot, when only the intents were brought to disk, nor where
	// the end of the file was lost.
	lost := contents.Torn || contents.Header.BootID != boot.ID()
	for i := range contents.States {
		state := &contents.States[i]
		t.take(state, state.Begun || lost || slices.Contains(cached, state.IfName))
	}
	return t, nil
}

// readJournal reads the sandbox's journal without its lock; nil where there is none that can be
// read.
func (s *Session) readJournal() *journal.Contents {
	data, err := os.ReadFile(journal.Path(s.Config.CNIDir, s.Call.ContainerID, s.Call.IfName))
	if err != nil {
		return nil
	}
	return journal.Parse(data)
}

// introduce takes over what a journal says of the call that attached the sandbox.
func (s *Session) introduce(header *journal.Header) {
	if header == nil {
		return
	}
	s.pod = header.Pod
	s.logAbout()
	for _, folder := range header.CNIPath { // delegates are found where they were at ADD
		if !slices.Contains(s.Runner.Path, folder) {
			s.Runner.Path = append(s.Runner.Path, folder)
		}
	}
}

// trusted says whether a journal tells all. One that is whole and holds no intents belongs to an
// ADD that began nothing, unless the disk may have lost them.
func trusted(contents *journal.Contents) bool {
	return contents.Intact && contents.Header != nil && (len(contents.States) > 0 || !contents.Torn && contents.Header.BootID == boot.ID())
}

// cachedResults lists the interfaces of which libcni's cache has a result: where the journal has
// none it was cut. The cache is read only where something was never begun, which is rare.
func (s *Session) cachedResults(contents *journal.Contents) ([]string, error) {
	if len(contents.States) > 0 && !slices.ContainsFunc(contents.States, func(state journal.State) bool { return !state.Begun }) {
		return nil, nil
	}
	entries, _, err := s.cachedEntries()
	var interfaces []string
	for _, entry := range entries {
		if len(entry.Result) > 0 {
			interfaces = append(interfaces, entry.Attachment.IfName)
		}
	}
	return interfaces, err
}

// cachedEntries lists what libcni's cache has of the call's sandbox, and the paths of entries of
// the container that cannot be read. One container may have several sandboxes, each with a default
// interface of its own and of a configuration of its own.
func (s *Session) cachedEntries() (entries []resultcache.Entry, damaged []string, err error) {
	for _, root := range s.roots() {
		found, unreadable, err := resultcache.Sandbox(root, s.Call.ContainerID)
		if err != nil {
			return nil, nil, cnierror.New(cnierror.TryAgain, "libcni's result cache cannot be read, and without it nothing can be undone for certain: %v", err)
		}
		damaged = append(damaged, unreadable...)
		for i := range found {
			if s.isOfThisSandbox(&found[i]) {
				entries = append(entries, found[i])
			}
		}
	}
	return entries, damaged, nil
}

// isOfThisSandbox tells the entries of one container apart. Those of libcni's own, and of ours from
// before they named the call's interface, are told by what other journals of the container hold.
func (s *Session) isOfThisSandbox(entry *resultcache.Entry) bool {
	if entry.Caller != "" && entry.Caller != s.Config.Name {
		return false
	}
	if entry.CallIfName != "" {
		return entry.CallIfName == s.Call.IfName
	}
	if entry.Attachment.Default && entry.Attachment.IfName != s.Call.IfName {
		return false
	}
	own := journal.Path(s.Config.CNIDir, s.Call.ContainerID, s.Call.IfName)
	others, _ := filepath.Glob(journal.Path(s.Config.CNIDir, s.Call.ContainerID, "*"))
	for _, other := range others {
		data, err := os.ReadFile(other)
		if other == own || err != nil {
			continue
		}
		if slices.ContainsFunc(journal.Parse(data).States, func(state journal.State) bool { return state.IfName == entry.Attachment.IfName }) {
			return false
		}
	}
	return true
}

// rebuilt makes a teardown of what is known where the journal is damaged, in which case its lock is
// held, or absent (contents is nil). Nil where nothing is known.
func (s *Session) rebuilt(ctx context.Context, damaged *journal.File, contents *journal.Contents) (*teardown, error) {
	found, err := s.witnessed(contents)
	if err != nil {
		return nil, errors.Join(err, damaged.Close())
	}
	states := found.states
	t := &teardown{Session: s, netns: s.netns(found.netns), final: true, journal: journal.Unwritten(), scratch: found.scratch, unreadable: found.unreadable}
	if contents != nil {
		s.Log.Errorf("%s; it is set aside, and rebuilt from %d attachments that are known of", damage(contents), len(states))
		if len(states) == 0 && !damaged.Empty() {
			s.leak = fmt.Sprintf("%s, and libcni's result cache has nothing of this sandbox: only its default network is undone, further networks may have leaked", damage(contents))
		}
	}
	if len(found.unreadable) > 0 {
		s.leak = fmt.Sprintf("what tells of this sandbox is damaged (%s): %d attachments are known and undone, further networks may have leaked", strings.Join(found.unreadable, ", "), len(states))
	}
	if contents == nil && len(states) == 0 && len(found.unreadable) == 0 {
		return nil, nil
	}
	if states, err = s.withDefault(ctx, states); err != nil {
		return nil, errors.Join(err, damaged.Close())
	}
	if s.pod == (journal.Pod{}) {
		s.pod = podinfo.PodOf(states[len(states)-1].Args)
		s.logAbout()
	}
	header := journal.Header{
		Network: s.Config.Name, BootID: anyBoot, ContainerID: s.Call.ContainerID, IfName: s.Call.IfName, Netns: found.netns,
		Pod: s.pod, CNIArgs: s.Call.Args, CNIPath: s.Runner.Path,
	}
	file, err := journal.Rebuild(s.Config.CNIDir, damaged, header, states, s.Now)
	switch {
	case errors.Is(err, journal.ErrBusy):
		return nil, cnierror.New(cnierror.TryAgain, "%v", err)
	case err != nil:
		// What is undone leaves the cache, too: the next try finds what is left, without counting.
		s.Log.Errorf("the journal cannot be rebuilt: %v", err)
		t.damaged = damaged
	default:
		t.journal = file
		t.setAside() // the journal says now what could be found out
		if err := damaged.Close(); err != nil {
			s.Log.Warnf("the damaged journal: %v", err)
		}
	}
	for i := range states {
		states[i].Open = true // it is not known how the call ended that made them
		t.states = append(t.states, &states[i])
	}
	return t, nil
}

// attachments is what the sandbox has, as far as its witnesses tell.
func (s *Session) attachments(ctx context.Context, contents *journal.Contents) ([]journal.State, error) {
	if contents != nil && trusted(contents) && len(contents.States) > 0 {
		return contents.States, nil
	}
	found, err := s.witnessed(contents)
	if err != nil {
		return nil, err
	}
	return s.withDefault(ctx, found.states)
}

// withDefault puts the configured default network before what is known, unless it is known.
func (s *Session) withDefault(ctx context.Context, states []journal.State) ([]journal.State, error) {
	if slices.ContainsFunc(states, func(state journal.State) bool { return state.Default }) {
		return states, nil
	}
	configured, err := s.configuredDefault(ctx)
	if err != nil {
		return nil, err
	}
	states = slices.Insert(states, 0, *configured)
	for i := range states { // of libcni's own entries none may have been the first
		states[i].Index = i
	}
	return states, nil
}

// damage says what is wrong with a journal.
func damage(contents *journal.Contents) string {
	switch {
	case contents.Header == nil:
		return fmt.Sprintf("the journal is damaged (no header, %d records, %d attachments can be read)", contents.Records, len(contents.States))
	case contents.Header.Version > journal.Version:
		return fmt.Sprintf("the journal is of version %d, which a later plugin wrote; this one knows %d", contents.Header.Version, journal.Version)
	}
	return fmt.Sprintf("the journal is damaged (%d records, %d attachments can be read)", contents.Records, len(contents.States))
}

// witness is what is known of a sandbox beside a whole journal.
type witness struct {
	states     []journal.State // in the order in which they were attached
	netns      string
	scratch    bool     // a Multus' scratch file tells of it
	unreadable []string // files that tell of it, and cannot be read
}

// witnessed asks what there is: what can be read of a damaged journal, a Multus' scratch file,
// libcni's result cache.
func (s *Session) witnessed(contents *journal.Contents) (*witness, error) {
	found := &witness{netns: s.Call.Netns}
	if contents != nil && contents.Header != nil {
		found.netns = contents.Header.Netns
	}
	if contents != nil {
		found.states = slices.Clone(contents.States)
		for i := range found.states {
			found.states[i].Begun = true // the line that says so may be the one that is lost
		}
	} else if err := s.askScratch(found); err != nil {
		return nil, err
	}
	entries, damaged, err := s.cachedEntries()
	if err != nil {
		return nil, err
	}
	found.unreadable = append(found.unreadable, damaged...)
	for _, root := range s.roots() {
		if err := resultcache.Sweep(root, s.Call.ContainerID); err != nil {
			s.Log.Warnf("libcni's result cache: %v", err)
		}
	}
	for i := range entries {
		found.states = s.join(found.states, &entries[i])
		if found.netns == "" {
			found.netns = entries[i].Netns
		}
	}
	slices.SortStableFunc(found.states, func(a, b journal.State) int { return a.Index - b.Index })
	return found, nil
}

// netns is the network namespace to undo a sandbox in: the call's, and for GC, which names none,
// the recorded one where it is still there and can be no other's by now.
func (s *Session) netns(recorded string) string {
	if s.Call.Verb != "GC" || strings.HasPrefix(recorded, "/proc/") {
		return s.Call.Netns
	}
	if _, err := os.Stat(recorded); err != nil {
		return s.Call.Netns
	}
	return recorded
}

// join adds what a cache entry says to what is known.
func (s *Session) join(states []journal.State, entry *resultcache.Entry) []journal.State {
	attachment := entry.Attachment
	for i := range states {
		if states[i].IfName == attachment.IfName {
			if len(states[i].Result) == 0 {
				states[i].Result, states[i].Attached = entry.Result, len(entry.Result) > 0 && !states[i].Undone
			}
			return states
		}
	}
	taken := func(index int) bool {
		return slices.ContainsFunc(states, func(state journal.State) bool { return state.Index == index })
	}
	if entry.Caller == "" { // libcni's own: it has no order
		attachment.Default = attachment.IfName == s.Call.IfName
		if attachment.Index = 0; !attachment.Default {
			attachment.Index = 1
		}
	}
	for taken(attachment.Index) {
		attachment.Index++
	}
	return append(states, journal.State{Attachment: attachment, Begun: true, Attached: len(entry.Result) > 0, Result: entry.Result})
}

// configuredDefault is the default network as the configuration has it, attached with the result
// that the runtime or libcni cached under the network's own name: of a pod that is older than we.
func (s *Session) configuredDefault(ctx context.Context) (*journal.State, error) {
	if s.ConfigError != nil {
		return nil, cnierror.Prefix(s.ConfigError, "no record tells of this sandbox, and its default network cannot be found out")
	}
	conf, err := s.defaultConf(ctx)
	if err != nil {
		return nil, cnierror.Prefix(err, "no record tells of this sandbox, and its default network cannot be found out")
	}
	identity, err := podinfo.Parse(s.Call.Args, s.Call.ContainerID)
	if err != nil {
		s.Log.Errorf("%v", err) // what could be read is used
	}
	if s.pod == (journal.Pod{}) {
		s.pod = identity.Pod
		s.logAbout()
	}
	state := &journal.State{Begun: true, Attached: true, Attachment: journal.Attachment{
		Network: conf.Name, Default: true, IfName: s.Call.IfName, Conf: conf.Bytes(), CapabilityArgs: s.Config.RuntimeConfig, Args: identity.Args,
	}}
	for _, root := range append(s.roots(), resultcache.Runtime) {
		if state.Result = resultcache.Result(root, conf.Name, s.Call.ContainerID, s.Call.IfName); state.Result != nil {
			break
		}
	}
	return state, nil
}
