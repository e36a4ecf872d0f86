package status

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// field is a key of an object that keeps its place.
type field struct {
	key   string
	value any
}

const indentation = "    "

// layout writes an object in the form that readers of Multus know: four blanks of indentation,
// no escape that is not needed.
func layout(fields []field) string {
	var out strings.Builder
	write(&out, fields, "\n")
	return out.String()
}

// write appends a value; lineFeed is a line feed and the indentation of the place. Only what
// this package makes comes here: another type is a mistake in this program.
func write(out *strings.Builder, value any, lineFeed string) {
	inner := lineFeed + indentation
	switch value := value.(type) {
	case []field:
		for i, member := range value {
			out.WriteString(separator(i, '{'))
			out.WriteString(inner + quoted(member.key) + ": ")
			write(out, member.value, inner)
		}
		out.WriteString(closed(len(value), "{}", lineFeed))
	case []string:
		for i, item := range value {
			out.WriteString(separator(i, '['))
			out.WriteString(inner + quoted(item))
		}
		out.WriteString(closed(len(value), "[]", lineFeed))
	case []any:
		for i, item := range value {
			out.WriteString(separator(i, '['))
			out.WriteString(inner)
			write(out, item, inner)
		}
		out.WriteString(closed(len(value), "[]", lineFeed))
	case json.RawMessage:
		write(out, ordered(value), lineFeed)
	case string:
		out.WriteString(quoted(value))
	case json.Number:
		out.WriteString(value.String())
	case bool, nil:
		out.Write(plain(value))
	default:
		panic(fmt.Sprintf("a status holds no %T", value))
	}
}

func separator(position int, opening byte) string {
	if position == 0 {
		return string(opening)
	}
	return ","
}

func closed(length int, empty, lineFeed string) string {
	if length == 0 {
		return empty
	}
	return lineFeed + empty[1:]
}

// quoted is a string as JSON has it. The library escapes two line separators that JSON does not
// ask to escape.
func quoted(text string) string {
	var out strings.Builder
	for i, part := range strings.Split(text, "\u2028") {
		if i > 0 {
			out.WriteString("\u2028")
		}
		for j, piece := range strings.Split(part, "\u2029") {
			if j > 0 {
				out.WriteString("\u2029")
			}
			said := plain(piece)
			out.Write(said[1 : len(said)-1])
		}
	}
	return `"` + out.String() + `"`
}

func plain(value any) []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		panic("encoding a value of ours: " + err.Error())
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}

// ordered decodes JSON with the order of its keys and the digits of its numbers. It is given
// nothing but what the decoder has accepted as a whole before.
func ordered(data json.RawMessage) any {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	return next(decoder)
}

func next(decoder *json.Decoder) any {
	token, err := decoder.Token()
	if err != nil {
		return nil
	}
	switch token {
	case json.Delim('{'):
		members := []field{}
		for decoder.More() {
			key, _ := next(decoder).(string)
			members = append(members, field{key, next(decoder)})
		}
		_, _ = decoder.Token()
		return members
	case json.Delim('['):
		items := []any{}
		for decoder.More() {
			items = append(items, next(decoder))
		}
		_, _ = decoder.Token()
		return items
	}
	return token
}
