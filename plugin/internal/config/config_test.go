package config

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"

	"mooring.dev/mooring/plugin/internal/object"
)

func parse(t *testing.T, text string) (*Config, error) {
	t.Helper()
	raw, err := object.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return Parse(raw)
}

const minimal = `{"cniVersion":"1.0.0","name":"n","type":"mooring","delegates":[{"name":"a","type":"x"}]`

func TestDefaultsHoldWhereNothingIsSaid(t *testing.T) {
	got, err := parse(t, minimal+"}")
	if err != nil {
		t.Fatal(err)
	}
	if got.CNIDir != "/var/lib/mooring" || got.BinDir != "/opt/cni/bin" || got.ConfDir != "/etc/cni/multus/net.d" || got.MultusNamespace != "kube-system" {
		t.Errorf("folders: %+v", got)
	}
	if got.NamespaceIsolation || got.RequireCapabilities != nil || got.MaxNetworks != 64 || len(got.GlobalNamespaces) != 1 || got.GlobalNamespaces[0] != "default" {
		t.Errorf("policies: %+v", got)
	}
	if !got.Log.ToStderr || got.Log.Level != "panic" || got.Log.Rotation.MaxSize != 100 {
		t.Errorf("log: %+v", got.Log)
	}
}

func TestKeysAreFoundInAnyCaseAndNullIsAbsent(t *testing.T) {
	got, err := parse(t, minimal+`,"readinessIndicatorFile":"/run/ready","NamespaceIsolation":true,"binDir":null}`)
	if err != nil || got.ReadinessIndicatorFile != "/run/ready" || !got.NamespaceIsolation || got.BinDir != "/opt/cni/bin" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestEveryProblemIsToldAtOnceWithItsPath(t *testing.T) {
	_, err := parse(t, `{"name":"n","binDir":5,"cniDir":"relative","delegateTimeout":-1,"keepClusterRoutes":["x"],"delegates":[{"name":"a","plugins":[]},{"type":"../x"}]}`)
	var known *types.Error
	if !errors.As(err, &known) || known.Code != types.ErrInvalidNetworkConfig {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"$.binDir", "$.cniDir", "$.delegateTimeout", "$.keepClusterRoutes", "$.delegates[0].plugins", "$.delegates[1].type"} {
		if !strings.Contains(known.Msg, want+":") {
			t.Errorf("%s is not named in %s", want, known.Msg)
		}
	}
	if strings.Contains(known.Msg, "$.delegates[1].name") {
		t.Errorf("a delegate that cannot be read is told of twice: %s", known.Msg)
	}
	if strings.Contains(known.Msg, "\n") {
		t.Error("the message has several lines")
	}
}

func TestWhatCanBeReadOfABrokenConfigurationIsThereForDEL(t *testing.T) {
	got, err := parse(t, `{"name":"n","cniDir":"/elsewhere","delegates":5}`)
	if err == nil || got.CNIDir != "/elsewhere" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func FuzzAConfigurationIsReadOrRefused(f *testing.F) {
	for _, text := range []string{
		minimal + "}", minimal + `,"runtimeConfig":{"x":1},"prevResult":{"cniVersion":"1.0.0"}}`, `{"clusterNetwork":"a"}`,
		`{"delegates":[{"plugins":[]}]}`, `{"delegates":[{"name":"a","plugins":[{"type":"x","capabilities":5}]}]}`, "[]", `{"logOptions":5}`,
		`{"globalNamespaces":"a, b","keepClusterRoutes":["10.0.0.0/8"],"cniVersions":["1.0.0"]}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		raw, err := object.Parse(data)
		if err != nil {
			return
		}
		got, err := Parse(raw)
		if got == nil {
			t.Fatal("nothing is there for DEL")
		}
		if err == nil && len(got.Delegates) == 0 && got.ClusterNetwork == "" {
			t.Errorf("%q passed without a default network", data)
		}
	})
}

func TestTheStatusIsTheAgentsUnlessThereIsNoneOrTheKeySaysOtherwise(t *testing.T) {
	program := os.Args[0]
	defer func() { os.Args[0] = program }()
	for _, test := range []struct {
		program, key string
		want         StatusWriting
	}{
		{"/opt/cni/bin/mooring", ``, StatusByAgent},
		{"/opt/cni/bin/mooring", `,"statusBeforeStart":true`, StatusRequired},
		{"/opt/cni/bin/mooring", `,"statusBeforeStart":null`, StatusByAgent},
		{"/opt/cni/bin/multus", ``, StatusTried},
		{"/opt/cni/bin/multus-shim", ``, StatusTried},
		{"/opt/cni/bin/multus", `,"statusBeforeStart":true`, StatusRequired},
		{"/opt/cni/bin/multus", `,"statusBeforeStart":false`, StatusByAgent},
	} {
		os.Args[0] = test.program
		got, err := parse(t, minimal+test.key+"}")
		if err != nil || got.Status != test.want {
			t.Errorf("%s %s: %v, %v", test.program, test.key, got.Status, err)
		}
	}
	if _, err := parse(t, minimal+`,"statusBeforeStart":"yes"}`); err == nil || !strings.Contains(err.Error(), "$.statusBeforeStart: expected a boolean") {
		t.Error(err)
	}
}
