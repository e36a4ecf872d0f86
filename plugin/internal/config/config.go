// Package config reads the meta-plugin's own configuration: Multus' keys and ours.
//
// Everything that is wrong is told at once, each with its JSON path. Keys are matched in any
// case, as Go's decoder does for Multus; unknown keys are ignored. Nothing is looked up.
package config

import (
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

// MaxBytes is how much is read: what is longer is an attack or an accident.
const MaxBytes = 16 << 20

// What holds where the configuration says nothing.
const (
	defaultCNIDir       = "/var/lib/mooring"
	MultusCNIDir        = "/var/lib/cni/multus"
	defaultConfDir      = "/etc/cni/multus/net.d"
	defaultBinDir       = "/opt/cni/bin"
	defaultNamespace    = "kube-system"
	defaultTimeout      = 90 * time.Second
	defaultReadinessFor = 45 * time.Second
	defaultMaxNetworks  = 64
	mostMaxNetworks     = 1024
)

// Config is the meta-plugin's configuration with every default filled in.
type Config struct {
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
	MaxNetworks            int   // that a pod may ask for
	RequireCapabilities    *bool // nil: addresses go into CNI_ARGS and are verified, the rest needs its capability; false: nothing is verified
	CalledMultus           bool  // a drop-in: what it keeps of Multus' manners is said where it is asked
	DelegateTimeout        time.Duration
	KeepClusterRoutes      []netip.Prefix
	Status                 StatusWriting
	AuxiliaryChain         *netconf.Conf // what the agent found under AuxiliaryCNIChainName; attached last
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

// Parse reads what is on stdin. The error is code 7 and names every problem; Config is usable
// as far as it could be read even then, which is what DEL needs.
func Parse(raw object.Object) (*Config, error) {
	c := &Config{
		ConfDir: defaultConfDir, CNIDir: defaultCNIDir, BinDir: defaultBinDir,
		SystemNamespaces: []string{"kube-system"}, MultusNamespace: defaultNamespace,
		GlobalNamespaces: []string{"default"}, ReadinessTimeout: defaultReadinessFor,
		MaxNetworks: defaultMaxNetworks, DelegateTimeout: defaultTimeout, Log: logging.Defaults(),
	}
	if strings.HasPrefix(filepath.Base(os.Args[0]), "multus") {
		c.CalledMultus = true
		c.CNIDir, c.Status = MultusCNIDir, StatusTried // nobody installs an agent by that name
	}
	r := &reader{raw: raw}
	c.read(r)
	if len(r.problems) > 0 {
		return c, cnierror.New(types.ErrInvalidNetworkConfig, "configuration: %s", strings.ReplaceAll(errors.Join(r.problems...).Error(), "\n", "; "))
	}
	return c, nil
}

func (c *Config) read(r *reader) {
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
	r.with("maxNetworks", func(value json.RawMessage) error {
		if json.Unmarshal(value, &c.MaxNetworks) != nil || c.MaxNetworks < 1 || c.MaxNetworks > mostMaxNetworks {
			return fmt.Errorf("expected a whole number from 1 to %d, found %.20s", mostMaxNetworks, value)
		}
		return nil
	})
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
	r.with("capabilities", func(value json.RawMessage) error {
		_, err := object.Flags(value)
		return err
	})
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
	r.with("runtimeConfig", func(value json.RawMessage) error {
		given, is := object.Members(value)
		if !is {
			return fmt.Errorf("expected an object, found %s", object.Kind(value))
		}
		c.RuntimeConfig = given
		return nil
	})
	r.with("prevResult", func(value json.RawMessage) error { return validResult(value, c.CNIVersion) })
	c.Log.Read(func(key, expected string, into any) { r.value(key, expected, into) })
	c.readDelegates(r)
	c.readAuxiliaryChain(r)
	if c.AuxiliaryCNIChainName != "" && (!strings.Contains(c.ClusterNetwork, "/") || strings.Contains(c.AuxiliaryCNIChainName, "/") || strings.HasPrefix(c.AuxiliaryCNIChainName, ".")) {
		r.report(".auxiliaryCNIChainName", errors.New("expected the name of a folder beside the file that clusterNetwork names by its path"))
	}
}

func (c *Config) readDelegates(r *reader) {
	if c.ClusterNetwork != "" {
		return
	}
	value := r.raw.Find("delegates")
	if value == nil {
		r.report("", errors.New("neither delegates nor clusterNetwork: there is no default network"))
		return
	}
	items, are := object.Items(value)
	if !are {
		r.report(".delegates", fmt.Errorf("expected an array, found %s", object.Kind(value)))
		return
	}
	if len(items) == 0 {
		r.report(".delegates", errors.New("the list is empty: there is no default network"))
	}
	for i, item := range items {
		path := fmt.Sprintf("$.delegates[%d]", i)
		members, is := object.Members(item)
		if !is {
			r.problems = append(r.problems, netconf.Problem{Path: path, Text: "expected an object, found " + object.Kind(item)})
			continue
		}
		delegate, err := netconf.FromObject(members, path)
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

func (c *Config) readAuxiliaryChain(r *reader) {
	value := r.raw.Find("auxiliaryChain")
	if value == nil {
		return
	}
	chain, err := netconf.Parse(value, "$.auxiliaryChain")
	switch {
	case err != nil:
		r.problems = append(r.problems, err)
	case chain.Name == "":
		r.report(".auxiliaryChain.name", errors.New("missing: the chain's name"))
	default:
		c.AuxiliaryChain = chain
	}
}

func validResult(value json.RawMessage, cniVersion string) error {
	previous := &types.PluginConf{CNIVersion: cniVersion}
	if json.Unmarshal(value, &previous.RawPrevResult) != nil {
		return fmt.Errorf("expected a result, found %s", object.Kind(value))
	}
	return version.ParsePrevResult(previous)
}

// Path is the folders to look delegates up in: binDir, then those of CNI_PATH.
func (c *Config) Path(cniPath string) []string {
	folders := []string{c.BinDir}
	for _, folder := range filepath.SplitList(cniPath) {
		if folder != "" && folder != c.BinDir {
			folders = append(folders, folder)
		}
	}
	return folders
}
