package selection

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"mooring.dev/mooring/plugin/internal/names"
	"mooring.dev/mooring/plugin/internal/object"
)

func stringList(value json.RawMessage) ([]string, error) {
	items, are := object.Texts(value)
	if !are {
		return nil, fmt.Errorf("expected an array of strings, found %s", object.Kind(value))
	}
	return items, nil
}

// withoutZone refuses the zone of an IPv6 address: it names an interface of one host, may hold any
// character, and no plugin can set it.
func withoutZone(text string) error {
	if strings.Contains(text, "%") {
		return fmt.Errorf("%s has a zone (%%); write the address without it", names.Quote(text))
	}
	return nil
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
		if err := withoutZone(item); err != nil {
			return nil, fmt.Errorf("entry %d: %w", i, err)
		}
		_, addressErr := netip.ParseAddr(item)
		if _, prefixErr := netip.ParsePrefix(item); addressErr != nil && prefixErr != nil {
			return nil, fmt.Errorf("entry %d: %s is no IP address, with or without /length", i, names.Quote(item))
		}
	}
	return items, nil
}

// hardware reads an address in any form that the reference plugins read, and makes it one form.
func hardware(value json.RawMessage, size int) (string, error) {
	var address string
	if err := readString(value, &address, nil); err != nil || address == "" {
		return "", err
	}
	parsed, err := net.ParseMAC(address)
	if err != nil || len(parsed) != size {
		return "", fmt.Errorf("%s is no hardware address of %d bytes", names.Quote(address), size)
	}
	return parsed.String(), nil
}

func gateways(value json.RawMessage) ([]netip.Addr, error) {
	items, err := stringList(value)
	if err != nil {
		return nil, err
	}
	parsed := make([]netip.Addr, 0, len(items))
	for i, item := range items {
		if err := withoutZone(item); err != nil {
			return nil, fmt.Errorf("entry %d: %w", i, err)
		}
		address, err := netip.ParseAddr(item)
		if err != nil || address.Unmap().IsUnspecified() {
			return nil, fmt.Errorf("entry %d: %s is no address of a gateway", i, names.Quote(item))
		}
		parsed = append(parsed, address.Unmap())
	}
	return parsed, nil
}

func portMappings(value json.RawMessage) (json.RawMessage, error) {
	items, are := object.Items(value)
	if !are {
		return nil, fmt.Errorf("expected an array, found %s", object.Kind(value))
	}
	if len(items) == 0 {
		return nil, nil
	}
	mappings := []byte{'['}
	for i, item := range items {
		if i > 0 {
			mappings = append(mappings, ',')
		}
		mapping, err := portMapping(item)
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", i, err)
		}
		mappings = append(mappings, mapping...)
	}
	return append(mappings, ']'), nil
}

// portMapping completes one mapping: its protocol is in small letters and always there.
func portMapping(item json.RawMessage) (json.RawMessage, error) {
	var hostPort, containerPort int64
	var protocol, hostIP string
	var wrong error
	is := object.Each(item, func(written string, value json.RawMessage) {
		var err error
		switch key := defined(written, []string{"hostPort", "containerPort", "protocol", "hostIP"}); {
		case object.Kind(value) == "null": // as in Go's decoder, it changes nothing
		case key == "hostPort":
			hostPort, err = port(value)
		case key == "containerPort":
			containerPort, err = port(value)
		case key == "protocol":
			err = readString(value, &protocol, checkProtocol)
		case key == "hostIP":
			err = readString(value, &hostIP, checkHostIP)
		}
		if err != nil && wrong == nil {
			wrong = fmt.Errorf("%s: %w", written, err)
		}
	})
	switch {
	case !is:
		return nil, fmt.Errorf("expected an object, found %s", object.Kind(item))
	case wrong != nil:
		return nil, wrong
	case hostPort == 0:
		return nil, errors.New("hostPort is missing")
	case containerPort == 0:
		return nil, errors.New("containerPort is missing")
	case protocol == "":
		protocol = "tcp"
	}
	var mapping object.Writer
	mapping.Int("hostPort", hostPort)
	mapping.Int("containerPort", containerPort)
	mapping.Text("protocol", strings.ToLower(protocol))
	if hostIP != "" {
		mapping.Text("hostIP", hostIP)
	}
	return mapping.Bytes(), nil
}

func port(value json.RawMessage) (int64, error) {
	number, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil || number < 1 || number > 65535 {
		return 0, fmt.Errorf("expected a number from 1 to 65535, found %s", found(value))
	}
	return number, nil
}

func checkProtocol(text string) error {
	switch strings.ToLower(text) {
	case "tcp", "udp", "sctp":
		return nil
	}
	return fmt.Errorf("%s is none of TCP, UDP, SCTP", names.Quote(text))
}

func checkHostIP(text string) error {
	if err := withoutZone(text); err != nil {
		return err
	}
	if _, err := netip.ParseAddr(text); err != nil {
		return fmt.Errorf("%s is no IP address", names.Quote(text))
	}
	return nil
}

// bandwidth keeps what was asked for. Zeros count as absent: clients in Go write all four.
func bandwidth(value json.RawMessage) (json.RawMessage, error) {
	asked := object.Object{}
	var wrong error
	is := object.Each(value, func(written string, value json.RawMessage) {
		key := defined(written, []string{"ingressRate", "ingressBurst", "egressRate", "egressBurst"})
		if key == "" || object.Kind(value) == "null" {
			return
		}
		switch amount, err := strconv.ParseInt(string(value), 10, 64); {
		case err != nil || amount < 0:
			if wrong == nil {
				wrong = fmt.Errorf("%s: expected a whole number of bits, not below 0, found %s", written, found(value))
			}
		case amount == 0:
			delete(asked, key)
		default:
			asked[key] = value
		}
	})
	if !is {
		return nil, fmt.Errorf("expected an object, found %s", object.Kind(value))
	}
	for _, direction := range []string{"ingress", "egress"} {
		_, burst := asked[direction+"Burst"]
		_, rate := asked[direction+"Rate"]
		if burst && !rate && wrong == nil {
			wrong = fmt.Errorf("%sBurst needs %sRate", direction, direction)
		}
	}
	if wrong != nil || len(asked) == 0 {
		return nil, wrong
	}
	return asked.Bytes(), nil
}

// found is a value for an error: numbers as they are, of everything else the kind.
func found(value json.RawMessage) string {
	if kind := object.Kind(value); kind != "a number" || len(value) > 24 {
		return kind
	}
	return string(value)
}
