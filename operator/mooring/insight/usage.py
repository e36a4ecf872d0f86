"""Who uses a network: owns what the AttachmentSlices of all nodes say together, by network; refuses to ask anybody.

Kept small, for thousands of attachments: a slice becomes tuples, and a network is summed up when somebody asks.
"""

from __future__ import annotations

import collections
import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclasses.dataclass(frozen=True, slots=True)
class Held:
    """One interface of a pod: where it is, what it holds, and the hash of the configuration it was attached with."""

    network: str
    node: str
    pod: str
    interface: str
    addresses: tuple[str, ...]
    config_hash: str


@dataclasses.dataclass(frozen=True, slots=True)
class Usage:
    """What is attached to one network."""

    held: tuple[Held, ...] = ()

    @property
    def pods(self) -> frozenset[str]:
        """The pods, by `namespace/name`."""
        return frozenset(each.pod for each in self.held)

    @property
    def nodes(self) -> frozenset[str]:
        """The nodes that they run on."""
        return frozenset(each.node for each in self.held)

    def addresses_by_node(self) -> dict[str, int]:
        """Return how many different addresses are in use on each node."""
        found: dict[str, set[str]] = collections.defaultdict(set)
        for each in self.held:
            found[each.node].update(map(bare, each.addresses))
        return {node: len(addresses) for node, addresses in found.items()}

    def addresses(self) -> set[str]:
        """Return the different addresses in use, without the length of their prefix."""
        return {bare(address) for each in self.held for address in each.addresses}

    def duplicates(self, *, within_node: bool) -> list[str]:
        """Return the addresses that more than one interface holds; with `within_node` only those of one node.

        Each node of a bridge that joins no nodes has its own segment: there an address on two nodes is no mistake.
        """
        holders: dict[tuple[str, str], set[tuple[str, str]]] = collections.defaultdict(set)
        for each in self.held:
            for address in each.addresses:
                holders[bare(address), each.node if within_node else ""].add((each.pod, each.interface))
        return sorted({address for (address, _), held in holders.items() if len(held) > 1})


def compact(item: Mapping[str, Any]) -> tuple[Held, ...]:
    """Return what an AttachmentSlice says."""
    found = []
    for entry in item.get("attachments") or []:
        pod = entry["pod"]
        found.append(
            Held(
                network=entry["network"],
                node=item["nodeName"],
                pod=f"{pod['namespace']}/{pod['name']}",
                interface=entry["interface"],
                addresses=tuple(entry.get("addresses") or ()),
                config_hash=entry.get("configHash") or "",
            )
        )
    return tuple(found)


def by_network(slices: Iterable[tuple[Held, ...]]) -> dict[str, Usage]:
    """Return what is attached, by network (`namespace/name` of its definition).

    While an entry moves from one slice to another it is in both: it counts once.
    """
    found: dict[str, dict[Held, None]] = collections.defaultdict(dict)
    for held in slices:
        for each in held:
            found[each.network][each] = None
    return {network: Usage(tuple(held)) for network, held in found.items()}


def bare(address: str) -> str:
    """Return an address without the length of its prefix."""
    return address.partition("/")[0]
