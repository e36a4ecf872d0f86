package attach

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestWhatAResultTellsIsReadInEveryVersion(t *testing.T) {
	for _, test := range []struct {
		result, mac string
		ips         []string
	}{
		{`{"cniVersion":"1.0.0","interfaces":[{"name":"br0","mac":"x"},{"name":"net1","mac":"y","sandbox":"/n"}],"ips":[{"address":"10.0.0.2/24"},{"address":"fd00::2/64"}]}`, "y", []string{"10.0.0.2", "fd00::2"}},
		{`{"cniVersion":"0.3.1","interfaces":[{"name":"net1","mac":"of the node"}],"ips":[{"version":"4","address":"::ffff:10.0.0.2/120"}]}`, "", []string{"10.0.0.2"}},
		{`{"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.2/24"},"ip6":{"ip":"fd00::2/64"}}`, "", []string{"10.0.0.2", "fd00::2"}},
		{`{"cniVersion":"1.0.0","interfaces":[3,{"name":5}],"ips":[{"address":5},"x",{"address":"nowhere"}]}`, "", nil},
		{`{}`, "", nil},
	} {
		got := addressesInResult(json.RawMessage(test.result), "net1")
		var ips []string
		for _, address := range got.ips {
			ips = append(ips, address.String())
		}
		if got.mac != test.mac || !slices.Equal(ips, test.ips) {
			t.Errorf("%s: %s %v", test.result, got.mac, ips)
		}
	}
}

func TestEveryThingThatDidNotComeIsNamed(t *testing.T) {
	asked := addressRequest{ips: []string{"10.0.0.2/24", "10.0.0.3"}, mac: "02:00:00:00:00:07"}
	err := checkAddresses(asked, addresses{ips: []netip.Addr{netip.MustParseAddr("10.0.0.2")}})
	if err == nil || strings.Contains(err.Error(), "10.0.0.2/24") {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"address 10.0.0.3, and got 10.0.0.2", "MAC 02:00:00:00:00:07, and got none"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}
