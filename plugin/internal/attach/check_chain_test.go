package attach

import (
	"errors"
	"testing"

	"mooring.dev/mooring/plugin/internal/netconf"
)

const (
	hasAddress   = `{"cniVersion":"1.1.0","interfaces":[{"name":"net1","sandbox":"/n","mac":"0a:58:0a:00:00:07"}],"ips":[{"address":"10.0.0.2/24","interface":0}]}`
	hasNothing   = `{"cniVersion":"1.0.0","interfaces":[{"name":"net1","sandbox":"/n"}]}`
	hasRoute     = `{"cniVersion":"1.0.0","interfaces":[{"name":"net1","sandbox":"/n"}],"routes":[{"dst":"192.0.2.0/24"}]}`
	hasTable     = `{"cniVersion":"1.1.0","ips":[{"address":"10.0.0.2/24"}],"routes":[{"dst":"192.0.2.0/24","table":100}]}`
	hasMainTable = `{"cniVersion":"1.1.0","ips":[{"address":"10.0.0.2/24"}],"routes":[{"dst":"192.0.2.0/24","table":254}]}`
	has32        = `{"cniVersion":"0.4.0","ips":[{"version":"4","address":"10.0.0.2/32"}]}`
	has128       = `{"cniVersion":"1.0.0","ips":[{"address":"fd00::2/128"}]}`
	hasOtherMAC  = `{"cniVersion":"1.0.0","interfaces":[{"name":"net1","sandbox":"/n","mac":"0A:58:0A:00:00:07"}]}`
	madeNothing  = `{"cniVersion":"1.0.0","dns":{}}`
	nodesMAC     = `{"cniVersion":"1.0.0","interfaces":[{"name":"veth1","mac":"0A:58:0A:00:00:07"}]}`
	bridge       = `{"type":"bridge","ipam":{"type":"host-local"}}`
	sbr          = `{"type":"sbr"}`
	vrf          = `{"type":"vrf"}`
	tuning       = `{"type":"tuning"}`
)

func TestAPluginIsAskedWhereItsCHECKCanPass(t *testing.T) {
	for _, test := range []struct {
		about, plugins, result string
		moved                  bool
		asked                  string // a letter for each plugin: y or n
	}{
		{"a chain as most have it", bridge + `,{"type":"portmap"},{"type":"firewall"},{"type":"bandwidth"},` + tuning, hasAddress, false, "yyyyy"},
		{"sbr moves the routes of the address", bridge + "," + sbr, hasAddress, false, "ny"},
		{"vrf moves them too", `{"type":"macvlan"},` + vrf, hasAddress, false, "ny"},
		{"whichever comes between", `{"type":"ipvlan"},` + tuning + "," + vrf + "," + sbr, hasAddress, false, "nyyy"},
		{"what comes after sbr is not concerned", sbr + "," + bridge, hasAddress, false, "yy"},
		{"without addresses and routes there is nothing to move", `{"type":"macvlan"},` + vrf, hasNothing, false, "yy"},
		{"a route is enough", `{"type":"macvlan"},` + sbr, hasRoute, false, "ny"},
		{"with a table of its own sbr moves nothing", bridge + `,{"type":"sbr","table":0}`, hasAddress, false, "yy"},
		{"null is no table", bridge + `,{"type":"sbr","table":null}`, hasAddress, false, "ny"},
		{"nobody knows what an unknown plugin looks for", `{"type":"sriov"},` + sbr, hasAddress, false, "ny"},
		{"nor what there was without a result", bridge + "," + sbr, "", false, "ny"},
		{"the reference plugins go by the result, which follows the default route", bridge + `,{"type":"portmap"}`, hasAddress, true, "yy"},
		{"others may not", `{"type":"calico"},{"type":"portmap"}`, hasAddress, true, "ny"},
		{"they are asked where nothing was moved", `{"type":"calico"}`, hasAddress, false, "y"},
		{"bridge asks for its IPAM plugin even where there is none", `{"type":"bridge"}`, hasNothing, false, "n"},
		{"an empty one is none", `{"type":"bridge","ipam":{}}`, hasNothing, false, "n"},
		{"KubeVirt's copy is the same plugin", `{"type":"cnv-bridge"},{"type":"cnv-tuning"}`, hasNothing, false, "ny"},
		{"macvlan does without IPAM", `{"type":"macvlan"}`, hasNothing, false, "y"},
		{"a route of another table", bridge, hasTable, false, "n"},
		{"the main table by its number", bridge, hasMainTable, false, "y"},
		{"an address without a network", bridge, has32, false, "n"},
		{"IPv6 has a route for it", bridge, has128, false, "y"},
		{"a MAC address in capitals", bridge + "," + tuning, hasOtherMAC, false, "nn"},
		{"on the node's side nobody compares it so", bridge, nodesMAC, false, "y"},
		{"an MTU that is changed later", `{"type":"vlan","mtu":1500},{"type":"tuning","mtu":1400}`, hasAddress, false, "ny"},
		{"an MTU of nobody's choice", `{"type":"vlan","mtu":0},{"type":"tuning","mtu":1400}`, hasAddress, false, "yy"},
		{"two of a kind", bridge + "," + tuning + "," + tuning, hasAddress, false, "yny"},
		{"several numbers in one sysctl", bridge + `,{"type":"tuning","sysctl":{"net.ipv4.ip_local_port_range":"1024 60000"}}`, hasAddress, false, "yn"},
		{"one number", bridge + `,{"type":"tuning","sysctl":{"net.core.somaxconn":"500"}}`, hasAddress, false, "yy"},
		{"an auxiliary chain has no interface", tuning, madeNothing, false, "n"},
		{"nor has one that begins with passthru", `{"type":"passthru"},` + tuning, madeNothing, false, "yn"},
		{"route-override", bridge + `,{"type":"route-override","flushroutes":true}`, hasAddress, false, "yn"},
	} {
		network, err := netconf.Parse([]byte(`{"cniVersion":"1.0.0","name":"n","plugins":[`+test.plugins+`]}`), "$")
		if err != nil {
			t.Fatalf("%s: %v", test.about, err)
		}
		result, err := parseResult([]byte(test.result))
		if err != nil {
			t.Fatalf("%s: %v", test.about, err)
		}
		asked := ""
		for i := range network.Plugins {
			if hindrance(network, i, traitsOf(result, test.moved)) == "" {
				asked += "y"
			} else {
				asked += "n"
			}
		}
		if asked != test.asked {
			t.Errorf("%s: %s, not %s", test.about, asked, test.asked)
		}
	}
}

func TestOnlyAMissingCHECKIsForgiven(t *testing.T) {
	for text, want := range map[string]bool{
		"CNI CHECK method is not implemented": true,
		"not implement it":                    true,
		"Unimplemented":                       true,
		"interface net1 not found":            false,
		"":                                    false,
	} {
		if hasNoCheck(errors.New(text)) != want {
			t.Errorf("%q: not %t", text, want)
		}
	}
}
