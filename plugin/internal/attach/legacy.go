package attach

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"mooring.dev/mooring/plugin/internal/cnierror"
	"mooring.dev/mooring/plugin/internal/journal"
	"mooring.dev/mooring/plugin/internal/netconf"
	"mooring.dev/mooring/plugin/internal/object"
	"mooring.dev/mooring/plugin/internal/podinfo"
	"mooring.dev/mooring/plugin/internal/resultcache"
)

// scratchEntry is what Multus keeps of one delegate until DEL.
type scratchEntry struct {
	Name           string   `json:"Name"`
	IfnameRequest  string   `json:"ifnameRequest"`
	MacRequest     string   `json:"macRequest"`
	GUIDRequest    string   `json:"infinibandGUIDRequest"`
	IPRequest      []string `json:"ipRequest"`
	DeviceID       string   `json:"deviceID"`
	Configuration  []byte   `json:"Bytes"`
	Conf           struct{ Name string }
	ConfList       struct{ Name string }
	containerID    string
	defaultName    string
	position       int
	root           string
	runtimeGranted object.Object
	configured     *netconf.Conf // the default network as our configuration has it, nil where it has none
}

// roots are the folders in which results may be cached: ours, and that of a Multus before us.
func (s *Session) roots() []string {
	if s.Config.CNIDir == multusCNIDir {
		return []string{multusCNIDir}
	}
	return []string{s.Config.CNIDir, multusCNIDir}
}

// readScratch returns what the scratch file of a Multus that attached the sandbox tells; nil where
// there is no such file.
func (s *Session) readScratch() ([]journal.State, error) {
	for _, root := range s.roots() {
		path := filepath.Join(root, s.Call.ContainerID)
		data, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		var states []journal.State
		if err == nil {
			states, err = s.parseScratch(data, root)
		}
		if err != nil {
			return nil, fmt.Errorf("scratch file %s: %w", path, err)
		}
		return states, nil
	}
	return nil, nil
}

// askScratch adds what the scratch file tells. One that cannot be understood is unreadable.
func (s *Session) askScratch(found *witness) error {
	states, err := s.readScratch()
	var unreadable *os.PathError
	switch {
	case errors.As(err, &unreadable):
		return cnierror.New(cnierror.TryAgain, "%v", err)
	case err != nil:
		s.Log.Errorf("%v", err)
		for _, root := range s.roots() {
			if path := filepath.Join(root, s.Call.ContainerID); isFile(path) {
				found.unreadable = append(found.unreadable, path)
			}
		}
	}
	found.states, found.scratch = states, len(states) > 0
	return nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// hasScratch says whether a Multus' scratch file tells of the sandbox.
func (s *Session) hasScratch() bool {
	states, err := s.readScratch()
	return err == nil && len(states) > 0
}

// removeScratch deletes the scratch file of a sandbox that is undone.
func (s *Session) removeScratch() {
	for _, root := range s.roots() {
		if err := os.Remove(filepath.Join(root, s.Call.ContainerID)); err != nil && !errors.Is(err, os.ErrNotExist) {
			s.Log.Warnf("the scratch file: %v", err)
		}
	}
}

func (s *Session) parseScratch(data []byte, root string) ([]journal.State, error) {
	var entries []scratchEntry
	if err := json.Unmarshal(data, &entries); err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, errors.New("it names no delegates")
	}
	identity, err := podinfo.Parse(s.Call.Args, s.Call.ContainerID)
	if err != nil {
		s.Log.Errorf("%v", err)
	}
	states := make([]journal.State, 0, len(entries))
	for i, entry := range entries {
		entry.position, entry.root, entry.containerID, entry.defaultName = i, root, s.Call.ContainerID, s.Call.IfName
		if i == 0 {
			entry.runtimeGranted = s.Config.RuntimeConfig
			entry.configured = s.inlineDefault()
		}
		state, err := entry.state(identity.Args, s.Call.CNIVersion)
		if err != nil {
			return nil, fmt.Errorf("delegate %d: %w", i, err)
		}
		states = append(states, state)
	}
	return states, nil
}

// inlineDefault is the default network that stands in the configuration itself, nil for any other:
// looking that up may fail, and all that it would give is what a scratch file lost.
func (s *Session) inlineDefault() *netconf.Conf {
	if s.ConfigError != nil || s.Config.ClusterNetwork != "" || len(s.Config.Delegates) == 0 {
		return nil
	}
	return s.inline(s.Config.Delegates[0]).conf
}

// state is the attachment that an entry describes: the interface is named as Multus did it,
// arguments and result come from libcni's cache where they are there.
func (e *scratchEntry) state(args [][2]string, cniVersion string) (journal.State, error) {
	conf, err := netconf.Parse(e.Configuration, "$")
	if err != nil {
		return journal.State{}, err
	}
	conf = conf.WithDefaults(e.Conf.Name+e.ConfList.Name, cniVersion)
	ifName := e.IfnameRequest
	switch {
	case ifName != "":
	case e.position == 0:
		ifName = e.defaultName
	default:
		ifName = fmt.Sprintf("net%d", e.position)
	}
	given := object.Object{}
	for key, value := range e.runtimeGranted {
		given[key] = value
	}
	for key, value := range map[string]any{"mac": e.MacRequest, "infinibandGUID": e.GUIDRequest, "deviceID": e.DeviceID} {
		if value != "" {
			given[key] = object.Encode(value)
		}
	}
	if len(e.IPRequest) > 0 {
		given["ips"] = object.Encode(e.IPRequest)
	}
	var result json.RawMessage
	if cached := resultcache.Find(e.root, conf.Name, e.containerID, ifName); cached != nil {
		if whole, err := netconf.Parse(cached.Attachment.Conf, "$"); err == nil {
			conf = conf.FilledFrom(whole)
		}
		if cached.Attachment.CapabilityArgs != nil {
			given = cached.Attachment.CapabilityArgs
		}
		if cached.Attachment.Args != nil {
			args = cached.Attachment.Args
		}
		result = cached.Result
	}
	// A Multus whose default network is a conflist by its file writes down of its plugins what libcni
	// has fields for, and no more: without the rest a plugin cannot undo what it did.
	conf = conf.FilledFrom(e.configured)
	network := e.Name
	if network == "" {
		network = conf.Name
	}
	return journal.State{
		Attachment: journal.Attachment{
			Index: e.position, Network: network, Default: e.position == 0, IfName: ifName,
			Conf: conf.Bytes(), CapabilityArgs: given, Args: args,
		},
		Begun: true, Attached: true, Result: result,
	}, nil
}
