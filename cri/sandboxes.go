package main

import (
	"context"
	"time"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Sandboxes are all that a runtime knows, whatever their state.
type Sandboxes struct {
	Version   int       `json:"version"`
	Sandboxes []Sandbox `json:"sandboxes"`
}

// Sandbox is one pod's. A runtime lists it only after its CNI calls of ADD are done.
type Sandbox struct {
	ID string `json:"id"`
	// State is "ready" or "notready": its CNI calls of DEL may be done, or not yet.
	State     string `json:"state"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid"`
	Attempt   uint32 `json:"attempt"`
	// Created is RFC 3339 in UTC with nanoseconds.
	Created string `json:"created"`
}

func askSandboxes(ctx context.Context, client runtime.RuntimeServiceClient) (any, error) {
	found, err := client.ListPodSandbox(ctx, &runtime.ListPodSandboxRequest{})
	if err != nil {
		return nil, err
	}
	return listed(found), nil
}

func listed(found *runtime.ListPodSandboxResponse) *Sandboxes {
	told := &Sandboxes{Version: formatVersion, Sandboxes: []Sandbox{}}
	for _, each := range found.GetItems() {
		state := "notready"
		if each.GetState() == runtime.PodSandboxState_SANDBOX_READY {
			state = "ready"
		}
		told.Sandboxes = append(told.Sandboxes, Sandbox{
			ID:        each.GetId(),
			State:     state,
			Namespace: each.GetMetadata().GetNamespace(),
			Name:      each.GetMetadata().GetName(),
			UID:       each.GetMetadata().GetUid(),
			Attempt:   each.GetMetadata().GetAttempt(),
			Created:   time.Unix(0, each.GetCreatedAt()).UTC().Format(time.RFC3339Nano),
		})
	}
	return told
}
