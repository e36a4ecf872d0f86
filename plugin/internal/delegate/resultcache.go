package delegate

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"mooring.dev/mooring/plugin/internal/atomicfile"
	"mooring.dev/mooring/plugin/internal/netconf"
	"mooring.dev/mooring/plugin/internal/object"
)

// RuntimeCache is where libcni keeps results for a runtime that names no folder.
const RuntimeCache = "/var/lib/cni"

// cached is an entry of libcni's cache (kind cniCacheV1).
type cached struct {
	Kind           string          `json:"kind"`
	ContainerID    string          `json:"containerId"`
	Config         []byte          `json:"config"`
	IfName         string          `json:"ifName"`
	NetworkName    string          `json:"networkName"`
	Netns          string          `json:"netns,omitempty"`
	Args           [][2]string     `json:"cniArgs,omitempty"`
	CapabilityArgs object.Object   `json:"capabilityArgs,omitempty"`
	Result         json.RawMessage `json:"result,omitempty"`
}

const cacheKind = "cniCacheV1"

func cachePath(root, network, containerID, ifName string) string {
	return filepath.Join(root, "results", fmt.Sprintf("%s-%s-%s", network, containerID, ifName))
}

// Remember writes libcni's cache entry of an attachment.
func Remember(root string, conf *netconf.Conf, call Call, result json.RawMessage) error {
	var entry object.Writer
	entry.Text("kind", cacheKind)
	entry.Text("containerId", call.ContainerID)
	entry.Text("config", base64.StdEncoding.EncodeToString(conf.Bytes()))
	entry.Text("ifName", call.IfName)
	entry.Text("networkName", conf.Name)
	if call.Netns != "" {
		entry.Text("netns", call.Netns)
	}
	if len(call.Args) > 0 {
		entry.Pairs("cniArgs", call.Args)
	}
	if len(call.CapabilityArgs) > 0 {
		entry.Raw("capabilityArgs", call.CapabilityArgs.Bytes())
	}
	if len(result) > 0 {
		entry.Raw("result", result)
	}
	path, data := cachePath(root, conf.Name, call.ContainerID, call.IfName), entry.Bytes()
	err := atomicfile.Write(path, data, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		err = atomicfile.Write(path, data, 0o600)
	}
	return err
}

// Forget removes the entry; that there is none is no error.
func Forget(root, network, containerID, ifName string) error {
	return atomicfile.Remove(cachePath(root, network, containerID, ifName))
}

// Recall finds the result that libcni cached for an attachment, nil where it did not.
func Recall(root, network, containerID, ifName string) json.RawMessage {
	return RecallCall(root, network, containerID, ifName).PrevResult
}

// RecallCall finds what libcni cached of an attachment: its arguments and, as PrevResult, its
// result. Entries from before cniCacheV1 are the bare result.
func RecallCall(root, network, containerID, ifName string) Call {
	data, err := os.ReadFile(cachePath(root, network, containerID, ifName))
	if err != nil {
		return Call{}
	}
	var entry cached
	if json.Unmarshal(data, &entry) == nil && entry.Kind == cacheKind {
		return entry.call()
	}
	if _, err := complete(data, "0.1.0"); err == nil {
		return Call{PrevResult: data}
	}
	return Call{}
}

func (c *cached) call() Call {
	return Call{
		ContainerID: c.ContainerID, Netns: c.Netns, IfName: c.IfName, Args: c.Args,
		CapabilityArgs: c.CapabilityArgs, PrevResult: c.Result,
	}
}

// Entry is one attachment that libcni's cache tells of.
type Entry struct {
	Path   string
	Config []byte
	Call   Call
}

// Entries lists the cache; files that are none of its are passed over.
func Entries(root string) ([]Entry, error) {
	files, err := os.ReadDir(filepath.Join(root, "results"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for _, file := range files {
		path := filepath.Join(root, "results", file.Name())
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		var entry cached
		if json.Unmarshal(data, &entry) == nil && entry.Kind == cacheKind && entry.ContainerID != "" && entry.IfName != "" {
			entries = append(entries, Entry{path, entry.Config, entry.call()})
		}
	}
	return entries, nil
}
