package status

import (
	"encoding/json"
	"math"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"mooring.dev/mooring/plugin/internal/object"
)

// link is an interface that a plugin made or found; sandbox is empty for one on the node's side.
type link struct {
	name    string
	mac     string
	mtu     string // digits; empty where there is none
	sandbox string
}

// address has no prefix length; link is the position of its interface, negative where the
// result does not say; gateway may be empty.
type address struct {
	ip      string
	link    int
	gateway string
}

// result is what one network gave a pod. gateways are those of its default routes, each once.
type result struct {
	links     []link
	addresses []address
	gateways  []string
	dns       []field
}

// read takes a CNI result of any version. The library has accepted it before; whatever has an
// unexpected shape is left out, for the status says as much as can be said.
func read(data json.RawMessage) result {
	var made result
	if !json.Valid(data) {
		return made
	}
	r := reader(data)
	var routes []*object.Reader
	version := r.Text("cniVersion")
	if r.Members["ip4"] != nil || r.Members["ip6"] != nil || version == "" || version == "0.1.0" || version == "0.2.0" {
		for _, family := range []string{"ip4", "ip6"} {
			part := reader(r.Members[family])
			made.add(part.Text("ip"), nil, part.Text("gateway"))
			routes = append(routes, readers(part.Items("routes"))...)
		}
	} else {
		// An element that is no object keeps its place: addresses point at interfaces by position.
		for _, item := range r.Items("interfaces") {
			made.links = append(made.links, linkOf(reader(item)))
		}
		for _, item := range readers(r.Items("ips")) {
			made.add(item.Text("address"), item.Members["interface"], item.Text("gateway"))
		}
		routes = readers(r.Items("routes"))
	}
	for _, route := range routes {
		gateway := route.Text("gw")
		_, destination, err := net.ParseCIDR(route.Text("dst"))
		if err != nil || gateway == "" || slices.Contains(made.gateways, gateway) {
			continue
		}
		if length, _ := destination.Mask.Size(); length == 0 {
			made.gateways = append(made.gateways, gateway)
		}
	}
	made.dns = dnsOf(reader(r.Members["dns"]))
	return made
}

// add takes an address, if it is one. Go prints an IPv4 address the same whether it came as 4
// or as 16 bytes; other spellings stay as the plugin chose them.
func (r *result) add(cidr string, position json.RawMessage, gateway string) {
	ip, _, _ := strings.Cut(cidr, "/")
	parsed, err := netip.ParseAddr(ip)
	if err != nil {
		return
	}
	if parsed.Is4In6() {
		ip = parsed.Unmap().String()
	}
	made := address{ip: ip, link: -1, gateway: gateway}
	if digits := whole(position); digits != "" {
		if made.link, err = strconv.Atoi(digits); err != nil {
			made.link = math.MaxInt // beyond any list
		}
	}
	r.addresses = append(r.addresses, made)
}

func linkOf(item *object.Reader) link {
	made := link{name: item.Text("name"), mac: item.Text("mac"), mtu: whole(item.Members["mtu"]), sandbox: item.Text("sandbox")}
	if made.mtu == "0" {
		made.mtu = ""
	}
	return made
}

func dnsOf(item *object.Reader) []field {
	fields := []field{}
	for _, key := range []string{"nameservers", "domain", "search", "options"} {
		if key == "domain" {
			if domain := item.Text(key); domain != "" {
				fields = append(fields, field{key, domain})
			}
			continue
		}
		var values []string
		for _, value := range item.Items(key) {
			if text, is := object.Text(value); is {
				values = append(values, text)
			}
		}
		if len(values) > 0 {
			fields = append(fields, field{key, values})
		}
	}
	return fields
}

// reader reads the members of a value; one that is no object has none.
func reader(value json.RawMessage) *object.Reader {
	members, _ := object.Members(value)
	return &object.Reader{Members: members}
}

// readers reads those items that are objects.
func readers(items []json.RawMessage) []*object.Reader {
	var found []*object.Reader
	for _, item := range items {
		if members, is := object.Members(item); is {
			found = append(found, &object.Reader{Members: members})
		}
	}
	return found
}

// whole is a number without sign, fraction and exponent as its digits; empty for anything else.
func whole(value json.RawMessage) string {
	if len(value) == 0 || strings.Trim(string(value), "0123456789") != "" {
		return ""
	}
	return string(value)
}
