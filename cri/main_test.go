package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// fake is a runtime on a Unix socket. Where `hangs` is set it answers only when that is closed.
type fake struct {
	runtime.UnimplementedRuntimeServiceServer
	name      string
	info      map[string]string
	network   *runtime.RuntimeCondition
	sandboxes []*runtime.PodSandbox
	refuses   error
	hangs     chan struct{}
	asked     atomic.Int32
}

func (f *fake) Version(context.Context, *runtime.VersionRequest) (*runtime.VersionResponse, error) {
	f.asked.Add(1)
	if f.hangs != nil {
		<-f.hangs
	}
	if f.refuses != nil {
		return nil, f.refuses
	}
	return &runtime.VersionResponse{RuntimeName: f.name, RuntimeVersion: "v9.8.7", RuntimeApiVersion: "v1"}, nil
}

func (f *fake) Status(_ context.Context, request *runtime.StatusRequest) (*runtime.StatusResponse, error) {
	network := f.network
	if network == nil {
		network = &runtime.RuntimeCondition{Type: runtime.NetworkReady, Status: true}
	}
	conditions := []*runtime.RuntimeCondition{{Type: runtime.RuntimeReady, Status: true}, network}
	answer := &runtime.StatusResponse{Status: &runtime.RuntimeStatus{Conditions: conditions}}
	if request.GetVerbose() {
		answer.Info = f.info
	}
	return answer, nil
}

func (f *fake) ListPodSandbox(context.Context, *runtime.ListPodSandboxRequest) (*runtime.ListPodSandboxResponse, error) {
	if f.refuses != nil {
		return nil, f.refuses
	}
	return &runtime.ListPodSandboxResponse{Items: f.sandboxes}, nil
}

// serve returns the socket of a runtime that runs until the test ends.
func serve(t *testing.T, server runtime.RuntimeServiceServer) string {
	t.Helper()
	socket := socketPath(t)
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	grpcServer := grpc.NewServer()
	if server != nil {
		runtime.RegisterRuntimeServiceServer(grpcServer, server)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = grpcServer.Serve(listener)
	}()
	t.Cleanup(func() { grpcServer.Stop(); <-done })
	return socket
}

// socketPath is short enough for a socket, which a path below t.TempDir may not be.
func socketPath(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "cri")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	return filepath.Join(folder, "s.sock")
}

func asked(t *testing.T, arguments ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(arguments, &out, &err)
	return code, out.String(), err.String()
}

func example(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("contract", "examples", name))
	if err != nil {
		t.Fatal(err)
	}
	var small bytes.Buffer
	if err := json.Compact(&small, data); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return small.String()
}

const (
	lo   = `{"Config":{"Name":"cni-loopback","CNIVersion":"0.3.1","Plugins":[{"Network":{"type":"loopback","ipam":{},"dns":{}},"Source":"{\"type\":\"loopback\"}"}],"Source":"{}"},"IFName":"lo"}`
	ours = `{"Config":{"Name":"multus-cni-network","CNIVersion":"1.0.0","Plugins":[{"Network":{"cniVersion":"1.0.0","name":"multus-cni-network","type":"mooring"},"Source":"{}"}],"Source":"{}"},"IFName":"eth0"}`
	of   = `{"Config":{"Name":"k8s-pod-network","CNIVersion":"0.3.1","Plugins":[{"Network":{"type":"calico"},"Source":"{}"},{"Network":{"type":"portmap"},"Source":"{}"}],"Source":"{}"},"IFName":"eth0"}`
)

func containerd(load string, networks string) *fake {
	return &fake{name: "containerd", info: map[string]string{
		"config":                    "{}",
		"golang":                    `"go1.26"`,
		"cniconfig":                 `{"PluginDirs":["/opt/cni/bin"],"PluginConfDir":"/etc/cni/net.d","PluginMaxConfNum":1,"Prefix":"eth","Networks":` + networks + `}`,
		"lastCNILoadStatus":         load,
		"lastCNILoadStatus.default": load,
	}}
}

func TestTheNetworksThatARuntimeHasLoadedAreTold(t *testing.T) {
	notReady := containerd("cni config load failed: no network config found in /etc/cni/net.d", "null")
	notReady.network = &runtime.RuntimeCondition{
		Type:    runtime.NetworkReady,
		Reason:  "NetworkPluginNotReady",
		Message: "Network plugin returns error: cni plugin not initialized",
	}
	for file, server := range map[string]*fake{
		"status-containerd-ours.json":       containerd("OK", "["+lo+","+ours+"]"),
		"status-containerd-rival.json":      containerd("OK", "["+of+"]"),
		"status-containerd-no-network.json": notReady,
		"status-cri-o.json":                 {name: "cri-o", info: map[string]string{"config": `{"sandboxImage":"pause"}`}},
		"status-cri-dockerd.json":           {name: "docker", info: nil},
	} {
		t.Run(file, func(t *testing.T) {
			code, out, stderr := asked(t, "status", serve(t, server))
			if code != exitAnswered || stderr != "" {
				t.Fatalf("exit status %d: %s", code, stderr)
			}
			if want := example(t, file) + "\n"; out != want {
				t.Errorf("printed\n%swant\n%s", out, want)
			}
		})
	}
}

