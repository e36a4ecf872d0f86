package netconf

import (
	"encoding/json"
	"fmt"

	"mooring.dev/mooring/plugin/internal/object"
)

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
	return changed.reread()
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
		for key, value := range args {
			inner = inner.With(key, value)
		}
		return raw.With("args", outer.With("cni", inner)), nil
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

func (c *Conf) mapPlugins(change func(int, object.Object) (object.Object, error)) (*Conf, error) {
	changed := *c
	if !c.list {
		raw, err := change(0, c.raw)
		if err != nil {
			return nil, err
		}
		changed.raw = raw
		return changed.reread(), nil
	}
	entries := make([]json.RawMessage, 0, len(c.Plugins))
	for i, plugin := range c.Plugins {
		raw, err := change(i, plugin.raw)
		if err != nil {
			return nil, err
		}
		entries = append(entries, raw.Bytes())
	}
	changed.raw = c.raw.With("plugins", entries)
	return changed.reread(), nil
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

// reread keeps Plugins in step with the object that they come from.
func (c *Conf) reread() *Conf {
	reread, err := FromObject(c.raw, "$")
	if err != nil {
		panic("a configuration became unreadable by a change of ours: " + err.Error())
	}
	return reread
}

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
	entry := plugin.raw.With("name", c.Name).With("cniVersion", c.CNIVersion)
	granted := object.Object{}
	for capability, declared := range plugin.Capabilities {
		if value, given := call.CapabilityArgs[capability]; declared && given {
			granted[capability] = value
		}
	}
	if len(granted) > 0 {
		entry = entry.With("runtimeConfig", granted)
	}
	if len(call.PrevResult) > 0 {
		entry = entry.With("prevResult", call.PrevResult)
	}
	for key, value := range call.Extra {
		entry = entry.With(key, value)
	}
	return entry.Bytes()
}
