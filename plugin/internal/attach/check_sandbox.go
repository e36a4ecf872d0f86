package attach

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/vishvananda/netlink"

	"mooring.dev/mooring/plugin/internal/cnierror"
	"mooring.dev/mooring/plugin/internal/journal"
	"mooring.dev/mooring/plugin/internal/routes"
	"mooring.dev/mooring/plugin/internal/sandbox"
)

// inspection is our own CHECK: the pod's network namespace, opened when it is first needed.
// It compares with what ADD returned and changes nothing.
type inspection struct {
	netns  string
	inside *sandbox.Sandbox
}

func (i *inspection) close() {
	if i.inside != nil {
		i.inside.Close()
	}
}

func (i *inspection) links() (*netlink.Handle, error) {
	if i.inside == nil {
		inside, err := sandbox.Open(i.netns)
		if err != nil {
			return nil, err
		}
		i.inside = inside
	}
	links, err := i.inside.Links()
	if err != nil {
		return nil, cnierror.New(types.ErrInternal, "looking into the pod: %v", err)
	}
	return links, nil
}

// checkInterfaces looks for the interfaces and addresses of one attachment. Of a device that a program in user
// space drives there may be no interface, unless the network wants one.
func (i *inspection) checkInterfaces(state *journal.State, result *current.Result, interfaceWanted bool) error {
	links, err := i.links()
	if err != nil {
		return err
	}
	for name, addresses := range expected(result, state.IfName) {
		link, err := links.LinkByName(name)
		var notFound netlink.LinkNotFoundError
		switch {
		case errors.As(err, &notFound) && !interfaceWanted && isDevice(state, result):
			continue
		case errors.As(err, &notFound):
			return cnierror.New(types.ErrInternal, "interface %s is gone from the pod", name)
		case err != nil:
			return cnierror.New(types.ErrInternal, "looking for interface %s in the pod: %v", name, err)
		}
		if err := hasAddresses(links, link, addresses); err != nil {
			return err
		}
	}
	return nil
}

// expected returns the interfaces that a result has in the pod, each with its addresses. An address
// that names no interface is on the one that was asked for, and so is all that is not known.
func expected(result *current.Result, ifName string) map[string][]net.IPNet {
	wanted := map[string][]net.IPNet{}
	if result == nil {
		wanted[ifName] = nil
		return wanted
	}
	for _, link := range result.Interfaces {
		if isInPod(link) {
			wanted[link.Name] = nil
		}
	}
	for _, ip := range result.IPs {
		name := ifName
		if at := ip.Interface; at != nil && *at >= 0 && *at < len(result.Interfaces) {
			if !isInPod(result.Interfaces[*at]) {
				continue
			}
			name = result.Interfaces[*at].Name
		}
		wanted[name] = append(wanted[name], ip.Address)
	}
	return wanted
}

// isInPod says whether an interface of a result is in a network namespace of its own. Some plugins
// keep notes in interfaces that are none, under a sandbox that is no path.
func isInPod(link *current.Interface) bool { return strings.HasPrefix(link.Sandbox, "/") }

func hasAddresses(links *netlink.Handle, link netlink.Link, wanted []net.IPNet) error {
	if len(wanted) == 0 {
		return nil
	}
	name := link.Attrs().Name
	there, err := links.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return cnierror.New(types.ErrInternal, "listing the addresses of interface %s in the pod: %v", name, err)
	}
	for _, address := range wanted {
		if !slices.ContainsFunc(there, func(has netlink.Addr) bool { return has.Equal(netlink.Addr{IPNet: &address}) }) {
			return cnierror.New(types.ErrInternal, "address %s is gone from interface %s in the pod", address.String(), name)
		}
	}
	return nil
}

// isDevice says whether an attachment is a device that the kubelet gave the pod.
func isDevice(state *journal.State, result *current.Result) bool {
	if _, given := state.CapabilityArgs["deviceID"]; given || len(state.DeviceInfo) > 0 {
		return true
	}
	return result != nil && slices.ContainsFunc(result.Interfaces, func(link *current.Interface) bool { return link.PciID != "" || link.SocketPath != "" })
}

// checkRoutes looks whether the default route is where we moved it to, and returns the position of the
// attachment that it is about where it is not.
func (i *inspection) checkRoutes(states []journal.State, keep []netip.Prefix) (int, error) {
	requests := make([]routes.Request, len(states))
	for at := range states {
		requests[at].Interfaces = interfacesIn(states[at].Result, states[at].IfName)
		if asked := states[at].DefaultRoute; asked != nil {
			requests[at].Asked = true
			for _, text := range *asked {
				gateway, err := netip.ParseAddr(text)
				if err != nil {
					return at, cnierror.New(types.ErrInternal, "default-route: the journal has %q, which is no address", text)
				}
				requests[at].Gateways = append(requests[at].Gateways, gateway.Unmap())
			}
		}
	}
	links, err := i.links()
	if err != nil {
		return 0, err
	}
	err = routes.Check(links, requests, kept(&states[0], keep))
	var difference *routes.Difference
	if !errors.As(err, &difference) {
		return 0, err
	}
	if conf, unreadable := confOf(&states[difference.Index]); unreadable == nil && conf.DisableCheck {
		return 0, nil
	}
	return difference.Index, cnierror.New(types.ErrInternal, "%s", difference.Text)
}

// kept returns the cluster's networks that stayed on the default network when its default route
// was moved: those of the configuration that are in its result too.
func kept(first *journal.State, keep []netip.Prefix) []routes.Route {
	result, err := parseResult(first.Result)
	if err != nil || result == nil {
		return nil
	}
	var found []routes.Route
	for _, route := range result.Routes {
		destination, err := netip.ParsePrefix(route.Dst.String())
		if err != nil || !slices.ContainsFunc(keep, func(network netip.Prefix) bool { return network.Masked() == destination }) {
			continue
		}
		gateway, _ := netip.AddrFromSlice(route.GW)
		found = append(found, routes.Route{Destination: destination, Gateway: gateway.Unmap()})
	}
	return found
}
