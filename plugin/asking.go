package main

import (
	"mooring.dev/mooring/plugin/internal/apiserver"
	"mooring.dev/mooring/plugin/internal/attach"
	"mooring.dev/mooring/plugin/internal/kubelet"
)

// connect gives a session whom to ask. Nothing is opened before the first question.
func connect(s *attach.Session) {
	s.Devices = kubelet.Devices
	if s.Config.Kubeconfig == "" {
		return
	}
	client := &apiserver.Client{Kubeconfig: s.Config.Kubeconfig}
	if s.Call.Verb == "STATUS" {
		client.Patience = attach.StatusPatience
	}
	s.API, s.Finder.Remote = client, client
}
