package routes

import (
	"encoding/json"
	"net/netip"
	"slices"

	"mooring.dev/mooring/plugin/internal/object"
)

// Apply writes a change into a result of any version of the specification.
func Apply(result json.RawMessage, change Change) (json.RawMessage, error) {
	if len(change.Dropped) == 0 && len(change.Added) == 0 {
		return result, nil
	}
	raw, err := object.Parse(result)
	if err != nil {
		return nil, err
	}
	stated, err := raw.String("cniVersion")
	if err != nil {
		return nil, err
	}
	if stated == "" || stated == "0.1.0" || stated == "0.2.0" {
		for _, family := range []int{4, 6} {
			if raw, err = applyOld(raw, family, change); err != nil {
				return nil, err
			}
		}
		return raw.Bytes(), nil
	}
	routes, err := edit(raw["routes"], []int{4, 6}, change)
	if err != nil {
		return nil, err
	}
	if len(routes) == 0 {
		return raw.Without("routes").Bytes(), nil
	}
	return raw.With("routes", routes).Bytes(), nil
}

// applyOld edits ip4 or ip6 of a result before 0.3.0.
func applyOld(raw object.Object, family int, change Change) (object.Object, error) {
	key := map[int]string{4: "ip4", 6: "ip6"}[family]
	value, present := raw[key]
	if !present || object.Kind(value) != "an object" {
		return raw, nil
	}
	inner, err := object.Parse(value)
	if err != nil {
		return nil, err
	}
	routes, err := edit(inner["routes"], []int{family}, change)
	if err != nil {
		return nil, err
	}
	if len(routes) == 0 {
		return raw.With(key, inner.Without("routes")), nil
	}
	return raw.With(key, inner.With("routes", routes)), nil
}

// edit returns a list of routes without the dropped default routes and with the added ones.
func edit(value json.RawMessage, families []int, change Change) ([]json.RawMessage, error) {
	var existing []json.RawMessage
	if value != nil {
		if err := json.Unmarshal(value, &existing); err != nil {
			return nil, err
		}
	}
	kept := make([]json.RawMessage, 0, len(existing)+len(change.Added))
	for _, entry := range existing {
		route, err := object.Parse(entry)
		if err != nil {
			return nil, err
		}
		text, err := route.String("dst")
		if err != nil {
			return nil, err
		}
		destination, err := netip.ParsePrefix(text)
		if err == nil && destination.Bits() == 0 && slices.Contains(change.Dropped, familyOf(destination.Addr())) {
			continue
		}
		kept = append(kept, entry)
	}
	for _, added := range change.Added {
		if !slices.Contains(families, familyOf(added.Destination.Addr())) {
			continue
		}
		route := object.Object{}.With("dst", added.Destination.String())
		if added.Gateway.IsValid() {
			route = route.With("gw", added.Gateway.String())
		}
		kept = append(kept, route.Bytes())
	}
	return kept, nil
}

func familyOf(address netip.Addr) int {
	if address.Is4() {
		return 4
	}
	return 6
}
