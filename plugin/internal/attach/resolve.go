package attach

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containernetworking/cni/pkg/types"

	"mooring.dev/mooring/plugin/internal/cnierror"
	"mooring.dev/mooring/plugin/internal/journal"
	"mooring.dev/mooring/plugin/internal/netconf"
	"mooring.dev/mooring/plugin/internal/networks"
	"mooring.dev/mooring/plugin/internal/object"
	"mooring.dev/mooring/plugin/internal/podinfo"
	"mooring.dev/mooring/plugin/internal/selection"
)

// annotations returns the pod's: from the runtime where it gives any, else from the API
// server. Only a conf that names no kubeconfig goes without.
func (s *Session) annotations(ctx context.Context, identity *podinfo.Identity) (map[string]string, error) {
	annotations, given, err := podinfo.Annotations(s.Config.RuntimeConfig)
	if err != nil {
		return nil, cnierror.New(types.ErrInvalidNetworkConfig, "%v", err)
	}
	if given || s.API == nil {
		return annotations, nil
	}
	if identity.Pod.Namespace == "" || identity.Pod.Name == "" {
		return nil, cnierror.New(types.ErrInvalidEnvironmentVariables, "CNI_ARGS lacks K8S_POD_NAMESPACE or K8S_POD_NAME, and the runtime gives no annotations: what the pod asks for cannot be found out")
	}
	pod, err := s.API.Pod(ctx, identity.Pod.Namespace, identity.Pod.Name)
	if err != nil {
		return nil, cnierror.New(types.ErrTryAgainLater, "the runtime gives no annotations, and asking for the pod failed: %v", err)
	}
	if err := sameUID(identity.Pod.UID, pod); err != nil {
		return nil, err
	}
	if err := identity.WithUID(pod.UID); err != nil {
		return nil, err
	}
	return pod.Annotations, nil
}

// sameUID refuses another pod of the same name. A static pod's sandbox carries the hash of
// its manifest where the API server's copy has a UID.
func sameUID(uid string, pod *podinfo.Pod) error {
	source := pod.Annotations["kubernetes.io/config.source"]
	_, mirrored := pod.Annotations["kubernetes.io/config.mirror"]
	if uid == "" || pod.UID == "" || uid == pod.UID || mirrored || (source != "" && source != "api") {
		return nil
	}
	return cnierror.New(types.ErrTryAgainLater, "the sandbox is for the pod with UID %s, but the API server's has UID %s", uid, pod.UID)
}

// resolveAll finds the default network, further inline delegates, the networks that every pod
// outside the system namespaces gets, and those that this pod asks for.
func (s *Session) resolveAll(ctx context.Context, pod journal.Pod, asked requests) ([]planned, error) {
	left := &sizeBudget{bytes: maxConfBytes, plugins: maxPlugins}
	first, err := s.defaultNetwork(ctx, asked.defaultNetwork, left)
	if err != nil {
		return nil, err
	}
	plans := []planned{first}
	for i := 1; i < len(s.Config.Delegates); i++ {
		plans = append(plans, s.inline(s.Config.Delegates[i]))
	}
	if !slices.Contains(s.Config.SystemNamespaces, pod.Namespace) {
		for _, reference := range s.Config.DefaultNetworks {
			plan, err := s.referenced(ctx, reference)
			if err != nil {
				return nil, cnierror.Prefix(err, "defaultNetworks %q", reference)
			}
			plans = append(plans, plan)
		}
	}
	for _, element := range asked.networks {
		plan, err := s.resolve(ctx, element, left)
		if err != nil {
			return nil, err
		}
		plans = append(plans, plan)
	}
	return plans, nil
}

// defaultNetwork finds the network that the pod names in the place of the configuration's, or
// the configuration's.
func (s *Session) defaultNetwork(ctx context.Context, asked *selection.Element, left *sizeBudget) (planned, error) {
	if asked != nil {
		return s.resolve(ctx, *asked, left)
	}
	if s.Config.ClusterNetwork == "" {
		return s.inline(s.Config.Delegates[0]), nil
	}
	plan, err := s.referenced(ctx, s.Config.ClusterNetwork)
	if err != nil {
		return planned{}, cnierror.Prefix(err, "clusterNetwork %q", s.Config.ClusterNetwork)
	}
	return plan, nil
}

// resolve finds the network that an element asks for.
func (s *Session) resolve(ctx context.Context, element selection.Element, left *sizeBudget) (planned, error) {
	found, err := s.Finder.Network(ctx, element.Namespace, element.Name)
	if err != nil {
		return planned{}, s.unresolved(ctx, element, err)
	}
	if err := left.spend(element, found.Conf, element.CNIArgs); err != nil {
		return planned{}, err
	}
	conf, err := found.Conf.WithDefaults(element.Name, s.Call.CNIVersion).WithArgs(element.CNIArgs, "spec.config")
	if err != nil {
		return planned{}, cnierror.New(types.ErrInvalidNetworkConfig, "network %s: cni-args cannot be merged: %v", element, err)
	}
	return planned{network: element.String(), nad: true, conf: conf, resource: found.ResourceName, request: element}, nil
}

