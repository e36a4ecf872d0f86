"""How a network does: owns what a NetworkReport says, out of definition, findings, attachments and nodes. Pure.

The same facts give the same report: its times move only with what they are about. Refuses to report on a network
that nobody uses and that nothing is wrong with.
"""

from __future__ import annotations

import collections
import dataclasses
from typing import TYPE_CHECKING, Any

from mooring.installing import conditions as metav1
from mooring.installing.networkreports import (
    LONGEST_TEXT,
    MOST_FINDINGS,
    MOST_NODES,
    Addresses,
    Attachments,
    NetworkReport,
    NodeUse,
    Overview,
    ReportedFinding,
    ServingNodes,
    UnableNode,
)
from mooring.networks import confs, fingerprints, needs
from mooring.rules import pools
from mooring.rules.findings import Finding, Severity

if TYPE_CHECKING:
    import datetime
    from collections.abc import Iterable, Mapping, Sequence

    from mooring.insight.usage import Usage

# Beyond this a pool is never used up, and JSON readers lose digits.
_COUNTLESS = 10**9


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """What a served node has, by its NodeState. `programs` is None where its agent does not tell."""

    name: str
    ready: bool
    programs: frozenset[str] | None = None
    missing_masters: frozenset[str] = frozenset()
    """Interfaces that some definition names as `master` and that are not on the node."""


