// Package netconf reads the configuration of one network: a conf or a conflist.
//
// It keeps every byte that is the plugins' own and changes only what the caller asks for:
// name, version, args, device. It refuses plugin types that could name another file than
// one in the plugin folders. It does no I/O.
package netconf

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/containernetworking/cni/pkg/version"

	"mooring.dev/mooring/plugin/internal/names"
	"mooring.dev/mooring/plugin/internal/object"
)

// Conf is one network: its plugins in order, and the object that they came in.
type Conf struct {
	Name         string
	CNIVersion   string
	DisableCheck bool
	DisableGC    bool
	Plugins      []Plugin
	list         bool
	raw          object.Object
}

// Plugin is one entry of a network.
type Plugin struct {
	Type         string
	Capabilities map[string]bool
	raw          object.Object
}

// MaxPlugins is how many plugins a network may have: each is a program that is run.
const MaxPlugins = 1024

// Entry is the plugin's own object, which must not be changed.
func (p Plugin) Entry() object.Object { return p.raw }

// Problem is something wrong at a place in a configuration.
type Problem struct {
	Path string
	Text string
}

// Error is the path and what is wrong there.
func (p Problem) Error() string { return p.Path + ": " + p.Text }

// Parse reads a conf or a conflist. The error joins one Problem for each thing that is wrong;
// path is where data stands in the document that a person wrote.
func Parse(data []byte, path string) (*Conf, error) {
	raw, err := object.Parse(data)
	if err != nil {
		return nil, Problem{path, err.Error()}
	}
	return FromObject(raw, path)
}

// FromObject is Parse for an object that is already read.
func FromObject(raw object.Object, path string) (*Conf, error) {
	conf := &Conf{raw: raw}
	var problems []error
	report := func(key string, err error) {
		if err != nil {
			problems = append(problems, Problem{path + key, err.Error()})
		}
	}
	var err error
	conf.Name, err = raw.String("name")
	report(".name", err)
	if err == nil && conf.Name != "" && !names.IsCNI(conf.Name) {
		report(".name", fmt.Errorf("%q may hold only letters, digits, '.', '_' and '-', a letter or digit first", conf.Name))
	}
	conf.CNIVersion, err = highestVersion(raw)
	report(".cniVersion", err)
	conf.DisableCheck, err = Flag(raw, "disableCheck")
	report(".disableCheck", err)
	conf.DisableGC, err = Flag(raw, "disableGC")
	report(".disableGC", err)

	entries, listed := raw["plugins"]
	_, typed := raw["type"]
	switch {
	case typed:
		conf.Plugins = []Plugin{parsePlugin(raw, path, report, "")}
	case listed:
		conf.list = true
		conf.parseList(entries, path, report)
	default:
		report(".type", errors.New("missing, and there are no plugins: nothing names a plugin to run"))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return conf, nil
}

func (c *Conf) parseList(entries json.RawMessage, path string, report func(string, error)) {
	elements, are := object.Items(entries)
	if !are {
		report(".plugins", fmt.Errorf("expected an array, found %s", object.Kind(entries)))
		return
	}
	if len(elements) == 0 {
		report(".plugins", errors.New("the list is empty: there is no plugin to run"))
	}
	if len(elements) > MaxPlugins {
		report(".plugins", fmt.Errorf("%d plugins; a network has at most %d", len(elements), MaxPlugins))
		return
	}
	for i, element := range elements {
		at := fmt.Sprintf(".plugins[%d]", i)
		raw, is := object.Members(element)
		if !is {
			report(at, fmt.Errorf("expected an object, found %s", object.Kind(element)))
			continue
		}
		c.Plugins = append(c.Plugins, parsePlugin(raw, path, report, at))
		if inner, err := raw.String("cniVersion"); err == nil && c.CNIVersion == "" {
			c.CNIVersion = inner
		}
	}
}

func parsePlugin(raw object.Object, path string, report func(string, error), at string) Plugin {
	plugin := Plugin{raw: raw}
	var err error
	plugin.Type, err = raw.String("type")
	switch {
	case err != nil:
		report(at+".type", err)
	case plugin.Type == "":
		report(at+".type", errors.New("missing: it names the plugin to run"))
	default:
		report(at+".type", CheckType(plugin.Type))
	}
	if value, present := raw["capabilities"]; present {
		if plugin.Capabilities, err = object.Flags(value); err != nil {
			report(at+".capabilities", err)
		}
	}
	if ipam, is := object.Members(raw["ipam"]); is {
		if kind, err := ipam.String("type"); err == nil && kind != "" {
			report(at+".ipam.type", CheckType(kind))
		}
	}
	return plugin
}

// CheckType refuses plugin types that are not the plain name of a file in a plugin folder.
func CheckType(kind string) error {
	if strings.ContainsAny(kind, "/\\\x00\n") || strings.Contains(kind, "..") || kind == "." {
		return fmt.Errorf("%q is a path; a plugin is named by its file name alone", kind)
	}
	return nil
}

func highestVersion(raw object.Object) (string, error) {
	chosen, err := raw.String("cniVersion")
	if err != nil {
		return "", err
	}
	value, present := raw["cniVersions"]
	if !present {
		return chosen, nil
	}
	offered, are := object.Texts(value)
	if !are {
		return "", errors.New("cniVersions: expected an array of strings")
	}
	for _, candidate := range offered {
		known, err := version.GreaterThanOrEqualTo(version.Current(), candidate)
		if err != nil {
			return "", fmt.Errorf("cniVersions: %w", err)
		}
		if higher, err := version.GreaterThan(candidate, chosen); known && (chosen == "" || (err == nil && higher)) {
			chosen = candidate
		}
	}
	return chosen, nil
}

// Flag reads a boolean that the specification also lets be a string.
func Flag(raw object.Object, key string) (bool, error) {
	value, present := raw[key]
	if !present {
		return false, nil
	}
	switch strings.ToLower(strings.Trim(string(value), `"`)) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("expected true or false, found %s", value)
}

// Member is the value of a key of the plugin's own configuration, nil where it has no such key.
func (p Plugin) Member(key string) json.RawMessage { return p.raw.Find(key) }

// Bytes is the configuration as it is executed and journalled.
func (c *Conf) Bytes() json.RawMessage { return c.raw.Bytes() }

// Size is about how many bytes the configuration has.
func (c *Conf) Size() int { return bytesOf(c.raw) }

func bytesOf(raw object.Object) int {
	size := 2
	for key, value := range raw {
		size += len(key) + len(value) + len(`"":,`)
	}
	return size
}

// IsList says whether this is a conflist.
func (c *Conf) IsList() bool { return c.list }

// Types names the plugins in order, with commas between.
func (c *Conf) Types() string {
	types := make([]string, 0, len(c.Plugins))
	for _, plugin := range c.Plugins {
		types = append(types, plugin.Type)
	}
	return strings.Join(types, ",")
}

// Offers says whether some plugin of the network declares this capability.
func (c *Conf) Offers(capability string) bool {
	for _, plugin := range c.Plugins {
		if plugin.Capabilities[capability] {
			return true
		}
	}
	return false
}
