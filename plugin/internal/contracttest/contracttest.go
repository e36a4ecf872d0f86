// Package contracttest gives the contract's examples to the tests of the packages beside it. It owns
// where they are, and that a test which finds none fails instead of passing with nothing to do.
// It refuses to say what an example means; no product code imports it.
package contracttest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

const examples = "../../contract/examples"

// Index returns the entries of index.json that are of a format, as the test wants to read them.
func Index[Entry any](t testing.TB, format string) []Entry {
	t.Helper()
	var raw []json.RawMessage
	if err := json.Unmarshal(Read(t, "index.json"), &raw); err != nil {
		t.Fatalf("index.json: %v", err)
	}
	var found []Entry
	for _, each := range raw {
		var named struct{ Format string }
		var entry Entry
		if err := json.Unmarshal(each, &named); err != nil {
			t.Fatalf("index.json: %v", err)
		}
		if named.Format != format {
			continue
		}
		if err := json.Unmarshal(each, &entry); err != nil {
			t.Fatalf("index.json: %v", err)
		}
		found = append(found, entry)
	}
	if len(found) == 0 {
		t.Fatalf("index.json has no example of the format %q", format)
	}
	return found
}

// Read returns what is in an example that index.json or Files names.
func Read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(examples, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Files names the examples that match a pattern such as `journal/*`.
func Files(t testing.TB, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(examples, pattern))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no example of the contract matches %s: %v", pattern, err)
	}
	names := make([]string, 0, len(paths))
	for _, path := range paths {
		name, err := filepath.Rel(examples, path)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	return names
}
