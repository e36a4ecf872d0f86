"""Ranges of host-local (MR302 to MR308): owns what its allocator refuses, in the order in which it looks.

The source is plugins/ipam/host-local/backend/allocator of the reference plugins. Networks overlap is found by
sorting, so that a long list costs little.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING

from mooring.rules import addressing, formats

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mooring.networks import paths
    from mooring.rules.addressing import Section
    from mooring.rules.reporting import Reporter


@dataclasses.dataclass(frozen=True, slots=True)
class Range:
    """A range that the allocator would take: first and last address as numbers, and how many can be given."""

    path: paths.Path
    network: formats.Network
    first: int
    last: int
    free: int


def check(section: Section, report: Reporter) -> list[Range]:
    """Note what the allocator refuses; return the ranges that it would take."""
    sets: list[tuple[paths.Path, list[Range]]] = []
    complete = True
    value = section.value
    if "subnet" in value:
        found = _range(value, section.path, section, report)
        complete = found is not None
        sets.append((section.path, [] if found is None else [found]))
        if found is not None:
            _capacity([found], section.path, section, report)
    elif any(name in value for name in ("rangeStart", "rangeEnd", "gateway")):
        report.config(
            "MR309",
            section.path,
            "`rangeStart`, `rangeEnd` and `gateway` do nothing here without a `subnet` beside them.",
            "Write `subnet`, or move them into `ranges`.",
        )
    listed = value.get("ranges")
    for index, item in enumerate(listed if isinstance(listed, list) else []):
        path = (*section.path, "ranges", index)
        members, whole = _set(item, path, section, report)
        complete = complete and whole
        sets.append((path, members))
    if not sets and not section.elsewhere:
        report.config(
            "MR308",
            section.path,
            "host-local has no network to give addresses of.",
            'Write "subnet": "10.10.0.0/24", or `ranges`.',
            mild=section.mild,
        )
    if complete:
        _overlaps([member for _, members in sets for member in members], section, report)
        addressing.count([members[0].network for _, members in sets if members], section, report)
    return [member for _, members in sets for member in members]


def _set(item: object, path: paths.Path, section: Section, report: Reporter) -> tuple[list[Range], bool]:
    if not isinstance(item, list):
        return [], False
    if not item:
        report.config("MR308", path, "This list of ranges is empty.", 'Write [{"subnet": ...}].', mild=section.mild)
        return [], False
    found = [
        _range(member, (*path, index), section, report) if isinstance(member, dict) else None
        for index, member in enumerate(item)
    ]
    usable = [member for member in found if member is not None]
    if len({member.network.version for member in usable}) > 1:
        report.config(
            "MR307",
            path,
            "One list holds IPv4 and IPv6 ranges; one address is given of each list.",
            "Write one list for each family: [[{IPv4}], [{IPv6}]].",
            mild=section.mild,
        )
        return usable, False
    if len(usable) < len(found):
        return usable, False
    _capacity(usable, path, section, report)
    return usable, True


def _capacity(members: list[Range], path: paths.Path, section: Section, report: Reporter) -> None:
    if not any(member.free for member in members):
        report.config(
            "MR308",
            path,
            "No address is left to give: the only one is the gateway's.",
            "Write a larger range.",
            mild=section.mild,
        )


def _range(value: Mapping[str, object], path: paths.Path, section: Section, report: Reporter) -> Range | None:
    read = formats.network(addressing.text(value, "subnet"))
    if read is None:
        return None
    address, network = read

    def refuse(code: str, name: str, message: str, remedy: str) -> None:
        report.config(code, (*path, name), message, remedy, mild=section.mild)

    if network.prefixlen > network.max_prefixlen - 2:
        refuse(
            "MR305",
            "subnet",
            f"{network} is too small: without network, gateway and broadcast no address is left.",
            f"Write a prefix of at most /{network.max_prefixlen - 2}, or use `static` for single addresses.",
        )
        return None
    if address != network.network_address:
        refuse("MR306", "subnet", f"{value['subnet']} has host bits.", f"Write {network}.")
        return None
    first, last = int(network.network_address) + 1, int(network.broadcast_address) - (network.version == 4)
    start = formats.address(addressing.text(value, "rangeStart"))
    end = formats.address(addressing.text(value, "rangeEnd"))
    inside = True
    for name, bound in (("rangeStart", start), ("rangeEnd", end)):
        if bound is not None and bound not in network:
            refuse("MR302", name, f"`{name}` {bound} is not in {network}.", f"Write an address of {network}.")
            inside = False
    via = addressing.gateway(value, network, path, report)
    if not inside:
        return None
    first = int(start) if start is not None else first
    if end is not None and int(end) < first:
        refuse(
            "MR304",
            "rangeEnd",
            f"`rangeEnd` {end} comes before the beginning of the range.",
            "Write the higher address as `rangeEnd`.",
        )
        return None
    # The default end is not compared with the beginning: an IPv4 range from the broadcast address on is taken.
    last = int(end) if end is not None else max(last, first)
    taken = int(via) if via is not None and via.version == network.version else int(network.network_address) + 1
    free = last - first + 1 - (first <= taken <= last)
    return Range(path=path, network=network, first=first, last=last, free=free)


def _overlaps(members: list[Range], section: Section, report: Reporter) -> None:
    ordered = sorted(members, key=lambda member: (member.network.version, member.first, member.last))
    for one, other in itertools.pairwise(ordered):
        if one.network.version == other.network.version and other.first <= one.last:
            report.config(
                "MR307",
                other.path,
                f"This range overlaps with another one ({one.network} and {other.network}).",
                "Write ranges that have no address in common.",
                mild=section.mild,
            )
