// Package delegate executes the plugins of one network as the CNI specification has it.
//
// It is libcni's execution with three differences: the bytes of a configuration are not
// re-encoded, a plugin has a deadline and a bounded output, and what a network was given at
// ADD comes from our journal instead of libcni's cache. The cache is written all the same,
// for those who read it. A plugin that would be ourselves is refused.
package delegate

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/types/create"
	"github.com/containernetworking/cni/pkg/version"

	"mooring.dev/mooring/plugin/internal/cnierror"
	"mooring.dev/mooring/plugin/internal/netconf"
	"mooring.dev/mooring/plugin/internal/object"
)

// Runner knows where plugins are and how long each may take.
type Runner struct {
	Path    []string
	Timeout time.Duration
	Stderr  io.Writer
	Ran     func(Execution) // told of every execution of a plugin

	found     map[string]string // path of each plugin that was looked up
	inherited []string          // of our environment
}

// Execution is what became of one plugin.
type Execution struct {
	Verb, Network, IfName, Plugin string
	Took                          time.Duration
	Err                           error
}

// Call is one network's attachment as its plugins see it.
type Call struct {
	Network        string // what the pod's owner calls it; empty for the conf's name
	ContainerID    string
	Netns          string
	IfName         string
	Args           [][2]string
	CapabilityArgs object.Object
	PrevResult     json.RawMessage
	Meanwhile      func() // done once while the first plugin works, at ADD and DEL; nil for nothing
}

// Names that this program goes by, and its predecessor's: a network of these types is us.
var ours = map[string]bool{"mooring": true, "multus": true, "multus-shim": true, "thick-multus": true}

// Check refuses a network before anything of it runs: our own types, missing binaries,
// versions that nobody knows.
func (r *Runner) Check(conf *netconf.Conf) error {
	if !Supported(conf.CNIVersion) {
		return cnierror.New(types.ErrIncompatibleCNIVersion, "cniVersion %q is not one of %v", conf.CNIVersion, version.All.SupportedVersions())
	}
	if conf.Name == "" {
		return cnierror.New(types.ErrInvalidNetworkConfig, "its configuration has no name")
	}
	for _, plugin := range conf.Plugins {
		if ours[plugin.Type] {
			return cnierror.New(types.ErrInvalidNetworkConfig, "type %q is a meta-plugin: it would call itself for ever", plugin.Type)
		}
		if _, err := r.find(plugin.Type); err != nil {
			return err
		}
	}
	return nil
}

// Supported says whether this version of the CNI specification is known.
func Supported(cniVersion string) bool {
	for _, known := range version.All.SupportedVersions() {
		if known == cniVersion {
			return true
		}
	}
	return false
}

// Add runs the plugins in order and returns the last one's result as it printed it, with
// cniVersion filled in where it said none.
func (r *Runner) Add(ctx context.Context, conf *netconf.Conf, call Call) (json.RawMessage, error) {
	last := call.PrevResult
	for i, plugin := range conf.Plugins {
		printed, err := r.execute(ctx, "ADD", conf, i, call, last)
		call.Meanwhile = nil
		if err != nil {
			return nil, cnierror.Prefix(err, "%s", describe(plugin.Type, "ADD"))
		}
		if last, err = complete(printed, conf.CNIVersion); err != nil {
			return nil, cnierror.Prefix(err, "%s", describe(plugin.Type, "ADD"))
		}
	}
	return last, nil
}

// PrepareDel makes ready to run the plugins in reverse, up to the first error, and returns what does
// that; the call's Meanwhile is given to it.
func (r *Runner) PrepareDel(conf *netconf.Conf, call Call) func(ctx context.Context, meanwhile func()) error {
	given := netconf.Invocation{CapabilityArgs: call.CapabilityArgs, PrevResult: previousResult(conf, call)}
	inputs := make([]input, len(conf.Plugins))
	for i := range inputs {
		inputs[i] = r.input("DEL", conf, i, call, given)
	}
	return func(ctx context.Context, meanwhile func()) error {
		for i := len(inputs) - 1; i >= 0; i-- {
			_, err := r.run(ctx, inputs[i], meanwhile)
			meanwhile = nil
			if err != nil {
				return cnierror.Prefix(err, "%s", describe(conf.Plugins[i].Type, "DEL"))
			}
		}
		return nil
	}
}

// CheckAttachment runs CHECK where the network's version knows it and does not forbid it.
func (r *Runner) CheckAttachment(ctx context.Context, conf *netconf.Conf, call Call) error {
	if conf.DisableCheck || !AtLeast(conf.CNIVersion, "0.4.0") {
		return nil
	}
	previous := previousResult(conf, call)
	for i, plugin := range conf.Plugins {
		if _, err := r.execute(ctx, "CHECK", conf, i, call, previous); err != nil {
			return cnierror.Prefix(err, "%s", describe(plugin.Type, "CHECK"))
		}
	}
	return nil
}

// Status asks the plugins of a network whether they can serve; only 1.1.0 knows the question.
func (r *Runner) Status(ctx context.Context, conf *netconf.Conf) error {
	if !AtLeast(conf.CNIVersion, "1.1.0") {
		return nil
	}
	for i, plugin := range conf.Plugins {
		if _, err := r.execute(ctx, "STATUS", conf, i, Call{}, nil); err != nil {
			return cnierror.Prefix(err, "%s", describe(plugin.Type, "STATUS"))
		}
	}
	return nil
}

