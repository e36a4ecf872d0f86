package selection

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"mooring.dev/mooring/plugin/internal/names"
	"mooring.dev/mooring/plugin/internal/object"
)

func parseJSON(text string) ([]Element, error) {
	value := json.RawMessage(text)
	if err := object.Check(value); err != nil {
		return nil, err
	}
	items, are := object.Items(value)
	if !are {
		return nil, fmt.Errorf("expected an array of objects, or a text like ns/name@interface, found %s", object.Kind(value))
	}
	if len(items) > maxElements {
		return nil, tooMany(len(items))
	}
	elements := make([]Element, 0, len(items))
	var wrong problems
	for i, item := range items {
		elements = append(elements, parseElement(item, func(err error) { wrong.add(fmt.Errorf("[%d]%w", i, err)) }))
	}
	return elements, wrong.err()
}

// keys are those of an element that the specification or Multus defines.
var keys = []string{
	"name", "namespace", "interface", "interfaceRequest", "ips", "mac", "infiniband-guid", "portMappings",
	"bandwidth", "deviceID", "cni-args", "default-route", "ipam-claim-reference",
}

// defined returns the key that is meant, in any case, as Go's decoder reads it into the structures
// of Multus; empty where it is none of them.
func defined(key string, among []string) string {
	if slices.Contains(among, key) {
		return key
	}
	for _, candidate := range among {
		if strings.EqualFold(candidate, key) {
			return candidate
		}
	}
	return ""
}

// parseElement reads one object. Of a key that is there more than once, in whatever case, the last
// value counts, and all must be right.
func parseElement(item json.RawMessage, report func(error)) Element {
	element := Element{}
	former, clean := "", true
	is := object.Each(item, func(written string, value json.RawMessage) {
		key := defined(written, keys)
		if key == "" {
			element.unknown(written)
			return
		}
		if err := element.set(key, value, &former); err != nil {
			report(fmt.Errorf(".%s: %w", written, err))
			clean = clean && key != "name"
		}
	})
	if !is {
		report(fmt.Errorf(": expected an object, found %s", object.Kind(item)))
		return element
	}
	if element.Name == "" && clean {
		report(fmt.Errorf(".name: %w", checkName("")))
	}
	switch {
	case element.Interface == "":
		element.Interface = former
	case former != "" && former != element.Interface:
		report(fmt.Errorf(".interfaceRequest: %q contradicts interface %q; it is the old name of that key", former, element.Interface))
	}
	if element.IPAMClaim != "" && len(element.IPs) > 0 {
		report(errors.New(".ips: not together with ipam-claim-reference, which brings the addresses"))
	}
	return element
}

// set takes the value of one key; former is where that of interfaceRequest goes.
func (e *Element) set(key string, value json.RawMessage, former *string) (err error) {
	if object.Kind(value) == "null" {
		e.unset(key)
		return nil
	}
	switch key {
	case "name":
		return readString(value, &e.Name, checkName)
	case "namespace":
		return readString(value, &e.Namespace, checkNamespace)
	case "interface":
		return readString(value, &e.Interface, names.CheckInterface)
	case "interfaceRequest":
		return readString(value, former, names.CheckInterface)
	case "ips":
		e.IPs, err = addresses(value)
	case "mac":
		e.MAC, err = hardware(value, 6)
	case "infiniband-guid":
		e.GUID, err = hardware(value, 8)
	case "portMappings":
		e.PortMappings, err = portMappings(value)
	case "bandwidth":
		e.Bandwidth, err = bandwidth(value)
	case "deviceID":
		return readString(value, &e.DeviceID, nil)
	case "cni-args":
		e.CNIArgs, err = object.Parse(value)
	case "default-route":
		e.HasGateways = true
		e.Gateways, err = gateways(value)
	case "ipam-claim-reference":
		return readString(value, &e.IPAMClaim, nil)
	}
	return err
}

// unset is what null does in Go's decoder: a list or an object goes, a text stays what it was.
func (e *Element) unset(key string) {
	switch key {
	case "ips":
		e.IPs = nil
	case "portMappings":
		e.PortMappings = nil
	case "bandwidth":
		e.Bandwidth = nil
	case "cni-args":
		e.CNIArgs = nil
	case "default-route":
		e.HasGateways, e.Gateways = false, nil
	}
}

// unknown notes a key that nobody reads. Those with a dot belong to somebody else.
func (e *Element) unknown(key string) {
	if key = names.Cut(key); !strings.Contains(key, ".") && len(e.Unknown) < maxProblems && !slices.Contains(e.Unknown, key) {
		e.Unknown = append(e.Unknown, key)
	}
}

// readString reads a string; the empty one is as good as none and is not checked.
func readString(value json.RawMessage, into *string, check func(string) error) (err error) {
	if *into, err = object.String(value); err == nil && *into != "" && check != nil {
		err = check(*into)
	}
	return err
}