class Nodes:
    """The served nodes, by what they have: thousands of them mostly have the same, and each network asks all."""

    def __init__(self, nodes: Iterable[Node] = ()) -> None:
        self._alike: dict[Node, list[str]] = {}
        for node in nodes:
            self._alike.setdefault(dataclasses.replace(node, name=""), []).append(node.name)
        self.count = sum(map(len, self._alike.values()))

    def lacking(self, needed: frozenset[str], below: frozenset[str]) -> list[tuple[str, str]]:
        """Return the nodes that cannot serve a network with these programs and masters, and why, by name."""
        return sorted(
            (name, reason)
            for alike, names in self._alike.items()
            if (reason := _lacks(alike, needed, below))
            for name in names
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """What a report is made of. `findings` are the definition's, worst first."""

    namespace: str
    name: str
    config: str
    findings: Sequence[Finding]
    usage: Usage
    nodes: Nodes


def describe(facts: Facts, *, before: Mapping[str, Any] | None, now: datetime.datetime) -> NetworkReport | None:
    """Return the report; None where there is nothing to report. `before` is the object as it stands."""
    if not facts.findings and not facts.usage.held:
        return None
    found = before or {}
    digest = fingerprints.of_definition(facts.name, facts.config)
    changed = found.get("changedAt")
    if before is not None and found.get("configHash", "") != digest:
        changed = metav1.rfc3339(now)
    nodes = _nodes(facts)
    addresses = _addresses(facts)
    return NetworkReport(
        overview=Overview(
            findings=_counted(facts.findings),
            nodes=f"{nodes.able}/{nodes.selected}",
            addresses=_in_use(addresses),
        ),
        findings=[_reported(each) for each in facts.findings[:MOST_FINDINGS]],
        findings_left_out=max(0, len(facts.findings) - MOST_FINDINGS),
        attachments=Attachments(
            interfaces=len(facts.usage.held),
            pods=len(facts.usage.pods),
            nodes=len(facts.usage.nodes),
            stale=sum(bool(digest and each.config_hash) and each.config_hash != digest for each in facts.usage.held),
        ),
        nodes=nodes,
        addresses=addresses,
        config_hash=digest,
        changed_at=changed,
        conditions=_conditions(facts, nodes, addresses, before=found.get("conditions") or [], now=now),
    )


def _nodes(facts: Facts) -> ServingNodes:
    conf = _conf(facts.config)
    needed, below = frozenset(needs.programs(conf)), frozenset(needs.masters(conf))
    unable = facts.nodes.lacking(needed, below)
    return ServingNodes(
        selected=facts.nodes.count,
        able=facts.nodes.count - len(unable),
        unable=[UnableNode(name=name, reason=reason) for name, reason in unable[:MOST_NODES]],
    )


def _conf(config: str) -> object:
    try:
        return confs.parse(config).value
    except confs.NotJSONError:
        return None


def _lacks(node: Node, needed: frozenset[str], below: frozenset[str]) -> str:
    told = []
    if not node.ready:
        told.append("it is not ready (kubectl get nodestates)")
    if node.programs is not None and (absent := sorted(needed - node.programs)):
        told.append(f"it has no program {' and no '.join(absent)} in its folder of CNI plugins")
    if gone := sorted(below & node.missing_masters):
        told.append(f"it has no interface {' and no '.join(gone)}")
    return "; ".join(told)


def _addresses(facts: Facts) -> Addresses:
    pool = pools.of(facts.config)
    by_node = facts.usage.addresses_by_node()
    own = pool is not None and pool.scope == "Node"
    fullest = max(sorted(by_node), key=lambda node: by_node[node], default=None) if own else None
    return Addresses(
        scope=pool.scope if pool else None,
        size=pool.size if pool and pool.size <= _COUNTLESS else None,
        used=len(facts.usage.addresses()),
        fullest_node=NodeUse(name=fullest, used=by_node[fullest]) if fullest else None,
        duplicates=facts.usage.duplicates(within_node=pool is not None and not pool.spans)[:MOST_NODES],
    )


def _in_use(addresses: Addresses) -> str:
    used = addresses.fullest_node.used if addresses.fullest_node else addresses.used
    if addresses.size is None:
        return str(used) if used else ""
    return f"{used}/{addresses.size}" + (" per node" if addresses.scope == "Node" else "")


def _counted(findings: Iterable[Finding]) -> str:
    counts = collections.Counter(each.severity for each in findings)
    return ", ".join(f"{counts[severity]} {severity.value}" for severity in Severity if counts[severity])


def _reported(finding: Finding) -> ReportedFinding:
    return ReportedFinding(
        code=finding.code,
        severity=finding.severity.value,
        path=finding.path[:LONGEST_TEXT],
        message=finding.message[:LONGEST_TEXT],
        remedy=finding.remedy[:LONGEST_TEXT],
    )


def _conditions(
    facts: Facts,
    nodes: ServingNodes,
    addresses: Addresses,
    *,
    before: Iterable[dict[str, object]],
    now: datetime.datetime,
) -> list[metav1.Condition]:
    enforced = [each for each in facts.findings if each.severity is Severity.ENFORCE]
    used = addresses.fullest_node.used if addresses.fullest_node else addresses.used
    where = f" on node {addresses.fullest_node.name}" if addresses.fullest_node else ""
    full = addresses.size is not None and used >= addresses.size
    known = list(before)
    parts: tuple[tuple[str, bool, str, str], ...] = (
        (
            "Valid",
            not enforced,
            "Refused" if enforced else "NothingEnforced",
            f"Admission would refuse it: {enforced[0].message}" if enforced else "No rule that enforces objects to it.",
        ),
        (
            "Served",
            nodes.able == nodes.selected and nodes.selected > 0,
            "AllNodes" if nodes.able == nodes.selected and nodes.selected else "NodesUnable",
            f"{nodes.able} of {nodes.selected} nodes can serve it."
            + (f" {nodes.unable[0].name}: {nodes.unable[0].reason}." if nodes.unable else ""),
        ),
        (
            "AddressesLeft",
            not full,
            "UsedUp" if full else "Enough",
            f"All {addresses.size} addresses are in use{where}: the next pod does not start."
            if full
            else "No pool of addresses is known to be used up.",
        ),
        (
            "NoDuplicates",
            not addresses.duplicates,
            "Duplicates" if addresses.duplicates else "NoneSeen",
            f"More than one interface holds {', '.join(addresses.duplicates[:5])}."
            if addresses.duplicates
            else "No address is held twice.",
        ),
    )
    return [
        metav1.updated(
            known,
            type=kind,
            status="True" if holds else "False",
            reason=reason,
            message=message[:LONGEST_TEXT],
            generation=None,
            now=now,
        )
        for kind, holds, reason, message in parts
    ]
