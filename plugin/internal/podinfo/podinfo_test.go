package podinfo

import (
	"encoding/json"
	"strings"
	"testing"

	"mooring.dev/mooring/plugin/internal/object"
)

func joined(pairs [][2]string) string {
	texts := make([]string, 0, len(pairs))
	for _, pair := range pairs {
		texts = append(texts, pair[0]+"="+pair[1])
	}
	return strings.Join(texts, ";")
}

func TestArgumentsAreKeptInOrderAndCompleted(t *testing.T) {
	for text, want := range map[string]string{
		"": "IgnoreUnknown=true;K8S_POD_NAMESPACE=;K8S_POD_NAME=;K8S_POD_INFRA_CONTAINER_ID=c1;K8S_POD_UID=",
		"B=a=b=c;;IgnoreUnknown=1;K8S_POD_UID=u;":                                                              "B=a=b=c;IgnoreUnknown=1;K8S_POD_UID=u;K8S_POD_NAMESPACE=;K8S_POD_NAME=;K8S_POD_INFRA_CONTAINER_ID=c1",
		"A=1;A=2;IgnoreUnknown=1;K8S_POD_NAMESPACE=n;K8S_POD_NAME=p;K8S_POD_INFRA_CONTAINER_ID=;K8S_POD_UID=u": "A=1;A=2;IgnoreUnknown=1;K8S_POD_NAMESPACE=n;K8S_POD_NAME=p;K8S_POD_INFRA_CONTAINER_ID=c1;K8S_POD_UID=u",
	} {
		got, err := Parse(text, "c1")
		if err != nil || joined(got.Args) != want {
			t.Errorf("%q: %s, %v", text, joined(got.Args), err)
		}
	}
}

func TestWhatIsNoPairIsRefused(t *testing.T) {
	for _, text := range []string{"A", "=b", "A=1;B"} {
		if _, err := Parse(text, "c1"); err == nil {
			t.Errorf("%q passed", text)
		}
	}
}

func TestNoValueEndsItsPairAndBeginsAnother(t *testing.T) {
	for _, value := range []string{"a;B=c", "a=b", ";", "a\x00b", "a\nb", "a\x7f", "a\u0085", "a\xff"} {
		if args, err := AddArgument(nil, "IP", value); err == nil || !strings.Contains(err.Error(), "IP cannot be") {
			t.Errorf("%q made %q, %v", value, args, err)
		}
		identity, err := Parse("K8S_POD_UID=", "c1")
		if err != nil {
			t.Fatal(err)
		}
		if err := identity.WithUID(value); err == nil || !strings.Contains(err.Error(), "K8S_POD_UID") {
			t.Errorf("the UID %q made %q, %v", value, identity.Args, err)
		}
		if _, err := Parse("", value); err == nil {
			t.Errorf("the container %q passed", value)
		}
	}
}

func TestAnArgumentThatIsThereStaysAsItIs(t *testing.T) {
	given := [][2]string{{"A", "1"}, {"IP", ""}}
	if args, err := AddArgument(given, "IP", "10.0.0.1"); err == nil || !strings.Contains(err.Error(), "CNI_ARGS") {
		t.Errorf("%q, %v", args, err)
	}
	args, err := AddArgument(given[:1], "MAC", "02:00:00:00:00:01")
	if err != nil || joined(args) != "A=1;MAC=02:00:00:00:00:01" || joined(given) != "A=1;IP=" {
		t.Errorf("%q of %q, %v", args, given, err)
	}
}

func TestTheUIDThatSomebodyElseKnewFillsTheGap(t *testing.T) {
	for text, want := range map[string]string{"K8S_POD_UID=": "u", "": "u", "K8S_POD_UID=own": "own"} {
		identity, err := Parse(text, "c1")
		if err != nil {
			t.Fatal(err)
		}
		if err := identity.WithUID("u"); err != nil || identity.Pod.UID != want || PodOf(identity.Args).UID != want {
			t.Errorf("%q: %+v, %v", text, identity, err)
		}
	}
}

func TestTheKeysPresenceIsTheTruth(t *testing.T) {
	for text, want := range map[string]bool{"": false, "null": true, "{}": true, `{"a":"b"}`: true} {
		config := object.Object{}
		if text != "" {
			config[AnnotationsKey] = json.RawMessage(text)
		}
		if _, given, err := Annotations(config); err != nil || given != want {
			t.Errorf("%q: %v, %v", text, given, err)
		}
	}
	if _, _, err := Annotations(object.Object{AnnotationsKey: json.RawMessage(`[]`)}); err == nil {
		t.Error("a list passed for annotations")
	}
}

func FuzzArgumentsAreReadOrRefused(f *testing.F) {
	for _, text := range []string{"", "A=1", "A=1;B=2=3;", ";;", "K8S_POD_NAME=x;K8S_POD_UID=", "=", "A"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := Parse(text, "c1")
		if err != nil {
			return
		}
		again, err := Parse(joined(got.Args), "c1")
		if err != nil || joined(again.Args) != joined(got.Args) {
			t.Errorf("%q: %s, then %s, %v", text, joined(got.Args), joined(again.Args), err)
		}
	})
}
