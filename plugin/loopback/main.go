// The plugin that a proof of the meta-plugin delegates to: it brings lo up, says whether lo is up,
// and takes it down. It is shipped with the meta-plugin because a node may have no other plugin yet,
// is put on a node for the time of a proof, and is never part of a pod's network.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

const name = "lo"

type configuration struct {
	CNIVersion string `json:"cniVersion"`
}

func main() {
	var conf configuration
	answer, err := any(nil), json.NewDecoder(os.Stdin).Decode(&conf)
	if err == nil {
		answer, err = serve(os.Getenv("CNI_COMMAND"), os.Getenv("CNI_NETNS"), conf)
	}
	status := 0
	if err != nil {
		answer, status = map[string]any{"cniVersion": conf.CNIVersion, "code": 100, "msg": err.Error()}, 1
	}
	if answer != nil {
		if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
			status = 1
		}
	}
	os.Exit(status)
}

func serve(command, netns string, conf configuration) (any, error) {
	switch command {
	case "VERSION":
		versions := []string{"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"}
		return map[string]any{"cniVersion": conf.CNIVersion, "supportedVersions": versions}, nil
	case "ADD":
		interfaces := []map[string]string{{"name": name, "mac": "00:00:00:00:00:00", "sandbox": netns}}
		return map[string]any{"cniVersion": conf.CNIVersion, "interfaces": interfaces}, up(netns, true)
	case "CHECK":
		is, err := isUp(netns)
		if err == nil && !is {
			err = fmt.Errorf("%s is down in %s", name, netns)
		}
		return nil, err
	case "DEL":
		if netns == "" {
			return nil, nil
		}
		return nil, up(netns, false)
	}
	return nil, fmt.Errorf("CNI_COMMAND %q is not known here", command)
}

func up(netns string, want bool) error {
	return inside(netns, func(socket int, request *unix.Ifreq) error {
		flags := request.Uint16() &^ unix.IFF_UP
		if want {
			flags |= unix.IFF_UP
		}
		request.SetUint16(flags)
		return unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, request)
	})
}

func isUp(netns string) (is bool, err error) {
	err = inside(netns, func(_ int, request *unix.Ifreq) error {
		is = request.Uint16()&unix.IFF_UP != 0
		return nil
	})
	return is, err
}

// inside calls do with a socket of a network namespace and what that says of lo. The thread stays
// there: the program ends soon.
func inside(netns string, do func(socket int, flags *unix.Ifreq) error) error {
	runtime.LockOSThread()
	namespace, err := unix.Open(netns, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("the network namespace %q: %w", netns, err)
	}
	if err := unix.Setns(namespace, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("the network namespace %q: %w", netns, err)
	}
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("a socket in %q: %w", netns, err)
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		err = unix.IoctlIfreq(socket, unix.SIOCGIFFLAGS, request)
	}
	if err == nil {
		err = do(socket, request)
	}
	if err != nil {
		return fmt.Errorf("%s in %q: %w", name, netns, err)
	}
	return nil
}
