"""Addresses (MR302 to MR314): owns the relations between networks, ranges, gateways and routes of one IPAM section.

What host-local and static refuse when a pod starts is refused here; what is legal and cannot work is a warning.
It says nothing of texts that are no addresses: the schemas did.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from mooring.rules import formats, ranges, wording

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mooring.networks import paths
    from mooring.rules.reporting import Reporter

_OLD = ("", "0.1.0", "0.2.0")


@dataclasses.dataclass(frozen=True, slots=True)
class Section:
    """An IPAM section in its plugin's own spelling.

    `path` is where it stands; `mild` as for options; `elsewhere` tells that ranges or addresses may come from
    somewhere else as well; `version` is the configuration's cniVersion, "" for none.
    """

    kind: str
    value: Mapping[str, object]
    path: paths.Path
    mild: bool
    elsewhere: bool
    version: str


def check(section: Section, report: Reporter) -> None:
    """Note what cannot work about the addresses of one section."""
    networks: list[formats.Network] = []
    match section.kind:
        case "host-local":
            found = ranges.check(section, report)
            networks = [] if section.elsewhere else [member.network for member in found]
        case "static":
            networks = _static(section, report)
        case "whereabouts":
            _whereabouts(section, report)
    _routes(section, networks, report)


def objects(value: object) -> Iterator[tuple[int, Mapping[str, object]]]:
    """Return the objects of a list with their indexes; anything else has been told already."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, dict):
                yield index, item


def text(value: Mapping[str, object], name: str) -> str:
    """Return a text option, "" where it is absent or no text."""
    found = value.get(name)
    return found if isinstance(found, str) else ""


def gateway(
    value: Mapping[str, object], network: formats.Network, path: paths.Path, report: Reporter
) -> formats.Address | None:
    """Note a gateway outside its network; return it where it is an address."""
    found = formats.address(text(value, "gateway"))
    if found is not None and not found.is_unspecified and found not in network:
        report.config(
            "MR303",
            (*path, "gateway"),
            f"The gateway {found} is not in {network}: pods cannot reach it.",
            f"Write an address of {network}, or another network.",
        )
    return found


def _static(section: Section, report: Reporter) -> list[formats.Network]:
    networks = []
    for index, item in objects(section.value.get("addresses")):
        read = formats.network(text(item, "address"))
        if read is None:
            continue
        networks.append(read[1])
        gateway(item, read[1], (*section.path, "addresses", index), report)
    _count(networks, section, (*section.path, "addresses"), report)
    return [] if section.elsewhere else networks


def _count(networks: list[formats.Network], section: Section, path: paths.Path, report: Reporter) -> None:
    if section.version not in _OLD or len({network.version for network in networks}) == len(networks):
        return
    report.config(
        "MR312",
        path,
        f"CNI version {section.version or '0.1.0 (none is written)'} holds one address per family, "
        f"here are {len(networks)}.",
        'Write "cniVersion": "1.0.0", or fewer addresses.',
        mild=section.mild or not section.version,
    )


def count(networks: list[formats.Network], section: Section, report: Reporter) -> None:
    """Note more addresses per family than the version of the configuration can hold."""
    _count(networks, section, section.path, report)


def _whereabouts(section: Section, report: Reporter) -> None:
    value = section.value
    # A file on the node may hold the rest; where one is named, it is not guessed at.
    if not any(value.get(name) for name in ("range", "ipRanges", "configuration_path")):
        report.config(
            "MR122",
            section.path,
            "whereabouts gives no address without `range` or `ipRanges`, unless whereabouts.conf on the nodes has one.",
            'Write "range": a network such as 10.10.0.0/24.',
            mild=True,
        )
    _pool(section.value, section.path, report)
    for index, item in objects(section.value.get("ipRanges")):
        _pool(item, (*section.path, "ipRanges", index), report)


def _pool(value: Mapping[str, object], path: paths.Path, report: Reporter) -> None:
    written = text(value, "range")
    if not written:
        return
    front, dash, last = written.partition("-")
    network = formats.network(last if dash else written)
    if network is None or (dash and formats.address(front.strip()) is None):
        report.config(
            "MR301",
            (*path, "range"),
            f"`range` is {wording.quote(written)}.",
            "Write a network such as 10.10.0.0/24, or first-last/prefix.",
            mild=True,
        )
        return
    for name in ("range_start", "range_end"):
        found = formats.address(text(value, name))
        if found is not None and found not in network[1]:
            report.config(
                "MR302",
                (*path, name),
                f"`{name}` {found} is not in {network[1]}.",
                f"Write an address of {network[1]}.",
                mild=True,
            )


class _Reach:
    """The addresses of some networks; asking for one costs the same for many networks as for few."""

    def __init__(self, networks: list[formats.Network]) -> None:
        self._prefixes: dict[tuple[int, int], set[int]] = {}
        for network in networks:
            hosts = network.max_prefixlen - network.prefixlen
            known = self._prefixes.setdefault((network.version, hosts), set())
            known.add(int(network.network_address) >> hosts)

    def __contains__(self, address: formats.Address) -> bool:
        return any(
            version == address.version and int(address) >> hosts in known
            for (version, hosts), known in self._prefixes.items()
        )


def _routes(section: Section, networks: list[formats.Network], report: Reporter) -> None:
    reach = _Reach(networks)
    for index, route in objects(section.value.get("routes")):
        path = (*section.path, "routes", index)
        read = formats.network(text(route, "dst"))
        via = formats.address(text(route, "gw"))
        if read is not None and read[0] != read[1].network_address:
            report.config(
                "MR313",
                (*path, "dst"),
                f"The route to {route['dst']} has host bits, which the kernel refuses.",
                f"Write {read[1]}.",
            )
        if via is None or via.is_unspecified:
            continue
        if read is not None and via.version != read[1].version:
            report.config(
                "MR314",
                (*path, "gw"),
                f"The route to {read[1]} has the gateway {via}, which is of the other address family.",
                f"Write an IPv{read[1].version} address.",
            )
        elif networks and not via.is_link_local and via not in reach:
            report.config(
                "MR303",
                (*path, "gw"),
                f"The gateway {via} is in none of the networks of this section: pods cannot reach it.",
                f"Write an address of {networks[0]}.",
            )
