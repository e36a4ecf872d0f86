package resultcache

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"mooring.dev/mooring/plugin/internal/journal"
	"mooring.dev/mooring/plugin/internal/object"
)

func entry(name string) *Entry {
	return &Entry{
		ContainerID: strings.Repeat("c", 64), Netns: "/run/netns/x", Name: name, Caller: "multus-cni-network", CallIfName: "eth0",
		Attachment: journal.Attachment{
			Index: 2, Network: "default/" + name, NAD: true, IfName: "net2", Conf: json.RawMessage(`{"name":"n","type":"x"}`),
			CapabilityArgs: object.Object{"ips": json.RawMessage(`["10.0.0.1"]`)}, Args: [][2]string{{"K", "v"}}, DefaultRoute: &[]string{"10.0.0.254"},
		},
		Result: json.RawMessage(`{"cniVersion":"1.0.0"}`),
	}
}

func TestAnEntryIsReadBackWhateverTheLengthOfItsName(t *testing.T) {
	for _, name := range []string{"a", strings.Repeat("n", 162), strings.Repeat("n", 163), strings.Repeat("n", 253)} {
		root := t.TempDir()
		written := entry(name)
		if err := Write(root, written); err != nil {
			t.Fatalf("%d characters: %v", len(name), err)
		}
		listed, damaged, err := Sandbox(root, written.ContainerID)
		if err != nil || len(listed) != 1 || len(damaged) != 0 {
			t.Fatalf("%d characters: %v, %v", len(name), listed, err)
		}
		got := listed[0]
		if !reflect.DeepEqual(&got, written) {
			t.Errorf("%d characters: %+v became %+v", len(name), written, got)
		}
		if found := Find(root, name, written.ContainerID, "net2"); found == nil || string(found.Result) != string(written.Result) {
			t.Errorf("%d characters: found %+v", len(name), found)
		}
		if err := Remove(root, name, written.ContainerID, "net2"); err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(folder(root)); err != nil || len(left) != 0 {
			t.Errorf("%d characters: left %v, %v", len(name), left, err)
		}
	}
}

func TestAnEntryWithItsResultTakesThePlaceOfTheOneWithout(t *testing.T) {
	root, intended := t.TempDir(), entry("a")
	intended.Result = nil
	for _, want := range []string{"", `{"cniVersion":"1.0.0"}`} {
		intended.Result = json.RawMessage(want)
		if err := Write(root, intended); err != nil {
			t.Fatal(err)
		}
		listed, _, err := Sandbox(root, intended.ContainerID)
		if err != nil || len(listed) != 1 || string(listed[0].Result) != want {
			t.Errorf("%q: %+v, %v", want, listed, err)
		}
	}
}

func TestLongNamesThatDifferAtTheirEndHaveFilesOfTheirOwn(t *testing.T) {
	long := strings.Repeat("n", 250)
	if path("", long+"a", "c", "net1") == path("", long+"b", "c", "net1") {
		t.Error("two networks share a file")
	}
}

func FuzzReadingAnEntryNeverPanics(f *testing.F) {
	root := f.TempDir()
	if err := Write(root, entry("a")); err != nil {
		f.Fatal(err)
	}
	data, err := os.ReadFile(path(root, "a", entry("a").ContainerID, "net2"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"kind":"cniCacheV1","config":"!","mooring":5}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		read := parse(data)
		if read != nil && read.Attachment.Network == "" && read.Name != "" {
			t.Errorf("%q: no network", data)
		}
	})
}
