package selection

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"mooring.dev/mooring/plugin/internal/names"
	"mooring.dev/mooring/plugin/internal/object"
)

func parseJSON(text string) ([]Element, error) {
	if err := object.Check([]byte(text)); err != nil {
		return nil, err
	}
	items, are := object.Items([]byte(text))
	if !are {
		return nil, fmt.Errorf("expected an array of objects, or a text like ns/name@interface, found %s", object.Kind(json.RawMessage(text)))
	}
	elements := make([]Element, 0, len(items))
	var problems []error
	for i, item := range items {
		element, errs := parseElement(item)
		for _, err := range errs {
			problems = append(problems, fmt.Errorf("[%d]%w", i, err))
		}
		elements = append(elements, element)
	}
	return elements, few(problems)
}

func parseElement(item json.RawMessage) (Element, []error) {
	element := Element{}
	raw, is := object.Members(item)
	if !is {
		return element, []error{fmt.Errorf(": expected an object, found %s", object.Kind(item))}
	}
	var problems []error
	read := func(key string, into func(json.RawMessage) error) {
		value, present := raw[key]
		if !present || object.Kind(value) == "null" {
			return
		}
		if err := into(value); err != nil {
			problems = append(problems, fmt.Errorf(".%s: %w", key, err))
		}
	}
	read("name", text(&element.Name))
	if err := checkName(element.Name); err != nil && len(problems) == 0 {
		problems = append(problems, fmt.Errorf(".name: %w", err))
	}
	read("namespace", func(value json.RawMessage) error {
		if err := text(&element.Namespace)(value); err != nil || element.Namespace == "" {
			return err
		}
		return checkLabel("namespace", element.Namespace)
	})
	problems = append(problems, parseInterface(raw, &element)...)
	read("ips", func(value json.RawMessage) (err error) { element.IPs, err = addresses(value); return })
	read("mac", func(value json.RawMessage) (err error) { element.MAC, err = hardware(value, 6); return })
	read("infiniband-guid", func(value json.RawMessage) (err error) { element.GUID, err = hardware(value, 8); return })
	read("portMappings", func(value json.RawMessage) (err error) { element.PortMappings, err = portMappings(value); return })
	read("bandwidth", func(value json.RawMessage) (err error) { element.Bandwidth, err = bandwidth(value); return })
	read("deviceID", text(&element.DeviceID))
	read("cni-args", func(value json.RawMessage) (err error) { element.CNIArgs, err = object.Parse(value); return })
	read("default-route", func(value json.RawMessage) (err error) {
		element.HasGateways = true
		element.Gateways, err = gateways(value)
		return
	})
	read("ipam-claim-reference", text(&element.IPAMClaim))
	if element.IPAMClaim != "" && len(element.IPs) > 0 {
		problems = append(problems, errors.New(".ips: not together with ipam-claim-reference, which brings the addresses"))
	}
	element.Unknown = unknownKeys(raw)
	return element, problems
}

func parseInterface(raw object.Object, element *Element) []error {
	var found []string
	for _, key := range []string{"interface", "interfaceRequest"} {
		name, err := raw.String(key)
		if err != nil {
			return []error{fmt.Errorf(".%s: %w", key, err)}
		}
		if name == "" {
			continue
		}
		if err := names.CheckInterface(name); err != nil {
			return []error{fmt.Errorf(".%s: %w", key, err)}
		}
		found = append(found, name)
	}
	if len(found) == 2 && found[0] != found[1] {
		return []error{fmt.Errorf(".interfaceRequest: %q contradicts interface %q; it is the old name of that key", found[1], found[0])}
	}
	if len(found) > 0 {
		element.Interface = found[0]
	}
	return nil
}

func text(into *string) func(json.RawMessage) error {
	return func(value json.RawMessage) (err error) {
		*into, err = object.String(value)
		return err
	}
}

func stringList(value json.RawMessage) ([]string, error) {
	items, are := object.Texts(value)
	if !are {
		return nil, fmt.Errorf("expected an array of strings, found %s", object.Kind(value))
	}
	return items, nil
}

