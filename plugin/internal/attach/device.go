package attach

import (
	"context"
	"slices"

	"github.com/containernetworking/cni/pkg/types"

	"mooring.dev/mooring/plugin/internal/cnierror"
	"mooring.dev/mooring/plugin/internal/devices"
	"mooring.dev/mooring/plugin/internal/journal"
)

// assignDevices gives the i-th network of a resource its i-th device. The kubelet is looked
// at only when a network names a resource, the API server only when that is not enough.
func (s *Session) assignDevices(ctx context.Context, plans []planned, pod journal.Pod) error {
	wanted := map[string]int{}
	for _, plan := range plans {
		if plan.resource != "" {
			wanted[plan.resource]++
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	allocated, err := s.Devices(ctx, pod.Namespace, pod.Name, pod.UID)
	if err != nil {
		return cnierror.New(types.ErrTryAgainLater, "devices: %v", err)
	}
	if lacking(allocated, wanted) != "" && s.API != nil {
		claimed, claims, err := devices.FromClaims(ctx, s.API, pod.Namespace, pod.Name)
		if err != nil {
			return cnierror.New(types.ErrTryAgainLater, "devices: %v", err)
		}
		for resource, ids := range claimed {
			allocated.Add(resource, ids...)
		}
		for resource := range wanted {
			// As with Multus, whose own example names a claim's template: what is claimed has no
			// device that a network could be told of, and the network needs none.
			if len(allocated[resource]) == 0 && slices.Contains(claims, resource) {
				s.Log.Warnf("resource %s is a claim of the pod whose devices name no resource: its networks are attached without a device", resource)
				delete(wanted, resource)
			}
		}
	}
	if resource := lacking(allocated, wanted); resource != "" {
		return cnierror.New(types.ErrInvalidNetworkConfig, "resource %s: %d networks of the pod (%s) need a device of it, but its containers were given %d; request as many in the containers' resources", resource, wanted[resource], users(plans, resource), len(allocated[resource]))
	}
	for _, ids := range allocated {
		slices.Sort(ids)
	}
	next := map[string]int{}
	for i := range plans {
		if resource := plans[i].resource; wanted[resource] > 0 {
			plans[i].device = allocated[resource][next[resource]]
			plans[i].conf = plans[i].conf.WithDevice(plans[i].device)
			next[resource]++
		}
	}
	return nil
}

// users names the networks that need a device of a resource.
func users(plans []planned, resource string) string {
	var networks []string
	for _, plan := range plans {
		if plan.resource == resource {
			networks = append(networks, plan.network)
		}
	}
	return cnierror.FirstOf(networks)
}

// lacking names a resource of which there are fewer devices than networks want.
func lacking(allocated devices.Allocated, wanted map[string]int) string {
	resources := make([]string, 0, len(wanted))
	for resource := range wanted {
		resources = append(resources, resource)
	}
	slices.Sort(resources)
	for _, resource := range resources {
		if len(allocated[resource]) < wanted[resource] {
			return resource
		}
	}
	return ""
}
