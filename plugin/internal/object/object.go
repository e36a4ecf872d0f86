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

// maxDepth is how deep the documents of others may be nested. The library has a bound of 10,000;
// this one leaves room for what they are put into, which must be readable again.
const maxDepth = 1000

// Object is a JSON object. Its values are valid JSON.
type Object map[string]json.RawMessage

// Parse reads one JSON object and makes it compact. The error says what was found instead.
func Parse(data []byte) (Object, error) {
	var compact bytes.Buffer
	compact.Grow(len(data))
	if json.Compact(&compact, data) != nil {
		return nil, Syntax(data)
	}
	if err := shallow(compact.Bytes()); err != nil {
		return nil, err
	}
	parsed, is := Members(compact.Bytes())
	if !is {
		return nil, fmt.Errorf("expected an object, found %s", Kind(compact.Bytes()))
	}
	return parsed, nil
}

// Check refuses what is no JSON, and JSON that is nested too deep.
func Check(data []byte) error {
	if !json.Valid(data) {
		return Syntax(data)
	}
	return shallow(data)
}

func shallow(data []byte) error {
	if depth(data) > maxDepth {
		return fmt.Errorf("nested more than %d deep", maxDepth)
	}
	return nil
}

// depth is how deep arrays and objects are nested, counted without recursion.
func depth(data []byte) int {
	deepest, now, quoted := 0, 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			now++
			deepest = max(deepest, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return deepest
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

// Find returns the value under a key, in any case where the exact one is absent, as the library
// reads into structures; nil for none and for null.
func (o Object) Find(key string) json.RawMessage {
	value, present := o[key]
	if !present {
		for _, candidate := range o.Keys() {
			if value = o[candidate]; strings.EqualFold(candidate, key) && string(value) != "null" {
				return value
			}
		}
		return nil
	}
	if string(value) == "null" {
		return nil
	}
	return value
}

// String returns the string under key; absent and null are the empty string.
func (o Object) String(key string) (string, error) { return String(o[key]) }

// String returns a string; nothing and null are the empty one.
func String(value json.RawMessage) (string, error) {
	if len(value) == 0 || Kind(value) == "null" {
		return "", nil
	}
	text, is := Text(value)
	if !is {
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
	size := 2
	for key, value := range o {
		size += len(key) + len(value) + 4
	}
	out := append(make([]byte, 0, size), '{')
	for i, key := range o.Keys() {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(AppendText(out, key), ':')
		out = append(out, o[key]...)
	}
	return append(out, '}')
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
	case string:
		return AppendText(nil, known)
	}
	return encode(value)
}

func encode(value any) []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		panic("encoding a value of ours: " + err.Error())
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}
