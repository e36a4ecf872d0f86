"""The roll-out of a revision: owns which nodes get it now, and which keep what they have.

Pure: the same picture of the nodes gives the same answer, so a restart of the operator forgets nothing. Refuses to
touch further nodes while too many of those before have not come up with the revision: a bad one stops by itself.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """Where a node stands: the revision that it was told, the one that it applied ("" for none), and how it fares."""

    name: str
    assigned: str = ""
    applied: str = ""
    ready: bool = False

    def settled(self, revision: str) -> bool:
        """Whether the node has this revision and works with it."""
        return self.applied == revision and self.ready


@dataclasses.dataclass(frozen=True, slots=True)
class Soak:
    """How the first nodes do with a revision: since when all of them work with it (None: not yet all).

    `over` says that they were watched long enough, or that there is nothing to watch, so that the others follow.
    """

    revision: str
    since: datetime.datetime | None
    over: bool


def soak(
    nodes: Iterable[Node],
    *,
    revision: str,
    canaries: int,
    seconds: int,
    since: datetime.datetime | None,
    now: datetime.datetime,
) -> Soak:
    """Return how the canaries do.

    `since` is what this function said the last time for the same revision. A canary that fails while it is watched
    begins the watch anew; afterwards the limit of `assign` is what stops a bad revision.
    """
    known = list(nodes)
    if since is not None and now - since >= datetime.timedelta(seconds=seconds):
        return Soak(revision, since, over=True)
    settled = sum(1 for node in known if node.settled(revision))
    others = sum(1 for node in known if node.assigned not in ("", revision))
    if not others or not canaries:
        return Soak(revision, since, over=True)
    if settled < min(canaries, settled + others):
        return Soak(revision, None, over=False)
    return Soak(revision, since or now, over=seconds == 0)


def limit(max_unavailable: int | str, *, total: int) -> int:
    """Return a number of nodes from a number, or from a percentage such as `10%` of `total`, rounded up.

    Raises:
        ValueError: neither of the two.
    """
    if isinstance(max_unavailable, str) and max_unavailable.endswith("%") and max_unavailable[:-1].isdecimal():
        share = int(max_unavailable[:-1]) * total
        return -(-share // 100)
    if isinstance(max_unavailable, int) and max_unavailable >= 0:
        return max_unavailable
    raise ValueError(f"{max_unavailable!r} is neither a number nor a percentage")


def assign(
    nodes: Iterable[Node], *, revision: str, max_unavailable: int | str, paused: bool, most: int | None = None
) -> dict[str, str]:
    """Return the revision of each node by its name.

    `most` is how many nodes may have the new revision in all, while only canaries do; None for no such limit.

    A node that has none yet gets the new one at once: nobody depends on it. Of those that work with another one, at
    most `max_unavailable` are on their way at a time, at least one. Paused, nobody moves; a node that has none gets
    what most others have.
    """
    known = sorted(nodes, key=lambda node: node.name)
    told = {node.name: node.assigned for node in known if node.assigned}
    common = collections.Counter(told.values()).most_common(1)
    for_new = common[0][0] if paused and common else revision
    answer = {node.name: told.get(node.name, for_new) for node in known}
    if paused:
        return answer
    old = [node for node in known if node.assigned and node.assigned != revision]
    # A node that never came up, or is broken, loses nothing by the change.
    for node in old:
        if not node.ready:
            answer[node.name] = revision
    moving = sum(1 for node in known if node.assigned == revision and node.applied and not node.settled(revision))
    moving += sum(1 for node in old if not node.ready and node.applied)
    budget = max(1, limit(max_unavailable, total=len(known))) - moving
    if most is not None:
        budget = min(budget, most - sum(1 for told in answer.values() if told == revision))
    for node in [node for node in old if node.ready][: max(0, budget)]:
        answer[node.name] = revision
    return answer
