// Package kubelet asks the node's kubelet which devices a pod was given: at its pod-resources
// socket, or in its checkpoint where there is no socket. It asks for nothing else.
package kubelet

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"mooring.dev/mooring/plugin/internal/devices"
)

// Where the kubelet tells which devices it gave to whom.
const (
	socketPath     = "/var/lib/kubelet/pod-resources/kubelet.sock"
	checkpointPath = "/var/lib/kubelet/device-plugins/kubelet_internal_checkpoint"
	listMethod     = "/v1.PodResourcesLister/List"
	kubeletTime    = 5 * time.Second
	maxMessage     = 64 << 20
	frameHeader    = 5
)

// Devices returns the ids of a pod's devices by resource.
func Devices(ctx context.Context, namespace, name, uid string) (devices.Allocated, error) {
	if _, err := os.Stat(socketPath); err == nil {
		return fromSocket(ctx, namespace, name)
	}
	data, err := os.ReadFile(checkpointPath)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("neither %s nor %s is there", socketPath, checkpointPath)
	}
	if err != nil {
		return nil, err
	}
	return fromCheckpoint(data, uid)
}

// fromSocket makes one gRPC call over HTTP/2, which the standard library speaks: a gRPC
// library would cost every pod its start-up time.
func fromSocket(ctx context.Context, namespace, name string) (devices.Allocated, error) {
	ctx, cancel := context.WithTimeout(ctx, kubeletTime)
	defer cancel()
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socketPath)
	}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://kubelet"+listMethod, bytes.NewReader(make([]byte, frameHeader)))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/grpc")
	request.Header.Set("TE", "trailers")
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, fmt.Errorf("the kubelet's pod-resources socket: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxMessage))
	if err != nil {
		return nil, fmt.Errorf("the kubelet's pod-resources socket: %w", err)
	}
	status := response.Trailer.Get("Grpc-Status")
	if status == "" {
		status = response.Header.Get("Grpc-Status")
	}
	if response.StatusCode != http.StatusOK || (status != "" && status != "0") {
		return nil, fmt.Errorf("the kubelet's pod-resources socket: HTTP %d, gRPC status %s %s", response.StatusCode, status, response.Trailer.Get("Grpc-Message"))
	}
	if len(body) < frameHeader || body[0] != 0 || uint64(binary.BigEndian.Uint32(body[1:])) != uint64(len(body)-frameHeader) {
		return nil, errWire
	}
	return devicesOf(body[frameHeader:], namespace, name)
}

// checkpoint is the kubelet's own file; ids stand by NUMA node, or in a plain list before 1.20.
type checkpoint struct {
	Data struct {
		PodDeviceEntries []struct {
			PodUID       string
			ResourceName string
			DeviceIDs    json.RawMessage
		}
	}
}

func fromCheckpoint(data []byte, uid string) (devices.Allocated, error) {
	var parsed checkpoint
	if err := json.Unmarshal(data, &parsed); err != nil {
		return nil, fmt.Errorf("%s: %w", checkpointPath, err)
	}
	found := devices.Allocated{}
	for _, entry := range parsed.Data.PodDeviceEntries {
		if entry.PodUID != uid {
			continue
		}
		var byNode map[string][]string
		var plain []string
		if json.Unmarshal(entry.DeviceIDs, &byNode) != nil && json.Unmarshal(entry.DeviceIDs, &plain) != nil {
			return nil, fmt.Errorf("%s: the devices of %s are of no known form", checkpointPath, entry.ResourceName)
		}
		for _, ids := range byNode {
			found.Add(entry.ResourceName, ids...)
		}
		found.Add(entry.ResourceName, plain...)
	}
	return found, nil
}
