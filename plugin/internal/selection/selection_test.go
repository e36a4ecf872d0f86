package selection

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"mooring.dev/mooring/plugin/internal/names"
)

func TestTheTextForm(t *testing.T) {
	got, err := Parse(" a , ns/b@if0 ", "default")
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].String() != "default/a" || got[1].String() != "ns/b" || got[1].Interface != "if0" {
		t.Errorf("got %+v", got)
	}
}

func TestEveryMistakeOfAnAnnotationIsNamed(t *testing.T) {
	_, err := Parse(`[{"name":"A"},{"name":"b","mac":"x","ips":[]},{"namespace":"n"}]`, "default")
	if err == nil {
		t.Fatal("passed")
	}
	for _, want := range []string{"[0].name", "[1].mac", "[1].ips", "[2].name"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not named in %v", want, err)
		}
	}
}

func TestOnlyWhatWasAskedForIsInBandwidth(t *testing.T) {
	got, err := Parse(`[{"name":"a","bandwidth":{"egressRate":5,"other":1}}]`, "default")
	if err != nil || string(got[0].Bandwidth) != `{"egressRate":5}` {
		t.Errorf("got %s, %v", got[0].Bandwidth, err)
	}
}

func TestADefaultRouteKeyWithoutAddressesIsNotAnAbsentOne(t *testing.T) {
	got, err := Parse(`[{"name":"a","default-route":[]},{"name":"b"},{"name":"c","default-route":["::ffff:10.0.0.1"]}]`, "default")
	if err != nil {
		t.Fatal(err)
	}
	if !got[0].HasGateways || len(got[0].Gateways) != 0 || got[1].HasGateways || !got[2].Gateways[0].Is4() {
		t.Errorf("got %+v", got)
	}
}

func seeds(f *testing.F) {
	for _, text := range []string{
		"", "a", "ns/a@if", "a,b", "a/b/c", "@", `[{"name":"a","ips":["10.0.0.1/24"],"mac":"02:00:00:00:00:01"}]`,
		`[{"name":"a","default-route":["fd00::1"],"cni-args":{"x":1},"portMappings":[{"hostPort":1,"containerPort":2}]}]`,
		`[{"name":"a","bandwidth":{"ingressRate":1,"ingressBurst":2}}]`, `{"name":"a"}`, `[null]`, `["`, "a\x00b", "[[[[",
	} {
		f.Add(text)
	}
}

func FuzzAnAnnotationIsReadOrRefused(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		elements, err := Parse(text, "default")
		if err != nil {
			return
		}
		for _, element := range elements {
			if element.Name == "" || element.Namespace == "" || filepath.Base(element.Name) != element.Name || element.Name == ".." {
				t.Errorf("%q gave %q/%q", text, element.Namespace, element.Name)
			}
			if element.Interface != "" && names.CheckInterface(element.Interface) != nil {
				t.Errorf("%q gave the interface %q", text, element.Interface)
			}
			for _, raw := range []json.RawMessage{element.PortMappings, element.Bandwidth} {
				if raw != nil && !json.Valid(raw) {
					t.Errorf("%q gave %s", text, raw)
				}
			}
		}
	})
}

func TestAnErrorNamesTheFirstMistakesAndCountsTheRest(t *testing.T) {
	for _, text := range []string{strings.Repeat("a//b,", 999) + "a//b", "[" + strings.Repeat("3,", 999) + "3]"} {
		_, err := Parse(text, "ns")
		if err == nil || len(err.Error()) > 4096 || !strings.Contains(err.Error(), "and 990 more") {
			t.Errorf("%.20s…: %.200v", text, err)
		}
	}
}
