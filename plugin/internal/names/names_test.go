package names

import (
	"regexp"
	"strings"
	"testing"
)

func FuzzNamesAreWhatTheirRegularExpressionsSay(f *testing.F) {
	cni := regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.\-]*$`)
	label := regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	subdomain := regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
	for c := range 256 { // every byte, first, last and between
		f.Add(string(rune(c)))
		f.Add(string([]byte{byte(c)}))
		f.Add("a" + string([]byte{byte(c)}) + "a")
		f.Add("a" + string([]byte{byte(c)}))
		f.Add(string([]byte{byte(c)}) + "a")
	}
	for _, text := range []string{"", "a..b", ".a", "a.", "a.-b", "Net_1.x-", "a\n", strings.Repeat("a", 63), strings.Repeat("a", 64), strings.Repeat("a", 253), strings.Repeat("a", 254)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got, want := IsCNI(text), cni.MatchString(text); got != want {
			t.Errorf("%q as a CNI name: %v", text, got)
		}
		if got, want := IsLabel(text), len(text) <= 63 && label.MatchString(text); got != want {
			t.Errorf("%q as a label: %v", text, got)
		}
		if got, want := IsSubdomain(text), len(text) <= 253 && subdomain.MatchString(text); got != want {
			t.Errorf("%q as a subdomain: %v", text, got)
		}
	})
}

func TestInterfaceNamesThatTheKernelWouldRefuseAreRefused(t *testing.T) {
	for _, name := range []string{"net1", "a", "eth0.100", "fifteen-letters", "ünï"} {
		if err := CheckInterface(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", ".", "..", "sixteen-letters-", "a/b", "a:b", "a b", "a\tb", "a\x00b", "a b"} {
		if CheckInterface(name) == nil {
			t.Errorf("%q is taken", name)
		}
	}
}

func TestALongTextIsCutInAnError(t *testing.T) {
	for text, want := range map[string]string{
		"a\x1b[1m": `"a\x1b[1m"`, strings.Repeat("a", 80): `"` + strings.Repeat("a", 80) + `"`,
		strings.Repeat("a", 79) + "üb": `"` + strings.Repeat("a", 79) + `…"`,
	} {
		if got := Quote(text); got != want {
			t.Errorf("%q became %s", text, got)
		}
	}
	if err := CheckInterface(strings.Repeat("a", 1<<18)); err == nil || len(err.Error()) > 200 {
		t.Errorf("%.300v", err)
	}
}
