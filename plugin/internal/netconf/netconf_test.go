package netconf

import (
	"encoding/json"
	"strings"
	"testing"

	"mooring.dev/mooring/plugin/internal/contracttest"
	"mooring.dev/mooring/plugin/internal/object"
)

func parse(t *testing.T, text string) *Conf {
	t.Helper()
	conf, err := Parse([]byte(text), "$")
	if err != nil {
		t.Fatal(err)
	}
	return conf
}

func TestAConfAndAListAreToldApartByTheirType(t *testing.T) {
	for text, list := range map[string]bool{
		`{"name":"a","type":"x"}`: false, `{"name":"a","plugins":[{"type":"x"}]}`: true,
		`{"name":"a","type":"x","plugins":[{"type":"y"}]}`: false,
	} {
		if conf := parse(t, text); conf.IsList() != list || conf.Plugins[0].Type != "x" {
			t.Errorf("%s: %+v", text, conf)
		}
	}
}

func TestTypesThatAreNoPlainNamesAreRefused(t *testing.T) {
	for _, kind := range []string{"/bin/sh", "../x", "a/b", "..", ".", `a\b`} {
		text := `{"name":"a","type":` + string(object.Encode(kind)) + `}`
		if _, err := Parse([]byte(text), "$"); err == nil || !strings.Contains(err.Error(), "$.type") {
			t.Errorf("%s: %v", kind, err)
		}
		inner := `{"name":"a","type":"x","ipam":{"type":` + string(object.Encode(kind)) + `}}`
		if _, err := Parse([]byte(inner), "$"); err == nil || !strings.Contains(err.Error(), "$.ipam.type") {
			t.Errorf("ipam %s: %v", kind, err)
		}
	}
}

func TestAVersionIsChosenFromAListOrThePluginsOrFilledIn(t *testing.T) {
	for text, want := range map[string]string{
		`{"name":"a","type":"x"}`:                                                    "1.0.0",
		`{"name":"a","type":"x","cniVersion":"0.3.1"}`:                               "0.3.1",
		`{"name":"a","plugins":[{"type":"x","cniVersion":"0.4.0"}]}`:                 "0.4.0",
		`{"name":"a","type":"x","cniVersions":["0.3.1","1.1.0","9.0.0"]}`:            "1.1.0",
		`{"name":"a","type":"x","cniVersions":["0.3.1"],"cniVersion":"1.0.0"}`:       "1.0.0",
		`{"name":"a","plugins":[{"type":"x"}],"cniVersion":"0.2.0","other":{"a":1}}`: "0.2.0",
	} {
		if got := parse(t, text).WithDefaults("n", "1.0.0"); got.CNIVersion != want {
			t.Errorf("%s: %s, want %s", text, got.CNIVersion, want)
		}
	}
}

func TestAPluginGetsNameVersionItsCapabilitiesAndTheResultBefore(t *testing.T) {
	conf := parse(t, `{"name":"net","cniVersion":"1.0.0","plugins":[{"type":"x","big":12345678901234567890,"capabilities":{"ips":true,"mac":false}},{"type":"y"}]}`)
	given := Invocation{
		CapabilityArgs: object.Object{"ips": json.RawMessage(`["10.0.0.1"]`), "mac": json.RawMessage(`"m"`)},
		PrevResult:     json.RawMessage(`{"cniVersion":"1.0.0"}`),
	}
	want := `{"big":12345678901234567890,"capabilities":{"ips":true,"mac":false},"cniVersion":"1.0.0","name":"net","prevResult":{"cniVersion":"1.0.0"},"runtimeConfig":{"ips":["10.0.0.1"]},"type":"x"}`
	if got := string(conf.Stdin(0, given)); got != want {
		t.Errorf("got %s", got)
	}
	if got := string(conf.Stdin(1, Invocation{})); got != `{"cniVersion":"1.0.0","name":"net","type":"y"}` {
		t.Errorf("got %s", got)
	}
}

