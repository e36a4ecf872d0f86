"""Definitions compared with one another (MR203, MR320): owns what only shows when several are seen at once.

For the audit and the command line. All of it is a warning: things are applied in any order, and a moment later the
other one may be gone. Definitions that cannot be read are left out; they have findings of their own.
"""

from __future__ import annotations

import dataclasses
import json
from collections import defaultdict
from typing import TYPE_CHECKING

from mooring.networks import confs, nads
from mooring.rules import addressing, findings, folding, library, ranges, reporting, shape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mooring.networks import paths
    from mooring.rules.findings import Finding, Severity

#: Several definitions of this type share one network name: it is how they are told to be one network.
_SHARED_NAMES = frozenset({"ovn-k8s-cni-overlay"})

#: Which options tell the segment that a plugin connects to.
_SEGMENTS = {
    "bridge": ("bridge", "vlan"),
    "macvlan": ("master",),
    "ipvlan": ("master",),
    "vlan": ("master", "vlanId"),
    "ovs": ("bridge", "vlan"),
}


@dataclasses.dataclass(frozen=True, slots=True)
class _Pool:
    """A range of one definition on a segment, and the folder that knows its leases."""

    key: tuple[str, str]
    path: paths.Path
    segment: tuple[object, ...]
    folder: tuple[str, str]
    range: ranges.Range


@dataclasses.dataclass(frozen=True, slots=True)
class _Entry:
    key: tuple[str, str]
    document: confs.Document
    name: str
    content: str
    pools: tuple[_Pool, ...]


def compare(
    manifests: Iterable[Mapping[str, object]], *, severities: Mapping[str, Severity] | None = None
) -> dict[tuple[str, str], list[Finding]]:
    """Return the findings of each definition by (namespace, name); those without any are not in it."""
    report: dict[tuple[str, str], reporting.Reporter] = {}
    entries = list(_entries(manifests))
    for entry in entries:
        report[entry.key] = reporting.Reporter(severities=severities or {})
        report[entry.key].read(entry.document)
    _names(entries, report)
    _overlaps(entries, report)
    return {key: findings.worst_first(each.findings) for key, each in report.items() if each.findings}


def _entries(manifests: Iterable[Mapping[str, object]]) -> Iterator[_Entry]:
    for manifest in manifests:
        nad = nads.read(manifest).nad
        if nad is None or not nad.config:
            continue
        try:
            document = confs.parse(nad.config)
        except confs.NotJSONError:
            continue
        silent = reporting.Reporter(severities={})
        try:
            conf = shape.check(document, silent)
        except reporting.TooMuchError:
            continue
        if not conf.complete or not isinstance(document.value, dict):
            continue
        key = (nad.namespace, nad.name)
        shared = any(plugin.type in _SHARED_NAMES for plugin in conf.plugins)
        content = {name: value for name, value in document.value.items() if name not in ("name", "cniVersion")}
        yield _Entry(
            key=key,
            document=document,
            name="" if shared else conf.name,
            content=json.dumps(content, sort_keys=True),
            pools=tuple(pool for plugin in conf.plugins for pool in _pools(key, plugin, conf.name or nad.name)),
        )


def _pools(key: tuple[str, str], plugin: shape.Plugin, network: str) -> Iterator[_Pool]:
    kind = library.find(plugin.type)
    options = _SEGMENTS.get(kind.name) if kind is not None else None
    if kind is None or options is None:
        return
    value = folding.Folded(plugin.value, kind.schema).value
    written = next((name for name in plugin.value if name.lower() == "ipam"), "ipam")
    raw = plugin.value.get(written)
    entry = library.find("host-local")
    if entry is None or not isinstance(raw, dict) or raw.get("type") != "host-local":
        return
    section = folding.Folded(raw, entry.schema).value
    # A bridge has a name when none is written; the master of a macvlan is then whatever the node has.
    first = value.get(options[0]) or ("cni0" if kind.name == "bridge" else None)
    if first is None:
        return
    segment = (options[0], first, *(value.get(name) or 0 for name in options[1:]))
    folder = (network, addressing.text(section, "dataDir"))
    path = (*plugin.path, written)
    read = addressing.Section(kind="host-local", value=section, path=path, mild=True, elsewhere=True, version="1.0.0")
    for found in ranges.check(read, reporting.Reporter(severities={})):
        yield _Pool(key=key, path=found.path, segment=segment, folder=folder, range=found)


def _names(entries: list[_Entry], report: Mapping[tuple[str, str], reporting.Reporter]) -> None:
    by_name: dict[str, list[_Entry]] = defaultdict(list)
    for entry in entries:
        if entry.name:
            by_name[entry.name].append(entry)
    for name, group in by_name.items():
        for entry in group:
            other = next((each for each in group if each.content != entry.content), None)
            if other is not None:
                report[entry.key].config(
                    "MR203",
                    ("name",),
                    f"{_shown(other.key)} is another network and has the name {name}, too.",
                    "Write another name, or none: that of the definition is taken then.",
                )


def _overlaps(entries: list[_Entry], report: Mapping[tuple[str, str], reporting.Reporter]) -> None:
    by_segment: dict[tuple[object, ...], list[_Pool]] = defaultdict(list)
    for entry in entries:
        for pool in entry.pools:
            by_segment[*pool.segment, pool.range.network.version].append(pool)
    for pools in by_segment.values():
        pools.sort(key=lambda pool: (pool.range.first, pool.range.last))
        reaching: _Pool | None = None
        for pool in pools:
            if reaching is not None and pool.range.first <= reaching.range.last and pool.folder != reaching.folder:
                _clash(pool, reaching, report)
                _clash(reaching, pool, report)
            if reaching is None or pool.range.last > reaching.range.last:
                reaching = pool


def _clash(pool: _Pool, other: _Pool, report: Mapping[tuple[str, str], reporting.Reporter]) -> None:
    report[pool.key].config(
        "MR320",
        pool.path,
        f"{_shown(other.key)} gives addresses of {other.range.network} on the same {pool.segment[0]} "
        f"{pool.segment[1]}, too.",
        "Write ranges that have no address in common, or give both one `name`.",
    )


def _shown(key: tuple[str, str]) -> str:
    return "/".join(part for part in key if part)
