"""Pools of addresses: owns how many addresses the IPAM sections of a configuration can give, and where each counts.

Pure. Refuses to guess: of an IPAM plugin that asks somebody else (dhcp, a vendor's controller) nothing is known.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

from mooring.networks import confs, needs
from mooring.rules import addressing, formats, plugins, ranges, reporting

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Scope = Literal["Node", "Cluster"]


@dataclasses.dataclass(frozen=True, slots=True)
class Pool:
    """Addresses that a network gives to pods, one or more for each.

    `size` is how many there are; `scope` says whether each node has that many of its own (host-local keeps its leases
    on the node) or all nodes share them. `networks` are the subnets that they are of. `spans` says whether pods of
    several nodes meet on the network, so that an address must be unique among all of them.
    """

    scope: Scope
    size: int
    networks: tuple[formats.Network, ...]
    spans: bool = False


def of(config: str) -> Pool | None:
    """Return the pool of a definition's `spec.config`; None where nothing can be said.

    A pod takes one address of each set of ranges: the smallest set is what limits.
    """
    try:
        conf = confs.parse(config).value
    except confs.NotJSONError:
        return None
    listed = needs.plugins(conf)
    spans = any(plugin.get("type") in plugins.SPANNING for plugin in listed)
    sections = (plugin.get("ipam") for plugin in listed)
    found = [pool for each in sections if isinstance(each, dict) and (pool := _pool(each)) is not None]
    smallest = min(found, key=lambda pool: pool.size, default=None)
    return None if smallest is None else dataclasses.replace(smallest, spans=spans or smallest.scope == "Cluster")


def _pool(value: Mapping[str, object]) -> Pool | None:
    match value.get("type"):
        case "host-local":
            return _host_local(value)
        case "whereabouts":
            return _whereabouts(value)
    return None


def _host_local(value: Mapping[str, object]) -> Pool | None:
    section = addressing.Section(kind="host-local", value=value, path=(), mild=True, elsewhere=False, version="")
    report = reporting.Reporter(severities={})
    sets: dict[object, list[ranges.Range]] = {}
    for found in ranges.check(section, report):
        # ("ranges", n, m) is member m of set n; the range beside them is a set of its own.
        sets.setdefault(found.path[:2], []).append(found)
    if not sets:
        return None
    smallest = min(sets.values(), key=_free)
    return Pool("Node", _free(smallest), _networks(member.network for each in sets.values() for member in each))


def _free(members: list[ranges.Range]) -> int:
    return sum(member.free for member in members)


def _whereabouts(value: Mapping[str, object]) -> Pool | None:
    listed = [value, *(item for _, item in addressing.objects(value.get("ipRanges")))]
    spans = [span for item in listed if (span := _span(item)) is not None]
    if not spans:
        return None
    return Pool("Cluster", min(size for size, _ in spans), _networks(network for _, network in spans))


def _span(value: Mapping[str, object]) -> tuple[int, formats.Network] | None:
    """Return how many addresses a range of whereabouts has, and its network; first and last are not given."""
    front, dash, last = addressing.text(value, "range").partition("-")
    read = formats.network((last if dash else front).strip())
    if read is None:
        return None
    network = read[1]
    low, high = int(network.network_address) + 1, int(network.broadcast_address) - 1
    begin, end = addressing.text(value, "range_start"), addressing.text(value, "range_end")
    if dash:
        begin, end = front.strip(), last.strip().partition("/")[0]
    for written, pick in ((begin, "low"), (end, "high")):
        found = formats.address(written)
        if found is not None and found in network:
            low, high = (max(low, int(found)), high) if pick == "low" else (low, min(high, int(found)))
    excluded = _excluded(value.get("exclude"), network, low, high)
    return max(high - low + 1 - excluded, 0), network


def _excluded(listed: object, network: formats.Network, low: int, high: int) -> int:
    """Return how many addresses between low and high are excluded, each counted once."""
    spans = []
    for text in listed if isinstance(listed, list) else []:
        if not isinstance(text, str):
            continue
        found = formats.network(text if "/" in text else f"{text}/{network.max_prefixlen}")
        if found is None or found[1].version != network.version:
            continue
        first, last = max(low, int(found[1].network_address)), min(high, int(found[1].broadcast_address))
        if first <= last:
            spans.append((first, last))
    count, reached = 0, low - 1
    for first, last in sorted(spans):
        count += max(last - max(first - 1, reached), 0)
        reached = max(reached, last)
    return count


def _networks(found: Iterator[formats.Network]) -> tuple[formats.Network, ...]:
    return tuple(dict.fromkeys(found))
