// Package podinfo says whose sandbox a call is about, and what the runtime or the API server told
// of the pod.
package podinfo

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/containernetworking/cni/pkg/types"

	"mooring.dev/mooring/plugin/internal/cnierror"
	"mooring.dev/mooring/plugin/internal/journal"
	"mooring.dev/mooring/plugin/internal/names"
	"mooring.dev/mooring/plugin/internal/object"
)

// AnnotationsKey is where a runtime hands over all annotations of the pod.
const AnnotationsKey = "io.kubernetes.cri.pod-annotations"

// What the API server may say of the pod that a call is about.
var (
	ErrNoPod    = errors.New("the API server knows no such pod")
	ErrOtherPod = errors.New("the API server's pod of this name is another one")
)

// Pod is what the API server has of one, as far as it matters.
type Pod struct {
	Namespace   string            `json:"namespace"`
	Name        string            `json:"name"`
	UID         string            `json:"uid"`
	Annotations map[string]string `json:"annotations"`
}

// Identity is what CNI_ARGS says.
type Identity struct {
	Pod  journal.Pod
	Args [][2]string // what delegates are given: the runtime's pairs in order, then what they lack
}

// Parse reads CNI_ARGS: KEY=VALUE pairs with semicolons between; a value may hold '='.
func Parse(cniArgs, containerID string) (Identity, error) {
	identity := Identity{Args: [][2]string{}}
	for pair := range strings.SplitSeq(cniArgs, ";") {
		if pair == "" {
			continue
		}
		key, value, found := strings.Cut(pair, "=")
		if !found || key == "" {
			return identity, cnierror.New(types.ErrInvalidEnvironmentVariables, "CNI_ARGS: %q is no KEY=VALUE", pair)
		}
		identity.Args = append(identity.Args, [2]string{key, value})
	}
	identity.Pod = PodOf(identity.Args)
	// Plugins that decode CNI_ARGS strictly refuse keys that they do not know without this one.
	for _, pair := range [][2]string{
		{"IgnoreUnknown", "true"},
		{"K8S_POD_NAMESPACE", ""},
		{"K8S_POD_NAME", ""},
		{"K8S_POD_INFRA_CONTAINER_ID", containerID},
		{"K8S_POD_UID", ""},
	} {
		if err := identity.complete(pair[0], pair[1]); err != nil {
			return identity, err
		}
	}
	return identity, nil
}

// PodOf is the pod that the pairs of CNI_ARGS name.
func PodOf(args [][2]string) journal.Pod {
	value := func(key string) string {
		for _, pair := range args {
			if pair[0] == key {
				return pair[1]
			}
		}
		return ""
	}
	return journal.Pod{Namespace: value("K8S_POD_NAMESPACE"), Name: value("K8S_POD_NAME"), UID: value("K8S_POD_UID")}
}

// complete sets a key that is missing or empty.
func (i *Identity) complete(key, value string) error {
	pair, err := argument(key, value)
	if err != nil {
		return err
	}
	for at, existing := range i.Args {
		if existing[0] == key {
			if existing[1] == "" {
				i.Args[at] = pair
			}
			return nil
		}
	}
	i.Args = append(i.Args, pair)
	return nil
}

// WithUID adds the UID that somebody else knew.
func (i *Identity) WithUID(uid string) error {
	if i.Pod.UID != "" {
		return nil
	}
	i.Pod.UID = uid
	return i.complete("K8S_POD_UID", uid)
}

// AddArgument returns the arguments with one more, which somebody asked for. A key that is there
// stays as it is: a plugin takes the last one of a key, so another would replace what the runtime said.
func AddArgument(args [][2]string, key, value string) ([][2]string, error) {
	for _, existing := range args {
		if existing[0] == key {
			return nil, cnierror.New(types.ErrInvalidNetworkConfig, "%s %s is asked for, but the runtime's CNI_ARGS have a %s, which stays as it is", key, names.Quote(value), key)
		}
	}
	pair, err := argument(key, value)
	if err != nil {
		return nil, err
	}
	return append(slices.Clip(args), pair), nil
}

// argument makes each pair of CNI_ARGS that is not the runtime's own. It refuses a value that could
// end its pair and begin another, whoever it came from and whatever was checked before.
func argument(key, value string) ([2]string, error) {
	at := strings.IndexFunc(value, func(r rune) bool { return r == ';' || r == '=' || unicode.IsControl(r) })
	if at >= 0 || !utf8.ValidString(value) {
		return [2]string{}, cnierror.New(types.ErrInvalidNetworkConfig, "%s cannot be %s: a value in CNI_ARGS holds no ';', no '=' and no control character", key, names.Quote(value))
	}
	return [2]string{key, value}, nil
}

// Annotations returns the pod's annotations from runtimeConfig and whether the runtime gave
// any: the key present, even empty or null, is the truth.
func Annotations(runtimeConfig object.Object) (map[string]string, bool, error) {
	value, present := runtimeConfig[AnnotationsKey]
	if !present {
		return nil, false, nil
	}
	members, is := object.Members(value)
	if !is && object.Kind(value) == "null" {
		return nil, true, nil
	}
	annotations := make(map[string]string, len(members))
	for key := range members {
		text, err := members.String(key)
		is = is && err == nil
		annotations[key] = text
	}
	if !is {
		return nil, true, fmt.Errorf("runtimeConfig[%q]: expected an object of strings, found %s", AnnotationsKey, object.Kind(value))
	}
	return annotations, true, nil
}
