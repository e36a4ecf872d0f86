package netstatus

import (
	"encoding/json"
	"strings"
	"testing"

	"mooring.dev/mooring/plugin/internal/journal"
)

func state(network string, isDefault bool, result string) journal.State {
	return journal.State{Attachment: journal.Attachment{Network: network, Default: isDefault}, Result: json.RawMessage(result)}
}

func compact(t *testing.T, states ...journal.State) string {
	t.Helper()
	text, left := Text(Entries(states), MostBytes)
	if len(left) > 0 {
		t.Fatalf("left out: %v", left)
	}
	var entries []json.RawMessage
	if err := json.Unmarshal([]byte(text), &entries); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(entries)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestResultsBecomeEntries(t *testing.T) {
	asked := &[]string{"10.1.0.1"}
	for _, test := range []struct {
		about string
		given journal.State
		want  string
	}{
		{"one interface has all addresses, without length", state("n/a", false, `{"cniVersion":"1.0.0","interfaces":[{"name":"net1","mac":"m","mtu":1400,"sandbox":"/x"}],"ips":[{"address":"10.1.0.2/24"},{"address":"fd00::2/64","interface":0}]}`),
			`[{"name":"n/a","interface":"net1","ips":["10.1.0.2","fd00::2"],"mac":"m","mtu":1400,"dns":{}}]`},
		{"one interface outside of the pod is not named", state("n/a", true, `{"cniVersion":"1.0.0","interfaces":[{"name":"cali1"}],"ips":[{"address":"10.1.0.2/32"}]}`),
			`[{"name":"n/a","ips":["10.1.0.2"],"default":true,"dns":{}}]`},
		{"no interfaces make a minimal entry", state("n/a", true, `{"cniVersion":"1.0.0"}`), `[{"name":"n/a","default":true,"dns":{}}]`},
		{"an old result has its addresses by family", state("n/a", false, `{"cniVersion":"0.2.0","ip4":{"ip":"10.1.0.2/24","routes":[{"dst":"0.0.0.0/0","gw":"10.1.0.1"}]},"dns":{"domain":"d"}}`),
			`[{"name":"n/a","ips":["10.1.0.2"],"dns":{"domain":"d"},"gateway":["10.1.0.1"]}]`},
		{"several interfaces have an entry each, the first with a gateway is the default", state("p", true, `{"cniVersion":"1.0.0","interfaces":[{"name":"br0"},{"name":"a","sandbox":"/x"},{"name":"b","sandbox":"/x"}],"ips":[{"address":"10.0.0.1/24","interface":0},{"address":"10.1.0.2/24","interface":2,"gateway":"10.1.0.1"},{"address":"10.2.0.2/24"}]}`),
			`[{"name":"p","interface":"a","dns":{}},{"name":"p","interface":"b","ips":["10.1.0.2","10.2.0.2"],"default":true,"dns":{}}]`},
		{"what was asked and the device are told", journal.State{Attachment: journal.Attachment{Network: "n", DefaultRoute: asked}, DeviceInfo: json.RawMessage(`{"type":"pci"}`), Result: json.RawMessage(`{"cniVersion":"1.0.0"}`)},
			`[{"name":"n","dns":{},"device-info":{"type":"pci"},"default-route":["10.1.0.1"]}]`},
	} {
		if got := compact(t, test.given); got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.about, got, test.want)
		}
	}
}

func TestATooLongStatusLosesItsLastNetworksButNeverTheDefaultOne(t *testing.T) {
	result := `{"cniVersion":"1.0.0","dns":{"search":["` + strings.Repeat("ü", 40) + `"]}}`
	entries := Entries([]journal.State{state("a", false, result), state("d", true, result), state("b", false, result)})
	text, left := Text(entries, 400)
	if len(text) > 400 || !json.Valid([]byte(text)) || !strings.Contains(text, `"d"`) || strings.Join(left, ",") != "b" {
		t.Errorf("%d bytes, left out %v: %s", len(text), left, text)
	}
}
