package attach

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/containernetworking/cni/pkg/types"

	"mooring.dev/mooring/plugin/internal/cnierror"
	"mooring.dev/mooring/plugin/internal/devices"
	"mooring.dev/mooring/plugin/internal/journal"
	"mooring.dev/mooring/plugin/internal/netconf"
	"mooring.dev/mooring/plugin/internal/networks"
	"mooring.dev/mooring/plugin/internal/object"
	"mooring.dev/mooring/plugin/internal/podinfo"
	"mooring.dev/mooring/plugin/internal/selection"
)

// planned is one attachment before it is executed.
type planned struct {
	network  string // ns/name of the NAD, or the conf's name
	nad      bool
	conf     *netconf.Conf // shared with other attachments of the same network
	resource string
	request  selection.Element
	ifName   string
	args     [][2]string
	given    object.Object
	byArgs   addressRequest  // what of the request is in args and must be verified
	device   string          // of the resource, empty where the network names none
	previous json.RawMessage // what the first plugin is told came before it
}

// asked says whether the pod itself names the network.
func (p *planned) asked() bool { return p.request.Name != "" }

// plan decides everything that can be decided before the first delegate runs: which networks
// in which order, under which interface names, with which arguments.
func (s *Session) plan(ctx context.Context, identity *podinfo.Identity) ([]planned, error) {
	annotations, err := s.annotations(ctx, identity)
	if err != nil {
		return nil, err
	}
	asked, err := s.requests(identity.Pod, annotations)
	if err != nil {
		return nil, err
	}
	plans, err := s.resolveAll(ctx, identity.Pod, asked)
	if err != nil {
		return nil, err
	}
	if chain := s.auxiliary(); chain != nil {
		plans = append(plans, *chain)
	}
	if err := s.assignDevices(ctx, plans, identity.Pod); err != nil {
		return nil, err
	}
	if err := s.complete(plans, identity); err != nil {
		return nil, err
	}
	return plans, nil
}

// requests is what a pod's annotations ask for.
type requests struct {
	defaultNetwork *selection.Element // nil: that of the configuration
	networks       []selection.Element
}

// requests reads and judges the annotations before anything is looked up.
func (s *Session) requests(pod journal.Pod, annotations map[string]string) (requests, error) {
	var asked requests
	var err error
	if asked.defaultNetwork, err = s.requestedDefault(pod, annotations[selection.DefaultNetwork]); err != nil {
		return requests{}, err
	}
	text := annotations[selection.Networks]
	if err := checkNetworkCount(selection.Networks, text, s.Config.MaxNetworks); err != nil {
		return requests{}, err
	}
	if asked.networks, err = selection.Parse(text, pod.Namespace); err != nil {
		return requests{}, cnierror.New(types.ErrInvalidNetworkConfig, "annotation %s: %s", selection.Networks, networks.OneLine(err))
	}
	for _, element := range asked.networks {
		if err := s.permit(pod, element); err != nil {
			return requests{}, err
		}
	}
	return asked, nil
}

// requestedDefault reads the annotation that replaces the default network; nil where there is
// none. It obeys namespaceIsolation, the implicit namespace too: whoever may ask for a network
// may not gain another one by the annotation that he asks with. As multus we keep the manners
// of Multus, which lets it pass.
func (s *Session) requestedDefault(pod journal.Pod, text string) (*selection.Element, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	if count, several := selection.Exceeds(text, 1); several {
		return nil, cnierror.New(types.ErrInvalidNetworkConfig, "annotation %s: expected one network, found %d; there is one default network", selection.DefaultNetwork, count)
	}
	elements, err := selection.Parse(text, s.Config.MultusNamespace)
	if err != nil {
		return nil, cnierror.New(types.ErrInvalidNetworkConfig, "annotation %s: %s", selection.DefaultNetwork, networks.OneLine(err))
	}
	if len(elements) == 0 {
		return nil, cnierror.New(types.ErrInvalidNetworkConfig, "annotation %s: expected one network, found none", selection.DefaultNetwork)
	}
	if !s.Config.CalledMultus {
		if err := s.permit(pod, elements[0]); err != nil {
			return nil, cnierror.Prefix(err, "annotation %s", selection.DefaultNetwork)
		}
	}
	return &elements[0], nil
}

// permit enforces namespaceIsolation.
func (s *Session) permit(pod journal.Pod, element selection.Element) error {
	if len(element.Unknown) > 0 {
		s.Log.Warnf("request for network %s: unknown keys %v are ignored", element, element.Unknown)
	}
	if !s.Config.NamespaceIsolation || element.Namespace == pod.Namespace || slices.Contains(s.Config.GlobalNamespaces, element.Namespace) {
		return nil
	}
	return cnierror.New(types.ErrInvalidNetworkConfig, "namespace isolation: a pod in namespace %q may not use network %q of namespace %q (global namespaces: %v); ask for one of its own, or let the administrator add %q to globalNamespaces", pod.Namespace, element.Name, element.Namespace, s.Config.GlobalNamespaces, element.Namespace)
}

// complete names interfaces, checks every network against the plugins that are there, and
// builds what each is given.
func (s *Session) complete(plans []planned, identity *podinfo.Identity) error {
	if err := assignInterfaces(plans, s.Call.IfName); err != nil {
		return err
	}
	if err := oneGatewayPerFamily(plans); err != nil {
		return err
	}
	for i := range plans {
		plan := &plans[i]
		if err := s.Runner.Check(plan.conf); err != nil {
			if remedyFor(err.Error()) != "" {
				err = explainFailure(err, plan)
			}
			return cnierror.Prefix(err, "network %s", plan.network)
		}
		if err := s.buildArguments(plan, i == 0, identity); err != nil {
			return cnierror.Prefix(err, "network %s", plan.network)
		}
		s.Log.Debug("planned", "network", plan.network, "interface", plan.ifName, "plugins", plan.conf.Types(), "device", plan.device)
	}
	return nil
}

