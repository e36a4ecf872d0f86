package selection

import (
	"runtime"
	"strings"
	"testing"
)

// largest is what all annotations of a pod may hold together at the API server.
const largest = 256 << 10

func filled(head, each, tail string) func(size int) string {
	return func(size int) string {
		count := (size - len(head) - len(tail)) / len(each)
		return head + strings.TrimSuffix(strings.Repeat(each, count), ",") + tail
	}
}

func TestTheLargestAnnotationCostsMemoryInProportion(t *testing.T) {
	for name, sized := range map[string]func(size int) string{
		"networks in text":    filled("", "a,", ""),
		"mistakes in text":    filled("", "a//b,", ""),
		"networks in JSON":    filled("[", `{"name":"a"},`, "]"),
		"nothing in JSON":     filled("[", "{},", "]"),
		"no objects":          filled("[", "3,", "]"),
		"unknown keys":        filled(`[{"name":"a",`, `"b":1,`, "}]"),
		"one key":             filled(`[{`, `"name":"a",`, "}]"),
		"wrong values":        filled(`[{`, `"name":"A",`, "}]"),
		"addresses":           filled(`[{"name":"a","ips":[`, `"::",`, "]}]"),
		"port mappings":       filled(`[{"name":"a","portMappings":[`, `{"hostPort":1,"containerPort":1},`, "]}]"),
		"arguments":           filled(`[{"name":"a","cni-args":{`, `"b":1,`, "}}]"),
		"nested arguments":    filled(`[{"name":"a","cni-args":{"b":[`, "[[[[]]]],", "]}}]"),
		"nested too deep":     filled("", "[", ""),
		"a long name":         filled(`[{"name":"`, "A", `"}]`),
		"a name with escapes": filled(`[{"name":"`, `\u0061`, `"}]`),
		"a name in text":      filled("", "A", ""),
		"blanks":              filled("[", " ", "]"),
	} {
		half, whole := allocated(sized(largest/2)), allocated(sized(largest))
		if whole > 3*half+(64<<10) || whole > 80*largest {
			t.Errorf("%s: %d bytes of memory for half of it, %d for all", name, half, whole)
		}
	}
}

// allocated is what reading a text takes, given back or not.
func allocated(text string) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _ = Parse(text, "ns")
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
