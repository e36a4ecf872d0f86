package attach

import (
	"slices"
	"strings"
	"testing"
	"unicode"

	"mooring.dev/mooring/plugin/internal/config"
	"mooring.dev/mooring/plugin/internal/logging"
	"mooring.dev/mooring/plugin/internal/netconf"
	"mooring.dev/mooring/plugin/internal/podinfo"
	"mooring.dev/mooring/plugin/internal/selection"
)

// FuzzNoAnnotationChangesAnArgumentThatIsNotItsOwn reads the arguments as a plugin does, after
// anything that an annotation may hold: the runtime's are as they were, and nothing but the IP and
// MAC that were asked for has come to them.
func FuzzNoAnnotationChangesAnArgumentThatIsNotItsOwn(f *testing.F) {
	const runtime = "IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME=web;K8S_POD_UID=u"
	for _, annotation := range []string{
		"a", "ns/a@if0", `[{"name":"a","ips":["10.1.1.1/24","fd00::1"],"mac":"02:00:00:00:00:01"}]`,
		`[{"name":"a","ips":["fe80::1%x;K8S_POD_NAMESPACE=kube-system;K8S_POD_NAME=admin"]}]`,
		`[{"name":"a","IPS":["fe80::1%x=y/64"]}]`, `[{"name":"a","ips":["::1\u0000IP=::2"]}]`,
		`[{"name":"a","mac":"0200.0000.0001","deviceID":";A=1","cni-args":{"K8S_POD_NAME":"b;c=d"}}]`,
		`[{"name":"a","mac":"02:00:00:00:00:01;A=1","infiniband-guid":";=","ipam-claim-reference":";="}]`,
		"10.1.1.1;A=1", "fe80::1%\n", "=",
	} {
		f.Add(annotation, runtime, false)
		f.Add(annotation, runtime+";IP=10.0.0.9;WITH=a=b;;", true)
	}
	bare, err := netconf.Parse([]byte(`{"cniVersion":"1.0.0","name":"n","type":"x"}`), "conf")
	if err != nil {
		f.Fatal(err)
	}
	session := &Session{Config: &config.Config{}, Log: &logging.Logger{}}
	f.Fuzz(func(t *testing.T, annotation, runtimeArgs string, isDefault bool) {
		identity, err := podinfo.Parse(runtimeArgs, "c1")
		if err != nil {
			return
		}
		before := slices.Clone(identity.Args)
		elements, err := selection.Parse(annotation, "ns")
		if err != nil {
			// What selection refuses comes here all the same: the guard does not lean on it.
			elements = []selection.Element{{IPs: []string{annotation}}, {MAC: annotation}}
		}
		for _, element := range elements {
			plan := planned{conf: bare, request: element}
			if session.buildArguments(&plan, isDefault, &identity) != nil {
				continue
			}
			if !slices.Equal(identity.Args, before) {
				t.Fatalf("%q changed the pod's own arguments: %q", annotation, identity.Args)
			}
			checkArguments(t, joinedPairs(plan.args), joinedPairs(before), element)
		}
	})
}

// checkArguments splits CNI_ARGS as plugins do.
func checkArguments(t *testing.T, got, before string, element selection.Element) {
	t.Helper()
	rest, kept := strings.CutPrefix(got, before)
	if !kept {
		t.Fatalf("%+v made %q of %q", element, got, before)
	}
	asked := map[string]string{"IP": strings.Join(element.IPs, ","), "MAC": element.MAC}
	for i, pair := range strings.Split(rest, ";") {
		key, value, _ := strings.Cut(pair, "=")
		if i == 0 && pair == "" {
			continue
		}
		if value == "" || value != asked[key] || strings.ContainsFunc(value, unicode.IsControl) {
			t.Fatalf("%+v added %q to %q", element, pair, before)
		}
		delete(asked, key)
		if strings.Contains(";"+before, ";"+key+"=") {
			t.Fatalf("%+v replaced %q of %q", element, pair, before)
		}
	}
}

func joinedPairs(pairs [][2]string) string {
	texts := make([]string, 0, len(pairs))
	for _, pair := range pairs {
		texts = append(texts, pair[0]+"="+pair[1])
	}
	return strings.Join(texts, ";")
}
