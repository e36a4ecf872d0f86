package selection

import (
	"strings"
	"testing"
)

func TestRequestsAreCountedBeforeTheyAreRead(t *testing.T) {
	for _, test := range []struct {
		text  string
		count int
	}{
		{"a,b,c", 3}, {strings.Repeat("a,", 5000) + "a", 5001}, {`[{"name":"a"},{"name":"b"},{}]`, 3}, {"[3,3,3,3]", 4},
	} {
		if count, exceeded := Exceeds(test.text, 2); !exceeded || count != test.count {
			t.Errorf("%.20s: %d, %v", test.text, count, exceeded)
		}
	}
	for _, text := range []string{"", "a,b", `[{"name":"a","ips":["1","2","3"],"mac":""},{}]`, `[,,,,,`, `{"a":1,"b":2,"c":3}`} {
		if count, exceeded := Exceeds(text, 2); exceeded {
			t.Errorf("%s: %d", text, count)
		}
	}
}
