package networks

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containernetworking/cni/pkg/types"

	"mooring.dev/mooring/plugin/internal/cnierror"
	"mooring.dev/mooring/plugin/internal/netconf"
	"mooring.dev/mooring/plugin/internal/object"
)

// FileNamed finds the network of this name in the files of confDir: lists come before single
// confs, then the order of file names counts. A neighbour that cannot be read is logged; where
// the network is not found it may be the one that was meant, and the error names it.
func (f *Finder) FileNamed(name string) (*netconf.Conf, error) {
	files, err := confFiles(f.ConfDir)
	if err != nil {
		return nil, cnierror.New(types.ErrInvalidNetworkConfig, "no network %q in %s: %v", name, f.ConfDir, err)
	}
	var single *netconf.Conf
	var unreadable []string
	for _, file := range files {
		raw, err := readObject(file)
		if err != nil {
			f.Warn("%v", err)
			unreadable = append(unreadable, err.Error())
			continue
		}
		if stated, err := raw.String("name"); err != nil || stated != name {
			continue
		}
		conf, err := netconf.FromObject(raw, "$")
		if err != nil {
			return nil, cnierror.New(types.ErrInvalidNetworkConfig, "%s: %s", file, OneLine(err))
		}
		if conf.IsList() {
			return conf, nil
		}
		if single == nil {
			single = conf
		}
	}
	switch {
	case single != nil:
		return single, nil
	case len(unreadable) == 0:
		return nil, cnierror.New(types.ErrInvalidNetworkConfig, "no network %q in the files of %s", name, f.ConfDir)
	}
	return nil, cnierror.New(types.ErrInvalidNetworkConfig, "no network %q in the files of %s that can be read; repair or remove: %s", name, f.ConfDir, cnierror.FirstOf(unreadable))
}

// readObject reads a file with a JSON object; the error names the file.
func readObject(path string) (object.Object, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	raw, err := object.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return raw, nil
}

// confFiles lists .conf, .json and .conflist in the order of their names.
func confFiles(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, entry := range entries {
		if !entry.IsDir() && slices.Contains([]string{".conf", ".json", ".conflist"}, filepath.Ext(entry.Name())) {
			files = append(files, filepath.Join(folder, entry.Name()))
		}
	}
	slices.Sort(files)
	return files, nil
}

// FirstIn reads the first network of a folder.
func (f *Finder) FirstIn(folder string) (*netconf.Conf, error) {
	files, err := confFiles(folder)
	if err != nil {
		return nil, cnierror.New(types.ErrInvalidNetworkConfig, "%v", err)
	}
	if len(files) == 0 {
		return nil, cnierror.New(types.ErrInvalidNetworkConfig, "%s holds no .conf, .json or .conflist", folder)
	}
	return f.File(files[0])
}

// File reads a network from a file. A list takes on the plugins of the folder that is named
// after it, unless it forbids that.
func (f *Finder) File(path string) (*netconf.Conf, error) {
	raw, err := readObject(path)
	if err != nil {
		return nil, cnierror.New(types.ErrInvalidNetworkConfig, "%v", err)
	}
	alone, err := netconf.Flag(raw, "loadOnlyInlinedPlugins")
	if err != nil {
		return nil, cnierror.New(types.ErrInvalidNetworkConfig, "%s: loadOnlyInlinedPlugins: %v", path, err)
	}
	if filepath.Ext(path) == ".conflist" && !alone {
		name, err := raw.String("name")
		if err != nil || strings.ContainsAny(name, "/\x00") || strings.HasPrefix(name, ".") {
			return nil, cnierror.New(types.ErrInvalidNetworkConfig, "%s: the name must be a plain name", path)
		}
		more, err := chained(filepath.Join(filepath.Dir(path), name))
		if err != nil {
			return nil, cnierror.New(types.ErrInvalidNetworkConfig, "%v", err)
		}
		conf, err := netconf.WithMore(raw, more, "$")
		if err != nil {
			return nil, cnierror.New(types.ErrInvalidNetworkConfig, "%s: %s", path, OneLine(err))
		}
		return conf, nil
	}
	conf, err := netconf.FromObject(raw, "$")
	if err != nil {
		return nil, cnierror.New(types.ErrInvalidNetworkConfig, "%s: %s", path, OneLine(err))
	}
	return conf, nil
}

// Chain makes a network of the plugins in a folder; nil where it holds none.
func (f *Finder) Chain(folder string, raw object.Object) (*netconf.Conf, error) {
	plugins, err := chained(folder)
	if err != nil || len(plugins) == 0 {
		return nil, err
	}
	return netconf.WithMore(raw, plugins, "$")
}

// chained reads the plugins that other programs put into the folder of a network.
func chained(folder string) ([][]byte, error) {
	entries, err := os.ReadDir(folder)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var plugins [][]byte
	for _, entry := range entries {
		if entry.IsDir() || filepath.Ext(entry.Name()) != ".conf" {
			continue
		}
		data, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			return nil, fmt.Errorf("plugin of the chain: %w", err)
		}
		plugins = append(plugins, data)
	}
	return plugins, nil
}
