package attach

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/vishvananda/netlink"

	"mooring.dev/mooring/plugin/internal/cnierror"
	"mooring.dev/mooring/plugin/internal/object"
)

// addressRequest is what a pod asks for of a network that does not declare the capability for
// it. It is handed over in CNI_ARGS, which a plugin is free to ignore.
type addressRequest struct {
	ips []string // with or without prefix length
	mac string
}

// addresses are what an attachment has come to.
type addresses struct {
	ips []netip.Addr
	mac string
}

// verify proves that a network gave what it was asked for in CNI_ARGS. The result counts; where
// it tells of no addresses or of no MAC, the interface in the pod does.
func (w *work) verify(plan *planned, result json.RawMessage) error {
	asked := plan.byArgs
	if len(asked.ips) == 0 && asked.mac == "" {
		return nil
	}
	got := addressesInResult(result, plan.ifName)
	if len(asked.ips) > 0 && len(got.ips) == 0 || asked.mac != "" && got.mac == "" {
		inside, err := w.addressesInSandbox(plan.ifName)
		if err != nil {
			return err
		}
		if len(got.ips) == 0 {
			got.ips = inside.ips
		}
		if got.mac == "" {
			got.mac = inside.mac
		}
	}
	return checkAddresses(asked, got)
}

// checkAddresses compares what was asked for with what came, both by their values, not by their spelling.
func checkAddresses(asked addressRequest, got addresses) error {
	var problems []string
	for _, text := range asked.ips {
		if address, is := addressOf(text); !is || !slices.Contains(got.ips, address) {
			problems = append(problems, fmt.Sprintf("address %s, and got %s; it is handed over as IP in CNI_ARGS, because no plugin of the network declares the capability %q, and was not honoured", text, spelled(got.ips), "ips"))
		}
	}
	if asked.mac != "" && !sameMAC(asked.mac, got.mac) {
		came := got.mac
		if came == "" {
			came = "none"
		}
		problems = append(problems, fmt.Sprintf("MAC %s, and got %s; it is handed over as MAC in CNI_ARGS, because no plugin of the network declares the capability %q, and was not honoured", asked.mac, came, "mac"))
	}
	if len(problems) == 0 {
		return nil
	}
	return cnierror.New(types.ErrInvalidNetworkConfig, "the pod asks for %s; add the capability to a plugin that has it, or do not ask", strings.Join(problems, ", for "))
}

// addressesInResult reads a result of any version: all its addresses, and the MAC of the interface.
func addressesInResult(result json.RawMessage, ifName string) addresses {
	members, _ := object.Members(result)
	r := object.Reader{Members: members}
	var got addresses
	for _, old := range []string{"ip4", "ip6"} {
		got.add(r.Object(old), "ip")
	}
	for _, item := range r.Items("ips") {
		address, _ := object.Members(item)
		got.add(address, "address")
	}
	for _, item := range r.Items("interfaces") {
		members, _ := object.Members(item)
		link := object.Reader{Members: members}
		if link.Text("name") == ifName && link.Text("sandbox") != "" {
			got.mac = link.Text("mac")
		}
	}
	return got
}

func (a *addresses) add(holder object.Object, key string) {
	text, err := holder.String(key)
	if err != nil {
		return // it tells of no address
	}
	if address, is := addressOf(text); is {
		a.ips = append(a.ips, address)
	}
}

// addressesInSandbox looks at the interface in the pod.
func (w *work) addressesInSandbox(ifName string) (addresses, error) {
	links, err := w.inside.Links()
	if err != nil {
		return addresses{}, cnierror.New(types.ErrInternal, "looking at interface %q: %v", ifName, err)
	}
	link, err := links.LinkByName(ifName)
	if err != nil {
		return addresses{}, cnierror.New(types.ErrInternal, "the result tells of no address, and interface %q cannot be looked at: %v", ifName, err)
	}
	inPod, err := links.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return addresses{}, cnierror.New(types.ErrInternal, "the addresses of interface %q: %v", ifName, err)
	}
	got := addresses{mac: link.Attrs().HardwareAddr.String()}
	for _, address := range inPod {
		if ip, is := netip.AddrFromSlice(address.IP); is {
			got.ips = append(got.ips, ip.Unmap())
		}
	}
	return got, nil
}

// addressOf reads an address with or without prefix length.
func addressOf(text string) (netip.Addr, bool) {
	text, _, _ = strings.Cut(text, "/")
	address, err := netip.ParseAddr(text)
	return address.Unmap(), err == nil
}

func sameMAC(asked, got string) bool {
	first, err := net.ParseMAC(asked)
	if err != nil {
		return false
	}
	second, err := net.ParseMAC(got)
	return err == nil && slices.Equal(first, second)
}

func spelled(ips []netip.Addr) string {
	if len(ips) == 0 {
		return "none"
	}
	texts := make([]string, 0, len(ips))
	for _, address := range ips {
		texts = append(texts, address.String())
	}
	return cnierror.FirstOf(texts)
}
