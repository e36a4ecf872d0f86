// Package journal keeps what is needed to undo a sandbox's attachments: one append-only file
// for each sandbox, a JSON record with its checksum on every line (docs/contracts.md).
//
// It is locked with flock while a call runs, so a call in progress can be told from garbage.
// It does not decide what to undo and runs no plugin.
package journal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/containernetworking/cni/pkg/types"

	"mooring.dev/mooring/plugin/internal/object"
)

// Version is the format that this program writes.
const Version = 1

// TimeFormat is RFC 3339 in UTC with microseconds.
const TimeFormat = "2006-01-02T15:04:05.000000Z"

const recordStart = len(`{"crc":"00000000","record":`)

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
	Type        string   `json:"type"`
	Version     int      `json:"version"`
	Time        string   `json:"time"`
	BootID      string   `json:"bootID"`
	ContainerID string   `json:"containerID"`
	IfName      string   `json:"ifName"`
	Netns       string   `json:"netns"`
	Pod         Pod      `json:"pod"`
	CNIArgs     string   `json:"cniArgs"`
	CNIPath     []string `json:"cniPath"`
}

// Attachment is one network that a sandbox is to have, as it is executed.
type Attachment struct {
	Index          int             `json:"index"`
	Network        string          `json:"network"`
	NAD            bool            `json:"nad"`
	Default        bool            `json:"default"`
	IfName         string          `json:"ifName"`
	Conf           json.RawMessage `json:"conf"`
	CapabilityArgs object.Object   `json:"capabilityArgs"`
	Args           [][2]string     `json:"args"`
	DefaultRoute   *[]string       `json:"defaultRoute,omitempty"` // gateways that the pod asked for, nil where it has no such key
}

type intents struct {
	Type        string       `json:"type"`
	Attachments []Attachment `json:"attachments"`
}

type begun struct {
	Type  string `json:"type"`
	Verb  string `json:"verb"`
	Index int    `json:"index"`
	Time  string `json:"time"`
}

// Failure is a CNI error as it is written down.
type Failure struct {
	Code    uint   `json:"code"`
	Msg     string `json:"msg"`
	Details string `json:"details"`
}

type result struct {
	Type         string          `json:"type"`
	Verb         string          `json:"verb"`
	Index        int             `json:"index"`
	Time         string          `json:"time"`
	Milliseconds int64           `json:"milliseconds"`
	Result       json.RawMessage `json:"result,omitempty"`
	DeviceInfo   json.RawMessage `json:"deviceInfo,omitempty"`
	Error        *Failure        `json:"error,omitempty"`
}

type quarantined struct {
	Type   string `json:"type"`
	Index  int    `json:"index"`
	Time   string `json:"time"`
	Reason string `json:"reason"`
}

func failureOf(err *types.Error) *Failure {
	if err == nil {
		return nil
	}
	return &Failure{Code: err.Code, Msg: err.Msg, Details: err.Details}
}

// line is a record as it stands in the file.
func line(record any) []byte {
	body := object.Encode(record)
	return fmt.Appendf(nil, "{\"crc\":\"%08x\",\"record\":%s}\n", crc32.ChecksumIEEE(body), body)
}

// body returns the record of a line without its line feed, or false for a damaged one.
func body(text []byte) (json.RawMessage, bool) {
	if len(text) <= recordStart || text[len(text)-1] != '}' {
		return nil, false
	}
	record := text[recordStart : len(text)-1]
	want := fmt.Appendf(nil, "{\"crc\":\"%08x\",\"record\":", crc32.ChecksumIEEE(record))
	return record, bytes.Equal(text[:recordStart], want)
}

func stamp(at time.Time) string { return at.UTC().Format(TimeFormat) }
