package attach

import (
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"

	"mooring.dev/mooring/plugin/internal/cnierror"
	"mooring.dev/mooring/plugin/internal/netconf"
)

func TestTheFactsOfEveryPluginOfANetworkAreTold(t *testing.T) {
	parsed, err := netconf.Parse([]byte(`{"name":"n","plugins":[
		{"type":"macvlan","master":"eth1","ipam":{"type":"host-local","ranges":[[{"subnet":"10.0.0.0/24","rangeStart":"10.0.0.5","rangeEnd":"10.0.0.9"}],[{"subnet":"fd00::/64"}]]}},
		{"type":"x","master":5,"ipam":"none"},
		{"type":"y","ipam":{"type":"static","addresses":[{"address":"10.1.0.2/24"}]}}]}`), "$")
	if err != nil {
		t.Fatal(err)
	}
	got := explainFailure(types.NewError(42, "no luck", "details"), &planned{conf: parsed})
	known := cnierror.From(got)
	want := `no luck; master "eth1", range 10.0.0.0/24 (10.0.0.5-10.0.0.9), fd00::/64, 10.1.0.2/24, node `
	if known.Code != 42 || known.Details != "details" || !strings.HasPrefix(known.Msg, want) {
		t.Errorf("got %+v", known)
	}
}

func TestALongListNamesTheFirstAndCountsTheRest(t *testing.T) {
	if got := cnierror.FirstOf([]string{"a", "b", "c", "d", "e", "f", "g"}); got != "a, b, c, d, e and 2 more" {
		t.Errorf("got %s", got)
	}
}
