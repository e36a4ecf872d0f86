package netconf

import (
	"encoding/json"
	"fmt"
	"maps"

	"mooring.dev/mooring/plugin/internal/object"
)

// A change copies the keys of the objects that it touches, never their values: one definition may
// serve many attachments of a pod.

// WithDefaults fills in a missing or empty name and version.
func (c *Conf) WithDefaults(name, cniVersion string) *Conf {
	changed := *c
	if c.Name == "" {
		changed.Name = name
		changed.raw = changed.raw.With("name", name)
	}
	if c.CNIVersion == "" {
		changed.CNIVersion = cniVersion
	}
	if stated, err := c.raw.String("cniVersion"); err != nil || stated != changed.CNIVersion {
		changed.raw = changed.raw.With("cniVersion", changed.CNIVersion)
	}
	if !c.list {
		changed.Plugins = []Plugin{c.Plugins[0].with(changed.raw)}
	}
	return &changed
}

// WithArgs merges args into args.cni of the conf or of every plugin; args win key by key.
func (c *Conf) WithArgs(args object.Object, path string) (*Conf, error) {
	if len(args) == 0 {
		return c, nil
	}
	return c.mapPlugins(func(i int, raw object.Object) (object.Object, error) {
		at := path
		if c.list {
			at = fmt.Sprintf("%s.plugins[%d]", path, i)
		}
		outer, err := child(raw, "args")
		if err != nil {
			return nil, Problem{at + ".args", err.Error()}
		}
		inner, err := child(outer, "cni")
		if err != nil {
			return nil, Problem{at + ".args.cni", err.Error()}
		}
		maps.Copy(inner, args)
		outer["cni"] = inner.Bytes()
		return raw.With("args", outer), nil
	})
}

// WithDevice names a device to the conf or to every plugin, under both keys in use.
func (c *Conf) WithDevice(id string) *Conf {
	changed, err := c.mapPlugins(func(_ int, raw object.Object) (object.Object, error) {
		return raw.With("deviceID", id).With("pciBusID", id), nil
	})
	if err != nil {
		panic("a change that cannot fail failed: " + err.Error())
	}
	return changed
}

// mapPlugins changes every plugin; change returns a new object and leaves alone what makes a
// Plugin what it is, its type and its capabilities.
func (c *Conf) mapPlugins(change func(int, object.Object) (object.Object, error)) (*Conf, error) {
	changed := *c
	changed.Plugins = make([]Plugin, 0, len(c.Plugins))
	for i, plugin := range c.Plugins {
		raw, err := change(i, plugin.raw)
		if err != nil {
			return nil, err
		}
		changed.Plugins = append(changed.Plugins, plugin.with(raw))
	}
	if c.list {
		changed.raw = c.raw.With("plugins", entries(changed.Plugins))
	} else {
		changed.raw = changed.Plugins[0].raw
	}
	return &changed, nil
}

func (p Plugin) with(raw object.Object) Plugin {
	p.raw = raw
	return p
}

// entries is plugins as the array that they stand in.
func entries(plugins []Plugin) json.RawMessage {
	size := 2
	for _, plugin := range plugins {
		size += bytesOf(plugin.raw) + 1
	}
	out := append(make([]byte, 0, size), '[')
	for i, plugin := range plugins {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, plugin.raw.Bytes()...)
	}
	return append(out, ']')
}

// WithMore reads a list with further plugins behind its own.
func WithMore(raw object.Object, more [][]byte, path string) (*Conf, error) {
	if len(more) == 0 {
		return FromObject(raw, path)
	}
	entries, are := object.Items(raw["plugins"])
	if _, present := raw["plugins"]; present && !are {
		return FromObject(raw, path)
	}
	for _, data := range more {
		plugin, err := object.Parse(data)
		if err != nil {
			return nil, Problem{path, "a plugin of the chain: " + err.Error()}
		}
		entries = append(entries, plugin.Bytes())
	}
	return FromObject(raw.With("plugins", entries), path)
}

// child is an object within another, as a copy; one that is absent or null is empty.
func child(parent object.Object, key string) (object.Object, error) {
	value, present := parent[key]
	if !present || object.Kind(value) == "null" {
		return object.Object{}, nil
	}
	members, is := object.Members(value)
	if !is {
		return nil, fmt.Errorf("expected an object, found %s", object.Kind(value))
	}
	return members, nil
}

// Invocation says what one execution of a network's plugins is given beside its conf.
type Invocation struct {
	CapabilityArgs object.Object
	PrevResult     json.RawMessage
	Extra          object.Object
}

// Stdin is what the i-th plugin reads: its entry with the network's name and version, the
// runtimeConfig of the capabilities that it declares, and the result before it.
func (c *Conf) Stdin(i int, call Invocation) []byte {
	plugin := c.Plugins[i]
	entry := maps.Clone(plugin.raw)
	entry["name"], entry["cniVersion"] = object.Encode(c.Name), object.Encode(c.CNIVersion)
	granted := object.Object{}
	for capability, declared := range plugin.Capabilities {
		if value, given := call.CapabilityArgs[capability]; declared && given {
			granted[capability] = value
		}
	}
	if len(granted) > 0 {
		entry["runtimeConfig"] = granted.Bytes()
	}
	if len(call.PrevResult) > 0 {
		entry["prevResult"] = call.PrevResult
	}
	maps.Copy(entry, call.Extra)
	return entry.Bytes()
}
