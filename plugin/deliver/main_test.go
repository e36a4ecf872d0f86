package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func sum(text string) string {
	made := sha256.Sum256([]byte(text))
	return hex.EncodeToString(made[:])
}

func image(t *testing.T, files map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// once runs the program with an order to end already given: it does its work one time.
func once(t *testing.T, arguments ...string) (status int, said string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var stdout, stderr strings.Builder
	status = run(ctx, arguments, &stdout, &stderr)
	return status, stderr.String()
}

func listed(t *testing.T, folder string) []string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, each := range entries {
		names = append(names, each.Name())
	}
	return names
}

func TestAProgramIsHandedOverUnderItsChecksum(t *testing.T) {
	from, to := image(t, map[string]string{"bridge": "a program"}), t.TempDir()
	if status, said := once(t, "-to", to, sum("a program")+"="+filepath.Join(from, "bridge")); status != 0 {
		t.Fatal(status, said)
	}
	data, err := os.ReadFile(filepath.Join(to, sum("a program")))
	if err != nil || string(data) != "a program" {
		t.Fatal(string(data), err)
	}
	if names := listed(t, to); len(names) != 1 {
		t.Fatal(names)
	}
}

func TestEveryProgramThatIsNotAsItShouldBeIsToldAndTheOthersAreHandedOver(t *testing.T) {
	from := image(t, map[string]string{"right": "right", "other": "other"})
	to := t.TempDir()
	status, said := once(t, "-to", to,
		sum("wanted")+"="+filepath.Join(from, "other"),
		sum("absent")+"="+filepath.Join(from, "absent"),
		sum("folder")+"="+from,
		sum("right")+"="+filepath.Join(from, "right"),
	)
	if status != 1 {
		t.Fatal(status)
	}
	for _, clause := range []string{
		"other of the image has the sha256 " + sum("other") + ", and the Installation says " + sum("wanted"),
		"the image has no readable " + filepath.Join(from, "absent"),
		from + " of the image is not a regular file",
	} {
		if !strings.Contains(said, clause) {
			t.Errorf("%q does not say %q", said, clause)
		}
	}
	if names := listed(t, to); len(names) != 1 || names[0] != sum("right") {
		t.Fatal(names)
	}
}

func TestWhatIsTakenAwayIsHandedOverAgainAndWhatIsThereIsLeftAlone(t *testing.T) {
	from, to := image(t, map[string]string{"bridge": "a program"}), t.TempDir()
	folder, err := os.OpenRoot(to)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	programs := []program{{sum("a program"), filepath.Join(from, "bridge")}}
	place := filepath.Join(to, sum("a program"))
	for range 2 {
		if err := handOver(folder, programs, time.Now(), &strings.Builder{}); err != nil {
			t.Fatal(err)
		}
		before, err := os.Stat(place)
		if err != nil {
			t.Fatal(err)
		}
		if err := handOver(folder, programs, time.Now(), &strings.Builder{}); err != nil {
			t.Fatal(err)
		}
		if after, err := os.Stat(place); err != nil || !os.SameFile(before, after) {
			t.Fatal("it was written again", err)
		}
		if err := os.Remove(place); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheTimeOfAFileSaysThatItIsStillBrought(t *testing.T) {
	from, to := image(t, map[string]string{"bridge": "a program"}), t.TempDir()
	folder, err := os.OpenRoot(to)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	programs := []program{{sum("a program"), filepath.Join(from, "bridge")}}
	now := time.Now()
	for _, at := range []time.Time{now, now.Add(2 * vouched)} {
		if err := handOver(folder, programs, at, &strings.Builder{}); err != nil {
			t.Fatal(err)
		}
	}
	found, err := os.Stat(filepath.Join(to, sum("a program")))
	if err != nil || found.ModTime().Before(now.Add(vouched)) {
		t.Fatal(found.ModTime(), err)
	}
}

func TestAFolderThatWasRemovedIsNotMadeAgain(t *testing.T) {
	from, to := image(t, map[string]string{"bridge": "a program"}), filepath.Join(t.TempDir(), "handover")
	if err := os.Mkdir(to, 0o755); err != nil {
		t.Fatal(err)
	}
	folder, err := os.OpenRoot(to)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	if removed(folder) {
		t.Fatal("it is there")
	}
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	programs := []program{{sum("a program"), filepath.Join(from, "bridge")}}
	if err := handOver(folder, programs, time.Now(), &strings.Builder{}); err == nil {
		t.Fatal("nothing can be made there")
	}
	if !removed(folder) {
		t.Fatal("it is gone")
	}
	if _, err := os.Stat(to); !os.IsNotExist(err) {
		t.Fatal(err)
	}
}

func TestUnfinishedFilesGoOnceTheyAreOld(t *testing.T) {
	from, to := image(t, map[string]string{"bridge": "a program"}), t.TempDir()
	for name, age := range map[string]time.Duration{".old" + suffix: 2 * abandoned, ".young" + suffix: 0} {
		path := filepath.Join(to, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Now().Add(-age), time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if status, said := once(t, "-to", to, sum("a program")+"="+filepath.Join(from, "bridge")); status != 0 {
		t.Fatal(said)
	}
	if names := listed(t, to); len(names) != 2 || names[0] != ".young"+suffix {
		t.Fatal(names)
	}
}

func TestItCopiesItself(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mooring-deliver")
	if status, said := once(t, "-copy-self", path); status != 0 {
		t.Fatal(said)
	}
	found, err := os.Stat(path)
	if err != nil || found.Mode().Perm() != 0o755 || found.Size() == 0 {
		t.Fatal(found, err)
	}
}

func TestWrongUsageIsToldApart(t *testing.T) {
	for _, arguments := range [][]string{
		{}, {"-to", "/x"}, {sum("a") + "=/a"}, {"-to", "/x", "nothing"}, {"-to", "/x", sum("a") + "=relative"},
		{"-to", "/x", "-copy-self", "/y", sum("a") + "=/a"}, {"-unknown"},
	} {
		if status, said := once(t, arguments...); status != 2 || !strings.Contains(said, "usage") {
			t.Errorf("%q: %d %q", arguments, status, said)
		}
	}
}
