package netconf

import (
	"testing"
)

func parsed(t *testing.T, text string) *Conf {
	t.Helper()
	conf, err := Parse([]byte(text), "$")
	if err != nil {
		t.Fatal(err)
	}
	return conf
}

func TestWhatAConfigurationLostIsFilledInFromAnother(t *testing.T) {
	for name, test := range map[string]struct{ lost, whole, want string }{
		"members of plugins and of objects in them": {
			`{"name":"a","plugins":[{"type":"bridge","ipam":{"type":"host-local"}},{"type":"portmap"}]}`,
			`{"name":"a","plugins":[{"type":"bridge","ipMasq":true,"ipam":{"type":"other","ranges":[1]}},{"type":"portmap","snat":true}]}`,
			`{"name":"a","plugins":[{"ipMasq":true,"ipam":{"ranges":[1],"type":"host-local"},"type":"bridge"},{"snat":true,"type":"portmap"}]}`,
		},
		"a conf": {
			`{"name":"a","type":"bridge"}`, `{"name":"a","type":"bridge","mtu":9000}`, `{"mtu":9000,"name":"a","type":"bridge"}`,
		},
		"a chain that the other one lacks stays": {
			`{"name":"a","plugins":[{"type":"bridge"},{"type":"tuning"}]}`,
			`{"name":"a","plugins":[{"type":"bridge","mtu":1}]}`,
			`{"name":"a","plugins":[{"mtu":1,"type":"bridge"},{"type":"tuning"}]}`,
		},
		"nothing behind a plugin that is another one": {
			`{"name":"a","plugins":[{"type":"ptp"},{"type":"tuning"}]}`,
			`{"name":"a","plugins":[{"type":"bridge","mtu":1},{"type":"tuning","mac":"x"}]}`,
			`{"name":"a","plugins":[{"type":"ptp"},{"type":"tuning"}]}`,
		},
		"nothing of another network": {
			`{"name":"a","type":"bridge"}`, `{"name":"b","type":"bridge","mtu":1}`, `{"name":"a","type":"bridge"}`,
		},
		"what is there stays": {
			`{"name":"a","type":"bridge","mtu":1}`, `{"name":"a","type":"bridge","mtu":2}`, `{"mtu":1,"name":"a","type":"bridge"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			lost, whole := parsed(t, test.lost), parsed(t, test.whole)
			before := string(lost.Bytes())
			if got, want := string(lost.FilledFrom(whole).Bytes()), string(parsed(t, test.want).Bytes()); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			if string(lost.Bytes()) != before {
				t.Error("the configuration itself changed")
			}
		})
	}
	if lost := parsed(t, `{"name":"a","type":"bridge"}`); lost.FilledFrom(nil) != lost {
		t.Error("without another one it stays")
	}
}
