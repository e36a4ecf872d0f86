package object

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
)

func FuzzWhatTheLibraryReadsIsReadTheSameWithoutReflection(f *testing.F) {
	for _, text := range []string{
		`{}`, `[]`, `""`, `null`, `5`, `true`, `{"a":1}`, "{ \"a\" : [1 , {\"b\":null}] ,\n\t\"a\":\"\\\"}\" }", `["a","\\",{"x":"]"},[[]],-1.5e3,false]`,
		`{"\u0061":"\ud83d\ude00","":"<&>","é":" "}`, "\"\xff\"", "{\"\xff\":1,\"\xfe\":2}", `  [ "x" , "y" ]  `, `"\\"`, `["\\","\""]`, `{"a":{"b":{"c":[]}}}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var value json.RawMessage
		if json.Unmarshal(data, &value) != nil {
			return
		}
		var object map[string]json.RawMessage
		isObject := json.Unmarshal(value, &object) == nil && object != nil
		if got, is := Members(value); is != isObject || is && !reflect.DeepEqual(map[string]json.RawMessage(got), object) {
			t.Errorf("%q: members %q, %v; the library reads %q", value, got, is, object)
		}
		var array []json.RawMessage
		isArray := json.Unmarshal(value, &array) == nil
		if got, is := Items(value); is != isArray || !reflect.DeepEqual(got, array) {
			t.Errorf("%q: items %q, %v; the library reads %q", value, got, is, array)
		}
		var text *string
		isText := json.Unmarshal(value, &text) == nil && text != nil
		if got, is := Text(value); is != isText || is && got != *text {
			t.Errorf("%q: text %q, %v; the library reads %v", value, got, is, text)
		}
		parsed, err := Parse(data)
		if (err == nil) != isObject {
			t.Errorf("%q: parsed as %q, %v", data, parsed, err)
		}
		if again, err := Parse(parsed.Bytes()); isObject && (err != nil || !bytes.Equal(again.Bytes(), parsed.Bytes())) {
			t.Errorf("%q: reads back as %q, %v", parsed.Bytes(), again, err)
		}
	})
}

func FuzzATextIsWrittenAsTheLibraryDoes(f *testing.F) {
	for _, text := range []string{"", "a", "\"\\\n", "é\u2028", "\x00\x1f\x7f", "<&>", "\xff"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got, want := AppendText([]byte("x"), text), append([]byte("x"), encode(text)...); !bytes.Equal(got, want) {
			t.Errorf("%q: %s, the library writes %s", text, got, want)
		}
	})
}
