package journal

import (
	"bytes"
	"encoding/json"
	"time"

	"mooring.dev/mooring/plugin/internal/boot"
	"mooring.dev/mooring/plugin/internal/object"
)

// State is where one attachment stands.
type State struct {
	Attachment
	Begun       bool            // some verb was begun
	Open        bool            // the last record says begun: it runs, or was killed
	Attached    bool            // the last record is a result of ADD without error
	Undone      bool            // the last record is a result of DEL without error
	Quarantined bool            // failed so often that DEL no longer fails for it; still to be undone
	Result      json.RawMessage // of ADD, nil where it did not come to that
	DeviceInfo  json.RawMessage // of ADD, nil for none
	FailedDELs  []boot.Moment   // when; unknown where the record does not say
}

// FailingFor is for how long DEL has failed, as far as this boot knows.
func (s *State) FailingFor(now boot.Moment) time.Duration {
	for _, failed := range s.FailedDELs {
		if seconds := failed.Until(now); seconds > 0 {
			return time.Duration(seconds * float64(time.Second))
		}
	}
	return 0
}

// Contents is what a journal file says.
type Contents struct {
	Header   *Header
	States   []State
	Records  int
	Intact   bool // every line but a torn last one is right, and the version is ours: it may be appended to
	Readable bool // it is known what there is to undo
	Torn     bool // the last line is ignored
	good     int  // bytes up to the end of the last good line
}

// Parse reads a journal file. Nothing is an error: what can be read counts.
func Parse(data []byte) *Contents {
	c := &Contents{Intact: true}
	for start := 0; start < len(data); {
		end := bytes.IndexByte(data[start:], '\n')
		last := end < 0 || start+end+1 == len(data)
		text := data[start:]
		next := len(data)
		if end >= 0 {
			text, next = data[start:start+end], start+end+1
		}
		record, right := body(text)
		right = right && end >= 0 && c.take(record)
		switch {
		case right:
			c.Records++
			c.good = next
		case last:
			c.Torn = true
		default:
			c.Intact = false
		}
		start = next
	}
	if c.Records > 0 && (c.Header == nil || c.Header.Version != Version) {
		c.Intact = false
	}
	if c.Records == 0 && c.Torn && bytes.IndexByte(data, '\n') >= 0 {
		c.Intact = false
	}
	c.Readable = len(c.States) > 0 || c.Intact
	return c
}

// take applies one record and says whether it was one.
func (c *Contents) take(record json.RawMessage) bool {
	if !json.Valid(record) {
		return false
	}
	members, is := object.Members(record)
	if !is {
		return false
	}
	r := &object.Reader{Members: members}
	switch kind := r.Text("type"); kind {
	case "header":
		header := readHeader(r)
		if !r.Bad {
			c.Header = header
		}
	case "intents":
		states := make([]State, 0, 4)
		for _, item := range r.Items("attachments") {
			attachment, is := object.Members(item)
			of := &object.Reader{Members: attachment, Bad: !is}
			states = append(states, State{Attachment: readAttachment(of)})
			r.Bad = r.Bad || of.Bad
		}
		if !r.Bad {
			c.States = states
		}
	default:
		c.happened(kind, r)
	}
	return !r.Bad
}

// happened applies a record about one attachment; one of an unknown kind, or about an attachment
// that nobody intended, changes nothing.
func (c *Contents) happened(kind string, r *object.Reader) {
	verb, index, at := r.Text("verb"), r.Int("index"), boot.Moment{ID: r.Text("bootID"), Seconds: r.Float("boottime")}
	failed, result, device := r.Object("error"), r.Members["result"], r.Members["deviceInfo"]
	state := c.state(index)
	if state == nil || r.Bad {
		return
	}
	switch kind {
	case "begun":
		state.Begun, state.Open, state.Attached, state.Undone = true, true, false, false
	case "result":
		state.Begun, state.Open = true, false
		state.Attached = verb == "ADD" && failed == nil
		state.Undone = verb == "DEL" && failed == nil
		if verb == "ADD" {
			state.Result, state.DeviceInfo = result, device
		}
		if verb == "DEL" && failed != nil {
			state.FailedDELs = append(state.FailedDELs, at)
		}
	case "quarantined":
		state.Quarantined, state.Attached = true, false
	}
}

func (c *Contents) state(index int) *State {
	for i := range c.States {
		if c.States[i].Index == index {
			return &c.States[i]
		}
	}
	return nil
}
