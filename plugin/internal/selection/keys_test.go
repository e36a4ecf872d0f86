package selection

import (
	"encoding/json"
	"net"
	"slices"
	"strings"
	"testing"
)

// decoderElement has the keys and types into which Multus has Go's decoder read an element.
type decoderElement struct {
	Name             string   `json:"name"`
	Namespace        string   `json:"namespace,omitempty"`
	IPs              []string `json:"ips,omitempty"`
	MAC              string   `json:"mac,omitempty"`
	GUID             string   `json:"infiniband-guid,omitempty"`
	Interface        string   `json:"interface,omitempty"`
	InterfaceRequest string   `json:"interfaceRequest,omitempty"`
	PortMappings     []*struct {
		HostPort      int    `json:"hostPort"`
		ContainerPort int    `json:"containerPort"`
		Protocol      string `json:"protocol,omitempty"`
		HostIP        string `json:"hostIP,omitempty"`
	} `json:"portMappings,omitempty"`
	Bandwidth *struct {
		IngressRate  int `json:"ingressRate"`
		IngressBurst int `json:"ingressBurst"`
		EgressRate   int `json:"egressRate"`
		EgressBurst  int `json:"egressBurst"`
	} `json:"bandwidth,omitempty"`
	DeviceID     string                      `json:"deviceID,omitempty"`
	CNIArgs      *map[string]json.RawMessage `json:"cni-args"`
	DefaultRoute *[]net.IP                   `json:"default-route,omitempty"`
	IPAMClaim    string                      `json:"ipam-claim-reference,omitempty"`
}

// FuzzKeysAreReadAsGosDecoderReadsThem compares whatever is accepted. It leaves out what is within a
// list or an object that is there twice: the decoder mixes the two, here the last one counts.
func FuzzKeysAreReadAsGosDecoderReadsThem(f *testing.F) {
	for _, example := range examples(f) {
		f.Add(example.annotation())
	}
	f.Add(`[{"Name":"a","name":"b","NAME":null,"nameſpace":"x","ips":["::1"],"IPS":null,"Mac":"02:00:00:00:00:01","mac":""}]`)
	f.Add(`[{"interfacerequest":"x","InterfaceRequest":null,"DeviceId":"1","deviceID":"2","Default-Route":[],"default-route":null,"name":"a"}]`)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := Parse(text, "own")
		if err != nil || !strings.ContainsAny(text, `[{"`) {
			return
		}
		var want []decoderElement
		if err := json.Unmarshal([]byte(text), &want); err != nil || len(got) != len(want) {
			t.Fatalf("%q is taken: %+v, but not by the decoder: %v", text, got, err)
		}
		for i, is := range got {
			compareElement(t, text, is, want[i])
		}
	})
}

func compareElement(t *testing.T, text string, is Element, want decoderElement) {
	t.Helper()
	same := map[string]bool{
		"name": is.Name == want.Name, "namespace": is.Namespace == want.Namespace || want.Namespace == "" && is.Namespace == "own",
		"interface": is.Interface == want.Interface || want.Interface == "" && is.Interface == want.InterfaceRequest,
		"ips":       slices.Equal(is.IPs, want.IPs), "mac": sameHardware(is.MAC, want.MAC), "guid": sameHardware(is.GUID, want.GUID),
		"deviceID": is.DeviceID == want.DeviceID, "claim": is.IPAMClaim == want.IPAMClaim, "cni-args": (is.CNIArgs == nil) == (want.CNIArgs == nil),
		"default-route": is.HasGateways == (want.DefaultRoute != nil) && (!is.HasGateways || len(is.Gateways) == len(*want.DefaultRoute)),
		"portMappings":  (is.PortMappings != nil) == (len(want.PortMappings) > 0),
	}
	for key, equal := range same {
		if !equal {
			t.Errorf("%q: %s of %+v is not the decoder's %+v", text, key, is, want)
		}
	}
}

func sameHardware(is, written string) bool {
	parsed, _ := net.ParseMAC(written)
	return is == parsed.String()
}
