package attach

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"mooring.dev/mooring/plugin/internal/delegate"
	"mooring.dev/mooring/plugin/internal/journal"
	"mooring.dev/mooring/plugin/internal/netconf"
	"mooring.dev/mooring/plugin/internal/object"
	"mooring.dev/mooring/plugin/internal/podinfo"
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
}

// roots are the folders in which results may be cached: ours, and that of a Multus before us.
func (s *Session) roots() []string {
	if s.Conf.CNIDir == multusCNIDir {
		return []string{multusCNIDir}
	}
	return []string{s.Conf.CNIDir, multusCNIDir}
}

// importScratch turns the scratch file of a Multus that attached this sandbox into a journal,
// so that every rule of DEL holds for it. Nil where there is no scratch file.
func (s *Session) importScratch(containerID, ifName string) (*journal.File, *journal.Contents, error) {
	for _, root := range s.roots() {
		path := filepath.Join(root, containerID)
		data, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		states, err := s.readScratch(data, root, containerID, ifName)
		if err != nil {
			return nil, nil, fmt.Errorf("scratch file %s: %w", path, err)
		}
		file, contents, err := s.writeImported(states, containerID, ifName)
		if err != nil {
			return nil, nil, fmt.Errorf("scratch file %s: %w", path, err)
		}
		s.Log.Verbose("took over attachments from a scratch file", "file", path, "attachments", strconv.Itoa(len(states)))
		return file, contents, nil
	}
	return nil, nil, nil
}

// removeScratch deletes the scratch file of a sandbox that is undone.
func (s *Session) removeScratch() {
	for _, root := range s.roots() {
		if err := os.Remove(filepath.Join(root, s.Call.ContainerID)); err != nil && !errors.Is(err, os.ErrNotExist) {
			s.Log.Warnf("the scratch file: %v", err)
		}
	}
}

func (s *Session) readScratch(data []byte, root, containerID, ifName string) ([]journal.State, error) {
	var entries []scratchEntry
	if err := json.Unmarshal(data, &entries); err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, errors.New("it names no delegates")
	}
	identity, err := podinfo.Parse(s.Call.Args, containerID)
	if err != nil {
		s.Log.Errorf("%v", err)
	}
	states := make([]journal.State, 0, len(entries))
	for i, entry := range entries {
		entry.position, entry.root, entry.containerID, entry.defaultName = i, root, containerID, ifName
		if i == 0 {
			entry.runtimeGranted = s.Conf.RuntimeConfig
		}
		state, err := entry.state(identity.Args, s.Call.CNIVersion)
		if err != nil {
			return nil, fmt.Errorf("delegate %d: %w", i, err)
		}
		states = append(states, state)
	}
	return states, nil
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
	remembered := delegate.RecallCall(e.root, conf.Name, e.containerID, ifName)
	if remembered.CapabilityArgs != nil {
		given = remembered.CapabilityArgs
	}
	if remembered.Args != nil {
		args = remembered.Args
	}
	network := e.Name
	if network == "" {
		network = conf.Name
	}
	return journal.State{
		Attachment: journal.Attachment{
			Index: e.position, Network: network, Default: e.position == 0, IfName: ifName,
			Conf: conf.Bytes(), CapabilityArgs: given, Args: args,
		},
		Begun: true, Attached: true, Result: remembered.PrevResult,
	}, nil
}

func (s *Session) writeImported(states []journal.State, containerID, ifName string) (*journal.File, *journal.Contents, error) {
	attachments := make([]journal.Attachment, 0, len(states))
	for _, state := range states {
		attachments = append(attachments, state.Attachment)
	}
	// No boot had this id: whatever of the intents is undone, "begun" or not, should this call be
	// killed before it has written more.
	header := journal.Header{
		BootID: "00000000-0000-0000-0000-000000000000", ContainerID: containerID, IfName: ifName, Netns: s.Call.Netns,
		Pod: s.pod, CNIArgs: s.Call.Args, CNIPath: s.Runner.Path,
	}
	file, err := journal.Create(s.Conf.CNIDir, header, attachments, s.Now)
	if err != nil {
		return nil, nil, err
	}
	for _, state := range states {
		result := oneLine(state.Result)
		if result == nil {
			result = object.Object{}.Bytes()
		}
		if err := file.Begin("ADD", state.Index); err != nil {
			return nil, nil, errors.Join(err, file.Close())
		}
		file.Attached(state.Index, 0, result, nil)
	}
	if err := file.Flush(); err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	return file, &journal.Contents{Header: &header, States: states, Intact: true, Readable: true}, nil
}
