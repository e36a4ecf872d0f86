package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"mooring.dev/mooring/plugin/internal/contracttest"
	"mooring.dev/mooring/plugin/internal/object"
)

type example struct {
	File        string `json:"file"`
	About       string `json:"about"`
	Records     int    `json:"records"`
	Readable    bool   `json:"readable"`
	Intact      bool   `json:"intact"`
	Torn        bool   `json:"torn"`
	Attached    []int  `json:"attached"`
	Undone      []int  `json:"undone"`
	Quarantined []int  `json:"quarantined"`
}

func TestEveryExampleOfTheContractIsReadAsTheIndexSays(t *testing.T) {
	for _, want := range contracttest.Index[example](t, "journal") {
		t.Run(want.File, func(t *testing.T) {
			got := Parse(contracttest.Read(t, want.File))
			if got.Records != want.Records || got.Readable != want.Readable || got.Intact != want.Intact || got.Torn != want.Torn {
				t.Errorf("%s: records %d, readable %v, intact %v, torn %v; the index says %+v", want.About, got.Records, got.Readable, got.Intact, got.Torn, want)
			}
			pick := func(of func(State) bool) []int {
				indexes := []int{}
				for _, state := range got.States {
					if of(state) {
						indexes = append(indexes, state.Index)
					}
				}
				return indexes
			}
			if attached := pick(func(s State) bool { return s.Attached }); !slices.Equal(attached, want.Attached) {
				t.Errorf("attached %v, want %v", attached, want.Attached)
			}
			if undone := pick(func(s State) bool { return s.Undone }); !slices.Equal(undone, want.Undone) {
				t.Errorf("undone %v, want %v", undone, want.Undone)
			}
			if quarantined := pick(func(s State) bool { return s.Quarantined }); !slices.Equal(quarantined, want.Quarantined) {
				t.Errorf("quarantined %v, want %v", quarantined, want.Quarantined)
			}
		})
	}
}

func sandbox() (Header, []Attachment) {
	return Header{ContainerID: "c1", IfName: "eth0", CNIPath: []string{"/opt/cni/bin"}},
		[]Attachment{{Index: 0, Network: "pod-network", Default: true, IfName: "eth0", Conf: json.RawMessage(`{"name":"pod-network","type":"x"}`), Args: [][2]string{}}}
}

func clock() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 1000, time.UTC) }

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	dir := t.TempDir()
	header, attachments := sandbox()
	written, err := Create(dir, header, clock)
	if err != nil {
		t.Fatal(err)
	}
	written.Intend(attachments)
	if err := errors.Join(written.Begin("ADD", 0), written.Sync()); err != nil {
		t.Fatal(err)
	}
	written.Attached(0, time.Millisecond, json.RawMessage(`{"cniVersion":"1.0.0"}`), nil)
	if err := written.Close(); err != nil {
		t.Fatal(err)
	}
	again, contents, err := Open(context.Background(), dir, "c1", "eth0", clock)
	if err != nil {
		t.Fatal(err)
	}
	if contents.Header.Time != "2026-03-01T12:00:00.000001Z" || !contents.States[0].Attached || string(contents.States[0].Result) != `{"cniVersion":"1.0.0"}` {
		t.Errorf("read back %+v %+v", contents.Header, contents.States)
	}
	if err := again.Remove(); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(Dir(dir))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestASecondJournalForOneSandboxIsRefusedAndTheFirstIsUntouched(t *testing.T) {
	dir := t.TempDir()
	header, _ := sandbox()
	first, err := Create(dir, header, clock)
	if err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(first.path)
	if _, err := Create(dir, header, clock); !errors.Is(err, ErrExists) {
		t.Errorf("got %v", err)
	}
	after, _ := os.ReadFile(first.path)
	if string(before) != string(after) {
		t.Error("the first journal changed")
	}
}

func TestALockThatAnotherCallHoldsIsWaitedForUntilTheContextEnds(t *testing.T) {
	dir := t.TempDir()
	header, _ := sandbox()
	if _, err := Create(dir, header, clock); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := Open(ctx, dir, "c1", "eth0", clock); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestATornLastLineIsCutAwayBeforeAnythingIsAppended(t *testing.T) {
	dir := t.TempDir()
	torn := contracttest.Read(t, "journal/torn-last-line.jsonl")
	if err := os.MkdirAll(Dir(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(Path(dir, "c1", "eth0"), torn, 0o600); err != nil {
		t.Fatal(err)
	}
	file, _, err := Open(context.Background(), dir, "c1", "eth0", clock)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(file.Begin("DEL", 1), file.Close()); err != nil {
		t.Fatal(err)
	}
	data, _ := os.ReadFile(Path(dir, "c1", "eth0"))
	if got := Parse(data); !got.Intact || got.Torn || got.Records != 7 {
		t.Errorf("got %+v", got)
	}
}

func FuzzReadingAJournalNeverPanics(f *testing.F) {
	for _, name := range contracttest.Files(f, "journal/*") {
		f.Add(contracttest.Read(f, name))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		contents := Parse(data)
		if contents.good > len(data) {
			t.Errorf("good %d of %d bytes", contents.good, len(data))
		}
	})
}

func FuzzWhatIsIntendedIsReadBackFromOneLine(f *testing.F) {
	f.Add("default/a", "net1", "K", "v;=", []byte("{\n \"name\": \"a\"\n}"), true)
	f.Add("\xff\u2028", "\"\n", "", "\\", []byte(`{"x":[1e400,"\u0000"]}`), false)
	f.Fuzz(func(t *testing.T, network, ifName, key, value string, conf []byte, asked bool) {
		members, err := object.Parse(conf)
		if err != nil {
			return
		}
		intended := Attachment{
			Index: 3, Network: network, NAD: asked, IfName: ifName, Conf: conf, CapabilityArgs: members, Args: [][2]string{{key, value}},
		}
		if asked {
			intended.DefaultRoute = &[]string{value}
		}
		header := Header{Version: Version, ContainerID: network, CNIPath: []string{value}}
		text := append(line(header.body()), line(intents([]Attachment{intended}))...)
		if bytes.Count(text, []byte("\n")) != 2 {
			t.Fatalf("%q is not two lines", text)
		}
		got := Parse(text)
		if !got.Intact || got.Torn || got.Records != 2 {
			t.Fatalf("%q reads as %+v", text, got)
		}
		valid := func(text string) string { return string([]rune(text)) }
		read := got.States[0].Attachment
		if read.Network != valid(network) || read.IfName != valid(ifName) || read.NAD != asked || read.Args[0] != [2]string{valid(key), valid(value)} {
			t.Errorf("%+v became %+v", intended, read)
		}
		again, err := object.Parse(read.Conf)
		if err != nil || !bytes.Equal(again.Bytes(), members.Bytes()) || !bytes.Equal(read.CapabilityArgs.Bytes(), members.Bytes()) {
			t.Errorf("%s became %s and %s", members.Bytes(), read.Conf, read.CapabilityArgs.Bytes())
		}
		if (read.DefaultRoute != nil) != asked {
			t.Errorf("%+v became %+v", intended, read)
		}
	})
}
