package status

import (
	"encoding/json"
	"math"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
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
	fields := object(data)
	var made result
	var routes []map[string]json.RawMessage
	_, v4 := fields["ip4"]
	_, v6 := fields["ip6"]
	version := text(fields["cniVersion"])
	if v4 || v6 || version == "" || version == "0.1.0" || version == "0.2.0" {
		for _, family := range []string{"ip4", "ip6"} {
			if part := object(fields[family]); part != nil {
				made.add(part["ip"], nil, part["gateway"])
				routes = append(routes, objects(part["routes"])...)
			}
		}
	} else {
		// An element that is no object keeps its place: addresses point at interfaces by position.
		for _, item := range list(fields["interfaces"]) {
			made.links = append(made.links, linkOf(object(item)))
		}
		for _, item := range objects(fields["ips"]) {
			made.add(item["address"], item["interface"], item["gateway"])
		}
		routes = objects(fields["routes"])
	}
	for _, route := range routes {
		gateway := text(route["gw"])
		_, destination, err := net.ParseCIDR(text(route["dst"]))
		if err != nil || gateway == "" || slices.Contains(made.gateways, gateway) {
			continue
		}
		if length, _ := destination.Mask.Size(); length == 0 {
			made.gateways = append(made.gateways, gateway)
		}
	}
	made.dns = dnsOf(object(fields["dns"]))
	return made
}

// add takes an address, if it is one. Go prints an IPv4 address the same whether it came as 4
// or as 16 bytes; other spellings stay as the plugin chose them.
func (r *result) add(cidr, position, gateway json.RawMessage) {
	ip, _, _ := strings.Cut(text(cidr), "/")
	parsed, err := netip.ParseAddr(ip)
	if err != nil {
		return
	}
	if parsed.Is4In6() {
		ip = parsed.Unmap().String()
	}
	made := address{ip: ip, link: -1, gateway: text(gateway)}
	if digits := whole(position); digits != "" {
		if made.link, err = strconv.Atoi(digits); err != nil {
			made.link = math.MaxInt // beyond any list
		}
	}
	r.addresses = append(r.addresses, made)
}

func linkOf(item map[string]json.RawMessage) link {
	made := link{name: text(item["name"]), mac: text(item["mac"]), mtu: whole(item["mtu"]), sandbox: text(item["sandbox"])}
	if made.mtu == "0" {
		made.mtu = ""
	}
	return made
}

func dnsOf(item map[string]json.RawMessage) []field {
	told := []field{}
	for _, key := range []string{"nameservers", "domain", "search", "options"} {
		if key == "domain" {
			if domain := text(item[key]); domain != "" {
				told = append(told, field{key, domain})
			}
			continue
		}
		var values []string
		for _, value := range list(item[key]) {
			if isText(value) {
				values = append(values, text(value))
			}
		}
		if len(values) > 0 {
			told = append(told, field{key, values})
		}
	}
	return told
}

// object is the value as an object, nil where it is none.
func object(value json.RawMessage) map[string]json.RawMessage {
	var fields map[string]json.RawMessage
	if json.Unmarshal(value, &fields) != nil {
		return nil
	}
	return fields
}

func list(value json.RawMessage) []json.RawMessage {
	var items []json.RawMessage
	if json.Unmarshal(value, &items) != nil {
		return nil
	}
	return items
}

func objects(value json.RawMessage) []map[string]json.RawMessage {
	var found []map[string]json.RawMessage
	for _, item := range list(value) {
		if fields := object(item); fields != nil {
			found = append(found, fields)
		}
	}
	return found
}

func isText(value json.RawMessage) bool { return len(value) > 0 && value[0] == '"' }

func text(value json.RawMessage) string {
	var said string
	if json.Unmarshal(value, &said) != nil {
		return ""
	}
	return said
}

// whole is a number without sign, fraction and exponent as its digits; empty for anything else.
func whole(value json.RawMessage) string {
	if len(value) == 0 || strings.Trim(string(value), "0123456789") != "" {
		return ""
	}
	return string(value)
}
