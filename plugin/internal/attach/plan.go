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
	conf     *netconf.Conf
	resource string
	request  selection.Element
	ifName   string
	args     [][2]string
	given    object.Object
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
	plans, err := s.defaultNetworks(ctx, identity.Pod, annotations)
	if err != nil {
		return nil, err
	}
	requested, err := s.requested(ctx, identity.Pod, annotations[selection.Networks])
	if err != nil {
		return nil, err
	}
	plans = append(plans, requested...)
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

// requested resolves the networks annotation.
func (s *Session) requested(ctx context.Context, pod journal.Pod, text string) ([]planned, error) {
	elements, err := selection.Parse(text, pod.Namespace)
	if err != nil {
		return nil, cnierror.New(types.ErrInvalidNetworkConfig, "annotation %s: %s", selection.Networks, networks.OneLine(err))
	}
	for _, element := range elements {
		if err := s.permit(pod, element); err != nil {
			return nil, err
		}
	}
	plans := make([]planned, 0, len(elements))
	for _, element := range elements {
		plan, err := s.resolve(ctx, element)
		if err != nil {
			return nil, err
		}
		plans = append(plans, plan)
	}
	return plans, nil
}

// permit enforces namespaceIsolation.
func (s *Session) permit(pod journal.Pod, element selection.Element) error {
	if len(element.Unknown) > 0 {
		s.Log.Warnf("request for network %s: unknown keys %v are ignored", element, element.Unknown)
	}
	if !s.Conf.NamespaceIsolation || element.Namespace == pod.Namespace || slices.Contains(s.Conf.GlobalNamespaces, element.Namespace) {
		return nil
	}
	return cnierror.New(types.ErrInvalidNetworkConfig, "namespace isolation: a pod in namespace %q may not use network %q of namespace %q (global namespaces: %v)", pod.Namespace, element.Name, element.Namespace, s.Conf.GlobalNamespaces)
}

// resolve finds the network that an element asks for.
func (s *Session) resolve(ctx context.Context, element selection.Element) (planned, error) {
	definition, err := s.Finder.Definition(ctx, element.Namespace, element.Name)
	if err != nil {
		return planned{}, s.unresolved(ctx, element, err)
	}
	conf, err := s.Finder.Conf(definition)
	if err != nil {
		return planned{}, err
	}
	conf, err = conf.WithDefaults(element.Name, s.Call.CNIVersion).WithArgs(element.CNIArgs, "spec.config")
	if err != nil {
		return planned{}, cnierror.New(types.ErrInvalidNetworkConfig, "network %s: cni-args cannot be merged: %v", element, err)
	}
	return planned{network: element.String(), nad: true, conf: conf, resource: definition.ResourceName, request: element}, nil
}

// complete names interfaces, checks every network against the plugins that are there, and
// builds what each is given.
func (s *Session) complete(plans []planned, identity *podinfo.Identity) error {
	if err := name(plans, s.Call.IfName); err != nil {
		return err
	}
	if err := oneGatewayPerFamily(plans); err != nil {
		return err
	}
	for i := range plans {
		plan := &plans[i]
		if err := s.Runner.Check(plan.conf); err != nil {
			return cnierror.Prefix(err, "network %s", plan.network)
		}
		if err := s.equip(plan, i == 0, identity); err != nil {
			return cnierror.Prefix(err, "network %s", plan.network)
		}
		s.Log.Debug("planned", "network", plan.network, "interface", plan.ifName, "plugins", plan.conf.Types(), "device", plan.device)
	}
	return nil
}

// name gives every attachment its interface: the requested one, else net<index> where index
// counts all attachments, passing over names that somebody asked for.
func name(plans []planned, defaultName string) error {
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
			return cnierror.New(types.ErrInvalidNetworkConfig, "interface %q is asked for twice, by networks %s and %s", asked, other, plans[i].network)
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

// equip builds the capability arguments and CNI_ARGS of one attachment. What the runtime gave
// is for the default network alone.
func (s *Session) equip(plan *planned, isDefault bool, identity *podinfo.Identity) error {
	plan.given = object.Object{}
	plan.args = slices.Clone(identity.Args)
	if isDefault {
		for key, value := range s.Conf.RuntimeConfig {
			plan.given[key] = value
		}
	}
	request := plan.request
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
		case s.Conf.RequireCapabilities:
			return cnierror.New(types.ErrInvalidNetworkConfig, "the pod asks for %s, but no plugin of the network declares the capability %q; add it to the network, or set requireCapabilities to false", wish.capability, wish.capability)
		default:
			s.Log.Warnf("network %s: the pod asks for %s, but no plugin declares that capability", plan.network, wish.capability)
			if wish.legacy != "" {
				legacy = append(legacy, [2]string{wish.legacy, wish.argument})
			}
		}
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
