// Package networks finds the definition of a network: in the node's cache, at the API
// server, or in a file of the node.
//
// A fresh cache is enough and costs no request. The API server is asked for what a fresh
// cache lacks, and instead of a stale one; when it does not answer, the stale copy serves.
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

// ErrAbsent says that the API server has no such NetworkAttachmentDefinition.
var ErrAbsent = errors.New("there is no such NetworkAttachmentDefinition")

// Remote asks the API server for one definition.
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
}

// Definition returns the definition of namespace/name.
func (f *Finder) Definition(ctx context.Context, namespace, name string) (*Definition, error) {
	copied, cacheErr := f.cached(namespace, name)
	if copied != nil && f.Fresh() {
		return copied, nil
	}
	if f.Remote == nil {
		if copied != nil {
			f.Warn("network %s/%s: the node's cache is stale and no kubeconfig is set; using the copy", namespace, name)
			return copied, nil
		}
		return nil, cnierror.New(types.ErrInvalidNetworkConfig, "network %s/%s: not in the node's cache%s, and the conf names no kubeconfig to ask the API server with", namespace, name, because(cacheErr))
	}
	found, err := f.Remote.Definition(ctx, namespace, name)
	switch {
	case err == nil:
		return found, nil
	case errors.Is(err, ErrAbsent):
		return nil, err
	case copied != nil:
		f.Warn("network %s/%s: the node's cache is stale and the API server does not answer (%v); using the copy", namespace, name, err)
		return copied, nil
	}
	return nil, cnierror.New(types.ErrTryAgainLater, "network %s/%s: not in the node's cache%s, and the API server does not answer: %v", namespace, name, because(cacheErr), err)
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
		return nil, cnierror.New(types.ErrInvalidNetworkConfig, "%s: %s", where, OneLine(err))
	}
	return conf, nil
}

// OneLine is a joined error on one line.
func OneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
