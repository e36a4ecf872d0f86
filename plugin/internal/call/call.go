// Package call is the plugin's border with the runtime: environment and stdin in, result or
// error on stdout out.
//
// The library's dispatcher is not used for three reasons: it reads stdin without a bound, it
// reports an unknown version of CHECK, GC and STATUS as a decoding failure, and it refuses a
// wrong network namespace after ADD has succeeded, when nothing can be undone any more.
package call

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"

	"mooring.dev/mooring/plugin/internal/cnierror"
	"mooring.dev/mooring/plugin/internal/config"
	"mooring.dev/mooring/plugin/internal/delegate"
	"mooring.dev/mooring/plugin/internal/names"
	"mooring.dev/mooring/plugin/internal/object"
)

// Call is one execution of the plugin.
type Call struct {
	Verb        string
	ContainerID string
	Netns       string
	IfName      string
	Args        string
	Path        string
	Stdin       []byte
	Config      object.Object // what is on stdin
	CNIVersion  string
	Stdout      io.Writer
	Stderr      io.Writer
}

// since is the version of the specification that brought a verb.
var since = map[string]string{"ADD": "0.1.0", "DEL": "0.1.0", "CHECK": "0.4.0", "GC": "1.1.0", "STATUS": "1.1.0"}

// Read takes a call from the environment and stdin and refuses what the specification
// refuses. VERSION reads nothing but its name.
func Read(getenv func(string) string, stdin io.Reader, stdout, stderr io.Writer) (*Call, error) {
	c := &Call{Verb: getenv("CNI_COMMAND"), Stdout: stdout, Stderr: stderr}
	first, known := since[c.Verb]
	switch {
	case c.Verb == "VERSION":
		return c, nil
	case c.Verb == "":
		return nil, cnierror.New(types.ErrInvalidEnvironmentVariables, "CNI_COMMAND is missing")
	case !known:
		return nil, cnierror.New(types.ErrInvalidEnvironmentVariables, "CNI_COMMAND %q is none of ADD, DEL, CHECK, GC, STATUS, VERSION", c.Verb)
	case getenv(delegate.Marker) != "":
		return nil, cnierror.New(types.ErrInvalidNetworkConfig, "called by itself: a network's type leads back to this program")
	}
	if err := c.environment(getenv); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(stdin, config.MaxBytes+1))
	if err != nil {
		return nil, cnierror.New(types.ErrIOFailure, "reading the configuration from stdin: %v", err)
	}
	if len(data) > config.MaxBytes {
		return nil, cnierror.New(types.ErrInvalidNetworkConfig, "configuration: more than %d MiB on stdin", config.MaxBytes>>20)
	}
	c.Stdin = data
	return c, c.checkVersion(first)
}

func (c *Call) environment(getenv func(string) string) error {
	sandbox := c.Verb == "ADD" || c.Verb == "DEL" || c.Verb == "CHECK"
	var missing []string
	for _, variable := range []struct {
		name     string
		into     *string
		required bool
	}{
		{"CNI_CONTAINERID", &c.ContainerID, sandbox},
		{"CNI_NETNS", &c.Netns, c.Verb == "ADD" || c.Verb == "CHECK"},
		{"CNI_IFNAME", &c.IfName, sandbox},
		{"CNI_PATH", &c.Path, true},
		{"CNI_ARGS", &c.Args, false},
	} {
		*variable.into = getenv(variable.name)
		if variable.required && *variable.into == "" {
			missing = append(missing, variable.name)
		}
	}
	if len(missing) > 0 {
		return cnierror.New(types.ErrInvalidEnvironmentVariables, "required variables are missing: %s", strings.Join(missing, ", "))
	}
	if !sandbox {
		return nil
	}
	if !names.IsCNI(c.ContainerID) {
		return cnierror.New(types.ErrInvalidEnvironmentVariables, "CNI_CONTAINERID: %q may hold only letters, digits, '.', '_' and '-', a letter or digit first", c.ContainerID)
	}
	if err := names.CheckInterface(c.IfName); err != nil {
		return cnierror.New(types.ErrInvalidEnvironmentVariables, "CNI_IFNAME: %v", err)
	}
	return nil
}

func (c *Call) checkVersion(first string) error {
	raw, err := object.Parse(c.Stdin)
	if err != nil {
		return cnierror.New(types.ErrInvalidNetworkConfig, "configuration: $: %v", err)
	}
	c.Config = raw
	stated, err := object.String(raw.Find("cniVersion"))
	if err != nil {
		return cnierror.New(types.ErrInvalidNetworkConfig, "configuration: $.cniVersion: %v", err)
	}
	name, err := object.String(raw.Find("name"))
	if err != nil {
		return cnierror.New(types.ErrInvalidNetworkConfig, "configuration: $.name: %v", err)
	}
	c.CNIVersion = stated
	if stated == "" {
		c.CNIVersion = "0.1.0"
	}
	if !delegate.Supported(c.CNIVersion) {
		return cnierror.New(types.ErrIncompatibleCNIVersion, "cniVersion %q is not one of %s", stated, strings.Join(version.All.SupportedVersions(), ", "))
	}
	if !delegate.AtLeast(c.CNIVersion, first) {
		return cnierror.New(types.ErrIncompatibleCNIVersion, "cniVersion %s knows no %s; it came with %s", c.CNIVersion, c.Verb, first)
	}
	switch {
	case name == "":
		return cnierror.New(types.ErrInvalidNetworkConfig, "configuration: $.name: missing: the network's name")
	case !names.IsCNI(name):
		return cnierror.New(types.ErrInvalidNetworkConfig, "configuration: $.name: %q may hold only letters, digits, '.', '_' and '-', a letter or digit first", name)
	}
	return nil
}

// Print writes a result.
func (c *Call) Print(result json.RawMessage) error {
	if _, err := c.Stdout.Write(result); err != nil {
		return cnierror.New(types.ErrIOFailure, "writing the result: %v", err)
	}
	return nil
}

// PrintError writes the error as the specification has it.
func PrintError(stdout io.Writer, err *types.Error) error {
	_, writeErr := fmt.Fprintf(stdout, "%s\n", object.Encode(struct {
		Code    uint   `json:"code"`
		Msg     string `json:"msg"`
		Details string `json:"details,omitempty"`
	}{err.Code, err.Msg, err.Details}))
	return errors.Join(writeErr)
}
