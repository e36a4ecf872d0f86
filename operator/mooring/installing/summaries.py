"""The status of the Installation: owns how the nodes' states become three conditions and a few numbers.

Pure. `Available`: pods get their networks on all nodes, of ten or more on nine in ten. `Progressing`: something is
still on its way. `Degraded`: something is wrong and stays so unless somebody acts; its message says what, and where.
"""

from __future__ import annotations

import collections
import dataclasses
from typing import TYPE_CHECKING, Any

from mooring.installing import conditions
from mooring.installing.installations import InstallationStatus, MultusStatus, NodeCounts, RolloutStatus

if TYPE_CHECKING:
    import datetime
    from collections.abc import Mapping, Sequence

    from mooring.installing import rollouts, standings


_MOST_NAMED = 5
_ONE_IN = 10


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong: a word in CamelCase, and a sentence that says what, where and what to do."""

    reason: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class Picture:
    """What the operator sees. `phases` and `rollout` are what was decided last."""

    revision: str
    nodes: Sequence[standings.Node]
    phases: Mapping[str, rollouts.Phase]
    rollout: RolloutStatus | None
    agents_ready: int
    problems: Sequence[Problem] = ()
    paused: bool = False
    multus: MultusStatus | None = None
    removing: str = ""
    """What an uninstall waits for; "" while none is under way."""


def summarise(
    picture: Picture, *, before: Sequence[dict[str, Any]], generation: int, now: datetime.datetime
) -> InstallationStatus:
    """Return the status; `before` is the conditions as they stand, for their transition times."""
    total = len(picture.nodes)
    updated = sum(1 for node in picture.nodes if node.applied == picture.revision)
    # A NodeState keeps its last word when its agent is gone; the agents that answer their probes are the limit, but for
    # those that answer "not yet" because they change their node.
    changing = sum(1 for node in picture.nodes if _changing(picture, node))
    ready = min(sum(1 for node in picture.nodes if _serves(picture, node)), picture.agents_ready + changing)
    parts = (_available(picture, total, ready), _progressing(picture, total, updated, ready), _degraded(picture))
    found = [
        conditions.updated(
            before, type=kind, status=status, reason=reason, message=message, generation=generation, now=now
        )
        for kind, (status, reason, message) in zip(("Available", "Progressing", "Degraded"), parts, strict=True)
    ]
    phases = collections.Counter(picture.phases.values())
    return InstallationStatus(
        observed_generation=generation,
        revision=picture.revision or None,
        nodes=NodeCounts(desired=total, updated=updated, ready=ready, phases=dict(sorted(phases.items())) or None),
        rollout=picture.rollout,
        multus=picture.multus,
        conditions=found,
    )


_Part = tuple[conditions.Status, str, str]


def _changing(picture: Picture, node: standings.Node) -> bool:
    """Whether the node is being changed, and worked before: it serves with what it has."""
    return not node.ready and picture.phases.get(node.name) in ("moving", "proving") and bool(node.told.worked_with)


def _serves(picture: Picture, node: standings.Node) -> bool:
    if picture.phases.get(node.name) == "away":
        return False
    return bool(node.applied and node.ready) or _changing(picture, node)


def _available(picture: Picture, total: int, ready: int) -> _Part:
    if picture.removing:
        return "False", "Uninstalling", picture.removing
    if total == 0:
        return "False", "NoNodes", "No node has the labels of spec.nodeSelector."
    sentence = f"{ready} of {total} nodes are ready."
    # In a large cluster some node always is away; in a small one each counts.
    if ready and ready >= total - total // _ONE_IN:
        return "True", "NodesReady", sentence
    return "False", "NodesNotReady", sentence + _waiting(picture)


def _progressing(picture: Picture, total: int, updated: int, ready: int) -> _Part:
    if picture.removing:
        return "True", "Uninstalling", picture.removing
    rollout = picture.rollout
    if rollout is not None and rollout.halted:
        return "False", "RolloutHalted", f"{updated} of {total} nodes have {picture.revision}. {_halted(rollout)}"
    if updated < total:
        sentence = f"{updated} of {total} nodes have {picture.revision}."
        if picture.paused:
            return "False", "Paused", f"{sentence} spec.rollout.paused keeps the others as they are."
        if rollout is not None and rollout.stage == "Canaries":
            named = _named([canary.node for canary in rollout.canaries])
            if rollout.canaries_since:
                sentence += f" The others follow when {named} is found to work, since {rollout.canaries_since}."
                return "True", "WatchingCanaries", sentence
            return "True", "RollingOut", f"{sentence} First goes {named}.{_waiting(picture)}"
        return "True", "RollingOut", sentence + _waiting(picture)
    if ready < total:
        return "True", "NodesNotReady", f"{ready} of {total} nodes are ready." + _waiting(picture)
    return "False", "Complete", f"All {total} nodes have {picture.revision or 'what was asked for'}."


def _degraded(picture: Picture) -> _Part:
    problems = list(picture.problems)
    if picture.rollout is not None and picture.rollout.halted:
        problems.append(Problem("RolloutHalted", _halted(picture.rollout)))
    failing = [node for node in picture.nodes if picture.phases.get(node.name) == "failing"]
    if failing:
        problems.append(Problem("NodesDegraded", _told({node.name: node.why or "not ready" for node in failing})))
    # Pods get their networks there, and yet somebody should look.
    warned = [
        node for node in picture.nodes if node.degraded and node.ready and picture.phases.get(node.name) == "current"
    ]
    if warned:
        problems.append(Problem("NodesWarn", _told({node.name: node.why for node in warned})))
    if not problems:
        return "False", "AsExpected", "Nothing is known to be wrong."
    return "True", problems[0].reason, " ".join(problem.message for problem in problems)[:4096]


def _halted(rollout: RolloutStatus) -> str:
    halt = rollout.halted
    if halt is None:
        return ""
    back = f" go back by spec.rollout.rollbackTo: {rollout.last_good};" if rollout.last_good else ""
    return (
        f"No further node gets {rollout.revision}: on {halt.node}, {halt.message.rstrip('.')}. Change the spec;{back}"
        f" or go on without this node: kubectl annotate node {halt.node} mooring.dev/hold=true."
    )


def _told(trouble: dict[str, str]) -> str:
    told = "; ".join(f"{name}: {why}" for name, why in sorted(trouble.items())[:_MOST_NAMED])
    more = len(trouble) - _MOST_NAMED
    return told + (f"; and {more} more (kubectl get nodestates)" if more > 0 else "")


def _named(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(sorted(names)[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _waiting(picture: Picture) -> str:
    late = sorted((node for node in picture.nodes if not node.settled(picture.revision)), key=lambda node: node.name)
    if not late:
        return " Some agents do not answer their probes (kubectl get pods -A -l app.kubernetes.io/name=mooring)."
    return " Waiting for " + _named([f"{node.name}{_reason(picture, node)}" for node in late]) + "."


def _reason(picture: Picture, node: standings.Node) -> str:
    phase = picture.phases.get(node.name)
    why = {"held": "held by its annotation", "away": node.away}.get(phase or "", "" if node.starting else node.why)
    return f" ({why.rstrip('.')})" if why else ""
