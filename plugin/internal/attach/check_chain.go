package attach

import (
	"encoding/json"
	"net"
	"strings"

	current "github.com/containernetworking/cni/pkg/types/100"
	"golang.org/x/sys/unix"

	"mooring.dev/mooring/plugin/internal/delegate"
	"mooring.dev/mooring/plugin/internal/netconf"
	"mooring.dev/mooring/plugin/internal/object"
)

// Some plugins cannot pass CHECK in some chains, however right everything is. CRI-O calls CHECK
// after every ADD, where such a plugin would keep the pod from ever starting; so it is not asked,
// and what is known of its work is looked at instead (check_sandbox.go). What is said here of the
// reference plugins was read in their sources, 1.9.1.

// traits are the properties of an attachment that a CHECK may stumble over.
type traits struct {
	result       bool // there is one
	nothing      bool // neither an interface nor an address: its plugins changed those of others
	addresses    bool
	hostAddress  bool // an IPv4 address with the prefix length 32, for whose network the kernel makes no route
	routes       bool
	otherTable   bool // a route that is not in the main table
	otherMAC     bool // a MAC address that is not spelt as the kernel spells it
	defaultRoute bool // the pod's default route was moved, by whichever of its networks
}

// traitsOf reads them from what ADD returned; nil where that is not known.
func traitsOf(result *current.Result, defaultRoute bool) traits {
	t := traits{defaultRoute: defaultRoute}
	if result == nil {
		return t
	}
	t.result, t.addresses, t.routes = true, len(result.IPs) > 0, len(result.Routes) > 0
	t.nothing = len(result.Interfaces) == 0 && !t.addresses
	for _, ip := range result.IPs {
		ones, bits := ip.Address.Mask.Size()
		t.hostAddress = t.hostAddress || ones == 32 && bits == 32
	}
	for _, route := range result.Routes {
		t.otherTable = t.otherTable || route.Table != nil && *route.Table != 0 && *route.Table != unix.RT_TABLE_MAIN
	}
	for _, link := range result.Interfaces {
		parsed, err := net.ParseMAC(link.Mac)
		t.otherMAC = t.otherMAC || link.Sandbox != "" && err == nil && parsed.String() != link.Mac
	}
	return t
}

// parseResult reads what ADD returned, of any version of the specification.
func parseResult(data json.RawMessage) (*current.Result, error) {
	if len(data) == 0 {
		return nil, nil
	}
	members, err := object.Parse(data)
	if err != nil {
		return nil, err
	}
	stated, err := members.String("cniVersion")
	if err != nil {
		return nil, err
	}
	parsed, err := delegate.ParseResult(stated, data)
	if err != nil {
		return nil, err
	}
	return current.NewResultFromResult(parsed)
}

// hindrance says why a plugin of a network cannot pass CHECK; it is empty where the plugin can.
func hindrance(conf *netconf.Conf, index int, t traits) string {
	plugin, later := conf.Plugins[index], conf.Plugins[index+1:]
	kind := referenceName(plugin)
	switch kind {
	case "bandwidth", "firewall", "loopback", "portmap", "sbr", "vrf":
		return "" // they look at nothing that another plugin changes
	case "tuning":
		return ofTuning(plugin, later, t)
	case "route-override":
		return "it asks the kernel for a way to what it deleted, and finds that of another network"
	}
	if mover := movesRoutes(later); mover != "" && (t.addresses || t.routes || !t.result) {
		return mover + " moves the routes that it looks for to another table"
	}
	switch kind {
	case "bridge", "dummy", "host-device", "ipvlan", "macvlan", "ptp", "tap", "vlan":
		return ofInterface(plugin, later, t)
	}
	if t.defaultRoute {
		return "the default route that it may look for was moved"
	}
	return ""
}

// ofInterface is about the plugins that make an interface. They look up every address, its network
// and every route of the result, the latter in the main table; a default route that was moved is
// no longer in the result (see moveDefaultRoute).
func ofInterface(plugin netconf.Plugin, later []netconf.Plugin, t traits) string {
	kind := referenceName(plugin)
	switch {
	case kind == "bridge" && !hasIPAM(plugin):
		return "it asks its IPAM plugin, and it has none"
	case kind == "vlan" && isSet(plugin, "mtu") && anyOf(later, "tuning", "mtu"):
		return "tuning changes the MTU that it looks for"
	case t.hostAddress:
		return "it looks for a route to the network of an address that has none, being of length 32"
	case t.otherTable:
		return "it looks in the main table for routes of another table"
	case t.otherMAC:
		return otherMAC
	}
	return ""
}

const otherMAC = "it compares the MAC address as text, and the kernel spells it otherwise"

func ofTuning(plugin netconf.Plugin, later []netconf.Plugin, t traits) string {
	switch {
	case t.nothing:
		return "it looks for an interface, and this network made none"
	case anyOf(later, "tuning", ""):
		return "another tuning follows, which may change the same"
	case t.otherMAC:
		return otherMAC
	}
	settings, _ := object.Members(plugin.Member("sysctl"))
	for _, value := range settings {
		// Several numbers of one setting have tabs between them when the kernel tells them.
		if text, is := object.Text(value); is && strings.Contains(text, " ") {
			return "it compares a sysctl with blanks as text, and the kernel has tabs there"
		}
	}
	return ""
}

// movesRoutes names the plugin that takes the routes of the interface out of the main table.
func movesRoutes(plugins []netconf.Plugin) string {
	for _, plugin := range plugins {
		// With a table of its own, sbr leaves it to others to fill it.
		if plugin.Type == "vrf" || plugin.Type == "sbr" && plugin.Member("table") == nil {
			return plugin.Type
		}
	}
	return ""
}

// hasNoCheck says whether a plugin failed because its CHECK was never written; whereabouts and
// others answer so, each in its own words.
func hasNoCheck(err error) bool {
	text := strings.ToLower(err.Error())
	return strings.Contains(text, "not implement") || strings.Contains(text, "unimplemented")
}

// referenceName is a plugin's type; KubeVirt ships copies of two reference plugins under names of
// its own.
func referenceName(plugin netconf.Plugin) string { return strings.TrimPrefix(plugin.Type, "cnv-") }

func hasIPAM(plugin netconf.Plugin) bool {
	ipam, _ := object.Members(plugin.Member("ipam"))
	kind, err := ipam.String("type")
	return err == nil && kind != ""
}

// anyOf says whether one of the plugins is of this type and has this key set, if there is one.
func anyOf(plugins []netconf.Plugin, kind, key string) bool {
	for _, plugin := range plugins {
		if referenceName(plugin) == kind && (key == "" || isSet(plugin, key)) {
			return true
		}
	}
	return false
}

func isSet(plugin netconf.Plugin, key string) bool {
	value := string(plugin.Member(key))
	return value != "" && value != "0"
}
