package devices

import (
	"context"
	"fmt"
	"net/url"
	"slices"
)

// Attributes by which a driver tells that a device of it is for networks.
const (
	idAttribute       = "k8s.cni.cncf.io/deviceID"
	resourceAttribute = "k8s.cni.cncf.io/resourceName"
)

// Allocated is the ids of a pod's devices by resource.
type Allocated map[string][]string

// Add adds ids that are not there yet.
func (a Allocated) Add(resource string, ids ...string) {
	for _, id := range ids {
		if !slices.Contains(a[resource], id) {
			a[resource] = append(a[resource], id)
		}
	}
}

// Getter reads one object, or a list, from the API server.
type Getter interface {
	Get(ctx context.Context, path string, query url.Values, into any) error
}

type claimedPod struct {
	Spec struct {
		NodeName       string `json:"nodeName"`
		ResourceClaims []struct {
			Name                      string `json:"name"`
			ResourceClaimName         string `json:"resourceClaimName"`
			ResourceClaimTemplateName string `json:"resourceClaimTemplateName"`
		} `json:"resourceClaims"`
	} `json:"spec"`
	Status struct {
		ResourceClaimStatuses []struct {
			ResourceClaimName string `json:"resourceClaimName"`
		} `json:"resourceClaimStatuses"`
		Extended *struct {
			ResourceClaimName string `json:"resourceClaimName"`
			RequestMappings   []struct {
				RequestName  string `json:"requestName"`
				ResourceName string `json:"resourceName"`
			} `json:"requestMappings"`
		} `json:"extendedResourceClaimStatus"`
	} `json:"status"`
}

type claim struct {
	Status struct {
		Allocation *struct {
			Devices struct {
				Results []allocatedDevice `json:"results"`
			} `json:"devices"`
		} `json:"allocation"`
	} `json:"status"`
}

type allocatedDevice struct {
	Request string `json:"request"`
	Driver  string `json:"driver"`
	Pool    string `json:"pool"`
	Device  string `json:"device"`
}

type sliceList struct {
	Items []struct {
		Spec struct {
			Pool struct {
				Name string `json:"name"`
			} `json:"pool"`
			Devices []struct {
				Name       string `json:"name"`
				Attributes map[string]struct {
					String string `json:"string"`
				} `json:"attributes"`
			} `json:"devices"`
		} `json:"spec"`
	} `json:"items"`
}

// claims finds the devices that a pod was given by dynamic resource allocation.
type claims struct {
	api       Getter
	namespace string
	pod       claimedPod
	slices    map[string]*sliceList // by driver
	found     Allocated
}

// FromClaims reads the pod's claims and the slices of this node. It returns the devices that name
// a resource, and by what names the pod knows its claims: the claim's own, the pod's word for it,
// and the template's. A claim of which nothing is allocated is an error.
func FromClaims(ctx context.Context, api Getter, namespace, name string) (Allocated, []string, error) {
	c := &claims{api: api, namespace: namespace, slices: map[string]*sliceList{}, found: Allocated{}}
	if err := api.Get(ctx, "/api/v1/namespaces/"+namespace+"/pods/"+name, nil, &c.pod); err != nil {
		return nil, nil, fmt.Errorf("the pod's claims: %w", err)
	}
	names := map[string]bool{}
	var known []string
	for _, status := range c.pod.Status.ResourceClaimStatuses {
		names[status.ResourceClaimName] = true
	}
	for _, reference := range c.pod.Spec.ResourceClaims {
		names[reference.ResourceClaimName] = true
		known = append(known, reference.Name, reference.ResourceClaimName, reference.ResourceClaimTemplateName)
	}
	delete(names, "") // a claim that was not needed, or one that a template makes
	for claimName := range names {
		if err := c.ordinary(ctx, claimName); err != nil {
			return nil, nil, err
		}
	}
	if err := c.extended(ctx); err != nil {
		return nil, nil, err
	}
	return c.found, known, nil
}

func (c *claims) results(ctx context.Context, name string) ([]allocatedDevice, error) {
	var read claim
	if err := c.api.Get(ctx, "/apis/resource.k8s.io/v1/namespaces/"+c.namespace+"/resourceclaims/"+name, nil, &read); err != nil {
		return nil, fmt.Errorf("resource claim %s/%s: %w", c.namespace, name, err)
	}
	if read.Status.Allocation == nil {
		return nil, fmt.Errorf("resource claim %s/%s: nothing is allocated to it", c.namespace, name)
	}
	return read.Status.Allocation.Devices.Results, nil
}

// ordinary takes the devices of a claim that name a resource; others are no network's.
func (c *claims) ordinary(ctx context.Context, name string) error {
	results, err := c.results(ctx, name)
	if err != nil {
		return err
	}
	for _, result := range results {
		id, resource, err := c.attributes(ctx, result)
		if err != nil {
			return err
		}
		if id != "" && resource != "" {
			c.found.Add(resource, id)
		}
	}
	return nil
}

// extended takes the devices that stand in for an extended resource. What the mapping says
// and what the device says must agree.
func (c *claims) extended(ctx context.Context) error {
	status := c.pod.Status.Extended
	if status == nil || status.ResourceClaimName == "" {
		return nil
	}
	results, err := c.results(ctx, status.ResourceClaimName)
	if err != nil {
		return err
	}
	for _, mapping := range status.RequestMappings {
		for _, result := range results {
			if result.Request != mapping.RequestName {
				continue
			}
			id, resource, err := c.attributes(ctx, result)
			if err != nil {
				return err
			}
			if id == "" {
				continue
			}
			if resource != mapping.ResourceName {
				return fmt.Errorf("resource claim %s/%s: device %s says that it is of resource %q, the pod's status says %q", c.namespace, status.ResourceClaimName, result.Device, resource, mapping.ResourceName)
			}
			c.found.Add(resource, id)
		}
	}
	return nil
}

// attributes returns id and resource of a device, empty where its driver says none.
func (c *claims) attributes(ctx context.Context, device allocatedDevice) (string, string, error) {
	list := c.slices[device.Driver]
	if list == nil {
		list = &sliceList{}
		selector := url.Values{"fieldSelector": {"spec.nodeName=" + c.pod.Spec.NodeName + ",spec.driver=" + device.Driver}}
		if err := c.api.Get(ctx, "/apis/resource.k8s.io/v1/resourceslices", selector, list); err != nil {
			return "", "", fmt.Errorf("resource slices of driver %s: %w", device.Driver, err)
		}
		c.slices[device.Driver] = list
	}
	for _, item := range list.Items {
		if item.Spec.Pool.Name != device.Pool {
			continue
		}
		for _, candidate := range item.Spec.Devices {
			if candidate.Name == device.Device {
				return candidate.Attributes[idAttribute].String, candidate.Attributes[resourceAttribute].String, nil
			}
		}
	}
	return "", "", nil
}
