// Package journal keeps what is needed to undo a sandbox's attachments: one append-only file
// for each sandbox, a JSON record with its checksum on every line (docs/contracts.md).
//
// It is locked with flock while a call runs, so a call in progress can be told from garbage.
// It does not decide what to undo and runs no plugin.
package journal

import (
	"bytes"
	"encoding/json"
	"hash/crc32"
	"time"

	"github.com/containernetworking/cni/pkg/types"

	"mooring.dev/mooring/plugin/internal/boot"
	"mooring.dev/mooring/plugin/internal/object"
)

// Version is the format that this program writes.
const Version = 1

// TimeFormat is RFC 3339 in UTC with microseconds.
const TimeFormat = "2006-01-02T15:04:05.000000Z"

// Where things are in a line.
const (
	crcStart    = len(`{"crc":"`)
	crcEnd      = crcStart + 8
	recordStart = len(`{"crc":"00000000","record":`)
)

// Pod says whose sandbox it is; empty strings where the runtime did not say.
type Pod struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid"`
}

// String is namespace/name, or what is known of it.
func (p Pod) String() string {
	if p.Namespace == "" && p.Name == "" {
		return "(no pod)"
	}
	return p.Namespace + "/" + p.Name
}

// Header is the first line.
type Header struct {
	Version     int
	Network     string // the name of the meta-plugin's configuration, empty in journals from before it was noted
	Time        string
	BootID      string
	ContainerID string
	IfName      string
	Netns       string
	Pod         Pod
	CNIArgs     string
	CNIPath     []string
}

func (h *Header) body() json.RawMessage {
	var pod, w object.Writer
	pod.Text("namespace", h.Pod.Namespace)
	pod.Text("name", h.Pod.Name)
	pod.Text("uid", h.Pod.UID)
	w.Text("type", "header")
	w.Int("version", int64(h.Version))
	w.Text("network", h.Network)
	w.Text("time", h.Time)
	w.Text("bootID", h.BootID)
	w.Text("containerID", h.ContainerID)
	w.Text("ifName", h.IfName)
	w.Text("netns", h.Netns)
	w.Raw("pod", pod.Bytes())
	w.Text("cniArgs", h.CNIArgs)
	w.Texts("cniPath", h.CNIPath)
	return w.Bytes()
}

func readHeader(r *object.Reader) *Header {
	pod := object.Reader{Members: r.Object("pod")}
	header := &Header{
		Version: r.Int("version"), Network: r.Text("network"), Time: r.Text("time"), BootID: r.Text("bootID"), ContainerID: r.Text("containerID"), IfName: r.Text("ifName"),
		Netns: r.Text("netns"), Pod: Pod{pod.Text("namespace"), pod.Text("name"), pod.Text("uid")}, CNIArgs: r.Text("cniArgs"), CNIPath: r.Texts("cniPath"),
	}
	r.Bad = r.Bad || pod.Bad
	return header
}

// Attachment is one network that a sandbox is to have, as it is executed.
type Attachment struct {
	Index          int
	Network        string
	NAD            bool
	Default        bool
	IfName         string
	Conf           json.RawMessage
	CapabilityArgs object.Object
	Args           [][2]string
	DefaultRoute   *[]string // gateways that the pod asked for, nil where it has no such key
}

func (a *Attachment) body() json.RawMessage {
	var w object.Writer
	w.Int("index", int64(a.Index))
	w.Text("network", a.Network)
	w.Bool("nad", a.NAD)
	w.Bool("default", a.Default)
	w.Text("ifName", a.IfName)
	w.Raw("conf", a.Conf)
	w.Raw("capabilityArgs", a.CapabilityArgs.Bytes())
	w.Pairs("args", a.Args)
	if a.DefaultRoute != nil {
		w.Texts("defaultRoute", *a.DefaultRoute)
	}
	return w.Bytes()
}

