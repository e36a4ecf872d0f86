package attach

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"mooring.dev/mooring/plugin/internal/selection"
)

func asking(names ...string) []planned {
	plans := []planned{{network: "default"}}
	for _, name := range names {
		plans = append(plans, planned{network: "n", request: selection.Element{Interface: name}})
	}
	return plans
}

func TestInterfacesAreNumberedByPositionAndPassOverNamesThatWereAskedFor(t *testing.T) {
	for _, test := range []struct{ asked, want []string }{
		{[]string{"", ""}, []string{"eth0", "net1", "net2"}},
		{[]string{"net2", ""}, []string{"eth0", "net2", "net3"}},
		{[]string{"", "net1"}, []string{"eth0", "net2", "net1"}},
		{[]string{"net2", "", ""}, []string{"eth0", "net2", "net3", "net4"}},
		{[]string{"x", ""}, []string{"eth0", "x", "net2"}},
	} {
		plans := asking(test.asked...)
		if err := assignInterfaces(plans, "eth0"); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, plan := range plans {
			got = append(got, plan.ifName)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%v: %v, want %v", test.asked, got, test.want)
		}
	}
}

func TestANameAskedForTwiceIsRefused(t *testing.T) {
	for _, names := range [][]string{{"a", "a"}, {"eth0"}} {
		if err := assignInterfaces(asking(names...), "eth0"); err == nil || !strings.Contains(err.Error(), "twice") {
			t.Errorf("%v: %v", names, err)
		}
	}
}

func TestOneGatewayIsAllowedForEachFamily(t *testing.T) {
	gateways := func(texts ...string) planned {
		plan := planned{}
		for _, text := range texts {
			plan.request.Gateways = append(plan.request.Gateways, netip.MustParseAddr(text))
		}
		return plan
	}
	if err := oneGatewayPerFamily([]planned{gateways("10.0.0.1"), gateways("fd00::1")}); err != nil {
		t.Error(err)
	}
	for _, plans := range [][]planned{{gateways("10.0.0.1"), gateways("10.0.0.2")}, {gateways("fd00::1", "fd00::2")}} {
		if err := oneGatewayPerFamily(plans); err == nil {
			t.Errorf("%+v passed", plans)
		}
	}
}
