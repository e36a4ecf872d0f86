"""The networks of the benchmark, as plain objects: one default network and as many more as wanted.

Bridges with host-local addresses, without iptables: plugins that every node has, and the quickest
of those that do real work, so that what a meta-plugin adds is not lost in what its delegates take.
Refuses I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

Json = dict[str, Any]

NAMESPACE = "bench"
PLUGIN = "bridge"
CNI_VERSION = "1.0.0"
ANNOTATION = "k8s.v1.cni.cncf.io/networks"
RUNTIME_ANNOTATIONS = "io.kubernetes.cri.pod-annotations"


def name(number: int) -> str:
    """Return the name of an extra network's definition; numbers begin with 1."""
    return f"net-{number}"


def annotation(count: int) -> str:
    """Return what a pod with this many extra networks asks for; empty for none."""
    return ",".join(name(number) for number in range(1, count + 1))


def default(addresses: Path) -> Json:
    """Return the default network, a list of one plugin. `addresses` is host-local's folder."""
    plugin = {
        "type": PLUGIN,
        "bridge": "bench0",
        "isDefaultGateway": True,
        "ipam": _ipam(addresses, "10.212.0.0/16"),
    }
    return {"cniVersion": CNI_VERSION, "name": "bench-default", "plugins": [plugin]}


def further(number: int, addresses: Path) -> Json:
    """Return an extra network, a single plugin."""
    return {
        "cniVersion": CNI_VERSION,
        "name": f"bench-{name(number)}",
        "type": PLUGIN,
        "bridge": f"bench{number}",
        "ipam": _ipam(addresses, f"10.213.{number}.0/24"),
    }


def _ipam(addresses: Path, subnet: str) -> Json:
    return {"type": "host-local", "dataDir": str(addresses), "ranges": [[{"subnet": subnet}]]}


def plugins(count: int, addresses: Path) -> list[Json]:
    """Return what the delegates of a pod read, in order: what a meta-plugin hands each of them at ADD."""
    listed = default(addresses)
    first = listed["plugins"][0] | {"name": listed["name"], "cniVersion": listed["cniVersion"]}
    return [first, *(further(number, addresses) for number in range(1, count + 1))]


def interfaces(count: int) -> list[str]:
    """Return the names of a pod's interfaces in the order of attachment."""
    return ["eth0", *(f"net{number}" for number in range(1, count + 1))]


def mooring(*, delegate: Json, programs: Path, state: Path, kubeconfig: Path) -> Json:
    """Return the meta-plugin's conf in the form that the agent renders (docs/contracts.md)."""
    return {
        "cniVersion": CNI_VERSION,
        "name": "multus-cni-network",
        "type": "mooring",
        "capabilities": {RUNTIME_ANNOTATIONS: True},
        "binDir": str(programs),
        "cniDir": str(state),
        "kubeconfig": str(kubeconfig),
        "delegates": [delegate],
    }
