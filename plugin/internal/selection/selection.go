// Package selection reads the annotations with which a pod asks for networks.
//
// Both forms of the NPWG specification are understood, and Multus' additions to it. Where
// the specification says that a malformed annotation is ignored, it is refused here, with
// the place: a pod must not start without a network that somebody asked for. Nothing is
// looked up, so whether a network exists is not known here.
//
// operator/mooring/networks reads the same grammar; plugin/contract/examples/selection.json holds
// both to it.
package selection

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"mooring.dev/mooring/plugin/internal/names"
	"mooring.dev/mooring/plugin/internal/object"
)

// The annotations' keys.
const (
	Networks       = "k8s.v1.cni.cncf.io/networks"
	DefaultNetwork = "v1.multus-cni.io/default-network"
)

// maxElements bounds what an annotation makes of the process' memory, before anybody counts the
// networks of the pod: 256 KiB of text hold a hundred thousand requests.
const maxElements = 1024

// Element is one request for a network.
type Element struct {
	Namespace    string
	Name         string
	Interface    string          // empty: the plugin numbers it
	IPs          []string        // addresses without zones, with or without prefix length
	MAC          string          // 6 bytes, small letters and colons, however it was written
	GUID         string          // 8 bytes, likewise
	PortMappings json.RawMessage // normalised array, nil where none are asked for
	Bandwidth    json.RawMessage // what was asked for and nothing else, or nil
	DeviceID     string
	CNIArgs      object.Object
	Gateways     []netip.Addr // of the default route
	HasGateways  bool         // the key is there: without addresses it means "no default route of mine"
	IPAMClaim    string
	Unknown      []string // keys without a dot that nobody defined, the first of them: worth a line in the log
}

// String is namespace/name.
func (e Element) String() string { return e.Namespace + "/" + e.Name }

// Parse reads an annotation in either form. Blank means no networks. Requests without a
// namespace are for one in defaultNamespace. The error tells the first things that are wrong
// and counts the rest.
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
		return nil, fmt.Errorf("a control character at position %d", position(text, at))
	}
	count := strings.Count(text, ",") + 1
	if count > maxElements {
		return nil, tooMany(count)
	}
	elements := make([]Element, 0, count)
	var wrong problems
	start := 1
	for item := range strings.SplitSeq(text, ",") {
		element, err := parseItem(item)
		elements = append(elements, element)
		if err != nil {
			blanks := len(item) - len(strings.TrimLeftFunc(item, unicode.IsSpace))
			wrong.add(fmt.Errorf("network %d at position %d (%s): %w", len(elements), start+position(item, blanks)-1, names.Quote(strings.TrimSpace(item)), err))
		}
		start += position(item, len(item))
	}
	return elements, wrong.err()
}

// position is where a person finds a byte: characters, from one.
func position(text string, at int) int { return utf8.RuneCountInString(text[:at]) + 1 }

func tooMany(count int) error {
	return fmt.Errorf("it asks for %d networks; more than %d are not read", count, maxElements)
}

// maxProblems is how many problems an error tells: the text goes into logs and events, again at
// every try.
const maxProblems = 10

// problems keeps the first things that are wrong and counts the rest.
type problems struct {
	first []error
	more  int
}

func (p *problems) add(problem error) {
	if len(p.first) < maxProblems {
		p.first = append(p.first, problem)
	} else {
		p.more++
	}
}

func (p *problems) err() error {
	if p.more > 0 {
		return errors.Join(append(p.first, fmt.Errorf("and %d more", p.more))...)
	}
	return errors.Join(p.first...)
}

func parseItem(item string) (Element, error) {
	element := Element{}
	rest := item
	if parts := strings.SplitN(rest, "/", 3); len(parts) == 2 {
		element.Namespace, rest = strings.TrimSpace(parts[0]), parts[1]
		if err := checkNamespace(element.Namespace); err != nil {
			return element, err
		}
	} else if len(parts) > 2 {
		return element, errors.New("more than one '/'; expected [namespace/]name[@interface]")
	}
	if parts := strings.SplitN(rest, "@", 3); len(parts) == 2 {
		rest, element.Interface = parts[0], strings.TrimSpace(parts[1])
		if err := names.CheckInterface(element.Interface); err != nil {
			return element, err
		}
	} else if len(parts) > 2 {
		return element, errors.New("more than one '@'; expected [namespace/]name[@interface]")
	}
	element.Name = strings.TrimSpace(rest)
	if element.Name == "" {
		return element, errors.New("the name is empty")
	}
	if strings.Contains(element.Name, ".") || !names.IsSubdomain(element.Name) {
		return element, fmt.Errorf("name %s is no DNS-1123 name without dots (small letters, digits and '-', at most 253; a name with dots needs the JSON form)", names.Quote(element.Name))
	}
	return element, nil
}

func checkNamespace(text string) error {
	if text == "" {
		return errors.New("the namespace is empty")
	}
	if !names.IsLabel(text) {
		return fmt.Errorf("namespace %s is no DNS-1123 label (small letters, digits and '-', at most 63)", names.Quote(text))
	}
	return nil
}

func checkName(text string) error {
	if text == "" {
		return errors.New("missing: it names the network")
	}
	if !names.IsSubdomain(text) {
		return fmt.Errorf("%s is no DNS-1123 name (small letters, digits, '-' and '.', at most 253)", names.Quote(text))
	}
	return nil
}
