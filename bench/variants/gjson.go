// In the place of plugin/internal/object/valid.go: the same by github.com/tidwall/gjson.
package object

import (
	"encoding/json"
	"errors"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

func Members(value json.RawMessage) (Object, bool) {
	members := Object{}
	if !Each(value, func(key string, member json.RawMessage) { members[key] = member }) {
		return nil, false
	}
	return members, true
}

func Each(value json.RawMessage, visit func(key string, value json.RawMessage)) bool {
	parsed := gjson.ParseBytes(value)
	if !parsed.IsObject() {
		return false
	}
	parsed.ForEach(func(key, member gjson.Result) bool {
		visit(key.String(), json.RawMessage(member.Raw))
		return true
	})
	return true
}

func Items(value json.RawMessage) ([]json.RawMessage, bool) {
	parsed := gjson.ParseBytes(value)
	if !parsed.IsArray() {
		return nil, parsed.Type == gjson.Null
	}
	items := []json.RawMessage{}
	parsed.ForEach(func(_, item gjson.Result) bool {
		items = append(items, json.RawMessage(item.Raw))
		return true
	})
	return items, true
}

func Text(value json.RawMessage) (string, bool) {
	parsed := gjson.ParseBytes(value)
	return parsed.String(), parsed.Type == gjson.String
}

func Texts(value json.RawMessage) ([]string, bool) {
	items, is := Items(value)
	var texts []string
	for _, item := range items {
		text, isText := Text(item)
		is, texts = is && isText, append(texts, text)
	}
	return texts, is
}

func Flags(value json.RawMessage) (map[string]bool, error) {
	members, is := Members(value)
	if !is && Kind(value) == "null" {
		return nil, nil
	}
	flags := make(map[string]bool, len(members))
	for key, flag := range members {
		is = is && (string(flag) == "true" || string(flag) == "false" || string(flag) == "null")
		flags[key] = string(flag) == "true"
	}
	if !is {
		return nil, errors.New("expected an object of booleans")
	}
	return flags, nil
}

// gjson reads only; this is the plugin's own.
func AppendText(out []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return append(out, encode(text)...)
		}
	}
	out = append(append(out, '"'), text...)
	return append(out, '"')
}
