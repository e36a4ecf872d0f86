// Package routes moves a pod's default route and keeps results in step with the table.
//
// What counts is the main table in the pod's network namespace. Routes are compared by
// prefix length: since its 1.2 the netlink library gives a default route a destination of
// length zero, where nil used to stand.
package routes

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Request is what one attachment wants of the default route.
type Request struct {
	Interfaces []string     // those that its network made in the pod
	Asked      bool         // the key is there
	Gateways   []netip.Addr // at most one for each family over all requests
}

// Change is what became of an attachment's routes, for its result.
type Change struct {
	Dropped []int // families (4, 6) whose default route is gone
	Added   []Route
}

// Route is a route as results hold it; Gateway is the zero Addr where it has none.
type Route struct {
	Destination netip.Prefix
	Gateway     netip.Addr
}

var anywhere = map[int]netip.Prefix{4: netip.MustParsePrefix("0.0.0.0/0"), 6: netip.MustParsePrefix("::/0")}

var families = map[int]int{4: netlink.FAMILY_V4, 6: netlink.FAMILY_V6}

// Failure is a default route that could not be moved as one attachment asked.
type Failure struct {
	Attachment int // its position in the requests
	Err        error
}

// Error is what went wrong; the caller knows the attachment's name.
func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap is what went wrong.
func (f *Failure) Unwrap() error { return f.Err }

// Move makes the table what the requests say and returns one Change for each. Networks in
// keep stay on the first attachment when its default route goes elsewhere. The error is a
// Failure.
func Move(links *netlink.Handle, requests []Request, keep []netip.Prefix) ([]Change, error) {
	changes := make([]Change, len(requests))
	for _, family := range []int{4, 6} {
		owner, gateway := ownerOf(requests, family)
		if err := removeDefaultRoutes(links, requests, family, owner, keep, changes); err != nil {
			return nil, &Failure{askedBy(requests, owner), fmt.Errorf("IPv%d: %w", family, err)}
		}
		if owner < 0 {
			continue
		}
		if err := addRoute(links, requests[owner].Interfaces, anywhere[family], gateway); err != nil {
			return nil, &Failure{owner, fmt.Errorf("default route by %s: %w", gateway, err)}
		}
		changes[owner].Added = append(changes[owner].Added, Route{anywhere[family], gateway})
	}
	return changes, nil
}

// askedBy is the owner of the default route, or else who asked that there be none.
func askedBy(requests []Request, owner int) int {
	if owner >= 0 {
		return owner
	}
	return max(0, slices.IndexFunc(requests, func(request Request) bool { return request.Asked }))
}

func ownerOf(requests []Request, family int) (int, netip.Addr) {
	for i, request := range requests {
		for _, gateway := range request.Gateways {
			if gateway.Is4() == (family == 4) {
				return i, gateway
			}
		}
	}
	return -1, netip.Addr{}
}

// removeDefaultRoutes removes those of a family: all of them where one attachment owns the
// route, else those of attachments that asked for none of their own.
func removeDefaultRoutes(links *netlink.Handle, requests []Request, family, owner int, keep []netip.Prefix, changes []Change) error {
	existing, err := links.RouteListFiltered(families[family], &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return fmt.Errorf("listing routes: %w", err)
	}
	var former []netlink.Route // the default network's
	for _, route := range existing {
		if !isDefault(route) {
			continue
		}
		var gone, stay []netlink.Route
		for _, hop := range nextHops(route) {
			attachment, err := attachmentOf(links, hop, requests)
			if err != nil {
				return err
			}
			if owner < 0 && (attachment < 0 || !requests[attachment].Asked || len(requests[attachment].Gateways) > 0) {
				stay = append(stay, hop)
				continue
			}
			gone = append(gone, hop)
			if attachment == 0 && owner > 0 {
				former = append(former, hop)
			}
		}
		if err := removeHops(links, family, route, gone, stay); err != nil {
			return fmt.Errorf("removing a default route: %w", err)
		}
	}
	if len(former) > 0 {
		if err := keepClusterRoutes(links, former[0], family, keep, &changes[0]); err != nil {
			return err
		}
	}
	for i, request := range requests {
		refused := request.Asked && len(request.Gateways) == 0
		if (owner >= 0 || refused) && !slices.Contains(changes[i].Dropped, family) {
			changes[i].Dropped = append(changes[i].Dropped, family)
		}
	}
	return nil
}

