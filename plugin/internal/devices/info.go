// Package devices knows what a pod was given by claims, and keeps the files that describe devices.
//
// What the kubelet gave is package kubelet's.
package devices

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/containernetworking/cni/pkg/types"

	"mooring.dev/mooring/plugin/internal/atomicfile"
	"mooring.dev/mooring/plugin/internal/cnierror"
	"mooring.dev/mooring/plugin/internal/object"
)

// Folders of the device-information specification 1.1: what device plugins write, and what
// CNI plugins write for each attachment.
const (
	infoRoot   = "/var/run/k8s.cni.cncf.io/devinfo"
	pluginInfo = infoRoot + "/dp"
	cniInfo    = infoRoot + "/cni"
)

// InfoCapability is the capability by which a plugin asks for the path of its file.
const InfoCapability = "CNIDeviceInfoFile"

// InfoPath is the file of one attachment.
func InfoPath(network, containerID, ifName string) string {
	return filepath.Join(cniInfo, strings.ReplaceAll(fmt.Sprintf("%s-%s_%s", network, containerID, ifName), "/", "-"))
}

// PrepareInfo makes the folder of an attachment's file and copies what the device plugin
// wrote about the device, where it wrote something.
func PrepareInfo(path, resource, device string) error {
	if err := os.MkdirAll(cniInfo, 0o755); err != nil {
		return cnierror.New(types.ErrIOFailure, "the folder of device-information files: %v", err)
	}
	if resource == "" || device == "" {
		return nil
	}
	name := strings.ReplaceAll(resource+"-"+device+"-device.json", "/", "-")
	data, err := readInfo(filepath.Join(pluginInfo, name))
	if data == nil || err != nil {
		return err
	}
	if err := atomicfile.Write(path, data, 0o444); err != nil {
		return cnierror.New(types.ErrIOFailure, "the device-information file %s: %v", path, err)
	}
	return nil
}

// ReadInfo returns what the file of an attachment tells, nil where there is no path or file.
func ReadInfo(path string) (json.RawMessage, error) {
	if path == "" {
		return nil, nil
	}
	data, err := readInfo(path)
	if data == nil || err != nil {
		return nil, err
	}
	told, err := object.Parse(data)
	if err != nil {
		return nil, cnierror.New(types.ErrDecodingFailure, "the device-information file %s: %v", path, err)
	}
	return told.Bytes(), nil
}

const maxInfo = 64 << 10

// readInfo reads a file of somebody else's, as far as it may reach; nil without error where there
// is none.
func readInfo(path string) ([]byte, error) {
	failed := func(code uint, format string, args ...any) ([]byte, error) {
		return nil, cnierror.Prefix(cnierror.New(code, format, args...), "the device-information file %s", path)
	}
	// A pipe would be waited for.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return failed(types.ErrIOFailure, "%v", err)
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return failed(types.ErrIOFailure, "it is no regular file")
	}
	data, err := io.ReadAll(io.LimitReader(file, maxInfo+1))
	if err != nil {
		return failed(types.ErrIOFailure, "%v", err)
	}
	if len(data) > maxInfo {
		return failed(types.ErrDecodingFailure, "it is larger than %d bytes", maxInfo)
	}
	return data, nil
}

// RemoveInfo deletes an attachment's file; any other path is refused.
func RemoveInfo(path string) error {
	if filepath.Dir(path) != cniInfo {
		return fmt.Errorf("%q is no file of %s", path, cniInfo)
	}
	return atomicfile.Remove(path)
}
