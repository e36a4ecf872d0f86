package failures

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheFileNeverGrowsBeyondItsLimitAndKeepsTheYoungest(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "failures.jsonl")
	for i := range 600 {
		if err := Note(folder, Failure{Verb: "ADD", Milliseconds: int64(i), Msg: strings.Repeat("ü", 5000)}); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Size() > Limit {
			t.Fatalf("%d bytes after %d lines, %v", info.Size(), i, err)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	var last Failure
	for _, line := range lines {
		if err := json.Unmarshal([]byte(line), &last); err != nil || last.Version != 1 {
			t.Fatalf("%.40s: %v", line, err)
		}
	}
	if last.Milliseconds != 599 || len(lines) < 50 {
		t.Errorf("%d lines, the last %d", len(lines), last.Milliseconds)
	}
}