// keepClusterRoutes routes the cluster's own networks as the default route did before it moved.
func keepClusterRoutes(links *netlink.Handle, former netlink.Route, family int, keep []netip.Prefix, change *Change) error {
	for _, network := range keep {
		if network.Addr().Is4() != (family == 4) {
			continue
		}
		kept := netlink.Route{LinkIndex: former.LinkIndex, Gw: former.Gw, Scope: former.Scope, Src: former.Src, MTU: former.MTU, Flags: former.Flags & int(netlink.FLAG_ONLINK), Dst: ipNet(network)}
		if err := links.RouteReplace(&kept); err != nil {
			return fmt.Errorf("keeping %s on the default network: %w", network, err)
		}
		gateway, _ := netip.AddrFromSlice(former.Gw)
		change.Added = append(change.Added, Route{network.Masked(), gateway.Unmap()})
	}
	return nil
}

// addRoute adds a route by a gateway on the first of the interfaces that reaches it.
func addRoute(links *netlink.Handle, interfaces []string, destination netip.Prefix, gateway netip.Addr) error {
	var last error
	for _, name := range interfaces {
		link, err := links.LinkByName(name)
		if err != nil {
			last = err
			continue
		}
		route := netlink.Route{LinkIndex: link.Attrs().Index, Gw: gateway.AsSlice(), Dst: ipNet(destination)}
		last = links.RouteAdd(&route)
		if unreachable(last) && isNeighbour(links, link, gateway) {
			// A chained plugin (sbr) took the way to the network out of this table; the network is there all the same.
			route.SetFlag(netlink.FLAG_ONLINK)
			last = links.RouteAdd(&route)
		}
		if last == nil {
			return nil
		}
		last = fmt.Errorf("on %s: %w", name, last)
	}
	if last == nil {
		last = errors.New("the network made no interface in the pod")
	}
	return last
}

func unreachable(err error) bool {
	return errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EHOSTUNREACH)
}

// isNeighbour says whether a gateway is in the network of one of the link's addresses.
func isNeighbour(links *netlink.Handle, link netlink.Link, gateway netip.Addr) bool {
	addresses, err := links.AddrList(link, netlink.FAMILY_ALL)
	return err == nil && slices.ContainsFunc(addresses, func(address netlink.Addr) bool {
		return address.IPNet != nil && address.Contains(gateway.AsSlice())
	})
}

func isDefault(route netlink.Route) bool {
	if route.Type != 0 && route.Type != unix.RTN_UNICAST {
		return false
	}
	if route.Dst == nil {
		return true
	}
	ones, _ := route.Dst.Mask.Size()
	return ones == 0
}

// nextHops takes a route of several next hops apart: IPv6 joins default routes of one metric into
// one route, whoever made them.
func nextHops(route netlink.Route) []netlink.Route {
	if len(route.MultiPath) == 0 {
		return []netlink.Route{route}
	}
	single := make([]netlink.Route, 0, len(route.MultiPath))
	for _, hop := range route.MultiPath {
		alone := route
		alone.MultiPath, alone.LinkIndex, alone.Gw, alone.Flags = nil, hop.LinkIndex, hop.Gw, hop.Flags
		single = append(single, alone)
	}
	return single
}

// removeHops takes next hops out of a route. IPv6 can remove one hop, IPv4 only the whole route.
func removeHops(links *netlink.Handle, family int, route netlink.Route, gone, stay []netlink.Route) error {
	if len(gone) == 0 {
		return nil
	}
	if family == 4 && len(route.MultiPath) > 0 {
		gone = []netlink.Route{route}
		kept := route
		kept.MultiPath = nil
		for _, hop := range stay {
			kept.MultiPath = append(kept.MultiPath, &netlink.NexthopInfo{LinkIndex: hop.LinkIndex, Gw: hop.Gw, Flags: hop.Flags})
		}
		if len(stay) > 0 {
			return links.RouteReplace(&kept)
		}
	}
	for i := range gone {
		if err := links.RouteDel(&gone[i]); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	return nil
}

// attachmentOf finds the attachment that a route's interface belongs to, -1 for none.
func attachmentOf(links *netlink.Handle, route netlink.Route, requests []Request) (int, error) {
	link, err := links.LinkByIndex(route.LinkIndex)
	if err != nil {
		return -1, fmt.Errorf("interface %d of a default route: %w", route.LinkIndex, err)
	}
	for i, request := range requests {
		if slices.Contains(request.Interfaces, link.Attrs().Name) {
			return i, nil
		}
	}
	return -1, nil
}

func ipNet(prefix netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: prefix.Masked().Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen())}
}
