package logging

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func clock() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func TestALevelShowsWhatIsAtItAndAbove(t *testing.T) {
	for level, want := range map[string]int{"panic": 0, "error": 2, "verbose": 3, "DEBUG": 4, "": 0} {
		var out bytes.Buffer
		log := New(Options{Level: level, ToStderr: true}, &out, clock)
		log.Errorf("a")
		log.Warnf("b")
		log.Verbose("c")
		log.Debug("d")
		if got := strings.Count(out.String(), "\n"); got != want {
			t.Errorf("%s: %d lines, want %d", level, got, want)
		}
	}
}

func TestALineIsALineWhateverIsInIt(t *testing.T) {
	var out bytes.Buffer
	log := New(Options{Level: "error", ToStderr: true}, &out, clock)
	log.About("verb", "ADD", "pod", "ns/p", "container", "")
	log.Errorf("a\n%q", "b")
	if want := `time=2026-03-01T12:00:00.000Z level=error verb=ADD pod=ns/p msg="a\n\"b\""` + "\n"; out.String() != want {
		t.Errorf("got %s", out.String())
	}
}

func TestFieldsFollowTheMessage(t *testing.T) {
	var out bytes.Buffer
	log := New(Options{Level: "debug", ToStderr: true}, &out, clock)
	log.Verbose("done", "network", "ns/a", "milliseconds", "3", "error", "", "said", "x=y")
	if want := `time=2026-03-01T12:00:00.000Z level=verbose msg=done network=ns/a milliseconds=3 said="x=y"` + "\n"; out.String() != want {
		t.Errorf("got %s", out.String())
	}
}

func TestAFullFileIsRenamedCompressedAndOldOnesGo(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "sub", "mooring.log")
	at := clock()
	options := Options{Level: "error", File: path, Rotation: Rotation{MaxSize: 1, MaxBackups: 2, Compress: true}}
	log := New(options, os.Stderr, func() time.Time { at = at.Add(time.Second); return at })
	for range 5 {
		log.Errorf("%s", strings.Repeat("x", megabyte-100))
	}
	files, err := filepath.Glob(filepath.Join(folder, "sub", "*"))
	if err != nil || len(files) != 3 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		if (file == path) == strings.HasSuffix(file, ".log.gz") {
			t.Errorf("%s", file)
		}
	}
}