func TestEverySandboxIsListedWhateverItsState(t *testing.T) {
	server := &fake{sandboxes: []*runtime.PodSandbox{
		{
			Id:        "0123456789abcdef",
			Metadata:  &runtime.PodSandboxMetadata{Name: "web-0", Namespace: "shop", Uid: "uid-1", Attempt: 2},
			State:     runtime.PodSandboxState_SANDBOX_READY,
			CreatedAt: time.Date(2026, 3, 1, 12, 0, 0, 5, time.UTC).UnixNano(),
		},
		{Id: "fedcba9876543210", State: runtime.PodSandboxState_SANDBOX_NOTREADY},
	}}
	code, out, stderr := asked(t, "sandboxes", serve(t, server))
	if code != exitAnswered {
		t.Fatalf("exit status %d: %s", code, stderr)
	}
	if want := example(t, "sandboxes.json") + "\n"; out != want {
		t.Errorf("printed\n%swant\n%s", out, want)
	}
}

func TestNoSandboxesAreAnEmptyListAndNotNothing(t *testing.T) {
	_, out, _ := asked(t, "sandboxes", serve(t, &fake{}))
	if want := example(t, "sandboxes-none.json") + "\n"; out != want {
		t.Errorf("printed %s, want %s", out, want)
	}
}

func TestFiftyThousandSandboxesFitIntoAnAnswer(t *testing.T) {
	server := &fake{}
	for range 50_000 {
		server.sandboxes = append(server.sandboxes, &runtime.PodSandbox{
			Id:          strings.Repeat("a", 64),
			Metadata:    &runtime.PodSandboxMetadata{Name: "pod", Namespace: "default", Uid: strings.Repeat("u", 36)},
			Annotations: map[string]string{"k8s.v1.cni.cncf.io/networks": strings.Repeat("n", 200)},
		})
	}
	// How long that takes is not what is asked here.
	code, out, stderr := asked(t, "-timeout", "50s", "sandboxes", serve(t, server))
	if code != exitAnswered {
		t.Fatalf("exit status %d: %s", code, stderr)
	}
	var told Sandboxes
	if err := json.Unmarshal([]byte(out), &told); err != nil || len(told.Sandboxes) != 50_000 {
		t.Fatalf("%d sandboxes, %v", len(told.Sandboxes), err)
	}
}

func TestARuntimeThatHangsIsAnErrorAfterTheDeadline(t *testing.T) {
	server := &fake{hangs: make(chan struct{})}
	socket := serve(t, server)
	defer close(server.hangs)
	code, out, stderr := asked(t, "-timeout", "50ms", "status", socket)
	if code != exitFailed || out != "" || !strings.Contains(stderr, "did not answer within 50ms") {
		t.Errorf("exit status %d, printed %q, said %q", code, out, stderr)
	}
	if times := server.asked.Load(); times > 1 {
		t.Errorf("asked %d times", times)
	}
}

func TestWhatListensAndNeverSpeaksIsAnErrorAfterTheDeadline(t *testing.T) {
	socket := socketPath(t)
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	code, _, stderr := asked(t, "-timeout", "50ms", "sandboxes", socket)
	if code != exitFailed || !strings.Contains(stderr, "did not answer within 50ms") {
		t.Errorf("exit status %d, said %q", code, stderr)
	}
}

func TestWhatIsWrongWithASocketIsSaidAtOnce(t *testing.T) {
	absent := socketPath(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	stale := socketPath(t)
	address, err := net.ResolveUnixAddr("unix", stale)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.ListenUnix("unix", address)
	if err != nil {
		t.Fatal(err)
	}
	listener.SetUnlinkOnClose(false)
	listener.Close()
	for name, each := range map[string]struct{ socket, said string }{
		"absent":            {absent, "no such file or directory"},
		"not a socket":      {file, "it is not a socket"},
		"nobody listens":    {stale, "connection refused"},
		"serves no CRI":     {serve(t, nil), "does not serve the CRI"},
		"refuses":           {serve(t, &fake{refuses: grpcstatus.Error(codes.Unavailable, "server is not initialized yet")}), "server is not initialized yet"},
		"tells no networks": {serve(t, &fake{info: map[string]string{"cniconfig": "no JSON"}}), "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, stderr := asked(t, "status", each.socket)
			if code != exitFailed || out != "" || !strings.Contains(stderr, each.said) || !strings.Contains(stderr, each.socket) {
				t.Errorf("exit status %d, printed %q, said %q", code, out, stderr)
			}
		})
	}
}

func TestWrongUsageIsSaidAndNothingIsAsked(t *testing.T) {
	for _, arguments := range [][]string{{}, {"status"}, {"delete", "/x"}, {"status", ""}, {"status", "/x", "/y"}, {"-timeout", "0s", "status", "/x"}, {"-no", "status", "/x"}} {
		code, out, stderr := asked(t, arguments...)
		if code != exitUsage || out != "" || !strings.HasPrefix(stderr, "usage: ") {
			t.Errorf("%q: exit status %d, printed %q, said %q", arguments, code, out, stderr)
		}
	}
}
