// Package networks finds the definition of a network: in the node's cache, at the API
// server, or in a file of the node.
//
// A fresh cache is enough and costs no request. The API server is asked for what a fresh
// cache lacks, and instead of a stale one; while it is silent, the stale copy serves. An answer
// that is no definition is an answer: what it refuses is not looked for elsewhere.
package networks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containernetworking/cni/pkg/types"

	"mooring.dev/mooring/plugin/internal/boot"
	"mooring.dev/mooring/plugin/internal/cnierror"
	"mooring.dev/mooring/plugin/internal/netconf"
	"mooring.dev/mooring/plugin/internal/object"
)

// Definition is what a NetworkAttachmentDefinition says.
type Definition struct {
	Namespace    string
	Name         string
	ResourceName string
	Config       string // spec.config, empty where absent
}

// What a definition may be missing for; other errors say nothing about whether there is one.
var (
	// ErrAbsent says that the API server has no such NetworkAttachmentDefinition.
	ErrAbsent = errors.New("there is no such NetworkAttachmentDefinition")

	// ErrUncached says that the node's cache has none, and that there is no API server to ask.
	ErrUncached = errors.New("not in the node's cache, and the configuration names no kubeconfig to ask the API server with")

	// ErrRefused says that the API server answered, and not with the definition.
	ErrRefused = errors.New("the API server refuses to tell")
)

// Remote asks the API server for one definition. Errors other than ErrAbsent and ErrRefused mean
// that there was no answer.
type Remote interface {
	Definition(ctx context.Context, namespace, name string) (*Definition, error)
}

// Finder looks networks up. Remote is nil where the conf names no kubeconfig.
type Finder struct {
	CNIDir  string
	ConfDir string
	Remote  Remote
	Warn    func(format string, args ...any)
	fresh   *bool
	found   map[string]*Network // by namespace/name
}

// Network is a definition that was found, and its configuration.
type Network struct {
	ResourceName string
	Conf         *netconf.Conf
}

// Network looks a definition up and reads its configuration, once for all that ask for it.
func (f *Finder) Network(ctx context.Context, namespace, name string) (*Network, error) {
	key := namespace + "/" + name
	if known := f.found[key]; known != nil {
		return known, nil
	}
	definition, err := f.Definition(ctx, namespace, name)
	if err != nil {
		return nil, err
	}
	conf, err := f.Conf(definition)
	if err != nil {
		return nil, err
	}
	if f.found == nil {
		f.found = map[string]*Network{}
	}
	f.found[key] = &Network{definition.ResourceName, conf}
	return f.found[key], nil
}

// Definition returns the definition of namespace/name.
func (f *Finder) Definition(ctx context.Context, namespace, name string) (*Definition, error) {
	copied, cacheErr := f.cached(namespace, name)
	if copied != nil && f.Fresh() {
		return copied, nil
	}
	if f.Remote == nil {
		switch {
		case copied != nil:
			f.Warn("network %s/%s: the node's cache is stale and no kubeconfig is set; using the copy", namespace, name)
			return copied, nil
		case errors.Is(cacheErr, os.ErrNotExist):
			return nil, ErrUncached
		}
		return nil, cnierror.New(types.ErrInvalidNetworkConfig, "network %s/%s: its copy in the node's cache is unreadable (%v), and the configuration names no kubeconfig to ask the API server with", namespace, name, cacheErr)
	}
	found, err := f.Remote.Definition(ctx, namespace, name)
	switch {
	case err == nil:
		return found, nil
	case errors.Is(err, ErrAbsent):
		return nil, err
	case errors.Is(err, ErrRefused):
		return nil, cnierror.New(types.ErrTryAgainLater, "network %s/%s: %v; the service account of the node's kubeconfig must be allowed to get network-attachment-definitions", namespace, name, err)
	case copied != nil:
		f.Warn("network %s/%s: the node's cache is stale and the API server does not answer (%v); using the copy", namespace, name, err)
		return copied, nil
	}
	return nil, cnierror.New(types.ErrTryAgainLater, "network %s/%s: not in the node's cache%s, and the API server does not answer: %v", namespace, name, because(cacheErr), err)
}

// Namespaces are those in which the node's cache has a definition of this name.
func (f *Finder) Namespaces(name string) []string {
	var found []string
	folders, err := os.ReadDir(filepath.Join(f.CNIDir, "networks"))
	if err != nil {
		return nil // it only adds to an error
	}
	for _, folder := range folders {
		if _, err := os.Stat(filepath.Join(f.CNIDir, "networks", folder.Name(), name+".json")); err == nil {
			found = append(found, folder.Name())
		}
	}
	return found
}

