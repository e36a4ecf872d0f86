"""The uninstall: owns which nodes are clean, which are waited for, and which are left to clean up when they return.

Pure. A node is clean when its agent says so (condition `Drained`), or was never told anything. One that is away is
waited for as long as the Installation says; then it keeps what it needs to clean up by itself: its NodeState, its
revision, and the agent's DaemonSet, for it alone. Refuses to give up on a node that is there and does not come clean:
what it waits for is told, and a person decides.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_MOST_NAMED = 5
LEAVING = "mooring.dev/leaving"
"""The label of a DaemonSet that is there only for nodes that were away during an uninstall."""


@dataclasses.dataclass(frozen=True, slots=True)
class Leaving:
    """A node that is to be cleaned. `away` and `message`: why nobody works there, what its agent waits for."""

    name: str
    clean: bool
    away: str = ""
    message: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Removal:
    """What is clean, what is waited for and why, and what is left to itself."""

    clean: tuple[str, ...]
    waiting: Mapping[str, str]
    left: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """How far it is, for a person."""
        total = len(self.clean) + len(self.waiting) + len(self.left)
        text = f"{len(self.clean)} of {total} nodes are clean."
        if self.waiting:
            told = [f"{name} ({why.rstrip('.')})" for name, why in sorted(self.waiting.items())]
            more = len(told) - _MOST_NAMED
            text += " Waiting for " + ", ".join(told[:_MOST_NAMED]) + (f" and {more} more." if more > 0 else ".")
        if self.left:
            text += f" Away, and clean when they return: {', '.join(self.left[:_MOST_NAMED])}."
        return text


def decide(nodes: Iterable[Leaving], *, waited: bool) -> Removal:
    """Return where the nodes stand; `waited`: those that are away had all the time that they get."""
    clean, waiting, left = [], {}, []
    for node in sorted(nodes, key=lambda each: each.name):
        if node.clean:
            clean.append(node.name)
        elif node.away and waited:
            left.append(node.name)
        else:
            waiting[node.name] = node.away or node.message or "its agent has not answered yet"
    return Removal(tuple(clean), waiting, tuple(left))


def leaving(name: str, state: Mapping[str, Any], *, away: str) -> Leaving:
    """Return what a NodeState says of its node's way out."""
    told = (state.get("spec") or {}).get("revision") or (state.get("status") or {}).get("revision")
    drained: Mapping[str, Any] = next(
        (each for each in (state.get("status") or {}).get("conditions") or [] if each.get("type") == "Drained"), {}
    )
    # What it said of an uninstall before this one does not count.
    asked = bool((state.get("spec") or {}).get("drain"))
    heard = drained.get("observedGeneration") is None or drained["observedGeneration"] >= state["metadata"].get(
        "generation", 0
    )
    clean = not told or (asked and heard and drained.get("status") == "True")
    return Leaving(name, clean, away, str(drained.get("message") or ""))


def narrowed(names: Iterable[str]) -> dict[str, Any]:
    """Return the merge patch that keeps the agent's DaemonSet for these nodes only, owned by nobody."""
    field = {"key": "metadata.name", "operator": "In", "values": sorted(names)}
    # A term's fields take one value each.
    terms = [{"matchFields": [{**field, "values": [value]}]} for value in field["values"]]
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
    return {
        "metadata": {"labels": {LEAVING: "true"}, "ownerReferences": None},
        "spec": {"template": {"spec": {"affinity": affinity}}},
    }
