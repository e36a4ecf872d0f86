package selection

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"mooring.dev/mooring/plugin/internal/object"
)

// example is one annotation of the contract: what it asks for, or where it is wrong.
type example struct {
	Row      string            `json:"row"`
	Text     *string           `json:"text"`
	JSON     json.RawMessage   `json:"json"`
	Requests []json.RawMessage `json:"requests"`
	Refused  *string           `json:"refused"`
}

func (e example) annotation() string {
	if e.Text != nil {
		return *e.Text
	}
	return string(e.JSON)
}

func examples(t testing.TB) []example {
	t.Helper()
	data, err := os.ReadFile("../../contract/examples/selection.json")
	if err != nil {
		t.Fatal(err)
	}
	var read []example
	if err := json.Unmarshal(data, &read); err != nil {
		t.Fatal(err)
	}
	return read
}

func TestExamplesOfTheContractAreReadAsTheySay(t *testing.T) {
	accepted, refused := 0, 0
	for _, example := range examples(t) {
		got, err := Parse(example.annotation(), "own")
		if example.Refused != nil {
			refused++
			if place := strings.TrimPrefix(*example.Refused, "$"); err == nil || !strings.Contains(err.Error(), place) {
				t.Errorf("%s: %.120q: %+v, %v; to be refused at %q", example.Row, example.annotation(), got, err, place)
			}
			continue
		}
		accepted++
		if err != nil || len(got) != len(example.Requests) {
			t.Errorf("%s: %.120q: %+v, %v", example.Row, example.annotation(), got, err)
			continue
		}
		for i, element := range got {
			if is, want := decoded(t, canonical(element)), decoded(t, example.Requests[i]); !reflect.DeepEqual(is, want) {
				t.Errorf("%s: %.120q: network %d is\n%v, not\n%v", example.Row, example.annotation(), i, is, want)
			}
		}
	}
	if accepted < 100 || refused < 200 {
		t.Errorf("%d accepted and %d refused examples: some are missing", accepted, refused)
	}
}

// canonical is an element as the contract writes it: keys that say nothing are left out.
func canonical(e Element) json.RawMessage {
	made := object.Object{}
	for key, text := range map[string]string{
		"namespace": e.Namespace, "name": e.Name, "interface": e.Interface, "mac": e.MAC,
		"infiniband-guid": e.GUID, "deviceID": e.DeviceID, "ipam-claim-reference": e.IPAMClaim,
	} {
		if text != "" {
			made[key] = object.Encode(text)
		}
	}
	for key, texts := range map[string][]string{"ips": e.IPs, "unknown": e.Unknown} {
		if texts != nil {
			made[key] = object.Encode(texts)
		}
	}
	for key, raw := range map[string]json.RawMessage{"portMappings": e.PortMappings, "bandwidth": e.Bandwidth} {
		if raw != nil {
			made[key] = raw
		}
	}
	if e.CNIArgs != nil {
		made["cni-args"] = e.CNIArgs.Bytes()
	}
	if e.HasGateways {
		made["default-route"] = object.Encode(e.Gateways)
	}
	return made.Bytes()
}

func decoded(t *testing.T, data json.RawMessage) (value any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		t.Fatal(err)
	}
	return value
}
