// Package sandbox looks into a pod's network namespace.
//
// The process never enters it: a netlink socket is opened there and used from outside, so
// that no thread of ours ends up in the wrong namespace.
package sandbox

import (
	"errors"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"mooring.dev/mooring/plugin/internal/cnierror"
)

// Sandbox is a pod's network namespace.
type Sandbox struct {
	namespace netns.NsHandle
	links     *netlink.Handle
}

// Open refuses what is no network namespace, and our own one.
func Open(path string) (*Sandbox, error) {
	namespace, err := netns.GetFromPath(path)
	if err != nil {
		return nil, cnierror.New(types.ErrInvalidNetNS, "CNI_NETNS %s: %v", path, err)
	}
	s := &Sandbox{namespace: namespace}
	own, err := netns.Get()
	if err != nil {
		s.Close()
		return nil, cnierror.New(types.ErrInvalidNetNS, "the network namespace of this process: %v", err)
	}
	same := own.Equal(namespace)
	if err := own.Close(); err != nil || same {
		s.Close()
		return nil, cnierror.New(types.ErrInvalidNetNS, "CNI_NETNS %s is the network namespace of the node itself", path)
	}
	s.links, err = netlink.NewHandleAt(namespace, unix.NETLINK_ROUTE)
	if err != nil {
		s.Close()
		return nil, cnierror.New(types.ErrInvalidNetNS, "CNI_NETNS %s is no network namespace: %v", path, err)
	}
	return s, nil
}

// Links is the netlink socket in the namespace.
func (s *Sandbox) Links() *netlink.Handle { return s.links }

// Free refuses an interface name that is taken.
func (s *Sandbox) Free(name string) error {
	_, err := s.links.LinkByName(name)
	var missing netlink.LinkNotFoundError
	switch {
	case errors.As(err, &missing):
		return nil
	case err != nil:
		return cnierror.New(types.ErrInternal, "looking for interface %q in the pod: %v", name, err)
	}
	return cnierror.New(types.ErrInvalidEnvironmentVariables, "interface %q exists in the pod already", name)
}

// Close lets go of the namespace.
func (s *Sandbox) Close() {
	if s.links != nil {
		s.links.Close()
	}
	_ = s.namespace.Close()
}