// assignInterfaces gives every attachment its interface: the requested one, else net<index> where index
// counts all attachments, passing over names that somebody asked for.
func assignInterfaces(plans []planned, defaultName string) error {
	taken := map[string]string{}
	for i := range plans {
		asked := plans[i].request.Interface
		if i == 0 && asked == "" {
			asked = defaultName
		}
		if asked == "" {
			continue
		}
		if other, twice := taken[asked]; twice {
			return cnierror.New(types.ErrInvalidNetworkConfig, "interface %q is asked for twice, by networks %s and %s; give each an interface of its own", asked, other, plans[i].network)
		}
		taken[asked], plans[i].ifName = plans[i].network, asked
	}
	for i := range plans {
		if plans[i].ifName != "" {
			continue
		}
		number := i
		for taken[fmt.Sprintf("net%d", number)] != "" {
			number++
		}
		plans[i].ifName = fmt.Sprintf("net%d", number)
		taken[plans[i].ifName] = plans[i].network
	}
	return nil
}

// oneGatewayPerFamily refuses two gateways of the default route: it can go one way only.
func oneGatewayPerFamily(plans []planned) error {
	owners := map[bool]netip.Addr{}
	for _, plan := range plans {
		for _, gateway := range plan.request.Gateways {
			if other, twice := owners[gateway.Is4()]; twice {
				return cnierror.New(types.ErrInvalidNetworkConfig, "default-route: gateways %s and %s of one family; a pod has one default route for IPv4 and one for IPv6", other, gateway)
			}
			owners[gateway.Is4()] = gateway
		}
	}
	return nil
}

// buildArguments builds the capability arguments and CNI_ARGS of one attachment. What the runtime gave
// is for the default network alone.
func (s *Session) buildArguments(plan *planned, isDefault bool, identity *podinfo.Identity) error {
	plan.given = object.Object{}
	plan.args = slices.Clone(identity.Args)
	if isDefault {
		for key, value := range s.Config.RuntimeConfig {
			plan.given[key] = value
		}
	}
	request := plan.request
	strict, relaxed := false, false
	if said := s.Config.RequireCapabilities; said != nil {
		strict, relaxed = *said, !*said
	}
	var legacy [][2]string
	for _, wish := range []struct {
		capability, legacy, argument string
		value                        any
		wanted                       bool
	}{
		{"ips", "IP", joined(request.IPs), request.IPs, len(request.IPs) > 0},
		{"mac", "MAC", request.MAC, request.MAC, request.MAC != ""},
		{"infinibandGUID", "", "", request.GUID, request.GUID != ""},
		{"portMappings", "", "", request.PortMappings, request.PortMappings != nil},
		{"bandwidth", "", "", request.Bandwidth, request.Bandwidth != nil},
	} {
		switch {
		case !wish.wanted:
		case plan.conf.Offers(wish.capability):
			plan.given[wish.capability] = object.Encode(wish.value)
		case wish.legacy != "" && !strict && len(wish.argument) > maxArgumentBytes:
			return cnierror.New(types.ErrInvalidNetworkConfig, "the pod asks for %s of %d bytes; without the capability %q they go into CNI_ARGS, which holds at most %d", wish.capability, len(wish.argument), wish.capability, maxArgumentBytes)
		case relaxed, wish.legacy != "" && !strict:
			if wish.legacy != "" {
				legacy = append(legacy, [2]string{wish.legacy, wish.argument})
			}
			if relaxed {
				s.Log.Warnf("network %s: the pod asks for %s, but no plugin declares that capability", plan.network, wish.capability)
			}
		default:
			return cnierror.New(types.ErrInvalidNetworkConfig, "the pod asks for %s, but no plugin of the network declares the capability %q; add it to a plugin that has it, or do not ask", wish.capability, wish.capability)
		}
	}
	if !relaxed && !plan.conf.Offers("ips") {
		plan.byArgs.ips = request.IPs
	}
	if !relaxed && !plan.conf.Offers("mac") {
		plan.byArgs.mac = request.MAC
	}
	for _, pair := range legacy {
		var err error
		if plan.args, err = podinfo.AddArgument(plan.args, pair[0], pair[1]); err != nil {
			return err
		}
	}
	if request.DeviceID != "" && plan.device == "" {
		plan.given["deviceID"] = object.Encode(request.DeviceID)
	}
	if plan.device != "" {
		plan.given["deviceID"] = object.Encode(plan.device)
	}
	if _, given := plan.given[devices.InfoCapability]; !given && (plan.device != "" || plan.conf.Offers(devices.InfoCapability)) {
		plan.given[devices.InfoCapability] = object.Encode(devices.InfoPath(plan.network, s.Call.ContainerID, plan.ifName))
	}
	if request.IPAMClaim != "" {
		plan.given["ipam-claim-reference"] = object.Encode(request.IPAMClaim)
	}
	return nil
}

func (p *planned) attachment(index int) journal.Attachment {
	var gateways *[]string
	if p.request.HasGateways {
		asked := make([]string, 0, len(p.request.Gateways))
		for _, gateway := range p.request.Gateways {
			asked = append(asked, gateway.String())
		}
		gateways = &asked
	}
	return journal.Attachment{
		DefaultRoute: gateways, Index: index, Network: p.network, NAD: p.nad, Default: index == 0, IfName: p.ifName,
		Conf: p.conf.Bytes(), CapabilityArgs: p.given, Args: p.args,
	}
}

func joined(items []string) string { return strings.Join(items, ",") }
