package object

import (
	"encoding/json"
	"strconv"
)

// Reader takes members out of an object of a known form. What is absent or null is the zero
// value; a member of another kind makes the object Bad.
type Reader struct {
	Members Object
	Bad     bool
}

func read[T any](r *Reader, key string, convert func(json.RawMessage) (T, bool)) T {
	var none T
	value, present := r.Members[key]
	if !present || string(value) == "null" {
		return none
	}
	converted, is := convert(value)
	if !is {
		r.Bad = true
		return none
	}
	return converted
}

// Text takes a string.
func (r *Reader) Text(key string) string { return read(r, key, Text) }

// Texts takes an array of strings.
func (r *Reader) Texts(key string) []string { return read(r, key, Texts) }

// Object takes an object.
func (r *Reader) Object(key string) Object { return read(r, key, Members) }

// Items takes an array.
func (r *Reader) Items(key string) []json.RawMessage { return read(r, key, Items) }

// Int takes a whole number.
func (r *Reader) Int(key string) int {
	return read(r, key, func(value json.RawMessage) (int, bool) {
		number, err := strconv.Atoi(string(value))
		return number, err == nil
	})
}

// Float takes a number.
func (r *Reader) Float(key string) float64 {
	return read(r, key, func(value json.RawMessage) (float64, bool) {
		number, err := strconv.ParseFloat(string(value), 64)
		return number, err == nil && Kind(value) == "a number"
	})
}

// Bool takes true or false.
func (r *Reader) Bool(key string) bool {
	return read(r, key, func(value json.RawMessage) (bool, bool) {
		return string(value) == "true", string(value) == "true" || string(value) == "false"
	})
}

// Pairs takes an array of arrays of two strings.
func (r *Reader) Pairs(key string) [][2]string {
	return read(r, key, func(value json.RawMessage) ([][2]string, bool) {
		items, is := Items(value)
		pairs := make([][2]string, 0, len(items))
		for _, item := range items {
			texts, areTexts := Texts(item)
			if !areTexts || len(texts) != 2 {
				return nil, false
			}
			pairs = append(pairs, [2]string(texts))
		}
		return pairs, is
	})
}
