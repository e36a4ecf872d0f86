package apiserver

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"mooring.dev/mooring/plugin/internal/journal"
	"mooring.dev/mooring/plugin/internal/object"
)

const (
	annotateTimeout = 2 * time.Second
	conflictPause   = 50 * time.Millisecond
)

// ErrOtherPod says that the pod of this name is not the one that is meant.
var ErrOtherPod = errors.New("the API server's pod of this name is another one")

// The kubelet, and so the runtime, knows a static pod by the hash of its file; the pod that
// mirrors it at the API server has a UID of its own and tells the hash.
const (
	mirrorAnnotation = "kubernetes.io/config.mirror"
	hashAnnotation   = "kubernetes.io/config.hash"
)

// Annotate sets one annotation of a pod through its status, which cannot reach a spec. It
// takes two seconds at most, or Patience. ErrNoPod where there is none; another pod of the same
// name is left alone: ErrOtherPod.
func (c *Client) Annotate(ctx context.Context, pod journal.Pod, key, value string) error {
	patience := annotateTimeout
	if c.Patience != 0 {
		patience = c.Patience
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	uid := pod.UID
	var conflict error
	for {
		err := c.patchStatus(limited, pod, uid, map[string]string{key: value})
		switch {
		case err == nil:
			return nil
		case isStatus(err, http.StatusNotFound):
			return ErrNoPod
		case !isStatus(err, http.StatusConflict) && !isStatus(err, http.StatusUnprocessableEntity):
			return errors.Join(err, conflict)
		}
		// Another UID is an immutable field that would change; or somebody else writes without pause.
		found, lookErr := c.pod(limited, pod.Namespace, pod.Name)
		switch {
		case isStatus(lookErr, http.StatusNotFound):
			return ErrNoPod
		case lookErr != nil:
			return errors.Join(err, lookErr)
		case uid != "" && found.UID != uid && mirrors(found, pod.UID):
			uid = found.UID
		case uid != "" && found.UID != uid:
			return ErrOtherPod
		case !isStatus(err, http.StatusConflict):
			return err
		default:
			conflict = err
			select {
			case <-limited.Done():
				return conflict
			case <-time.After(conflictPause):
			}
		}
	}
}

// mirrors says whether this is the mirror of the static pod that the runtime knows by uid.
func mirrors(pod *Pod, uid string) bool {
	_, mirror := pod.Annotations[mirrorAnnotation]
	return mirror && pod.Annotations[hashAnnotation] == uid
}

// patchStatus sends a merge patch, which names the UID that the pod must have.
func (c *Client) patchStatus(ctx context.Context, pod journal.Pod, uid string, annotations map[string]string) error {
	metadata := map[string]any{"annotations": annotations}
	if uid != "" {
		metadata["uid"] = uid
	}
	patch := object.Encode(map[string]any{"metadata": metadata})
	return c.patiently(ctx, func(ctx context.Context) error {
		return c.do(ctx, http.MethodPatch, podPath(pod.Namespace, pod.Name)+"/status", nil, "application/merge-patch+json", patch, nil)
	})
}

func podPath(namespace, name string) string {
	return "/api/v1/namespaces/" + url.PathEscape(namespace) + "/pods/" + url.PathEscape(name)
}
