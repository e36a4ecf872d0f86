package journal

import (
	"bytes"
	"encoding/json"
	"time"
)

// State is where one attachment stands.
type State struct {
	Attachment
	Begun       bool            // some verb was begun
	Open        bool            // the last record says begun: it runs, or was killed
	Attached    bool            // the last record is a result of ADD without error
	Undone      bool            // the last record is a result of DEL without error
	Quarantined bool            // given up, the agent's now
	Result      json.RawMessage // of ADD, nil where it did not come to that
	DeviceInfo  json.RawMessage // of ADD, nil for none
	FailedSince time.Time       // the first failed DEL, zero where none failed
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
	var kind struct {
		Type       string `json:"type"`
		Verb       string `json:"verb"`
		Index      int    `json:"index"`
		Time       string `json:"time"`
		Result     json.RawMessage
		DeviceInfo json.RawMessage
		Error      *Failure
	}
	if json.Unmarshal(record, &kind) != nil {
		return false
	}
	switch kind.Type {
	case "header":
		header := &Header{}
		if json.Unmarshal(record, header) != nil {
			return false
		}
		c.Header = header
		return true
	case "intents":
		var list intents
		if json.Unmarshal(record, &list) != nil {
			return false
		}
		c.States = make([]State, 0, len(list.Attachments))
		for _, attachment := range list.Attachments {
			c.States = append(c.States, State{Attachment: attachment})
		}
		return true
	}
	state := c.state(kind.Index)
	if state == nil {
		return true
	}
	switch kind.Type {
	case "begun":
		state.Begun, state.Open, state.Attached, state.Undone = true, true, false, false
	case "result":
		state.Begun, state.Open = true, false
		state.Attached = kind.Verb == "ADD" && kind.Error == nil
		state.Undone = kind.Verb == "DEL" && kind.Error == nil
		if kind.Verb == "ADD" {
			state.Result, state.DeviceInfo = kind.Result, kind.DeviceInfo
		}
		if kind.Verb == "DEL" && kind.Error != nil && state.FailedSince.IsZero() {
			if at, err := time.Parse(time.RFC3339Nano, kind.Time); err == nil {
				state.FailedSince = at
			}
		}
	case "quarantined":
		state.Quarantined, state.Attached = true, false
	}
	return true
}

func (c *Contents) state(index int) *State {
	for i := range c.States {
		if c.States[i].Index == index {
			return &c.States[i]
		}
	}
	return nil
}
