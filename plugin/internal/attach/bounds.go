package attach

import (
	"github.com/containernetworking/cni/pkg/types"

	"mooring.dev/mooring/plugin/internal/cnierror"
	"mooring.dev/mooring/plugin/internal/netconf"
	"mooring.dev/mooring/plugin/internal/object"
	"mooring.dev/mooring/plugin/internal/selection"
)

// What the networks that a pod asks for may come to all together. A short annotation can name a
// large network many times, each of them is executed and written down, and all of that is paid
// for by the node. The networks of the plugin's own configuration are not counted: they are the
// administrator's.
const (
	maxConfBytes = 4 << 20
	maxPlugins   = netconf.MaxPlugins
)

// maxArgumentBytes is how long the addresses that go into CNI_ARGS may be. The kernel starts no
// program with a longer variable, neither to attach nor, later, to undo.
const maxArgumentBytes = 32 << 10

// checkNetworkCount refuses an annotation that asks for more networks than it may, before it is read.
func checkNetworkCount(annotation, text string, most int) error {
	count, exceeded := selection.Exceeds(text, most)
	if !exceeded {
		return nil
	}
	return cnierror.New(types.ErrInvalidNetworkConfig, "annotation %s: it asks for %d networks, and a pod may have at most %d (maxNetworks of the plugin's configuration); ask for fewer", annotation, count, most)
}

// sizeBudget is what is left of the bounds.
type sizeBudget struct {
	bytes, plugins int
}

// spend counts a network that is about to be merged with args. What exceeds the bounds is never made.
func (b *sizeBudget) spend(element selection.Element, network *netconf.Conf, args object.Object) error {
	b.plugins -= len(network.Plugins)
	b.bytes -= network.Size()
	if len(args) > 0 {
		b.bytes -= len(args.Bytes()) * len(network.Plugins)
	}
	if b.bytes < 0 || b.plugins < 0 {
		return cnierror.New(types.ErrInvalidNetworkConfig, "network %s: with it the configurations of the networks that the pod asks for have more than %d MiB or %d plugins together; ask for fewer or smaller networks", element, maxConfBytes>>20, maxPlugins)
	}
	return nil
}
