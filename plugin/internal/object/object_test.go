package object

import (
	"strings"
	"testing"
)

func TestValuesKeepTheirBytes(t *testing.T) {
	text := `{"z":1.50,"a":12345678901234567890,"t":"<\u00e9&>","n":{"b":1e3,"a":null}}`
	parsed, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(parsed.Bytes()), `{"a":12345678901234567890,"n":{"b":1e3,"a":null},"t":"<\u00e9&>","z":1.50}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestChangesLeaveTheOriginalAlone(t *testing.T) {
	original, err := Parse([]byte(`{"a":1}`))
	if err != nil {
		t.Fatal(err)
	}
	changed := original.With("b", []string{"<x>"}).Without("a")
	if string(original.Bytes()) != `{"a":1}` || string(changed.Bytes()) != `{"b":["<x>"]}` {
		t.Errorf("original %s, changed %s", original.Bytes(), changed.Bytes())
	}
}

func TestWhatIsNoObjectIsNamed(t *testing.T) {
	for text, want := range map[string]string{
		"": "not JSON", "[]": "found an array", `"x"`: "found a string", "5": "found a number",
		"null": "found null", "true": "found a boolean", "{\n \"a\": ,\n}": "line 2, column 7",
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func TestAStringIsAbsentEmptyOrRefused(t *testing.T) {
	parsed, err := Parse([]byte(`{"a":"x","b":null,"c":5}`))
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"a": "x", "b": "", "d": ""} {
		if got, err := parsed.String(key); err != nil || got != want {
			t.Errorf("%s: %q, %v", key, got, err)
		}
	}
	if _, err := parsed.String("c"); err == nil {
		t.Error("a number passed for a string")
	}
}

func TestDepthIsCountedOutsideOfStrings(t *testing.T) {
	for text, want := range map[string]int{`{"a":"[[[\"[","b":[[]]}`: 3, `"["`: 0, "": 0} {
		if got := depth([]byte(text)); got != want {
			t.Errorf("%s: %d, want %d", text, got, want)
		}
	}
}

func TestADocumentThatIsNestedTooDeepIsRefused(t *testing.T) {
	for levels, right := range map[int]bool{1000: true, 1001: false, 20_000: false} {
		_, err := Parse([]byte(strings.Repeat(`{"a":`, levels) + "1" + strings.Repeat("}", levels)))
		if (err == nil) != right {
			t.Errorf("%d levels: %v", levels, err)
		}
	}
}
