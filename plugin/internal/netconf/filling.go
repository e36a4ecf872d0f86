package netconf

import (
	"encoding/json"

	"mooring.dev/mooring/plugin/internal/object"
)

// FilledFrom takes from another configuration of the same network what this one lost: the members
// that its plugins do not have, as long as the plugins are the same ones in the same order. What
// this one says stays.
func (c *Conf) FilledFrom(other *Conf) *Conf {
	if other == nil || c.Name != other.Name || c.list != other.list {
		return c
	}
	same := true
	changed, err := c.mapPlugins(func(i int, raw object.Object) (object.Object, error) {
		same = same && i < len(other.Plugins) && other.Plugins[i].Type == c.Plugins[i].Type
		if !same {
			return raw, nil
		}
		return filled(raw, other.Plugins[i].raw), nil
	})
	if err != nil {
		panic("a change that cannot fail failed: " + err.Error())
	}
	return changed
}

// filled adds to an object what another one has besides, in the objects within it too.
func filled(raw, from object.Object) object.Object {
	for _, key := range from.Keys() {
		mine, present := raw[key]
		if !present {
			raw = raw.With(key, from[key])
			continue
		}
		inner, is := object.Members(mine)
		if outer, are := object.Members(from[key]); is && are {
			raw = raw.With(key, json.RawMessage(filled(inner, outer).Bytes()))
		}
	}
	return raw
}