// GC tells every plugin of a network which attachments live; both keys are in use for it.
func (r *Runner) GC(ctx context.Context, conf *netconf.Conf, valid []types.GCAttachment) []error {
	kept := object.Object{}.With("cni.dev/valid-attachments", valid).With("cni.dev/attachments", valid)
	var problems []error
	for i, plugin := range conf.Plugins {
		if _, err := r.executeWith(ctx, "GC", conf, i, Call{}, netconf.Invocation{Extra: kept}); err != nil {
			problems = append(problems, cnierror.Prefix(err, "%s", describe(plugin.Type, "GC")))
		}
	}
	return problems
}

func (r *Runner) execute(ctx context.Context, verb string, conf *netconf.Conf, i int, call Call, previous json.RawMessage) ([]byte, error) {
	return r.executeWith(ctx, verb, conf, i, call, netconf.Invocation{CapabilityArgs: call.CapabilityArgs, PrevResult: previous})
}

func (r *Runner) executeWith(ctx context.Context, verb string, conf *netconf.Conf, i int, call Call, given netconf.Invocation) ([]byte, error) {
	return r.run(ctx, r.input(verb, conf, i, call, given), call.Meanwhile)
}

// input is all that one execution of a plugin needs.
type input struct {
	about   Execution
	stdin   []byte
	environ []string
}

func (r *Runner) input(verb string, conf *netconf.Conf, i int, call Call, given netconf.Invocation) input {
	network := call.Network
	if network == "" {
		network = conf.Name
	}
	about := Execution{Verb: verb, Network: network, IfName: call.IfName, Plugin: conf.Plugins[i].Type}
	return input{about, conf.Stdin(i, given), r.environ(verb, call)}
}

// complete proves that a result is one and fills in its version.
func complete(printed []byte, confVersion string) (json.RawMessage, error) {
	result, err := object.Parse(printed)
	if err != nil {
		return nil, cnierror.New(types.ErrDecodingFailure, "its result is unreadable: %v: %.200q", err, printed)
	}
	stated, err := result.String("cniVersion")
	if err != nil {
		return nil, cnierror.New(types.ErrDecodingFailure, "its result's cniVersion: %v", err)
	}
	if stated == "" {
		stated = confVersion
		result = result.With("cniVersion", confVersion)
		printed = result.Bytes()
	}
	if !Supported(stated) {
		return nil, cnierror.New(types.ErrIncompatibleCNIVersion, "its result has cniVersion %q, which is not known", stated)
	}
	if _, err := ParseResult(stated, printed); err != nil {
		return nil, cnierror.New(types.ErrDecodingFailure, "its result is unreadable: %v", err)
	}
	return printed, nil
}

// ParseResult reads a result of a version. Nothing that the library would stumble over later passes:
// it takes null for an item of a list, and follows it when the result is converted.
func ParseResult(cniVersion string, data json.RawMessage) (types.Result, error) {
	members, is := object.Members(data)
	if !is {
		return nil, fmt.Errorf("expected an object, found %s", object.Kind(data))
	}
	for _, key := range []string{"interfaces", "ips", "routes"} {
		items, _ := object.Items(members[key])
		for i, item := range items {
			if object.Kind(item) == "null" {
				return nil, fmt.Errorf("%s[%d] is null", key, i)
			}
		}
	}
	return create.Create(cniVersion, data)
}

// previousResult is the result of ADD in the network's own version, for those verbs and
// versions that are given one. One that cannot be converted is left out, as libcni does.
func previousResult(conf *netconf.Conf, call Call) json.RawMessage {
	if len(call.PrevResult) == 0 || string(call.PrevResult) == "{}" || !AtLeast(conf.CNIVersion, "0.4.0") {
		return nil
	}
	converted, err := Convert(call.PrevResult, conf.CNIVersion)
	if err != nil {
		return nil
	}
	return converted
}

// Convert brings a result, which is JSON, into another version of the specification; one that is
// in it already keeps its bytes.
func Convert(result json.RawMessage, cniVersion string) (json.RawMessage, error) {
	members, is := object.Members(result)
	if !is {
		return nil, fmt.Errorf("expected an object, found %s", object.Kind(result))
	}
	stated, err := members.String("cniVersion")
	if err != nil {
		return nil, err
	}
	if stated == "" {
		stated = "0.1.0"
	}
	if stated == cniVersion {
		return result, nil
	}
	parsed, err := ParseResult(stated, result)
	if err != nil {
		return nil, err
	}
	converted, err := parsed.GetAsVersion(cniVersion)
	if err != nil {
		return nil, cnierror.New(types.ErrIncompatibleCNIVersion, "a result of version %s cannot be told in version %s: %v", stated, cniVersion, err)
	}
	return object.Encode(converted), nil
}

// AtLeast compares versions of the specification; what is none is below all.
func AtLeast(have, want string) bool {
	enough, err := version.GreaterThanOrEqualTo(have, want)
	return err == nil && enough
}
