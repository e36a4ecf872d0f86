package apiserver

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"mooring.dev/mooring/plugin/internal/journal"
	"mooring.dev/mooring/plugin/internal/podinfo"
)

// pods is a server with one pod, "ns/web"; conflicts is how often it answers 409 first, and
// below 0 it takes no annotation at all.
func pods(t *testing.T, uid string, annotations map[string]string, conflicts int) (http.HandlerFunc, *[]string) {
	t.Helper()
	var asked []string
	return func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method)
		switch {
		case uid == "":
			w.WriteHeader(http.StatusNotFound)
		case r.Method == http.MethodGet && r.URL.Path == "/api/v1/namespaces/ns/pods/web":
			_ = json.NewEncoder(w).Encode(map[string]any{"metadata": map[string]any{"namespace": "ns", "name": "web", "uid": uid, "annotations": annotations}})
		case r.Method == http.MethodPatch && r.URL.Path == "/api/v1/namespaces/ns/pods/web/status":
			var patch struct {
				Metadata struct {
					UID         *string           `json:"uid"`
					Annotations map[string]string `json:"annotations"`
				} `json:"metadata"`
			}
			body, _ := io.ReadAll(r.Body)
			if json.Unmarshal(body, &patch) != nil || patch.Metadata.Annotations["key"] != "value" || r.Header.Get("Content-Type") != "application/merge-patch+json" {
				w.WriteHeader(http.StatusUnsupportedMediaType)
				return
			}
			switch {
			case conflicts > 0:
				conflicts--
				w.WriteHeader(http.StatusConflict)
			case conflicts < 0, patch.Metadata.UID != nil && *patch.Metadata.UID != uid:
				w.WriteHeader(http.StatusUnprocessableEntity) // as real ones answer to another UID
			}
		default:
			w.WriteHeader(http.StatusBadRequest)
		}
	}, &asked
}

func TestAnAnnotationIsWrittenToThePodThatIsMeantAndToNoOther(t *testing.T) {
	mirror := map[string]string{mirrorAnnotation: "hash", hashAnnotation: "hash"}
	for about, test := range map[string]struct {
		server, ours string
		annotations  map[string]string
		conflicts    int
		want         error
		requests     int
	}{
		"the same":                      {server: "u", ours: "u", requests: 1},
		"no UID known":                  {server: "u", requests: 1},
		"gone":                          {ours: "u", want: podinfo.ErrNoPod, requests: 1},
		"another":                       {server: "v", ours: "u", want: podinfo.ErrOtherPod, requests: 2},
		"the mirror of this static pod": {server: "v", ours: "hash", annotations: mirror, requests: 3},
		"the mirror of another":         {server: "v", ours: "old", annotations: mirror, want: podinfo.ErrOtherPod, requests: 2},
		"a pod that only tells the hash of a file": {server: "v", ours: "hash", annotations: map[string]string{hashAnnotation: "hash"}, want: podinfo.ErrOtherPod, requests: 2},
		"a conflict": {server: "u", ours: "u", conflicts: 2, requests: 5},
	} {
		handler, asked := pods(t, test.server, test.annotations, test.conflicts)
		err := client(t, handler, "token: t").Annotate(context.Background(), journal.Pod{Namespace: "ns", Name: "web", UID: test.ours}, "key", "value")
		if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) || len(*asked) != test.requests {
			t.Errorf("%s: %v after %v", about, err, *asked)
		}
	}
}

func TestAnAnnotationThatTheServerDoesNotTakeIsAnErrorAtOnce(t *testing.T) {
	handler, asked := pods(t, "u", nil, -1)
	err := client(t, handler, "token: t").Annotate(context.Background(), journal.Pod{Namespace: "ns", Name: "web", UID: "u"}, "key", "value")
	if !isStatus(err, http.StatusUnprocessableEntity) || len(*asked) != 2 {
		t.Errorf("%v after %v", err, *asked)
	}
}

func TestConflictsWithoutEndAreAnErrorInBoundedTime(t *testing.T) {
	handler, _ := pods(t, "u", nil, 1<<30)
	c := client(t, handler, "token: t")
	c.Patience = 200 * time.Millisecond
	err := c.Annotate(context.Background(), journal.Pod{Namespace: "ns", Name: "web", UID: "u"}, "key", "value")
	if !isStatus(err, http.StatusConflict) {
		t.Error(err)
	}
}

func TestWhoMayNotPatchReadsAndReplacesAndHarmsNothing(t *testing.T) {
	stored := `{"kind":"Pod","metadata":{"name":"web","uid":"u","resourceVersion":"1","annotations":{"theirs":"<1>"},"generation":9007199254740993},"spec":{"x":[1.50]},"status":{"phase":"Pending"}}`
	conflicts := 1
	var asked []string
	handler := func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method)
		switch {
		case r.Method == http.MethodPatch:
			w.WriteHeader(http.StatusForbidden)
		case r.Method == http.MethodGet:
			_, _ = io.WriteString(w, stored)
		case conflicts > 0:
			conflicts--
			w.WriteHeader(http.StatusConflict)
		case r.URL.Path == "/api/v1/namespaces/ns/pods/web/status" && r.Header.Get("Content-Type") == "application/json":
			body, _ := io.ReadAll(r.Body)
			stored = string(body)
		}
	}
	c := client(t, handler, "token: t")
	pod := journal.Pod{Namespace: "ns", Name: "web", UID: "u"}
	if err := c.Annotate(context.Background(), pod, "key", "value"); err != nil {
		t.Fatal(err)
	}
	const want = `{"kind":"Pod","metadata":{"annotations":{"key":"value","theirs":"<1>"},"generation":9007199254740993,"name":"web","resourceVersion":"1","uid":"u"},"spec":{"x":[1.50]},"status":{"phase":"Pending"}}`
	if stored != want {
		t.Errorf("stored %s", stored)
	}
	if err := c.Annotate(context.Background(), pod, "key", "value"); err != nil || !slices.Equal(asked, []string{"PATCH", "GET", "PUT", "GET", "PUT", "PATCH", "GET"}) {
		t.Errorf("%v after %v", err, asked)
	}
	pod.UID = "other"
	if err := c.Annotate(context.Background(), pod, "key", "new"); !errors.Is(err, podinfo.ErrOtherPod) || stored != want {
		t.Errorf("%v, stored %s", err, stored)
	}
}

func TestWhoMayDoNeitherIsToldOfThePatch(t *testing.T) {
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, `{"metadata":{"uid":"u"}}`)
			return
		}
		w.WriteHeader(http.StatusForbidden)
	}, "token: t")
	err := c.Annotate(context.Background(), journal.Pod{Namespace: "ns", Name: "web"}, "key", "value")
	if !isStatus(err, http.StatusForbidden) {
		t.Error(err)
	}
}
