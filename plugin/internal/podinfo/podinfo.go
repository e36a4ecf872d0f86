// Package podinfo says whose sandbox a call is about, and what the runtime or the API server told
// of the pod.
package podinfo

import (
	"errors"
	"fmt"
	"strings"

	"github.com/containernetworking/cni/pkg/types"

	"mooring.dev/mooring/plugin/internal/cnierror"
	"mooring.dev/mooring/plugin/internal/journal"
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
	identity.Pod = journal.Pod{Namespace: identity.get("K8S_POD_NAMESPACE"), Name: identity.get("K8S_POD_NAME"), UID: identity.get("K8S_POD_UID")}
	// Plugins that decode CNI_ARGS strictly refuse keys that they do not know without this one.
	identity.fill("IgnoreUnknown", "true")
	identity.fill("K8S_POD_NAMESPACE", "")
	identity.fill("K8S_POD_NAME", "")
	identity.fill("K8S_POD_INFRA_CONTAINER_ID", containerID)
	identity.fill("K8S_POD_UID", "")
	return identity, nil
}

func (i *Identity) get(key string) string {
	for _, pair := range i.Args {
		if pair[0] == key {
			return pair[1]
		}
	}
	return ""
}

// fill sets a key that is missing or empty.
func (i *Identity) fill(key, value string) {
	for at, pair := range i.Args {
		if pair[0] == key {
			if pair[1] == "" {
				i.Args[at][1] = value
			}
			return
		}
	}
	i.Args = append(i.Args, [2]string{key, value})
}

// WithUID adds the UID that somebody else knew.
func (i *Identity) WithUID(uid string) {
	if i.Pod.UID == "" {
		i.Pod.UID = uid
		i.fill("K8S_POD_UID", uid)
	}
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
