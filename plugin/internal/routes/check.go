package routes

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Difference is what is no longer as Move left it, and the position of the request it is about.
type Difference struct {
	Index int
	Text  string
}

// Error is the text.
func (d *Difference) Error() string { return d.Text }

// Check says whether the table is still what Move made of it, by a Difference. The kept routes are
// those of the first attachment's result that Move added.
func Check(links *netlink.Handle, requests []Request, kept []Route) error {
	for _, family := range []int{4, 6} {
		existing, err := links.RouteListFiltered(families[family], &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
		if err != nil {
			return fmt.Errorf("listing routes: %w", err)
		}
		if err := checkDefault(links, existing, requests, family); err != nil {
			return err
		}
		for _, route := range kept {
			if (familyOf(route.Destination.Addr()) == family) && !isThere(existing, route) {
				return &Difference{0, fmt.Sprintf("the route to %s by %s, which was kept when the default route moved, is gone", route.Destination, route.Gateway)}
			}
		}
	}
	return nil
}

// checkDefault looks for the default route that was asked for, and for others of the attachments.
func checkDefault(links *netlink.Handle, existing []netlink.Route, requests []Request, family int) error {
	owner, gateway := ownerOf(requests, family)
	found := false
	for _, route := range existing {
		// What a router advertises comes back by itself.
		if !isDefault(route) || route.Protocol == unix.RTPROT_RA {
			continue
		}
		for _, hop := range nextHops(route) {
			user, err := attachmentOf(links, hop, requests)
			if err != nil {
				return err
			}
			by, _ := netip.AddrFromSlice(hop.Gw)
			switch {
			case user < 0:
			case user == owner && by.Unmap() == gateway:
				found = true
			case owner >= 0:
				return &Difference{owner, fmt.Sprintf("default-route %s: another default route, by %s on %s, is there too", gateway, by.Unmap(), requests[user].Interfaces[0])}
			case requests[user].Asked && len(requests[user].Gateways) == 0:
				return &Difference{user, fmt.Sprintf("a default route, by %s, is there, although the pod asked for none", by.Unmap())}
			}
		}
	}
	if owner >= 0 && !found {
		return &Difference{owner, fmt.Sprintf("default-route %s: the route is gone", gateway)}
	}
	return nil
}

func isThere(existing []netlink.Route, wanted Route) bool {
	return slices.ContainsFunc(existing, func(route netlink.Route) bool {
		if route.Dst == nil || route.Dst.String() != wanted.Destination.String() {
			return false
		}
		return slices.ContainsFunc(nextHops(route), func(hop netlink.Route) bool {
			by, _ := netip.AddrFromSlice(hop.Gw)
			return by.Unmap() == wanted.Gateway
		})
	})
}
