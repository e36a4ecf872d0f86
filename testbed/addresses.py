"""Which names and addresses a cluster uses. Owns deriving them from the cluster's name and three
networks, and telling a conflict before anything is made. Refuses to touch the machine: what it
has comes in as data (`machine_networks` reads it)."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import re
from typing import TYPE_CHECKING

from testbed import commands, failures

if TYPE_CHECKING:
    from collections.abc import Iterable

NODE_NETWORKS = tuple(ipaddress.IPv4Network(f"192.168.{number}.0/24") for number in (250, 251, 252, 253, 254, 248, 247))
POD_NETWORK = ipaddress.IPv4Network("10.244.0.0/16")
SERVICE_NETWORK = ipaddress.IPv4Network("10.96.0.0/16")
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,9}[a-z0-9])?")


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """The names and addresses of one cluster. Nodes count from 1."""

    name: str
    nodes: int
    node_network: ipaddress.IPv4Network
    pod_network: ipaddress.IPv4Network
    service_network: ipaddress.IPv4Network

    @property
    def link(self) -> str:
        """The one link that the machine's own network gets."""
        return link_name(self.name)

    @property
    def machine_address(self) -> str:
        """The machine's address on that link: the last of the node network."""
        return str(self.node_network.broadcast_address - 1)

    @property
    def api_address(self) -> str:
        """The first node's address, where the API server listens."""
        return self.node_address(1)

    @property
    def dns_address(self) -> str:
        """The address pods are given as name server (nobody answers there)."""
        return str(self.service_network.network_address + 10)

    def node_names(self) -> list[str]:
        """The nodes' names."""
        return [f"n{number}" for number in range(1, self.nodes + 1)]

    def node_address(self, number: int) -> str:
        """A node's address."""
        return str(self.node_network.network_address + number)

    def node_hardware_address(self, number: int) -> str:
        """A node's MAC address: the same after a reboot, or its neighbours would talk to the old one for a minute."""
        return ":".join(
            f"{byte:02x}" for byte in (0x0A, 0x58, *ipaddress.IPv4Address(self.node_address(number)).packed)
        )

    def pod_subnet(self, number: int) -> ipaddress.IPv4Network:
        """A node's own /24 of the pod network."""
        return ipaddress.IPv4Network((int(self.pod_network.network_address) + ((number - 1) << 8), 24))

    def cgroup(self, node: str) -> str:
        """The name of a node's cgroup, below the root of every hierarchy."""
        return f"mooring-{self.name}-{node}"


def make(
    name: str,
    nodes: int,
    *,
    node_network: str | None,
    pod_network: str,
    service_network: str,
    taken: Iterable[ipaddress.IPv4Network],
) -> Plan:
    """Plan a cluster. Without `node_network`, take the first of NODE_NETWORKS that is free.

    `taken` are the machine's networks. Raises Failure for a name, size or network that cannot be.
    """
    if not _NAME.fullmatch(name):
        raise failures.Failure(f"name {name!r}: use 1 to 11 of a-z, 0-9 and '-', beginning with a letter")
    taken = list(taken)
    if node_network is None:
        free = [network for network in NODE_NETWORKS if not any(network.overlaps(other) for other in taken)]
        if not free:
            raise failures.Failure("this machine uses all the usual node networks: choose one with --node-network")
        chosen = free[0]
    else:
        chosen = _network("--node-network", node_network)
    plan = Plan(
        name, nodes, chosen, _network("--pod-network", pod_network), _network("--service-network", service_network)
    )
    found = problems(plan, taken)
    if found:
        raise failures.Failure(f"cluster {name} cannot be made: " + "; ".join(found))
    return plan


def problems(plan: Plan, taken: Iterable[ipaddress.IPv4Network]) -> list[str]:
    """Return what is wrong with a plan on a machine with these networks; [] if nothing is."""
    found = []
    if plan.nodes < 1:
        found.append("a cluster needs at least one node (--nodes)")
    if plan.node_network.num_addresses < plan.nodes + 4:
        found.append(f"--node-network {plan.node_network} is too small for {plan.nodes} nodes and the machine")
    if plan.pod_network.prefixlen > 24 or plan.nodes > 1 << max(0, 24 - plan.pod_network.prefixlen):
        found.append(f"--pod-network {plan.pod_network} has no /24 for each of {plan.nodes} nodes")
    if plan.service_network.prefixlen > 27 or plan.service_network.prefixlen < 12:
        found.append(f"--service-network {plan.service_network}: its prefix has to be between /12 and /27")
    own = [
        ("--node-network", plan.node_network),
        ("--pod-network", plan.pod_network),
        ("--service-network", plan.service_network),
    ]
    for index, (option, network) in enumerate(own):
        for other_option, other in own[index + 1 :]:
            if network.overlaps(other):
                found.append(f"{option} {network} overlaps {other_option} {other}")
    # The other two networks exist in the nodes' namespaces only.
    clashes = sorted({str(network) for network in taken if network.overlaps(plan.node_network)})
    if clashes:
        found.append(
            f"--node-network {plan.node_network} overlaps what this machine uses ({', '.join(clashes)}): choose another"
        )
    return found


def link_name(cluster: str) -> str:
    """Return the name of the machine's link to a cluster."""
    return f"mtb-{cluster}"


def machine_networks() -> list[ipaddress.IPv4Network]:
    """Return the IPv4 networks and addresses that the machine routes, in any table (no default routes)."""
    routes = json.loads(commands.run(["ip", "-json", "-4", "route", "show", "table", "all"]) or "[]")
    return parse_routes(routes)


def parse_routes(routes: Iterable[dict[str, object]]) -> list[ipaddress.IPv4Network]:
    """Return the destinations of `ip -json route`, without default routes."""
    destinations = (str(route.get("dst", "default")) for route in routes)
    networks = (ipaddress.IPv4Network(text) for text in destinations if text != "default")
    return [network for network in networks if network.prefixlen > 0]


def _network(option: str, text: str) -> ipaddress.IPv4Network:
    try:
        return ipaddress.IPv4Network(text)
    except ValueError as error:
        raise failures.Failure(f"{option}: {error}; write an IPv4 network like 192.168.250.0/24") from error
