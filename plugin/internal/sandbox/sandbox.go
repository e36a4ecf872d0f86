// Package sandbox looks into a pod's network namespace.
//
// The process stays outside: sockets are opened there and used from here, by a thread that goes
// in for that moment alone.
package sandbox

import (
	"errors"
	"runtime"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"mooring.dev/mooring/plugin/internal/cnierror"
)

// Sandbox is a pod's network namespace.
type Sandbox struct {
	namespace int // descriptors; closed is -1
	probe     int
	links     *netlink.Handle
}

const closed = -1

// Open refuses what is no network namespace, and our own one.
func Open(path string) (*Sandbox, error) {
	namespace, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, cnierror.New(types.ErrInvalidNetNS, "CNI_NETNS %s: %v", path, err)
	}
	s := &Sandbox{namespace: namespace, probe: closed}
	if err := s.enter(path); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// enter opens the probe, a socket that sends nothing: see Free.
func (s *Sandbox) enter(path string) error {
	runtime.LockOSThread()
	own, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		runtime.UnlockOSThread()
		return cnierror.New(types.ErrInvalidNetNS, "the network namespace of this process: %v", err)
	}
	defer func() { _ = unix.Close(own) }()
	same, err := sameFile(own, s.namespace)
	if err == nil && same {
		runtime.UnlockOSThread()
		return cnierror.New(types.ErrInvalidNetNS, "CNI_NETNS %s is the network namespace of the node itself", path)
	}
	if err == nil {
		err = unix.Setns(s.namespace, unix.CLONE_NEWNET)
	}
	if err != nil {
		runtime.UnlockOSThread()
		return cnierror.New(types.ErrInvalidNetNS, "CNI_NETNS %s is no network namespace: %v", path, err)
	}
	s.probe, err = unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if back := unix.Setns(own, unix.CLONE_NEWNET); back != nil {
		// The thread stays locked, so that nothing of the node is done in the pod; we end soon.
		return cnierror.New(types.ErrInternal, "leaving the network namespace %s: %v", path, back)
	}
	runtime.UnlockOSThread()
	if err != nil {
		s.probe = closed
		return cnierror.New(types.ErrInternal, "a socket in the network namespace %s: %v", path, err)
	}
	return nil
}

func sameFile(a, b int) (bool, error) {
	var first, second unix.Stat_t
	if err := errors.Join(unix.Fstat(a, &first), unix.Fstat(b, &second)); err != nil {
		return false, err
	}
	return first.Dev == second.Dev && first.Ino == second.Ino, nil
}

// Links is a netlink socket in the namespace. It is opened when it is first asked for: most pods
// need none.
func (s *Sandbox) Links() (*netlink.Handle, error) {
	if s.links == nil {
		links, err := netlink.NewHandleAt(netns.NsHandle(s.namespace), unix.NETLINK_ROUTE)
		if err != nil {
			return nil, err
		}
		s.links = links
	}
	return s.links, nil
}

// Free refuses an interface name that is taken, as a second name of an interface too. A socket can
// be bound to any interface that there is, which asks the kernel in one call.
func (s *Sandbox) Free(name string) error {
	switch err := unix.BindToDevice(s.probe, name); {
	case errors.Is(err, unix.ENODEV):
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
	for _, descriptor := range []int{s.probe, s.namespace} {
		if descriptor != closed {
			_ = unix.Close(descriptor)
		}
	}
}
