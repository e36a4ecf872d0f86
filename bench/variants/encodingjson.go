// In the place of plugin/internal/object/valid.go: the same by encoding/json alone.
package object

import (
	"bytes"
	"encoding/json"
	"errors"
)

func Members(value json.RawMessage) (Object, bool) {
	var members map[string]json.RawMessage
	return members, json.Unmarshal(value, &members) == nil && members != nil
}

func Each(value json.RawMessage, visit func(key string, value json.RawMessage)) bool {
	decoder := json.NewDecoder(bytes.NewReader(value))
	if open, err := decoder.Token(); err != nil || open != json.Delim('{') {
		return false
	}
	for decoder.More() {
		key, err := decoder.Token()
		name, is := key.(string)
		var member json.RawMessage
		if err != nil || !is || decoder.Decode(&member) != nil {
			return false
		}
		visit(name, member)
	}
	return true
}

func Items(value json.RawMessage) ([]json.RawMessage, bool) {
	var items []json.RawMessage
	return items, json.Unmarshal(value, &items) == nil
}

func Text(value json.RawMessage) (string, bool) {
	var text *string
	if json.Unmarshal(value, &text) != nil || text == nil {
		return "", false
	}
	return *text, true
}

func Texts(value json.RawMessage) ([]string, bool) {
	var texts []string
	return texts, json.Unmarshal(value, &texts) == nil
}

func Flags(value json.RawMessage) (map[string]bool, error) {
	var flags map[string]bool
	if json.Unmarshal(value, &flags) != nil {
		return nil, errors.New("expected an object of booleans")
	}
	return flags, nil
}

func AppendText(out []byte, text string) []byte { return append(out, encode(text)...) }
