package networks

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mooring.dev/mooring/plugin/internal/contracttest"
)

type example struct {
	File  string    `json:"file"`
	Valid bool      `json:"valid"`
	Fresh []float64 `json:"fresh"`
	Stale []float64 `json:"stale"`
}

func TestEveryExampleOfTheCacheIsReadAsTheIndexSays(t *testing.T) {
	for _, example := range contracttest.Index[example](t, "network") {
		data := contracttest.Read(t, example.File)
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
	const boot = "0f8b7a52-3c1d-4e6f-9a80-1b2c3d4e5f60" // of all examples that name one
	for _, example := range contracttest.Index[example](t, "heartbeat") {
		beat, err := ReadHeartbeat(contracttest.Read(t, example.File))
		if example.Valid != (len(example.Fresh) > 0) {
			t.Errorf("%s: valid %v, and fresh at %v", example.File, example.Valid, example.Fresh)
		}
		if !example.Valid && err == nil && beat.FreshAt(boot, beat.Boottime+0.001) {
			t.Errorf("%s: fresh, and the index says that it is not valid", example.File)
		}
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
		for _, name := range contracttest.Files(f, pattern) {
			f.Add(contracttest.Read(f, name))
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
