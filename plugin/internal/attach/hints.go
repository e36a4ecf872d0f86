package attach

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/containernetworking/cni/pkg/types"

	"mooring.dev/mooring/plugin/internal/cnierror"
	"mooring.dev/mooring/plugin/internal/netconf"
	"mooring.dev/mooring/plugin/internal/object"
	"mooring.dev/mooring/plugin/internal/selection"
)

// explainFailure adds to the failure of an ADD what the plugin did not know or did not say: the
// interface, range and address that it worked with, the node, and what can be done. Whoever reads
// the pod's event has nothing else.
func explainFailure(err error, plan *planned) error {
	failed := cnierror.From(err)
	node, hostErr := os.Hostname()
	if hostErr != nil {
		node = "unknown"
	}
	text := failed.Msg + "; " + strings.Join(append(failureFacts(plan.conf, plan.request), "node "+node), ", ")
	if remedy := remedyFor(failed.Msg + " " + failed.Details); remedy != "" {
		text += ": " + remedy
	}
	return types.NewError(failed.Code, text, failed.Details)
}

// failureFacts are those of an attachment that failures are about.
func failureFacts(network *netconf.Conf, request selection.Element) []string {
	var interfaces, ranges []string
	for _, plugin := range network.Plugins {
		entry := plugin.Entry()
		for _, key := range []string{"master", "device", "hwaddr", "kernelpath", "pciBusID", "bridge"} {
			if value, err := entry.String(key); err == nil && value != "" {
				interfaces = append(interfaces, fmt.Sprintf("%s %.100q", key, value))
			}
		}
		ranges = append(ranges, rangesOf(entry)...)
	}
	var held []string
	if len(interfaces) > 0 {
		held = append(held, cnierror.FirstOf(interfaces))
	}
	if len(ranges) > 0 {
		held = append(held, "range "+cnierror.FirstOf(ranges))
	}
	if len(request.IPs) > 0 {
		held = append(held, "asked address "+cnierror.FirstOf(request.IPs))
	}
	if request.MAC != "" {
		held = append(held, "asked MAC "+request.MAC)
	}
	return held
}

// rangesOf reads the addresses that a plugin's IPAM may give: host-local's, whereabouts' and static's.
func rangesOf(entry object.Object) []string {
	members, _ := object.Members(entry["ipam"])
	ipam := object.Reader{Members: members}
	sets := []json.RawMessage{object.Object(members).Bytes()}
	for _, set := range ipam.Items("ranges") {
		items, _ := object.Items(set)
		sets = append(sets, items...)
	}
	sets = append(sets, ipam.Items("addresses")...)
	var found []string
	for _, set := range sets {
		members, _ := object.Members(set)
		r := object.Reader{Members: members}
		for _, key := range []string{"subnet", "range", "address"} {
			text := r.Text(key)
			if text == "" {
				continue
			}
			if start, end := r.Text("rangeStart"), r.Text("rangeEnd"); key == "subnet" && start+end != "" {
				text = fmt.Sprintf("%s (%s-%s)", text, start, end)
			}
			found = append(found, fmt.Sprintf("%.100s", text))
		}
	}
	return found
}

// remedyFor is what can be done about a failure, empty where its words are not known: those of
// the reference plugins, of whereabouts, and ours.
func remedyFor(failure string) string {
	failure = strings.ToLower(failure)
	for _, known := range []struct{ words, remedy string }{
		{"is in none of the folders", "install that plugin on the node, or correct the type in the network's configuration"},
		{"failed to allocate all requested ips", "an asked address is taken or outside of the range; ask for a free one of the range"},
		{"no ip addresses available", "all addresses of the range are taken on the node; enlarge the range, or delete pods that hold addresses of it"},
		{"could not allocate ip in range", "all addresses of the range are taken; enlarge the range, or delete pods that hold addresses of it"},
		{"default-route: ", "the gateway must be in the subnet of an address that the network gives the pod; correct default-route or the network"},
		{"link not found", "the node has no such interface; correct the name in the network's configuration, or keep the pod off nodes without it"},
		{"failed to find plugin", "install that plugin on the node, or correct the type in the network's configuration"},
		{"failed to find host device", "the node has no such interface, or it is in another pod; correct the name in the network's configuration, or keep the pod off nodes without it"},
		{"/sys/bus/pci/devices/", "the node has no such device, or it is in another pod; correct it in the network's configuration, or keep the pod off nodes without it"},
	} {
		if strings.Contains(failure, known.words) {
			return known.remedy
		}
	}
	return ""
}
