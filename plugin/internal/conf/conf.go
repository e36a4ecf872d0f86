// Package conf reads the meta-plugin's own configuration: Multus' keys and ours.
//
// Everything that is wrong is told at once, each with its JSON path. Keys are matched in any
// case, as Go's decoder does for Multus; unknown keys are ignored. Nothing is looked up.
package conf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"

	"mooring.dev/mooring/plugin/internal/cnierror"
	"mooring.dev/mooring/plugin/internal/logging"
	"mooring.dev/mooring/plugin/internal/netconf"
	"mooring.dev/mooring/plugin/internal/object"
)

// Limits of what is read: beyond them a configuration is an attack or an accident.
const (
	MaxBytes = 16 << 20
	maxDepth = 9_999
)

// Folders that hold where the configuration says nothing.
const (
	defaultCNIDir       = "/var/lib/mooring"
	MultusCNIDir        = "/var/lib/cni/multus"
	defaultConfDir      = "/etc/cni/multus/net.d"
	defaultBinDir       = "/opt/cni/bin"
	defaultNamespace    = "kube-system"
	defaultTimeout      = 90 * time.Second
	defaultReadinessFor = 45 * time.Second
)

// Conf is the meta-plugin's configuration with every default filled in.
type Conf struct {
	CNIVersion             string
	Name                   string
	ConfDir                string
	CNIDir                 string // root of cache, journal, results and failures
	BinDir                 string // searched before CNI_PATH
	Delegates              []*netconf.Conf
	ClusterNetwork         string // wins over Delegates
	DefaultNetworks        []string
	SystemNamespaces       []string
	MultusNamespace        string
	Kubeconfig             string
	NamespaceIsolation     bool
	GlobalNamespaces       []string
	ReadinessIndicatorFile string
	ReadinessTimeout       time.Duration
	AuxiliaryCNIChainName  string
	RequireCapabilities    bool // a request that no plugin of the network can fulfil fails the ADD
	DelegateTimeout        time.Duration
	KeepClusterRoutes      []netip.Prefix
	Status                 StatusWriting
	RuntimeConfig          object.Object
	ValidAttachments       []types.GCAttachment
	Log                    logging.Options
}

// StatusWriting says whether the pod's network-status is written before ADD returns.
type StatusWriting int

// An agent writes it; no agent is there, so that it is tried; it must be there, or ADD fails.
const (
	StatusByAgent StatusWriting = iota
	StatusTried
	StatusRequired
)

// Parse reads a configuration. The error is code 7 and names every problem; Conf is usable
// as far as it could be read even then, which is what DEL needs.
func Parse(data []byte) (*Conf, error) {
	c := &Conf{
		ConfDir: defaultConfDir, CNIDir: defaultCNIDir, BinDir: defaultBinDir,
		SystemNamespaces: []string{"kube-system"}, MultusNamespace: defaultNamespace,
		GlobalNamespaces: []string{"default"}, ReadinessTimeout: defaultReadinessFor,
		RequireCapabilities: true, DelegateTimeout: defaultTimeout, Log: logging.Defaults(),
	}
	if strings.HasPrefix(filepath.Base(os.Args[0]), "multus") {
		c.CNIDir, c.Status = MultusCNIDir, StatusTried // nobody installs an agent by that name
	}
	if depth(data) > maxDepth {
		return c, cnierror.New(types.ErrInvalidNetworkConfig, "configuration: nested more than %d deep", maxDepth)
	}
	raw, err := object.Parse(data)
	if err != nil {
		return c, cnierror.New(types.ErrInvalidNetworkConfig, "configuration: $: %v", err)
	}
	r := &reader{raw: raw}
	c.read(r)
	if len(r.problems) > 0 {
		return c, cnierror.New(types.ErrInvalidNetworkConfig, "configuration: %s", strings.ReplaceAll(errors.Join(r.problems...).Error(), "\n", "; "))
	}
	return c, nil
}

