// Package selection reads the annotations with which a pod asks for networks.
//
// Both forms of the NPWG specification are understood, and Multus' additions to it. Where
// the specification says that a malformed annotation is ignored, it is refused here, with
// the place: a pod must not start without a network that somebody asked for. Nothing is
// looked up, so whether a network exists is not known here.
package selection

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"mooring.dev/mooring/plugin/internal/names"
	"mooring.dev/mooring/plugin/internal/object"
)

// The annotations' keys.
const (
	Networks       = "k8s.v1.cni.cncf.io/networks"
	DefaultNetwork = "v1.multus-cni.io/default-network"
)

// Element is one request for a network.
type Element struct {
	Namespace    string
	Name         string
	Interface    string          // empty: the plugin numbers it
	IPs          []string        // addresses, with or without prefix length
	MAC          string          // 6 bytes
	GUID         string          // 8 bytes
	PortMappings json.RawMessage // normalised array, nil where none are asked for
	Bandwidth    json.RawMessage // what was asked for and nothing else, or nil
	DeviceID     string
	CNIArgs      object.Object
	Gateways     []netip.Addr // of the default route
	HasGateways  bool         // the key is there: without addresses it means "no default route of mine"
	IPAMClaim    string
	Unknown      []string // keys without a dot that nobody defined: worth a line in the log
}

// String is namespace/name.
func (e Element) String() string { return e.Namespace + "/" + e.Name }

// Parse reads an annotation in either form. Blank means no networks. Requests without a
// namespace are for one in defaultNamespace. The error joins everything that is wrong.
func Parse(text, defaultNamespace string) ([]Element, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	var elements []Element
	var err error
	if strings.ContainsAny(text, `[{"`) {
		elements, err = parseJSON(text)
	} else {
		elements, err = parseText(text)
	}
	if err != nil {
		return nil, err
	}
	for i := range elements {
		if elements[i].Namespace == "" {
			elements[i].Namespace = defaultNamespace
		}
	}
	return elements, nil
}

// parseText reads [ns/]name[@interface], separated by commas.
func parseText(text string) ([]Element, error) {
	if at := strings.IndexFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' && r != '\r' }); at >= 0 {
		return nil, fmt.Errorf("a control character at position %d", at+1)
	}
	var elements []Element
	var problems []error
	position := 1
	for item := range strings.SplitSeq(text, ",") {
		element, err := parseItem(item)
		if err != nil {
			problems = append(problems, fmt.Errorf("network %d at position %d (%q): %w", len(elements)+len(problems)+1, position, strings.TrimSpace(item), err))
		} else {
			elements = append(elements, element)
		}
		position += len(item) + 1
	}
	return elements, few(problems)
}

// few joins the first problems and counts the rest: the text goes into logs and events, again
// at every try.
func few(problems []error) error {
	const most = 10
	if len(problems) <= most {
		return errors.Join(problems...)
	}
	return errors.Join(append(slices.Clone(problems[:most]), fmt.Errorf("and %d more", len(problems)-most))...)
}

func parseItem(item string) (Element, error) {
	element := Element{}
	rest := item
	if parts := strings.Split(rest, "/"); len(parts) == 2 {
		element.Namespace, rest = strings.TrimSpace(parts[0]), parts[1]
		if err := checkLabel("namespace", element.Namespace); err != nil {
			return element, err
		}
	} else if len(parts) > 2 {
		return element, errors.New("more than one '/'; expected [namespace/]name[@interface]")
	}
	if parts := strings.Split(rest, "@"); len(parts) == 2 {
		rest, element.Interface = parts[0], strings.TrimSpace(parts[1])
		if err := names.CheckInterface(element.Interface); err != nil {
			return element, err
		}
	} else if len(parts) > 2 {
		return element, errors.New("more than one '@'; expected [namespace/]name[@interface]")
	}
	element.Name = strings.TrimSpace(rest)
	return element, checkLabel("name", element.Name)
}

func checkLabel(what, text string) error {
	if text == "" {
		return fmt.Errorf("the %s is empty", what)
	}
	if !names.IsLabel(text) {
		return fmt.Errorf("%s %q is no DNS-1123 label (small letters, digits and '-', at most 63)", what, text)
	}
	return nil
}

func checkName(text string) error {
	if text == "" {
		return errors.New("missing: it names the network")
	}
	if !names.IsSubdomain(text) {
		return fmt.Errorf("%q is no DNS-1123 name (small letters, digits, '-' and '.')", text)
	}
	return nil
}

// reserved are the keys of an element that the specification or Multus defines.
var reserved = []string{
	"name", "namespace", "interface", "interfaceRequest", "ips", "mac", "infiniband-guid", "portMappings",
	"bandwidth", "deviceID", "cni-args", "default-route", "ipam-claim-reference",
}

func unknownKeys(raw object.Object) []string {
	var unknown []string
	for _, key := range raw.Keys() {
		if !strings.Contains(key, ".") && !slices.Contains(reserved, key) {
			unknown = append(unknown, key)
		}
	}
	return unknown
}
