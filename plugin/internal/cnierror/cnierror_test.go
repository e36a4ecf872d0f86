package cnierror

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
)

func TestCodeAndDetailsSurviveEveryPrefix(t *testing.T) {
	inner := types.NewError(11, "no address left", "pool p")
	got := Prefix(fmt.Errorf("wrapped: %w", Prefix(inner, "network %s", "a")), "pod %s", "b")
	if got.Code != 11 || got.Msg != "pod b: network a: no address left" || got.Details != "pool p" {
		t.Errorf("got %+v", got)
	}
}

func TestWhatCarriesNoCodeIsAnInternalError(t *testing.T) {
	if got := From(errors.New("x")); got.Code != types.ErrInternal || got.Msg != "x" {
		t.Errorf("got %+v", got)
	}
}

func TestSeveralErrorsHaveTheFirstOnesCodeAndAllTexts(t *testing.T) {
	got := Join([]error{New(2, "a"), types.NewError(7, "b", "d"), errors.New("c")})
	if got.Code != 2 || got.Msg != "a; b; c" || got.Details != "d" {
		t.Errorf("got %+v", got)
	}
	if Join(nil) != nil {
		t.Error("an error made of none")
	}
}

func TestThePhrasesThatRuntimesTakeForSuccessAreReplaced(t *testing.T) {
	got := Plain(types.NewError(3, "pod Not Found: stat /x: no such file or directory", "not  found, No Such File Or Directory"))
	if got.Code != 3 || got.Msg != "pod missing: stat /x: file is missing" || got.Details != "missing, file is missing" {
		t.Errorf("got %+v", got)
	}
}

func FuzzNoPhraseThatRuntimesTakeForSuccessIsLeft(f *testing.F) {
	notFound, noSuchFile := regexp.MustCompile(`(?i)not\s+found`), regexp.MustCompile(`(?i)no such file or directory`)
	left := regexp.MustCompile(`[nN][oO][tT]\s+[fF][oO][uU][nN][dD]|[nN][oO] [sS][uU][cC][hH] [fF][iI][lL][eE] [oO][rR] [dD][iI][rR][eE][cC][tT][oO][rR][yY]`)
	for _, text := range []string{"", "not", "notnot\t\nFOUND found", "no no such file or directory", "nonot found such", "not found", "größe not found", "№ no such file or directory"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := Plain(types.NewError(3, text, "")).Msg
		if left.MatchString(got) {
			t.Errorf("%q became %q", text, got)
		}
		want := noSuchFile.ReplaceAllString(notFound.ReplaceAllString(text, "missing"), "file is missing")
		ascii := !strings.ContainsFunc(text, func(r rune) bool { return r > 127 }) // a Kelvin sign is a k to the expressions
		if ascii && got != want {
			t.Errorf("%q became %q, not %q", text, got, want)
		}
	})
}

func TestTextsAreCutAtTheirEndAndSaySo(t *testing.T) {
	long := strings.Repeat("ü", MaxText)
	for name, got := range map[string]*types.Error{
		"new": New(7, "%s", long), "from": From(types.NewError(7, long, long)), "no code": From(errors.New(long)),
		"prefix": Prefix(Prefix(New(7, "%s", long), "b"), "a"), "join": Join([]error{New(7, "%s", long), New(7, "%s", long)}),
		"plain": Plain(types.NewError(7, long, long)),
	} {
		for _, text := range []string{got.Msg, got.Details} {
			if len(text) > MaxText || text != "" && (!strings.HasSuffix(text, "ü"+cutHere) || strings.Count(text, cutHere) != 1) {
				t.Errorf("%s: %d bytes, ending in %q", name, len(text), text[max(0, len(text)-40):])
			}
		}
	}
	if got := New(7, "%s", strings.Repeat("x", MaxText)); len(got.Msg) != MaxText || strings.Contains(got.Msg, "cut") {
		t.Errorf("a text of the greatest length was cut: %q", got.Msg[MaxText-40:])
	}
	if got := Prefix(New(7, "%s", long), "pod p"); !strings.HasPrefix(got.Msg, "pod p: ü") {
		t.Errorf("our own words were cut: %.20q", got.Msg)
	}
}
