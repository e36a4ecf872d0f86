"""The status of the Installation: owns how the nodes' states become three conditions and a few numbers.

Pure. `Available`: pods get their networks on all nodes, of ten or more on nine in ten. `Progressing`: something is
still on its way. `Degraded`: something is wrong and stays so unless somebody acts; its message says what, and where.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from mooring.installing import conditions, rollouts
from mooring.installing.installations import InstallationStatus, NodeCounts, RolloutStatus

if TYPE_CHECKING:
    import datetime
    from collections.abc import Sequence


_MOST_NAMED = 5
_ONE_IN = 10


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong: a word in CamelCase, and a sentence that says what, where and what to do."""

    reason: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class Picture:
    """What the operator sees. `trouble` holds, by node, why it is not ready, in the agent's words."""

    revision: str
    nodes: Sequence[rollouts.Node]
    trouble: dict[str, str]
    agents_ready: int
    problems: Sequence[Problem] = ()
    soak: rollouts.Soak | None = None


def summarise(
    picture: Picture, *, before: Sequence[dict[str, Any]], generation: int, now: datetime.datetime
) -> InstallationStatus:
    """Return the status; `before` is the conditions as they stand, for their transition times."""
    total = len(picture.nodes)
    updated = sum(1 for node in picture.nodes if node.applied == picture.revision)
    # A NodeState keeps its last word when its agent is gone; the agents that answer their probes are the limit.
    ready = min(sum(1 for node in picture.nodes if node.applied and node.ready), picture.agents_ready)
    parts = (_available(picture, total, ready), _progressing(picture, total, updated, ready), _degraded(picture))
    found = [
        conditions.updated(
            before, type=kind, status=status, reason=reason, message=message, generation=generation, now=now
        )
        for kind, (status, reason, message) in zip(("Available", "Progressing", "Degraded"), parts, strict=True)
    ]
    return InstallationStatus(
        observed_generation=generation,
        revision=picture.revision or None,
        nodes=NodeCounts(desired=total, updated=updated, ready=ready),
        rollout=_rollout(picture.soak),
        conditions=found,
    )


_Part = tuple[conditions.Status, str, str]


def _available(picture: Picture, total: int, ready: int) -> _Part:
    if total == 0:
        return "False", "NoNodes", "No node has the labels of spec.nodeSelector."
    sentence = f"{ready} of {total} nodes are ready."
    # In a large cluster some node always is away; in a small one each counts.
    if ready and ready >= total - total // _ONE_IN:
        return "True", "NodesReady", sentence
    return "False", "NodesNotReady", sentence + _waiting(picture)


def _progressing(picture: Picture, total: int, updated: int, ready: int) -> _Part:
    if updated < total:
        sentence = f"{updated} of {total} nodes have {picture.revision}."
        if picture.soak is not None and picture.soak.since is not None and not picture.soak.over:
            since = conditions.rfc3339(picture.soak.since)
            return (
                "True",
                "WatchingCanaries",
                f"{sentence} The others follow when these are found to work, since {since}.",
            )
        return "True", "RollingOut", sentence + _waiting(picture)
    if ready < total:
        return "True", "NodesNotReady", f"{ready} of {total} nodes are ready." + _waiting(picture)
    return "False", "Complete", f"All {total} nodes have {picture.revision or 'what was asked for'}."


def _degraded(picture: Picture) -> _Part:
    problems = list(picture.problems)
    if picture.trouble:
        told = "; ".join(f"{name}: {why}" for name, why in sorted(picture.trouble.items())[:_MOST_NAMED])
        more = len(picture.trouble) - _MOST_NAMED
        told += f"; and {more} more (kubectl get nodestates)" if more > 0 else ""
        problems.append(Problem("NodesDegraded", told))
    if not problems:
        return "False", "AsExpected", "Nothing is known to be wrong."
    return "True", problems[0].reason, " ".join(problem.message for problem in problems)[:4096]


def _waiting(picture: Picture) -> str:
    late = [node.name for node in picture.nodes if not node.settled(picture.revision)]
    if not late:
        return " Some agents do not answer their probes (kubectl get pods -A -l app.kubernetes.io/name=mooring)."
    named = ", ".join(sorted(late)[:_MOST_NAMED])
    return f" Waiting for {named}" + (f" and {len(late) - _MOST_NAMED} more." if len(late) > _MOST_NAMED else ".")


def _rollout(soak: rollouts.Soak | None) -> RolloutStatus | None:
    if soak is None:
        return None
    since = conditions.rfc3339(soak.since) if soak.since else None
    return RolloutStatus(revision=soak.revision, canaries_since=since)
