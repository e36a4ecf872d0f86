package selection

import (
	"encoding/json"
	"strings"

	"mooring.dev/mooring/plugin/internal/object"
)

// Exceeds says whether an annotation asks for more than this many networks, and for how many. It
// costs nothing of what reading the requests costs, so a bound can come before that. What is no
// annotation asks for none: Parse says what is wrong with it.
func Exceeds(text string, most int) (int, bool) {
	count := strings.Count(text, ",") + 1
	if count > most && strings.ContainsAny(text, `[{"`) {
		count = 0
		if json.Valid([]byte(text)) {
			items, _ := object.Items(json.RawMessage(text))
			count = len(items)
		}
	}
	return count, count > most
}
