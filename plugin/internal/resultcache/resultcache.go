// Package resultcache keeps libcni's result cache: one file for each attachment, in libcni's
// format and under its names, for those who read it, and with a member of our own by which a
// sandbox can be undone whose journal is lost.
//
// It knows where an entry is and what it says. It does not decide what to undo.
package resultcache

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"

	"github.com/containernetworking/cni/pkg/types/create"

	"mooring.dev/mooring/plugin/internal/atomicfile"
	"mooring.dev/mooring/plugin/internal/journal"
	"mooring.dev/mooring/plugin/internal/object"
)

// Runtime is where libcni keeps results for a runtime that names no folder.
const Runtime = "/var/lib/cni"

const kind = "cniCacheV1"

// Entry is what the cache says of one attachment.
type Entry struct {
	ContainerID string
	Netns       string
	Name        string // of the network's conf
	Caller      string // the name of the meta-plugin's configuration, empty where somebody else wrote the entry
	CallIfName  string // the interface that the meta-plugin was called for, with which its journal is named
	Attachment  journal.Attachment
	Result      json.RawMessage // nil where the attachment had not come to that
}

func folder(root string) string { return filepath.Join(root, "results") }

// path is libcni's, but for names that are too long for a file: of those libcni has no entry.
func path(root, name, containerID, ifName string) string {
	if room := maxFileName - len(containerID) - len(ifName); len(name) > room {
		sum := fmt.Sprintf("~%08x", crc32.ChecksumIEEE([]byte(name)))
		name = name[:max(0, room-len(sum))] + sum
	}
	return filepath.Join(folder(root), name+"-"+containerID+"-"+ifName)
}

// maxFileName leaves room for the two '-', and for what is added to a name.
const maxFileName = 255 - len("--") - len(intentSuffix) - len("..tmp")

// intentSuffix is behind the name of an entry without a result. The one with the result must not
// take its place by rename: ext4 writes the data of a file that replaces another to the disk at
// once (auto_da_alloc), which every pod would wait for, at ADD and again at DEL.
const intentSuffix = ".intent"

// Write puts an entry below root: one with a result in the place of one without.
func Write(root string, e *Entry) error {
	a := &e.Attachment
	var own, entry object.Writer
	own.Text("caller", e.Caller)
	own.Text("callIfName", e.CallIfName)
	own.Int("index", int64(a.Index))
	own.Text("network", a.Network)
	own.Bool("nad", a.NAD)
	own.Bool("default", a.Default)
	if a.DefaultRoute != nil {
		own.Texts("defaultRoute", *a.DefaultRoute)
	}
	entry.Text("kind", kind)
	entry.Text("containerId", e.ContainerID)
	entry.Text("config", base64.StdEncoding.EncodeToString(a.Conf))
	entry.Text("ifName", a.IfName)
	entry.Text("networkName", e.Name)
	if e.Netns != "" {
		entry.Text("netns", e.Netns)
	}
	if len(a.Args) > 0 {
		entry.Pairs("cniArgs", a.Args)
	}
	if len(a.CapabilityArgs) > 0 {
		entry.Raw("capabilityArgs", a.CapabilityArgs.Bytes())
	}
	if len(e.Result) > 0 {
		entry.Raw("result", e.Result)
	}
	entry.Raw("mooring", own.Bytes())
	file, data := path(root, e.Name, e.ContainerID, a.IfName), entry.Bytes()
	intent := file + intentSuffix
	if len(e.Result) == 0 {
		file = intent
	}
	err := atomicfile.Write(file, data, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return err
		}
		err = atomicfile.Write(file, data, 0o600)
	}
	if err == nil && file != intent {
		err = atomicfile.Remove(intent)
	}
	return err
}

// Remove deletes the entry; that there is none is no error.
func Remove(root, name, containerID, ifName string) error {
	file := path(root, name, containerID, ifName)
	return errors.Join(atomicfile.Remove(file), atomicfile.Remove(file+intentSuffix))
}

