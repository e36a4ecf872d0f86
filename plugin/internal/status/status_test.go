package status

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mooring.dev/mooring/plugin/internal/contracttest"
)

type example struct {
	About    string `json:"about"`
	Attached []struct {
		Network      string          `json:"network"`
		Default      bool            `json:"default"`
		Result       json.RawMessage `json:"result"`
		DefaultRoute []string        `json:"defaultRoute"`
		DeviceInfo   json.RawMessage `json:"deviceInfo"`
	} `json:"attached"`
	MostBytes  int               `json:"mostBytes"`
	Annotation []json.RawMessage `json:"annotation"`
	Text       string            `json:"text"`
	LeftOut    []string          `json:"leftOut"`
}

func readExample(t testing.TB, name string) (example, []Attached) {
	t.Helper()
	read := example{MostBytes: MostBytes}
	if err := json.Unmarshal(contracttest.Read(t, name), &read); err != nil {
		t.Fatal(name, err)
	}
	var attached []Attached
	for _, each := range read.Attached {
		attached = append(attached, Attached(each))
	}
	return read, attached
}

// laidOut is how readers of Multus know the annotation, made by the library from the example.
func laidOut(t *testing.T, elements []json.RawMessage) string {
	t.Helper()
	texts := make([]string, 0, len(elements))
	for _, element := range elements {
		var out bytes.Buffer
		if err := json.Indent(&out, element, "", "    "); err != nil {
			t.Fatal(err)
		}
		texts = append(texts, out.String())
	}
	return "[" + strings.Join(texts, ",") + "]"
}

func TestEveryExampleOfTheContractBecomesTheAnnotationThatItNames(t *testing.T) {
	for _, name := range contracttest.Files(t, "status/*.json") {
		t.Run(filepath.Base(name), func(t *testing.T) {
			want, attached := readExample(t, name)
			text, leftOut := Text(attached, want.MostBytes)
			if expected := laidOut(t, want.Annotation); text != expected {
				t.Errorf("%s:\n%s\nexpected\n%s", want.About, text, expected)
			}
			if want.Text != "" && text != want.Text {
				t.Errorf("%q, expected %q", text, want.Text)
			}
			if !slices.Equal(leftOut, want.LeftOut) {
				t.Errorf("left out %q, expected %q", leftOut, want.LeftOut)
			}
		})
	}
}

func FuzzWhateverAPluginReturnsTheStatusIsJSONWithOneDefault(f *testing.F) {
	for _, name := range contracttest.Files(f, "status/*.json") {
		_, attached := readExample(f, name)
		for _, each := range attached {
			f.Add([]byte(each.Result), []byte(each.DeviceInfo))
		}
	}
	f.Add([]byte("0"), []byte("{"))
	f.Fuzz(func(t *testing.T, result, device []byte) {
		text, leftOut := Text([]Attached{
			{Network: "pod-network", Default: true, Result: result},
			{Network: "default/storage", Result: result, DeviceInfo: device},
		}, MostBytes)
		var told []struct {
			Name    string `json:"name"`
			Default bool   `json:"default"`
		}
		if err := json.Unmarshal([]byte(text), &told); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		defaults := 0
		for _, each := range told {
			if each.Default {
				defaults++
			}
		}
		if defaults != 1 || (len(leftOut) == 0 && told[len(told)-1].Name != "default/storage") {
			t.Errorf("%d default entries: %s", defaults, text)
		}
	})
}
