// Package netstatus makes the annotation that tells a pod's networks to everybody.
//
// The agent writes it as a rule; the plugin does where pods read it in their first second.
// Both follow the same rules (docs/contracts.md): one entry for each interface in the pod,
// a minimal one for a result without interfaces, exactly one default.
package netstatus

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"

	"mooring.dev/mooring/plugin/internal/journal"
	"mooring.dev/mooring/plugin/internal/object"
)

// Annotation is its key.
const Annotation = "k8s.v1.cni.cncf.io/network-status"

// MostBytes bounds the text: the annotations of an object hold 256 KiB together.
const MostBytes = 128 << 10

// Entry is one interface of a pod. The order of the fields is the order of the keys.
type Entry struct {
	Name         string          `json:"name"`
	Interface    string          `json:"interface,omitempty"`
	IPs          []string        `json:"ips,omitempty"`
	MAC          string          `json:"mac,omitempty"`
	MTU          int             `json:"mtu,omitempty"`
	Default      bool            `json:"default,omitempty"`
	DNS          json.RawMessage `json:"dns"`
	DeviceInfo   json.RawMessage `json:"device-info,omitempty"`
	Gateway      []string        `json:"gateway,omitempty"`
	DefaultRoute *[]string       `json:"default-route,omitempty"`
}

// Entries returns the entries of all attachments, in order.
func Entries(states []journal.State) []Entry {
	var entries []Entry
	for i := range states {
		entries = append(entries, entriesOf(&states[i])...)
	}
	return entries
}

// Text is the annotation. Where it would get too long the last networks are left out, never
// the default one; their names are returned.
func Text(entries []Entry, mostBytes int) (string, []string) {
	texts := make([]string, 0, len(entries))
	length := 1
	for _, entry := range entries {
		var indented bytes.Buffer
		if err := json.Indent(&indented, object.Encode(entry), "", "    "); err != nil {
			panic("indenting JSON of ours: " + err.Error())
		}
		texts = append(texts, strings.ToValidUTF8(indented.String(), "\uFFFD"))
		length += indented.Len() + 1
	}
	var left []string
	for i := len(texts) - 1; i >= 0 && length > mostBytes; i-- {
		if entries[i].Default {
			continue
		}
		length -= len(texts[i]) + 1
		texts = slices.Delete(texts, i, i+1)
		left = append(left, entries[i].Name)
	}
	slices.Reverse(left)
	return "[" + strings.Join(texts, ",") + "]", left
}

func entriesOf(state *journal.State) []Entry {
	told := read(state.Result)
	base := Entry{Name: state.Network, DNS: told.dns, DeviceInfo: state.DeviceInfo, Gateway: told.gateways, DefaultRoute: state.DefaultRoute}
	var inside []int
	for i, link := range told.links {
		if link.Sandbox != "" {
			inside = append(inside, i)
		}
	}
	if len(told.links) <= 1 || len(inside) == 0 {
		entry := base
		entry.Default = state.Default
		if len(inside) > 0 {
			entry.describe(told.links[inside[0]])
		}
		for _, address := range told.addresses {
			entry.IPs = append(entry.IPs, address.ip)
		}
		return []Entry{entry}
	}
	return several(state, base, told, inside)
}

// several is for results with more than one interface: addresses go by index, those without
// one to the last interface in the pod, those of the node's side to nobody.
func several(state *journal.State, base Entry, told result, inside []int) []Entry {
	ips := map[int][]string{}
	master := -1
	for _, address := range told.addresses {
		at := address.link
		if at < 0 || at >= len(told.links) {
			at = inside[len(inside)-1]
		}
		if !slices.Contains(inside, at) {
			continue
		}
		ips[at] = append(ips[at], address.ip)
		if address.gateway != "" && (master < 0 || at < master) {
			master = at
		}
	}
	if master < 0 {
		master = inside[0]
	}
	entries := make([]Entry, 0, len(inside))
	for _, at := range inside {
		entry := base
		entry.Default = state.Default && at == master
		entry.describe(told.links[at])
		entry.IPs = ips[at]
		entries = append(entries, entry)
	}
	return entries
}

func (e *Entry) describe(of link) {
	if of.Name == "" {
		return
	}
	e.Interface, e.MAC, e.MTU = of.Name, of.MAC, max(0, of.MTU)
}

type link struct {
	Name    string `json:"name"`
	MAC     string `json:"mac"`
	MTU     int    `json:"mtu"`
	Sandbox string `json:"sandbox"`
}

type address struct {
	ip      string
	link    int // -1 where it is not said
	gateway string
}

type result struct {
	links     []link
	addresses []address
	gateways  []string
	dns       json.RawMessage
}

type route struct {
	Dst string `json:"dst"`
	GW  string `json:"gw"`
}

type family struct {
	IP      string  `json:"ip"`
	Gateway string  `json:"gateway"`
	Routes  []route `json:"routes"`
}

// read takes out of a result of any version what a status tells.
func read(raw json.RawMessage) result {
	var told struct {
		Interfaces []link `json:"interfaces"`
		IPs        []struct {
			Interface *int   `json:"interface"`
			Address   string `json:"address"`
			Gateway   string `json:"gateway"`
		} `json:"ips"`
		Routes []route `json:"routes"`
		IP4    *family `json:"ip4"`
		IP6    *family `json:"ip6"`
		DNS    struct {
			Nameservers []string `json:"nameservers,omitempty"`
			Domain      string   `json:"domain,omitempty"`
			Search      []string `json:"search,omitempty"`
			Options     []string `json:"options,omitempty"`
		} `json:"dns"`
	}
	// A result was proven to be one when it came; what is not understood is left out.
	_ = json.Unmarshal(raw, &told)
	found := result{links: told.Interfaces, dns: object.Encode(told.DNS)}
	for _, old := range []*family{told.IP4, told.IP6} {
		if old != nil {
			found.add(old.IP, -1, old.Gateway)
			told.Routes = append(told.Routes, old.Routes...)
		}
	}
	for _, ip := range told.IPs {
		at := -1
		if ip.Interface != nil {
			at = *ip.Interface
		}
		found.add(ip.Address, at, ip.Gateway)
	}
	for _, route := range told.Routes {
		destination, err := netip.ParsePrefix(route.Dst)
		if err == nil && destination.Bits() == 0 && route.GW != "" && !slices.Contains(found.gateways, route.GW) {
			found.gateways = append(found.gateways, route.GW)
		}
	}
	return found
}

func (r *result) add(text string, at int, gateway string) {
	text, _, _ = strings.Cut(text, "/")
	if ip, err := netip.ParseAddr(text); err == nil {
		r.addresses = append(r.addresses, address{ip.Unmap().String(), at, gateway})
	}
}
