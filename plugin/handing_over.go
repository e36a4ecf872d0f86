//go:build handover

package main

import (
	"mooring.dev/mooring/plugin/internal/attach"
	"mooring.dev/mooring/plugin/internal/conf"
	"mooring.dev/mooring/plugin/internal/handover"
)

// connect lets a session become the whole plugin at its first question. A status that is to be
// written before ADD returns is a question that will come, after the delegates: then at once.
func connect(s *attach.Session) {
	call := &handover.Call{Stdin: s.Call.Stdin, Path: s.Runner.Path}
	s.Devices = call.Devices
	if s.Conf.Kubeconfig == "" {
		return
	}
	s.API, s.Finder.Remote = call, call
	if s.Call.Verb == "ADD" && s.Conf.Status != conf.StatusByAgent {
		if err := call.Become("writing the network-status"); err != nil {
			s.Log.Errorf("%v", err)
		}
	}
}