func (c *Conf) read(r *reader) {
	r.text("cniVersion", &c.CNIVersion)
	r.text("name", &c.Name)
	r.folder("confDir", &c.ConfDir)
	r.folder("cniDir", &c.CNIDir)
	r.folder("binDir", &c.BinDir)
	r.text("clusterNetwork", &c.ClusterNetwork)
	r.value("defaultNetworks", "an array of strings", &c.DefaultNetworks)
	r.value("systemNamespaces", "an array of strings", &c.SystemNamespaces)
	r.text("multusNamespace", &c.MultusNamespace)
	r.text("kubeconfig", &c.Kubeconfig)
	r.value("namespaceIsolation", "a boolean", &c.NamespaceIsolation)
	r.text("readinessindicatorfile", &c.ReadinessIndicatorFile)
	r.seconds("readinessTimeout", &c.ReadinessTimeout)
	r.text("auxiliaryCNIChainName", &c.AuxiliaryCNIChainName)
	r.value("requireCapabilities", "a boolean", &c.RequireCapabilities)
	r.seconds("delegateTimeout", &c.DelegateTimeout)
	r.with("statusBeforeStart", func(value json.RawMessage) error {
		required := false
		if json.Unmarshal(value, &required) != nil {
			return fmt.Errorf("expected a boolean, found %s", object.Kind(value))
		}
		c.Status = StatusByAgent
		if required {
			c.Status = StatusRequired
		}
		return nil
	})
	r.value("retryDeleteOnError", "a boolean", new(bool)) // what it asks for is always so
	r.value("capabilities", "an object of booleans", new(map[string]bool))
	r.value("cni.dev/valid-attachments", "an array of {containerID, ifname}", &c.ValidAttachments)
	if c.ValidAttachments == nil {
		r.value("cni.dev/attachments", "an array of {containerID, ifname}", &c.ValidAttachments)
	}
	r.with("globalNamespaces", func(value json.RawMessage) error {
		var list string
		if json.Unmarshal(value, &list) != nil {
			return fmt.Errorf("expected a string with commas, found %s", object.Kind(value))
		}
		if strings.TrimSpace(list) != "" {
			c.GlobalNamespaces = nil
			for namespace := range strings.SplitSeq(list, ",") {
				c.GlobalNamespaces = append(c.GlobalNamespaces, strings.TrimSpace(namespace))
			}
		}
		return nil
	})
	r.with("keepClusterRoutes", func(value json.RawMessage) error {
		if json.Unmarshal(value, &c.KeepClusterRoutes) != nil {
			return errors.New("expected an array of CIDRs")
		}
		return nil
	})
	r.with("runtimeConfig", func(value json.RawMessage) (err error) {
		c.RuntimeConfig, err = object.Parse(value)
		return err
	})
	r.with("prevResult", func(value json.RawMessage) error { return validResult(value, c.CNIVersion) })
	c.Log.Read(func(key, expected string, into any) { r.value(key, expected, into) })
	c.readDelegates(r)
	if c.AuxiliaryCNIChainName != "" && (!strings.Contains(c.ClusterNetwork, "/") || strings.Contains(c.AuxiliaryCNIChainName, "/") || strings.HasPrefix(c.AuxiliaryCNIChainName, ".")) {
		r.report(".auxiliaryCNIChainName", errors.New("expected the name of a folder beside the file that clusterNetwork names by its path"))
	}
}

func (c *Conf) readDelegates(r *reader) {
	if c.ClusterNetwork != "" {
		return
	}
	value := r.find("delegates")
	if value == nil {
		r.report("", errors.New("neither delegates nor clusterNetwork: there is no default network"))
		return
	}
	var items []json.RawMessage
	if json.Unmarshal(value, &items) != nil {
		r.report(".delegates", fmt.Errorf("expected an array, found %s", object.Kind(value)))
		return
	}
	if len(items) == 0 {
		r.report(".delegates", errors.New("the list is empty: there is no default network"))
	}
	for i, item := range items {
		delegate, err := netconf.Parse(item, fmt.Sprintf("$.delegates[%d]", i))
		if err != nil {
			r.problems = append(r.problems, err)
			continue
		}
		if delegate.Name == "" {
			r.report(fmt.Sprintf(".delegates[%d].name", i), errors.New("missing: the network's name"))
		}
		c.Delegates = append(c.Delegates, delegate)
	}
}

func validResult(value json.RawMessage, cniVersion string) error {
	previous := &types.PluginConf{CNIVersion: cniVersion}
	if json.Unmarshal(value, &previous.RawPrevResult) != nil {
		return fmt.Errorf("expected a result, found %s", object.Kind(value))
	}
	return version.ParsePrevResult(previous)
}

// depth is how deep arrays and objects are nested, counted without recursion.
func depth(data []byte) int {
	deepest, now, quoted := 0, 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			now++
			deepest = max(deepest, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return deepest
}

// Path is the folders to look delegates up in: binDir, then those of CNI_PATH.
func (c *Conf) Path(cniPath string) []string {
	folders := []string{c.BinDir}
	for _, folder := range filepath.SplitList(cniPath) {
		if folder != "" && folder != c.BinDir {
			folders = append(folders, folder)
		}
	}
	return folders
}

// JSON null stands for an absent key.
func absent(value json.RawMessage) bool { return value == nil || bytes.Equal(value, []byte("null")) }
