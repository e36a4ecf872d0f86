package attach

import (
	"fmt"
	"strings"
	"testing"

	"mooring.dev/mooring/plugin/internal/netconf"
	"mooring.dev/mooring/plugin/internal/object"
	"mooring.dev/mooring/plugin/internal/selection"
)

func network(t *testing.T, plugins int, filling string) *netconf.Conf {
	t.Helper()
	entry := fmt.Sprintf(`{"type":"x","filling":%q}`, filling)
	text := `{"name":"n","plugins":[` + strings.TrimSuffix(strings.Repeat(entry+",", plugins), ",") + `]}`
	parsed, err := netconf.Parse([]byte(text), "$")
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func TestAnAllowanceCountsBytesAndPluginsOfAllNetworksWithTheirArguments(t *testing.T) {
	args := object.Object{}.With("x", strings.Repeat("y", 100))
	for _, test := range []struct {
		about   string
		left    sizeBudget
		args    object.Object
		network *netconf.Conf
		times   int
	}{
		{"bytes", sizeBudget{3000, 100}, nil, network(t, 1, strings.Repeat("z", 1000)), 2},
		{"plugins", sizeBudget{1 << 20, 10}, nil, network(t, 5, ""), 2},
		{"arguments of every plugin", sizeBudget{1000, 100}, args, network(t, 5, ""), 1},
	} {
		for range test.times {
			if err := test.left.spend(selection.Element{}, test.network, test.args); err != nil {
				t.Errorf("%s: %v", test.about, err)
			}
		}
		if test.left.spend(selection.Element{}, test.network, test.args) == nil {
			t.Errorf("%s: one more passed", test.about)
		}
	}
}
