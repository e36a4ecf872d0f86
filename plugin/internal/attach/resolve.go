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
	annotations, given, err := podinfo.Annotations(s.Conf.RuntimeConfig)
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

// unresolved makes the error of a network that could not be looked up, and tells the pod's
// owner where that can be done.
func (s *Session) unresolved(ctx context.Context, element selection.Element, err error) error {
	if !errors.Is(err, networks.ErrAbsent) {
		return err
	}
	text := fmt.Sprintf("network %s: %v", element, err)
	if s.API != nil && s.pod.Name != "" {
		if err := s.API.Warn(ctx, s.pod, "NoNetworkFound", text, s.Now()); err != nil {
			s.Log.Warnf("the event NoNetworkFound: %v", err)
		}
	}
	return cnierror.New(types.ErrInvalidNetworkConfig, "%s", text)
}

// defaultNetworks returns the default network, further inline delegates, and the networks
// that every pod outside the system namespaces gets.
func (s *Session) defaultNetworks(ctx context.Context, pod journal.Pod, annotations map[string]string) ([]planned, error) {
	var plans []planned
	asked, err := s.askedDefault(ctx, pod, annotations[selection.DefaultNetwork])
	switch {
	case err != nil:
		return nil, err
	case asked != nil:
		plans = append(plans, *asked)
	case s.Conf.ClusterNetwork != "":
		plan, err := s.named(ctx, s.Conf.ClusterNetwork)
		if err != nil {
			return nil, cnierror.Prefix(err, "clusterNetwork %q", s.Conf.ClusterNetwork)
		}
		plans = append(plans, plan)
	default:
		plans = append(plans, s.inline(s.Conf.Delegates[0]))
	}
	for i := 1; i < len(s.Conf.Delegates); i++ {
		plans = append(plans, s.inline(s.Conf.Delegates[i]))
	}
	if slices.Contains(s.Conf.SystemNamespaces, pod.Namespace) {
		return plans, nil
	}
	for _, name := range s.Conf.DefaultNetworks {
		plan, err := s.named(ctx, name)
		if err != nil {
			return nil, cnierror.Prefix(err, "defaultNetworks %q", name)
		}
		plans = append(plans, plan)
	}
	return plans, nil
}

func (s *Session) inline(conf *netconf.Conf) planned {
	return planned{network: conf.Name, conf: conf.WithDefaults("", s.Call.CNIVersion)}
}

// askedDefault resolves the annotation that replaces the default network; nil where there is
// none. It obeys namespaceIsolation; the admin's namespace is open to it.
func (s *Session) askedDefault(ctx context.Context, pod journal.Pod, text string) (*planned, error) {
	elements, err := selection.Parse(text, s.Conf.MultusNamespace)
	if err != nil {
		return nil, cnierror.New(types.ErrInvalidNetworkConfig, "annotation %s: %s", selection.DefaultNetwork, networks.OneLine(err))
	}
	if len(elements) == 0 {
		if strings.TrimSpace(text) != "" {
			return nil, cnierror.New(types.ErrInvalidNetworkConfig, "annotation %s: expected one network, found none", selection.DefaultNetwork)
		}
		return nil, nil
	}
	if len(elements) > 1 {
		return nil, cnierror.New(types.ErrInvalidNetworkConfig, "annotation %s: expected one network, found %d; there is one default network", selection.DefaultNetwork, len(elements))
	}
	if elements[0].Namespace != s.Conf.MultusNamespace {
		if err := s.permit(pod, elements[0]); err != nil {
			return nil, err
		}
	}
	plan, err := s.resolve(ctx, elements[0])
	if err != nil {
		return nil, err
	}
	return &plan, nil
}

// named resolves clusterNetwork or an entry of defaultNetworks: a NAD of multusNamespace, the
// name of a network in confDir, a folder, or a file.
func (s *Session) named(ctx context.Context, reference string) (planned, error) {
	if strings.Contains(reference, "/") {
		return s.onDisk(reference)
	}
	definition, err := s.Finder.Definition(ctx, s.Conf.MultusNamespace, reference)
	if err == nil {
		conf, err := s.Finder.Conf(definition)
		if err != nil {
			return planned{}, err
		}
		return planned{
			network: s.Conf.MultusNamespace + "/" + reference, nad: true, resource: definition.ResourceName,
			conf: conf.WithDefaults(reference, s.Call.CNIVersion),
		}, nil
	}
	conf, fileErr := s.Finder.FileNamed(reference)
	if fileErr != nil {
		return planned{}, cnierror.Prefix(err, "%v; and as a definition", fileErr)
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
	conf := s.Conf.AuxiliaryChain
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
	name := s.Conf.AuxiliaryCNIChainName
	if name == "" {
		return nil
	}
	raw := object.Object{}.With("name", name).With("cniVersion", s.Call.CNIVersion).With("disableCheck", true).With("plugins", []string{})
	conf, err := s.Finder.Chain(filepath.Join(filepath.Dir(s.Conf.ClusterNetwork), name), raw)
	if err != nil {
		s.Log.Errorf("auxiliaryCNIChainName %q: %v", name, err)
		return nil
	}
	return conf
}

// ready waits for the file that says that the default network is up.
func (s *Session) ready(ctx context.Context) error {
	if s.Conf.ReadinessIndicatorFile == "" {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, s.Conf.ReadinessTimeout)
	defer cancel()
	for {
		_, err := os.Stat(s.Conf.ReadinessIndicatorFile)
		if err == nil {
			return nil
		}
		select {
		case <-limited.Done():
			return cnierror.New(types.ErrTryAgainLater, "the default network is not ready: readinessindicatorfile %s did not appear within %s", s.Conf.ReadinessIndicatorFile, s.Conf.ReadinessTimeout)
		case <-time.After(readinessPoll):
		}
	}
}

const readinessPoll = 100 * time.Millisecond

// defaultConf is the default network for the verbs that look at no pod.
func (s *Session) defaultConf(ctx context.Context) (*netconf.Conf, error) {
	if s.Conf.ClusterNetwork != "" {
		plan, err := s.named(ctx, s.Conf.ClusterNetwork)
		if err != nil {
			return nil, err
		}
		return plan.conf, nil
	}
	if len(s.Conf.Delegates) == 0 {
		return nil, errors.New("the configuration names none")
	}
	return s.inline(s.Conf.Delegates[0]).conf, nil
}
