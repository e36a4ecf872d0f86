// Package object holds JSON objects whose values keep the bytes that they came with.
//
// CNI plugins put numbers into their configuration that a float64 cannot hold. Whatever
// passes through us must reach its plugin unharmed, so values stay raw and only the keys
// that we own are touched. The package knows nothing of what the keys mean.
package object

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Object is a JSON object. Its values are valid, compact JSON.
type Object map[string]json.RawMessage

// Parse reads one JSON object. The error says what was found instead.
func Parse(data []byte) (Object, error) {
	var compact bytes.Buffer
	if json.Compact(&compact, data) != nil {
		return nil, Syntax(data)
	}
	if kind := Kind(compact.Bytes()); kind != "an object" {
		return nil, fmt.Errorf("expected an object, found %s", kind)
	}
	parsed := Object{}
	if err := json.Unmarshal(compact.Bytes(), &parsed); err != nil {
		return nil, err
	}
	return parsed, nil
}

// Syntax says at which line and column data stops being JSON; nil where it is JSON.
func Syntax(data []byte) error {
	var whole json.RawMessage
	err := json.Unmarshal(data, &whole)
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return err
	}
	at := max(0, min(int(syntax.Offset)-1, len(data)))
	line := bytes.Count(data[:at], []byte("\n")) + 1
	column := at - bytes.LastIndexByte(data[:at], '\n')
	return fmt.Errorf("not JSON at line %d, column %d: %w", line, column, err)
}

// Kind says in words what sort of JSON value this is.
func Kind(value json.RawMessage) string {
	value = bytes.TrimSpace(value)
	if len(value) == 0 {
		return "nothing"
	}
	switch value[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	default:
		return "a number"
	}
}

// String returns the string under key; absent and null are the empty string.
func (o Object) String(key string) (string, error) {
	value, present := o[key]
	if !present || Kind(value) == "null" {
		return "", nil
	}
	var text string
	if err := json.Unmarshal(value, &text); err != nil {
		return "", fmt.Errorf("expected a string, found %s", Kind(value))
	}
	return text, nil
}

// With returns a copy in which key has this value, which must be encodable.
func (o Object) With(key string, value any) Object {
	changed := make(Object, len(o)+1)
	for k, v := range o {
		changed[k] = v
	}
	changed[key] = Encode(value)
	return changed
}

// Without returns a copy that lacks key.
func (o Object) Without(key string) Object {
	changed := make(Object, len(o))
	for k, v := range o {
		if k != key {
			changed[k] = v
		}
	}
	return changed
}

// Keys returns the keys, sorted.
func (o Object) Keys() []string {
	keys := make([]string, 0, len(o))
	for key := range o {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// Bytes is the object as compact JSON with sorted keys; values are copied as they are.
func (o Object) Bytes() []byte {
	var out bytes.Buffer
	out.WriteByte('{')
	for i, key := range o.Keys() {
		if i > 0 {
			out.WriteByte(',')
		}
		out.Write(Encode(key))
		out.WriteByte(':')
		out.Write(o[key])
	}
	out.WriteByte('}')
	return out.Bytes()
}

// MarshalJSON makes an Object usable inside other values.
func (o Object) MarshalJSON() ([]byte, error) {
	return o.Bytes(), nil
}

// Encode is json.Marshal without HTML escapes, for values that cannot fail to encode:
// a failure is a mistake in this program.
func Encode(value any) json.RawMessage {
	switch known := value.(type) {
	case json.RawMessage:
		return known
	case Object:
		return known.Bytes()
	}
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		panic("encoding a value of ours: " + err.Error())
	}
	return json.RawMessage(strings.TrimSuffix(out.String(), "\n"))
}
