package object

import (
	"encoding/json"
	"strconv"
)

// Writer makes one JSON object, its members in the order in which they are given. A key is a word
// of ours that needs no escape.
type Writer struct {
	out []byte
}

func (w *Writer) key(key string) {
	if len(w.out) == 0 {
		w.out = append(w.out, '{')
	} else {
		w.out = append(w.out, ',')
	}
	w.out = append(append(append(w.out, '"'), key...), `":`...)
}

// Text adds a string.
func (w *Writer) Text(key, value string) {
	w.key(key)
	w.out = AppendText(w.out, value)
}

// Int adds a number.
func (w *Writer) Int(key string, value int64) {
	w.key(key)
	w.out = strconv.AppendInt(w.out, value, 10)
}

// Bool adds true or false.
func (w *Writer) Bool(key string, value bool) {
	w.key(key)
	w.out = strconv.AppendBool(w.out, value)
}

// Raw adds a value that is JSON already, null where it is nothing.
func (w *Writer) Raw(key string, value json.RawMessage) {
	w.key(key)
	if len(value) == 0 {
		value = json.RawMessage("null")
	}
	w.out = append(w.out, value...)
}

// Texts adds an array of strings.
func (w *Writer) Texts(key string, values []string) {
	w.key(key)
	w.out = appendTexts(w.out, values)
}

// Pairs adds an array of arrays of two strings.
func (w *Writer) Pairs(key string, values [][2]string) {
	w.key(key)
	w.out = append(w.out, '[')
	for i, pair := range values {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		w.out = appendTexts(w.out, pair[:])
	}
	w.out = append(w.out, ']')
}

func appendTexts(out []byte, values []string) []byte {
	out = append(out, '[')
	for i, value := range values {
		if i > 0 {
			out = append(out, ',')
		}
		out = AppendText(out, value)
	}
	return append(out, ']')
}

// Bytes is the object.
func (w *Writer) Bytes() json.RawMessage {
	if len(w.out) == 0 {
		return json.RawMessage("{}")
	}
	return append(w.out, '}')
}
