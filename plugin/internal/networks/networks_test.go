package networks

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const examples = "../../contract/examples"

type example struct {
	File   string    `json:"file"`
	Format string    `json:"format"`
	Valid  bool      `json:"valid"`
	Fresh  []float64 `json:"fresh"`
	Stale  []float64 `json:"stale"`
}

func index(t *testing.T) []example {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(examples, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var list []example
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestEveryExampleOfTheCacheIsReadAsTheIndexSays(t *testing.T) {
	for _, example := range index(t) {
		if example.Format != "network" {
			continue
		}
		data, err := os.ReadFile(filepath.Join(examples, example.File))
		if err != nil {
			t.Fatal(err)
		}
		var named struct{ Name string }
		_ = json.Unmarshal(data, &named)
		if strings.Contains(named.Name, "/") {
			continue // never asked for: such a name does not get this far
		}
		if _, err := ReadEntry(data, "default", named.Name); (err == nil) != example.Valid {
			t.Errorf("%s: %v, the index says valid %v", example.File, err, example.Valid)
		}
	}
}

func TestAHeartbeatIsFreshForItsTimeInItsBoot(t *testing.T) {
	for _, example := range index(t) {
		if example.Format != "heartbeat" {
			continue
		}
		data, err := os.ReadFile(filepath.Join(examples, example.File))
		if err != nil {
			t.Fatal(err)
		}
		beat, err := ReadHeartbeat(data)
		for _, now := range example.Fresh {
			if err != nil || !beat.FreshAt(beat.BootID, now) || beat.FreshAt("another boot", now) {
				t.Errorf("%s at %v: not fresh, or fresh in another boot", example.File, now)
			}
		}
		for _, now := range example.Stale {
			if beat.FreshAt(beat.BootID, now) {
				t.Errorf("%s at %v: fresh", example.File, now)
			}
		}
	}
}

func TestNamesThatArePathsAreNeverLookedUp(t *testing.T) {
	finder := &Finder{CNIDir: t.TempDir(), Warn: t.Logf}
	for _, name := range []string{"../x", "a/b", ".hidden", "a\x00"} {
		if _, err := finder.Definition(context.Background(), "default", name); err == nil {
			t.Errorf("%q passed", name)
		}
	}
}

type remote struct {
	definition *Definition
	err        error
	asked      int
}

func (r *remote) Definition(context.Context, string, string) (*Definition, error) {
	r.asked++
	return r.definition, r.err
}

func TestWhoIsAskedDependsOnTheCache(t *testing.T) {
	away := errors.New("connection refused")
	for _, test := range []struct {
		about         string
		cached, fresh bool
		answer        *Definition
		err           error
		want          string
		asked         int
	}{
		{"fresh and there", true, true, &Definition{Config: "new"}, nil, "cached", 0},
		{"fresh and not there", false, true, &Definition{Config: "new"}, nil, "new", 1},
		{"stale", true, false, &Definition{Config: "new"}, nil, "new", 1},
		{"stale and deleted", true, false, nil, ErrAbsent, "", 1},
		{"stale and the server is away", true, false, nil, away, "cached", 1},
		{"stale and the server refuses", true, false, nil, ErrRefused, "", 1},
		{"not there and the server is away", false, false, nil, away, "", 1},
	} {
		folder := t.TempDir()
		if test.cached {
			if err := os.MkdirAll(filepath.Join(folder, "networks", "default"), 0o700); err != nil {
				t.Fatal(err)
			}
			entry := `{"version":1,"namespace":"default","name":"a","uid":"","resourceVersion":"","resourceName":"","config":"cached"}`
			if err := os.WriteFile(filepath.Join(folder, "networks", "default", "a.json"), []byte(entry), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		asked := &remote{test.answer, test.err, 0}
		finder := &Finder{CNIDir: folder, Remote: asked, Warn: t.Logf, fresh: &test.fresh}
		got, err := finder.Definition(context.Background(), "default", "a")
		if (err == nil) != (test.want != "") || (got != nil && got.Config != test.want) || asked.asked != test.asked {
			t.Errorf("%s: %+v, %v, asked %d times", test.about, got, err, asked.asked)
		}
	}
}

func TestANetworkIsLookedUpOnceHoweverManyAskForIt(t *testing.T) {
	fresh := true
	asked := &remote{definition: &Definition{Config: `{"type":"x"}`, ResourceName: "r"}}
	finder := &Finder{CNIDir: t.TempDir(), Remote: asked, Warn: t.Logf, fresh: &fresh}
	for range 3 {
		if found, err := finder.Network(context.Background(), "default", "a"); err != nil || found.ResourceName != "r" {
			t.Fatalf("got %+v, %v", found, err)
		}
	}
	if asked.asked != 1 {
		t.Errorf("asked %d times", asked.asked)
	}
}

func FuzzFilesOfTheCacheAreReadOrRefused(f *testing.F) {
	for _, pattern := range []string{"network/*", "heartbeat/*"} {
		files, err := filepath.Glob(filepath.Join(examples, pattern))
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range files {
			data, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Add([]byte(`{"version":1,"namespace":"default","name":"a","config":null}`))
	f.Add([]byte(`{"version":1.0,"namespace":[],"boottime":"1"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if found, err := ReadEntry(data, "default", "a"); (found == nil) != (err != nil) {
			t.Errorf("%q: %+v, %v", data, found, err)
		}
		if beat, err := ReadHeartbeat(data); err == nil && beat.Version != cacheVersion && beat.FreshAt(beat.BootID, beat.Boottime) {
			t.Errorf("%q: fresh in a format that nobody knows", data)
		}
	})
}
