package object

import (
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"
)

// What follows reads JSON that is known to be valid: the library has checked it as part of a
// whole. It only finds where values end, which needs no reflection: a process that lives for
// milliseconds pays for that with each type anew.

// Members splits an object; false where the value is something else. A key that is there twice
// counts as its last value, as everywhere.
func Members(value json.RawMessage) (Object, bool) {
	members := Object{}
	is := Each(value, func(key string, value json.RawMessage) { members[key] = value })
	if !is {
		return nil, false
	}
	return members, true
}

// Each gives the members of an object to visit, in their order, each as often as it is there; false
// where the value is something else.
func Each(value json.RawMessage, visit func(key string, value json.RawMessage)) bool {
	at := blanks(value, 0)
	if at == len(value) || value[at] != '{' {
		return false
	}
	for at = blanks(value, at+1); value[at] != '}'; at = next(value, at) {
		end := skip(value, at)
		key, _ := Text(value[at:end])
		at = blanks(value, blanks(value, end)+1) // over the colon
		end = skip(value, at)
		visit(key, value[at:end:end])
		at = end
	}
	return true
}

// Items splits an array; false where the value is something else. Null is an array of none.
func Items(value json.RawMessage) ([]json.RawMessage, bool) {
	at := blanks(value, 0)
	if at == len(value) || value[at] != '[' {
		return nil, Kind(value) == "null"
	}
	items := []json.RawMessage{}
	for at = blanks(value, at+1); value[at] != ']'; at = next(value, at) {
		end := skip(value, at)
		items = append(items, value[at:end:end])
		at = end
	}
	return items, true
}

// Text returns a string; false where the value is something else.
func Text(value json.RawMessage) (string, bool) {
	if len(value) < 2 || value[0] != '"' {
		return "", false
	}
	plain := string(value[1 : len(value)-1])
	if strings.IndexByte(plain, '\\') < 0 && utf8.ValidString(plain) {
		return plain, true
	}
	var text string
	return text, json.Unmarshal(value, &text) == nil
}

// Texts returns an array of strings; false where the value is something else.
func Texts(value json.RawMessage) ([]string, bool) {
	items, is := Items(value)
	if !is {
		return nil, false
	}
	var texts []string
	for _, item := range items {
		text, is := Text(item)
		if !is {
			return nil, false
		}
		texts = append(texts, text)
	}
	return texts, true
}

// Flags returns an object of booleans, nil for null; null in it is false.
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

// AppendText adds a string as JSON, without escapes for HTML.
func AppendText(out []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return append(out, encode(text)...)
		}
	}
	out = append(append(out, '"'), text...)
	return append(out, '"')
}

func blanks(data []byte, at int) int {
	for at < len(data) && (data[at] == ' ' || data[at] == '\n' || data[at] == '\t' || data[at] == '\r') {
		at++
	}
	return at
}

// next is where the next member or item starts behind a value that ends at at, or where the
// bracket is.
func next(data []byte, at int) int {
	at = blanks(data, at)
	if data[at] == ',' {
		at = blanks(data, at+1)
	}
	return at
}

// skip returns the end of the value that starts at at.
func skip(data []byte, at int) int {
	depth := 0
	for {
		switch data[at] {
		case '"':
			for at++; data[at] != '"'; at++ {
				if data[at] == '\\' {
					at++
				}
			}
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		at++
		if depth > 0 {
			continue
		}
		// A string or a bracket ends where it ends, a word or number where something else comes.
		if last := data[at-1]; last == '"' || last == '}' || last == ']' || at == len(data) || strings.IndexByte(",}] \n\t\r", data[at]) >= 0 {
			return at
		}
	}
}