func TestADeviceIsNamedToEveryPluginUnderBothKeys(t *testing.T) {
	conf := parse(t, `{"name":"net","plugins":[{"type":"x"},{"type":"y"}]}`).WithDevice("0000:03:02.1")
	for i := range conf.Plugins {
		if got := string(conf.Stdin(i, Invocation{})); !strings.Contains(got, `"deviceID":"0000:03:02.1"`) || !strings.Contains(got, `"pciBusID":"0000:03:02.1"`) {
			t.Errorf("plugin %d: %s", i, got)
		}
	}
}

func TestAChangeIsSeenByNobodyElseWhoUsesTheNetwork(t *testing.T) {
	for _, text := range []string{`{"type":"x","args":{"cni":{"a":1}}}`, `{"plugins":[{"type":"x","args":{"cni":{"a":1}}},{"type":"y"}]}`} {
		shared := parse(t, text)
		before := string(shared.Bytes())
		first, err := shared.WithDefaults("n", "1.0.0").WithArgs(object.Object{"a": json.RawMessage("2")}, "$")
		if err != nil {
			t.Fatal(err)
		}
		second, err := shared.WithDefaults("n", "1.0.0").WithDevice("d").WithArgs(object.Object{"b": json.RawMessage("3")}, "$")
		if err != nil {
			t.Fatal(err)
		}
		if string(shared.Bytes()) != before {
			t.Errorf("%s became %s", before, shared.Bytes())
		}
		for _, changed := range []*Conf{first, second} {
			reread, err := Parse(changed.Bytes(), "$")
			if err != nil {
				t.Fatal(err)
			}
			for i := range changed.Plugins {
				if got, want := string(changed.Stdin(i, Invocation{})), string(reread.Stdin(i, Invocation{})); got != want {
					t.Errorf("plugin %d gets %s, and from the journal %s", i, got, want)
				}
			}
		}
		if got := string(second.Stdin(0, Invocation{})); !strings.Contains(got, `"args":{"cni":{"a":1,"b":3}}`) || !strings.Contains(got, `"deviceID":"d"`) {
			t.Errorf("got %s", got)
		}
	}
}

func TestANetworkOfTooManyPluginsIsRefused(t *testing.T) {
	for count, right := range map[int]bool{MaxPlugins: true, MaxPlugins + 1: false} {
		_, err := Parse([]byte(`{"plugins":[`+strings.Repeat(`{"type":"x"},`, count-1)+`{"type":"x"}]}`), "$")
		if (err == nil) != right {
			t.Errorf("%d: %v", count, err)
		}
	}
}

func TestFilesOfAChainComeBehindTheListsOwnPlugins(t *testing.T) {
	raw, err := object.Parse([]byte(`{"name":"net","plugins":[{"type":"x"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	conf, err := WithMore(raw, [][]byte{[]byte(`{"type":"y"}`)}, "$")
	if err != nil || len(conf.Plugins) != 2 || conf.Plugins[1].Type != "y" {
		t.Errorf("got %+v, %v", conf, err)
	}
}

func FuzzANetworkIsReadOrRefused(f *testing.F) {
	for _, text := range []string{
		`{"name":"a","type":"x"}`, `{"plugins":[{"type":"x","ipam":{"type":"y"}}]}`, `{"plugins":[]}`, `{"plugins":[5]}`, `{"type":5}`,
		`{"name":"a","type":"x","cniVersions":["x"]}`, `{"name":"a","type":"x","disableCheck":"true"}`, `{"name":"a","type":"x","args":{"cni":5}}`,
	} {
		f.Add([]byte(text))
	}
	for _, name := range contracttest.Files(f, "network/*.json") {
		var entry struct{ Config string }
		if json.Unmarshal(contracttest.Read(f, name), &entry) == nil {
			f.Add([]byte(entry.Config))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		conf, err := Parse(data, "$")
		if err != nil {
			return
		}
		changed := conf.WithDefaults("n", "1.0.0").WithDevice("d")
		if _, err := changed.WithArgs(object.Object{"k": json.RawMessage("1")}, "$"); err != nil {
			return
		}
		for i := range changed.Plugins {
			if stdin := changed.Stdin(i, Invocation{}); !json.Valid(stdin) {
				t.Errorf("%q gave %s", data, stdin)
			}
		}
	})
}