// Names are those of the definitions that the node's cache has in a namespace.
func (f *Finder) Names(namespace string) []string {
	var found []string
	files, err := os.ReadDir(filepath.Join(f.CNIDir, "networks", namespace))
	if err != nil {
		return nil // it only adds to an error
	}
	for _, file := range files {
		if name, is := strings.CutSuffix(file.Name(), ".json"); is && !strings.HasPrefix(name, ".") {
			found = append(found, name)
		}
	}
	return found
}

func because(err error) string {
	if err == nil || errors.Is(err, os.ErrNotExist) {
		return ""
	}
	return fmt.Sprintf(" (its copy is unreadable: %v)", err)
}

const cacheVersion = 1

func (f *Finder) cached(namespace, name string) (*Definition, error) {
	if strings.ContainsAny(namespace+name, "/\x00") || strings.HasPrefix(namespace, ".") || strings.HasPrefix(name, ".") {
		return nil, fmt.Errorf("%q/%q are no names", namespace, name)
	}
	data, err := os.ReadFile(filepath.Join(f.CNIDir, "networks", namespace, name+".json"))
	if err != nil {
		return nil, err
	}
	return ReadEntry(data, namespace, name)
}

// ReadEntry reads a file of the cache, which must be of this namespace and name.
func ReadEntry(data []byte, namespace, name string) (*Definition, error) {
	members, err := object.Parse(data)
	if err != nil {
		return nil, err
	}
	r := &object.Reader{Members: members}
	version := r.Int("version")
	found := &Definition{Namespace: r.Text("namespace"), Name: r.Text("name"), ResourceName: r.Text("resourceName"), Config: r.Text("config")}
	switch {
	case r.Bad:
		return nil, errors.New("its members are not what they should be")
	case version != cacheVersion || found.Namespace != namespace || found.Name != name:
		return nil, fmt.Errorf("it is version %d of %s/%s", version, found.Namespace, found.Name)
	}
	return found, nil
}

// Heartbeat is the sign of life of the watch that keeps the cache.
type Heartbeat struct {
	Version    int
	BootID     string
	Boottime   float64 // seconds since the boot
	TTLSeconds float64
}

// FreshAt says whether the cache was fresh at this point of this boot.
func (h Heartbeat) FreshAt(bootID string, boottime float64) bool {
	age := boottime - h.Boottime
	return h.Version == cacheVersion && bootID != "" && h.BootID == bootID && age >= 0 && age <= h.TTLSeconds
}

// Fresh says whether the cache is kept up to date right now; it looks once.
func (f *Finder) Fresh() bool {
	if f.fresh == nil {
		fresh := f.beats()
		f.fresh = &fresh
	}
	return *f.fresh
}

func (f *Finder) beats() bool {
	data, err := os.ReadFile(filepath.Join(f.CNIDir, "networks", "heartbeat"))
	if err != nil {
		return false
	}
	heartbeat, err := ReadHeartbeat(data)
	return err == nil && heartbeat.FreshAt(boot.ID(), boot.Seconds())
}

// ReadHeartbeat reads the file of that name.
func ReadHeartbeat(data []byte) (Heartbeat, error) {
	members, err := object.Parse(data)
	if err != nil {
		return Heartbeat{}, err
	}
	r := &object.Reader{Members: members}
	heartbeat := Heartbeat{r.Int("version"), r.Text("bootID"), r.Float("boottime"), r.Float("ttlSeconds")}
	if r.Bad {
		return Heartbeat{}, errors.New("its members are not what they should be")
	}
	return heartbeat, nil
}

// Conf is the definition's network configuration: spec.config, or a file of that name.
func (f *Finder) Conf(definition *Definition) (*netconf.Conf, error) {
	where := "network " + definition.Namespace + "/" + definition.Name
	if strings.TrimSpace(definition.Config) == "" {
		conf, err := f.FileNamed(definition.Name)
		if err != nil {
			return nil, cnierror.Prefix(err, "%s has no spec.config", where)
		}
		return conf, nil
	}
	conf, err := netconf.Parse([]byte(definition.Config), "spec.config")
	if err != nil {
		return nil, cnierror.New(types.ErrInvalidNetworkConfig, "%s: %s; correct the NetworkAttachmentDefinition", where, OneLine(err))
	}
	return conf, nil
}

// OneLine is a joined error on one line.
func OneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