func addresses(value json.RawMessage) ([]string, error) {
	items, err := stringList(value)
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return nil, errors.New("the list is empty: leave the key out, or name an address")
	}
	for i, item := range items {
		_, addressErr := netip.ParseAddr(item)
		if _, prefixErr := netip.ParsePrefix(item); addressErr != nil && prefixErr != nil {
			return nil, fmt.Errorf("entry %d: %q is no IP address, with or without /length", i, item)
		}
	}
	return items, nil
}

func hardware(value json.RawMessage, size int) (string, error) {
	var address string
	if err := text(&address)(value); err != nil || address == "" {
		return "", err
	}
	parsed, err := net.ParseMAC(address)
	if err != nil || len(parsed) != size {
		return "", fmt.Errorf("%q is no hardware address of %d bytes", address, size)
	}
	return address, nil
}

func gateways(value json.RawMessage) ([]netip.Addr, error) {
	items, err := stringList(value)
	if err != nil {
		return nil, err
	}
	parsed := make([]netip.Addr, 0, len(items))
	for i, item := range items {
		address, err := netip.ParseAddr(item)
		if err != nil || address.Zone() != "" || address.IsUnspecified() {
			return nil, fmt.Errorf("entry %d: %q is no address of a gateway", i, item)
		}
		parsed = append(parsed, address.Unmap())
	}
	return parsed, nil
}

type portMapping struct {
	HostPort      int    `json:"hostPort"`
	ContainerPort int    `json:"containerPort"`
	Protocol      string `json:"protocol"`
	HostIP        string `json:"hostIP,omitempty"`
}

func portMappings(value json.RawMessage) (json.RawMessage, error) {
	var items []json.RawMessage
	if json.Unmarshal(value, &items) != nil {
		return nil, fmt.Errorf("expected an array, found %s", object.Kind(value))
	}
	if len(items) == 0 {
		return nil, nil
	}
	mappings := make([]portMapping, 0, len(items))
	for i, item := range items {
		mapping := portMapping{}
		if err := json.Unmarshal(item, &mapping); err != nil {
			return nil, fmt.Errorf("entry %d: expected hostPort and containerPort as numbers, protocol and hostIP as strings", i)
		}
		for _, port := range []struct {
			key    string
			number int
		}{{"hostPort", mapping.HostPort}, {"containerPort", mapping.ContainerPort}} {
			if port.number < 1 || port.number > 65535 {
				return nil, fmt.Errorf("entry %d: %s is %d; it is required and between 1 and 65535", i, port.key, port.number)
			}
		}
		mapping.Protocol = strings.ToLower(mapping.Protocol)
		switch mapping.Protocol {
		case "":
			mapping.Protocol = "tcp"
		case "tcp", "udp", "sctp":
		default:
			return nil, fmt.Errorf("entry %d: protocol %q is none of TCP, UDP, SCTP", i, mapping.Protocol)
		}
		if mapping.HostIP != "" {
			if _, err := netip.ParseAddr(mapping.HostIP); err != nil {
				return nil, fmt.Errorf("entry %d: hostIP %q is no IP address", i, mapping.HostIP)
			}
		}
		mappings = append(mappings, mapping)
	}
	return object.Encode(mappings), nil
}

func bandwidth(value json.RawMessage) (json.RawMessage, error) {
	raw, err := object.Parse(value)
	if err != nil {
		return nil, err
	}
	asked := object.Object{}
	for _, key := range []string{"ingressRate", "ingressBurst", "egressRate", "egressBurst"} {
		number, present := raw[key]
		if !present {
			continue
		}
		var amount uint64
		if json.Unmarshal(number, &amount) != nil || amount == 0 {
			return nil, fmt.Errorf("%s: expected a positive integer, found %s", key, number)
		}
		asked[key] = number
	}
	for _, direction := range []string{"ingress", "egress"} {
		_, burst := asked[direction+"Burst"]
		_, rate := asked[direction+"Rate"]
		if burst && !rate {
			return nil, fmt.Errorf("%sBurst needs %sRate", direction, direction)
		}
	}
	if len(asked) == 0 {
		return nil, nil
	}
	return asked.Bytes(), nil
}
