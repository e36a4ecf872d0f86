package devices

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

type objects map[string]string

func (o objects) Get(_ context.Context, path string, query url.Values, into any) error {
	if query != nil {
		path += "?" + query.Get("fieldSelector")
	}
	text, present := o[path]
	if !present {
		return errors.New("status 404: " + path)
	}
	return json.Unmarshal([]byte(text), into)
}

const slicesPath = "/apis/resource.k8s.io/v1/resourceslices?spec.nodeName=n1,spec.driver=d"

func node() objects {
	return objects{
		slicesPath: `{"items":[{"spec":{"pool":{"name":"p"},"devices":[
			{"name":"vf0","attributes":{"k8s.cni.cncf.io/deviceID":{"string":"0000:01"},"k8s.cni.cncf.io/resourceName":{"string":"r"}}},
			{"name":"vf1","attributes":{"k8s.cni.cncf.io/deviceID":{"string":"0000:02"},"k8s.cni.cncf.io/resourceName":{"string":"r"}}},
			{"name":"gpu","attributes":{}}]}}]}`,
		"/apis/resource.k8s.io/v1/namespaces/default/resourceclaims/c1": `{"status":{"allocation":{"devices":{"results":[
			{"request":"a","driver":"d","pool":"p","device":"vf0"},{"request":"b","driver":"d","pool":"p","device":"gpu"}]}}}}`,
		"/apis/resource.k8s.io/v1/namespaces/default/resourceclaims/x1": `{"status":{"allocation":{"devices":{"results":[
			{"request":"q","driver":"d","pool":"p","device":"vf1"}]}}}}`,
	}
}

func TestDevicesOfClaimsAndExtendedResourcesAreFound(t *testing.T) {
	api := node()
	api["/api/v1/namespaces/default/pods/web"] = `{"spec":{"nodeName":"n1"},"status":{"resourceClaimStatuses":[{"name":"x","resourceClaimName":"c1"},{"name":"y"}],
		"extendedResourceClaimStatus":{"resourceClaimName":"x1","requestMappings":[{"containerName":"c","requestName":"q","resourceName":"r"}]}}}`
	got, _, err := FromClaims(context.Background(), api, "default", "web")
	if want := (Allocated{"r": {"0000:01", "0000:02"}}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestAClaimThatIsMissingUnallocatedOrContradictoryIsAnError(t *testing.T) {
	for about, test := range map[string]struct{ pod, want string }{
		"missing":       {`{"spec":{"nodeName":"n1","resourceClaims":[{"resourceClaimName":"nowhere"}]}}`, "nowhere"},
		"unallocated":   {`{"spec":{"nodeName":"n1"},"status":{"resourceClaimStatuses":[{"resourceClaimName":"empty"}]}}`, "allocated"},
		"contradictory": {`{"spec":{"nodeName":"n1"},"status":{"extendedResourceClaimStatus":{"resourceClaimName":"x1","requestMappings":[{"requestName":"q","resourceName":"other"}]}}}`, `"other"`},
	} {
		api := node()
		api["/apis/resource.k8s.io/v1/namespaces/default/resourceclaims/empty"] = `{"status":{}}`
		api["/api/v1/namespaces/default/pods/web"] = test.pod
		if _, _, err := FromClaims(context.Background(), api, "default", "web"); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", about, err)
		}
	}
}
