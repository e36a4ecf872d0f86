package routes

import (
	"encoding/json"
	"net/netip"
	"testing"
)

func TestAResultOfEveryVersionFollowsTheTable(t *testing.T) {
	moved := Change{Dropped: []int{4}}
	gained := Change{Dropped: []int{4, 6}, Added: []Route{{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParseAddr("10.1.0.1")}, {netip.MustParsePrefix("fd00::/8"), netip.Addr{}}}}
	for _, test := range []struct {
		about, result, want string
		change              Change
	}{
		{"the default route goes, others stay", `{"cniVersion":"1.0.0","routes":[{"dst":"0.0.0.0/0","gw":"10.0.0.1"},{"dst":"10.2.0.0/16","mtu":1400},{"dst":"::/0"}]}`,
			`{"cniVersion":"1.0.0","routes":[{"dst":"10.2.0.0/16","mtu":1400},{"dst":"::/0"}]}`, moved},
		{"the last route goes, and the key with it", `{"cniVersion":"0.3.1","routes":[{"dst":"0.0.0.0/0"}]}`, `{"cniVersion":"0.3.1"}`, moved},
		{"routes come where there were none", `{"cniVersion":"1.1.0"}`, `{"cniVersion":"1.1.0","routes":[{"dst":"0.0.0.0/0","gw":"10.1.0.1"},{"dst":"fd00::/8"}]}`, gained},
		{"old results have them by family", `{"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.2/24","routes":[{"dst":"0.0.0.0/0"}]},"ip6":{"ip":"fd00::2/64"}}`,
			`{"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.2/24","routes":[{"dst":"0.0.0.0/0","gw":"10.1.0.1"}]},"ip6":{"ip":"fd00::2/64","routes":[{"dst":"fd00::/8"}]}}`, gained},
		{"no change keeps the bytes", `{ "routes": [] }`, `{ "routes": [] }`, Change{}},
	} {
		got, err := Apply(json.RawMessage(test.result), test.change)
		if err != nil || string(got) != test.want {
			t.Errorf("%s: %s, %v", test.about, got, err)
		}
	}
}