// unresolved makes the error of a network that could not be looked up, and tells the pod's
// owner where that can be done.
func (s *Session) unresolved(ctx context.Context, element selection.Element, err error) error {
	absent := errors.Is(err, networks.ErrAbsent)
	if !absent && !errors.Is(err, networks.ErrUncached) {
		return err
	}
	text := fmt.Sprintf("network %s: %v; %s", element, err, s.alternatives(element))
	if absent {
		s.failed, s.reason = element.String(), "NoNetworkFound"
		// Who keeps the cache fresh reads of it in failures.jsonl, and counts in one event how often.
		if s.API != nil && s.pod.Name != "" && !s.Finder.Fresh() {
			if err := s.API.Warn(ctx, s.pod, s.reason, text, s.Now()); err != nil {
				s.Log.Warnf("the event %s: %v", s.reason, err)
			}
		}
	}
	return cnierror.New(types.ErrInvalidNetworkConfig, "%s", text)
}

// alternatives says what may have been meant by a network that is missing, as far as the node's
// cache knows. Under isolation nothing is said of other namespaces.
func (s *Session) alternatives(element selection.Element) string {
	if !s.Config.NamespaceIsolation {
		if others := s.Finder.Namespaces(element.Name); len(others) > 0 {
			return fmt.Sprintf("one of that name is in namespace %s: ask for %s/%s, or create %s", cnierror.FirstOf(others), others[0], element.Name, element)
		}
	}
	if names := s.Finder.Names(element.Namespace); len(names) > 0 {
		return fmt.Sprintf("namespace %s has %s: correct the pod's annotation, or create %s", element.Namespace, cnierror.FirstOf(names), element)
	}
	return fmt.Sprintf("correct the pod's annotation, or create %s", element)
}

func (s *Session) inline(conf *netconf.Conf) planned {
	return planned{network: conf.Name, conf: conf.WithDefaults("", s.Call.CNIVersion)}
}

// referenced resolves clusterNetwork or an entry of defaultNetworks: a NAD of multusNamespace,
// the name of a network in confDir, a folder, or a file. A file replaces a NAD only where there
// is none: as long as nobody says so, a pod must not get another network than the cluster's.
func (s *Session) referenced(ctx context.Context, reference string) (planned, error) {
	if strings.Contains(reference, "/") {
		return s.onDisk(reference)
	}
	network := s.Config.MultusNamespace + "/" + reference
	found, err := s.Finder.Network(ctx, s.Config.MultusNamespace, reference)
	switch {
	case err == nil:
		return planned{network: network, nad: true, resource: found.ResourceName, conf: found.Conf.WithDefaults(reference, s.Call.CNIVersion)}, nil
	case !errors.Is(err, networks.ErrAbsent) && !errors.Is(err, networks.ErrUncached):
		return planned{}, err
	}
	conf, fileErr := s.Finder.FileNamed(reference)
	if fileErr != nil {
		return planned{}, cnierror.Prefix(fileErr, "network %s: %v; and as a file", network, err)
	}
	return s.inline(conf), nil
}

func (s *Session) onDisk(path string) (planned, error) {
	read := s.Finder.File
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		read = s.Finder.FirstIn
	}
	conf, err := read(path)
	if err != nil {
		return planned{}, err
	}
	return s.inline(conf), nil
}

// auxiliary is the chain of plugins that every pod gets after its networks; nil where there is
// none. The agent puts it into the conf; elsewhere it is read from beside the cluster network's
// file. Multus lets it begin with a plugin that prints an empty result: here it is given one.
func (s *Session) auxiliary() *planned {
	conf := s.Config.AuxiliaryChain
	if conf == nil {
		conf = s.auxiliaryOnDisk()
	}
	if conf == nil {
		return nil
	}
	plan := s.inline(conf)
	plan.previous = object.Object{}.With("cniVersion", plan.conf.CNIVersion).Bytes()
	return &plan
}

// auxiliaryOnDisk reads the chain. What is wrong with it is logged: it is nobody's request. It is
// not checked, as in Multus: `tuning` looks for the interface of its call, and the chain has none.
func (s *Session) auxiliaryOnDisk() *netconf.Conf {
	name := s.Config.AuxiliaryCNIChainName
	if name == "" {
		return nil
	}
	raw := object.Object{}.With("name", name).With("cniVersion", s.Call.CNIVersion).With("disableCheck", true).With("plugins", []string{})
	conf, err := s.Finder.Chain(filepath.Join(filepath.Dir(s.Config.ClusterNetwork), name), raw)
	if err != nil {
		s.Log.Errorf("auxiliaryCNIChainName %q: %v", name, err)
		return nil
	}
	return conf
}

// ready waits for the file that says that the default network is up, as long as the pod is wanted.
func (w *work) ready(ctx context.Context) error {
	if w.Config.ReadinessIndicatorFile == "" {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, w.Config.ReadinessTimeout)
	defer cancel()
	for {
		_, err := os.Stat(w.Config.ReadinessIndicatorFile)
		if err == nil {
			return nil
		}
		if err := w.stillWanted(); err != nil {
			return err
		}
		select {
		case <-limited.Done():
			return cnierror.New(types.ErrTryAgainLater, "the default network is not ready: readinessindicatorfile %s did not appear within %s", w.Config.ReadinessIndicatorFile, w.Config.ReadinessTimeout)
		case <-time.After(readinessPoll):
		}
	}
}

const readinessPoll = 100 * time.Millisecond

// defaultConf is the default network for the verbs that look at no pod.
func (s *Session) defaultConf(ctx context.Context) (*netconf.Conf, error) {
	if s.Config.ClusterNetwork != "" {
		plan, err := s.referenced(ctx, s.Config.ClusterNetwork)
		if err != nil {
			return nil, err
		}
		return plan.conf, nil
	}
	if len(s.Config.Delegates) == 0 {
		return nil, errors.New("the configuration names none")
	}
	return s.inline(s.Config.Delegates[0]).conf, nil
}