// Result finds the result of an attachment, nil where there is none.
func Result(root, name, containerID, ifName string) json.RawMessage {
	entry := Find(root, name, containerID, ifName)
	if entry == nil {
		return nil
	}
	return entry.Result
}

// Find reads one entry; nil where there is none that can be read. Entries from before kind
// cniCacheV1 are the bare result.
func Find(root, name, containerID, ifName string) *Entry {
	data, err := os.ReadFile(path(root, name, containerID, ifName))
	if err != nil {
		return nil
	}
	if entry := parse(data); entry != nil {
		return entry
	}
	members, err := object.Parse(data)
	if err != nil {
		return nil
	}
	version, err := members.String("cniVersion")
	if version == "" {
		version = "0.1.0"
	}
	if err != nil {
		return nil
	}
	if _, err := create.Create(version, data); err != nil {
		return nil
	}
	return &Entry{ContainerID: containerID, Name: name, Result: data}
}

// Sandbox lists what is known of one container, and the paths of files that are named after it and
// cannot be read. Only files whose name holds the container's id are opened.
func Sandbox(root, containerID string) (entries []Entry, damaged []string, err error) {
	listed, damaged, err := list(root, func(name string) bool { return strings.Contains(name, "-"+containerID+"-") })
	for _, entry := range listed {
		if entry.ContainerID == containerID {
			entries = append(entries, entry)
		}
	}
	return entries, damaged, err
}

// Sweep removes what writers that were killed left of a container's entries.
func Sweep(root, containerID string) error {
	left, err := filepath.Glob(filepath.Join(folder(root), ".*-"+containerID+"-*.tmp"))
	for _, file := range left {
		err = errors.Join(err, atomicfile.Remove(file))
	}
	return err
}

// All lists the cache; files that are none of its are passed over.
func All(root string) ([]Entry, error) {
	entries, _, err := list(root, func(string) bool { return true })
	return entries, err
}

func list(root string, wanted func(name string) bool) (entries []Entry, damaged []string, err error) {
	files, err := os.ReadDir(folder(root))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	for _, file := range files {
		if strings.HasPrefix(file.Name(), ".") || !wanted(file.Name()) {
			continue
		}
		name := filepath.Join(folder(root), file.Name())
		data, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		entry := parse(data)
		if err != nil || entry == nil || entry.ContainerID == "" || entry.Attachment.IfName == "" || object.Check(entry.Attachment.Conf) != nil {
			damaged = append(damaged, name)
			continue
		}
		entries = append(entries, *entry)
	}
	return entries, damaged, nil
}

func parse(data []byte) *Entry {
	members, err := object.Parse(data)
	if err != nil {
		return nil
	}
	r := &object.Reader{Members: members}
	own := &object.Reader{Members: r.Object("mooring")}
	config, decodeErr := base64.StdEncoding.DecodeString(r.Text("config"))
	entry := &Entry{
		ContainerID: r.Text("containerId"), Netns: r.Text("netns"), Name: r.Text("networkName"),
		Caller: own.Text("caller"), CallIfName: own.Text("callIfName"),
		Attachment: journal.Attachment{
			Index: own.Int("index"), Network: own.Text("network"), NAD: own.Bool("nad"), Default: own.Bool("default"),
			IfName: r.Text("ifName"), Conf: config, CapabilityArgs: r.Object("capabilityArgs"), Args: r.Pairs("cniArgs"),
		},
	}
	if _, asked := own.Members["defaultRoute"]; asked {
		gateways := append([]string{}, own.Texts("defaultRoute")...)
		entry.Attachment.DefaultRoute = &gateways
	}
	if result, present := members["result"]; present && object.Kind(result) == "an object" {
		entry.Result = result
	}
	if entry.Attachment.Network == "" {
		entry.Attachment.Network = entry.Name
	}
	if r.Text("kind") != kind || r.Bad || own.Bad || decodeErr != nil {
		return nil
	}
	return entry
}
