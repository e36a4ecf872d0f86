// A kubelet's pod-resources socket and nothing else of a kubelet.
//
//	kubelet FOLDER
//
// It listens on FOLDER/kubelet.sock, speaks gRPC with the library that kubelets use, and answers
// from FOLDER/devices.json: [{"namespace", "name", "containers": [{"resource": ["id", ...]}]}].
// The name of every call is a line of FOLDER/calls.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"

	"google.golang.org/grpc"
	podresources "k8s.io/kubelet/pkg/apis/podresources/v1"
)

type pod struct {
	Namespace  string                `json:"namespace"`
	Name       string                `json:"name"`
	Containers []map[string][]string `json:"containers"`
}

type lister struct {
	podresources.UnimplementedPodResourcesListerServer
}

func (lister) List(context.Context, *podresources.ListPodResourcesRequest) (*podresources.ListPodResourcesResponse, error) {
	pods, err := read("List")
	if err != nil {
		return nil, err
	}
	answer := &podresources.ListPodResourcesResponse{}
	for _, pod := range pods {
		answer.PodResources = append(answer.PodResources, pod.resources())
	}
	return answer, nil
}

func (lister) Get(_ context.Context, request *podresources.GetPodResourcesRequest) (*podresources.GetPodResourcesResponse, error) {
	pods, err := read("Get")
	if err != nil {
		return nil, err
	}
	for _, pod := range pods {
		if pod.Namespace == request.GetPodNamespace() && pod.Name == request.GetPodName() {
			return &podresources.GetPodResourcesResponse{PodResources: pod.resources()}, nil
		}
	}
	return nil, errors.New("no such pod")
}

func (p pod) resources() *podresources.PodResources {
	told := &podresources.PodResources{Namespace: p.Namespace, Name: p.Name}
	for number, devices := range p.Containers {
		container := &podresources.ContainerResources{Name: fmt.Sprintf("c%d", number), CpuIds: []int64{0, 1}}
		for resource, ids := range devices {
			for _, id := range ids {
				topology := &podresources.TopologyInfo{Nodes: []*podresources.NUMANode{{ID: 1}}}
				container.Devices = append(container.Devices, &podresources.ContainerDevices{ResourceName: resource, DeviceIds: []string{id}, Topology: topology})
			}
		}
		told.Containers = append(told.Containers, container)
	}
	return told
}

func read(call string) ([]pod, error) {
	calls, err := os.OpenFile("calls", os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintln(calls, call); err != nil {
		return nil, errors.Join(err, calls.Close())
	}
	if err := calls.Close(); err != nil {
		return nil, err
	}
	data, err := os.ReadFile("devices.json")
	if err != nil {
		return nil, err
	}
	var pods []pod
	return pods, json.Unmarshal(data, &pods)
}

func main() {
	if err := run(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "kubelet:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: kubelet FOLDER")
	}
	// The name of a socket has at most 107 bytes: a short one within the folder.
	if err := os.Chdir(args[1]); err != nil {
		return err
	}
	listener, err := net.Listen("unix", "kubelet.sock")
	if err != nil {
		return err
	}
	fmt.Println("listening")
	server := grpc.NewServer()
	podresources.RegisterPodResourcesListerServer(server, lister{})
	return server.Serve(listener)
}