func readAttachment(r *object.Reader) Attachment {
	read := Attachment{
		Index: r.Int("index"), Network: r.Text("network"), NAD: r.Bool("nad"), Default: r.Bool("default"), IfName: r.Text("ifName"),
		Conf: r.Members["conf"], CapabilityArgs: r.Object("capabilityArgs"), Args: r.Pairs("args"),
	}
	if value, asked := r.Members["defaultRoute"]; asked && object.Kind(value) != "null" {
		gateways := append([]string{}, r.Texts("defaultRoute")...)
		read.DefaultRoute = &gateways
	}
	return read
}

func intents(attachments []Attachment) json.RawMessage {
	list := []byte("[")
	for i := range attachments {
		if i > 0 {
			list = append(list, ',')
		}
		list = append(list, attachments[i].body()...)
	}
	var w object.Writer
	w.Text("type", "intents")
	w.Raw("attachments", append(list, ']'))
	return w.Bytes()
}

func begun(verb string, index int, time string) json.RawMessage {
	var w object.Writer
	w.Text("type", "begun")
	w.Text("verb", verb)
	w.Int("index", int64(index))
	w.Text("time", time)
	return w.Bytes()
}

// outcome is what became of a verb: of an ADD its result, nil for a failure; of a DEL that failed
// the moment, by which it is known for how long it has.
type outcome struct {
	verb           string
	index          int
	time           string
	took           time.Duration
	result, device json.RawMessage
	failed         *types.Error
	at             boot.Moment
}

func (o outcome) body() json.RawMessage {
	var w object.Writer
	w.Text("type", "result")
	w.Text("verb", o.verb)
	w.Int("index", int64(o.index))
	w.Text("time", o.time)
	w.Int("milliseconds", o.took.Milliseconds())
	if len(o.result) > 0 {
		w.Raw("result", o.result)
	}
	if len(o.device) > 0 {
		w.Raw("deviceInfo", o.device)
	}
	if o.failed != nil {
		var failure object.Writer
		failure.Int("code", int64(o.failed.Code))
		failure.Text("msg", o.failed.Msg)
		failure.Text("details", o.failed.Details)
		w.Raw("error", failure.Bytes())
		if o.at.ID != "" {
			w.Text("bootID", o.at.ID)
			w.Int("boottime", int64(o.at.Seconds))
		}
	}
	return w.Bytes()
}

func quarantined(index int, time, reason string) json.RawMessage {
	var w object.Writer
	w.Text("type", "quarantined")
	w.Int("index", int64(index))
	w.Text("time", time)
	w.Text("reason", reason)
	return w.Bytes()
}

// delRequested is written by a DEL that waits for the lock of an ADD.
func delRequested(time string) json.RawMessage {
	var w object.Writer
	w.Text("type", "del-requested")
	w.Text("time", time)
	return w.Bytes()
}

// line is a record as it stands in the file. What others wrote into it may have several lines.
func line(record json.RawMessage) []byte {
	if bytes.IndexByte(record, '\n') >= 0 {
		var compact bytes.Buffer
		if json.Compact(&compact, record) == nil {
			record = compact.Bytes()
		}
	}
	out := make([]byte, 0, recordStart+len(record)+2)
	out = append(out, checked(record)...)
	out = append(out, record...)
	return append(out, '}', '\n')
}

// checked is what stands before a record.
func checked(record []byte) []byte {
	const digits = "0123456789abcdef"
	start := []byte(`{"crc":"00000000","record":`)
	sum := crc32.ChecksumIEEE(record)
	for i := crcEnd - 1; i >= crcStart; i-- {
		start[i] = digits[sum&0xf]
		sum >>= 4
	}
	return start
}

// body returns the record of a line without its line feed, or false for a damaged one.
func body(text []byte) (json.RawMessage, bool) {
	if len(text) <= recordStart || text[len(text)-1] != '}' {
		return nil, false
	}
	record := text[recordStart : len(text)-1]
	return record, bytes.Equal(text[:recordStart], checked(record))
}

func stamp(at time.Time) string { return at.UTC().Format(TimeFormat) }
