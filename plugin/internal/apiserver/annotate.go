package apiserver

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"mooring.dev/mooring/plugin/internal/journal"
	"mooring.dev/mooring/plugin/internal/object"
	"mooring.dev/mooring/plugin/internal/podinfo"
)

const (
	annotateTimeout = 2 * time.Second
	conflictPause   = 50 * time.Millisecond
)

// The kubelet, and so the runtime, knows a static pod by the hash of its file; the pod that
// mirrors it at the API server has a UID of its own and tells the hash.
const (
	mirrorAnnotation = "kubernetes.io/config.mirror"
	hashAnnotation   = "kubernetes.io/config.hash"
)

// Annotate sets one annotation of a pod through its status, which cannot reach a spec. It
// takes two seconds at most, or Patience. ErrNoPod where there is none; another pod of the same
// name is left alone: ErrOtherPod. Whoever may not patch, as Multus' own role has it, reads and
// replaces.
func (c *Client) Annotate(ctx context.Context, pod journal.Pod, key, value string) error {
	patience := annotateTimeout
	if c.Patience != 0 {
		patience = c.Patience
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := c.annotateByPatch(limited, pod, key, value)
	if !isStatus(err, http.StatusForbidden) {
		return err
	}
	replaceErr := c.annotateByReplacing(limited, pod, key, value)
	if isStatus(replaceErr, http.StatusForbidden) {
		return fmt.Errorf("%w; neither may it be replaced", err)
	}
	return replaceErr
}

// annotateByPatch names the UID that the pod must have, so that one request is enough as a rule.
func (c *Client) annotateByPatch(limited context.Context, pod journal.Pod, key, value string) error {
	uid := pod.UID
	var conflict error
	for {
		err := c.patchStatus(limited, pod, uid, map[string]string{key: value})
		switch {
		case err == nil:
			return nil
		case isStatus(err, http.StatusNotFound):
			return podinfo.ErrNoPod
		case !isStatus(err, http.StatusConflict) && !isStatus(err, http.StatusUnprocessableEntity):
			if conflict != nil && limited.Err() != nil {
				return conflict
			}
			return err
		}
		// Another UID is an immutable field that would change; or somebody else writes without pause.
		found, lookErr := c.pod(limited, pod.Namespace, pod.Name)
		switch {
		case isStatus(lookErr, http.StatusNotFound):
			return podinfo.ErrNoPod
		case lookErr != nil:
			return fmt.Errorf("%w; asked for the pod: %v", err, lookErr)
		case uid != "" && found.UID != uid && mirrors(found, pod.UID):
			uid = found.UID
		case uid != "" && found.UID != uid:
			return podinfo.ErrOtherPod
		case !isStatus(err, http.StatusConflict):
			return err
		default:
			conflict = err
			if !pause(limited) {
				return conflict
			}
		}
	}
}

// annotateByReplacing writes the pod as it was read, with the annotation; the server refuses it
// where the pod has changed in between.
func (c *Client) annotateByReplacing(limited context.Context, pod journal.Pod, key, value string) error {
	var conflict error
	for {
		var whole object.Object
		err := c.patiently(limited, func(ctx context.Context) error {
			return c.do(ctx, http.MethodGet, podPath(pod.Namespace, pod.Name), nil, "", nil, &whole)
		})
		if err == nil {
			err = c.replaceAnnotated(limited, whole, pod, key, value)
		}
		switch {
		case isStatus(err, http.StatusNotFound):
			return podinfo.ErrNoPod
		case err == nil || !isStatus(err, http.StatusConflict):
			return err
		}
		conflict = err
		if !pause(limited) {
			return conflict
		}
	}
}

func (c *Client) replaceAnnotated(ctx context.Context, whole object.Object, pod journal.Pod, key, value string) error {
	metadata, err := object.Parse(whole["metadata"])
	if err != nil {
		return fmt.Errorf("the pod's metadata: %w", err)
	}
	var found podinfo.Pod
	if err := json.Unmarshal(whole["metadata"], &found); err != nil {
		return fmt.Errorf("the pod's metadata: %w", err)
	}
	switch {
	case pod.UID != "" && found.UID != pod.UID && !mirrors(&found, pod.UID):
		return podinfo.ErrOtherPod
	case found.Annotations[key] == value:
		return nil
	case found.Annotations == nil:
		found.Annotations = map[string]string{}
	}
	found.Annotations[key] = value
	whole = whole.With("metadata", metadata.With("annotations", found.Annotations))
	return c.patiently(ctx, func(ctx context.Context) error {
		return c.do(ctx, http.MethodPut, podPath(pod.Namespace, pod.Name)+"/status", nil, "application/json", whole.Bytes(), nil)
	})
}

// pause says whether there is time for another try, after a moment.
func pause(limited context.Context) bool {
	select {
	case <-limited.Done():
		return false
	case <-time.After(conflictPause):
		return true
	}
}

// mirrors says whether this is the mirror of the static pod that the runtime knows by uid.
func mirrors(pod *podinfo.Pod, uid string) bool {
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
