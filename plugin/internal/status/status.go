// Package status makes the network-status annotation of a pod from the results of its networks.
//
// The agent makes the same text in Python (operator/mooring/networks/statuses.py); the examples
// in plugin/contract/examples/status hold both to it. The package writes nothing anywhere.
package status

import (
	"encoding/json"
	"slices"
	"strings"
)

// Annotation is the key under which a pod carries its status.
const Annotation = "k8s.v1.cni.cncf.io/network-status"

// MostBytes is the length that is never exceeded: the annotations of an object hold 256 KiB
// together, and half of that is left to everybody else.
const MostBytes = 128 << 10

// Attached is one network of a pod and what it gave.
type Attached struct {
	Network      string          // namespace/name of the NAD, or the conf's name
	Default      bool            // the pod's default network
	Result       json.RawMessage // the CNI result in its own version
	DefaultRoute []string        // the gateways that the pod's element asked for; nil where it has no such key
	DeviceInfo   json.RawMessage // an object per device-info-spec, nil for none
}

// Text returns the annotation and the networks that did not fit into it: the last ones, never
// the default one.
func Text(attached []Attached, mostBytes int) (text string, leftOut []string) {
	listed := entries(attached)
	texts := make([]string, len(listed))
	length := 1
	for i := range listed {
		texts[i] = listed[i].render()
		length += len(texts[i]) + 1
	}
	for i := len(listed) - 1; i >= 0 && length > mostBytes; i-- {
		if listed[i].isDefault {
			continue
		}
		length -= len(texts[i]) + 1
		texts = slices.Delete(texts, i, i+1)
		leftOut = append(leftOut, listed[i].name)
	}
	slices.Reverse(leftOut)
	return "[" + strings.Join(texts, ",") + "]", leftOut
}

// entry is one element of the annotation.
type entry struct {
	name         string
	link         link
	ips          []string
	isDefault    bool
	dns          []field
	deviceInfo   json.RawMessage
	gateways     []string
	defaultRoute []string // nil: no such key
}

// entries lists the elements in order of attachment, one for each interface that a network
// gave. The first default network wins where several claim to be it.
func entries(attached []Attached) []entry {
	var listed []entry
	taken := false
	for _, network := range attached {
		of := network.entries(network.Default && !taken)
		taken = taken || slices.ContainsFunc(of, func(e entry) bool { return e.isDefault })
		listed = append(listed, of...)
	}
	return listed
}

func (a Attached) entries(isDefault bool) []entry {
	made := read(a.Result)
	var inside []int
	for position := range made.links {
		if made.links[position].sandbox != "" {
			inside = append(inside, position)
		}
	}
	if len(made.links) <= 1 || len(inside) == 0 {
		// With one interface every address is its own. With none in the pod, addresses are
		// still worth telling.
		var only link
		if len(inside) > 0 {
			only = made.links[inside[0]]
		}
		var ips []string
		for _, address := range made.addresses {
			ips = append(ips, address.ip)
		}
		return []entry{a.entry(made, only, ips, isDefault)}
	}
	told := make([][]string, len(made.links))
	master := -1
	for _, address := range made.addresses {
		position := address.link
		if position < 0 || position >= len(made.links) {
			position = inside[len(inside)-1]
		}
		if made.links[position].sandbox == "" {
			continue // an address of the node's side, such as the bridge's own
		}
		told[position] = append(told[position], address.ip)
		if address.gateway != "" && (master < 0 || position < master) {
			master = position
		}
	}
	if master < 0 {
		master = inside[0]
	}
	listed := make([]entry, 0, len(inside))
	for _, position := range inside {
		listed = append(listed, a.entry(made, made.links[position], told[position], isDefault && position == master))
	}
	return listed
}

func (a Attached) entry(made result, of link, ips []string, isDefault bool) entry {
	return entry{
		name: a.Network, link: of, ips: ips, isDefault: isDefault, dns: made.dns, deviceInfo: a.DeviceInfo,
		gateways: made.gateways, defaultRoute: a.DefaultRoute,
	}
}

// render writes the element as readers know it. A key with nothing to say is left out.
func (e *entry) render() string {
	fields := []field{{"name", e.name}}
	add := func(key string, value any, said bool) {
		if said {
			fields = append(fields, field{key, value})
		}
	}
	named := e.link.name != ""
	add("interface", e.link.name, named)
	add("ips", e.ips, len(e.ips) > 0)
	add("mac", e.link.mac, named && e.link.mac != "")
	add("mtu", json.Number(e.link.mtu), named && e.link.mtu != "")
	add("default", true, e.isDefault)
	add("dns", e.dns, true)
	add("device-info", e.deviceInfo, json.Valid(e.deviceInfo) && len(reader(e.deviceInfo).Members) > 0)
	add("gateway", e.gateways, len(e.gateways) > 0)
	add("default-route", e.defaultRoute, e.defaultRoute != nil)
	return layout(fields)
}
