package attach

import (
	"encoding/json"
	"errors"
	"slices"

	"github.com/containernetworking/cni/pkg/types"

	"mooring.dev/mooring/plugin/internal/cnierror"
	"mooring.dev/mooring/plugin/internal/routes"
)

// moveDefaultRoute makes the pod's routes what the requests say, and the results what the
// routes are. It runs when all interfaces are there and before the last result is written
// down, so that nobody reads a status that is about to change.
func (w *work) moveDefaultRoute(plans []planned) error {
	if !slices.ContainsFunc(plans, func(plan planned) bool { return plan.request.HasGateways }) {
		return nil
	}
	requests := make([]routes.Request, len(plans))
	for i := range plans {
		requests[i] = routes.Request{
			Interfaces: interfacesIn(w.states[i].Result, plans[i].ifName),
			Asked:      plans[i].request.HasGateways, Gateways: plans[i].request.Gateways,
		}
	}
	links, err := w.inside.Links()
	if err != nil {
		return cnierror.New(types.ErrInternal, "default-route: %v", err)
	}
	changes, err := routes.Move(links, requests, w.Config.KeepClusterRoutes)
	if err != nil {
		var failure *routes.Failure
		if errors.As(err, &failure) {
			w.setAttaching(&plans[failure.Attachment])
		}
		return explainFailure(cnierror.New(types.ErrInternal, "default-route: %v", err), w.attaching)
	}
	for i := range changes {
		if err := w.applyRoutes(i, &plans[i], changes[i]); err != nil {
			return err
		}
	}
	return nil
}

// applyRoutes corrects the result of one attachment, and what is written down of it.
func (w *work) applyRoutes(index int, plan *planned, change routes.Change) error {
	state := &w.states[index]
	corrected, err := routes.Apply(state.Result, change)
	if err != nil {
		return cnierror.New(types.ErrDecodingFailure, "default-route: the result cannot be corrected: %v", err)
	}
	if string(corrected) == string(state.Result) {
		return nil
	}
	state.Result = corrected
	if index == len(w.states)-1 {
		return nil // its result is not written down yet
	}
	if err := w.cache(index, plan.conf.Name); err != nil {
		w.Log.Warnf("network %s: libcni's result cache: %v", plan.network, err)
	}
	w.journal.Attached(index, 0, oneLine(corrected), state.DeviceInfo)
	return nil
}

// interfacesIn lists the interfaces that a result has in the pod; a result that tells of none
// made the one that it was asked for.
func interfacesIn(result json.RawMessage, ifName string) []string {
	var told struct {
		Interfaces []struct {
			Name    string `json:"name"`
			Sandbox string `json:"sandbox"`
		} `json:"interfaces"`
	}
	names := []string{ifName}
	if json.Unmarshal(result, &told) != nil {
		return names
	}
	for _, link := range told.Interfaces {
		if link.Sandbox != "" && !slices.Contains(names, link.Name) {
			names = append(names, link.Name)
		}
	}
	return names
}
