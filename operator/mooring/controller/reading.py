"""What the observed objects mean: owns reading nodes, NodeStates and the DaemonSet into what decisions need.

Pure functions over the informers' copies; refuses to ask the API server anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mooring.installing import rollouts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_MANAGED_BY = "app.kubernetes.io/managed-by"


def is_ours(item: Mapping[str, Any]) -> bool:
    """Whether the operator made this object."""
    return (item["metadata"].get("labels") or {}).get(_MANAGED_BY) == "mooring-operator"


def differs(found: Mapping[str, Any], desired: Mapping[str, Any]) -> bool:
    """Whether a NodeState is not what it should be; what others added to it does not count."""
    metadata, wanted = found["metadata"], desired["metadata"]
    labels = metadata.get("labels") or {}
    return (
        found["spec"] != desired["spec"]
        or metadata.get("ownerReferences") != wanted["ownerReferences"]
        or any(labels.get(name) != value for name, value in wanted["labels"].items())
    )


def nodes(selected: Iterable[str], states: Mapping[str, Mapping[str, Any]]) -> list[rollouts.Node]:
    """Return where each selected node stands, by its NodeState."""
    found = []
    for name in selected:
        state = states.get(name) or {}
        status = state.get("status") or {}
        found.append(
            rollouts.Node(
                name=name,
                assigned=(state.get("spec") or {}).get("revision", ""),
                applied=status.get("revision") or "",
                ready=(_ready(state) or {}).get("status") == "True",
            )
        )
    return found


def trouble(selected: Iterable[str], states: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return, by node, why its agent says that it is not ready."""
    found = {}
    for name in selected:
        condition = _ready(states.get(name) or {})
        if condition is not None and condition.get("status") == "False":
            found[name] = str(condition.get("message") or condition.get("reason"))
    return found


def revisions_in_use(states: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Return the revisions that nodes have or are to have."""
    used = set()
    for state in states.values():
        used.add((state.get("spec") or {}).get("revision"))
        used.add((state.get("status") or {}).get("revision"))
    return {name for name in used if name}


def draining(states: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Return the nodes that Mooring leaves, or has left."""
    return {name for name, state in states.items() if (state.get("spec") or {}).get("drain") is True}


def agents_ready(daemon_set: Mapping[str, Any] | None) -> int:
    """Return how many agents answer their probes."""
    return int(((daemon_set or {}).get("status") or {}).get("numberReady") or 0)


def _ready(state: Mapping[str, Any]) -> Mapping[str, Any] | None:
    for condition in (state.get("status") or {}).get("conditions") or []:
        if condition.get("type") == "Ready":
            found: Mapping[str, Any] = condition
            return found
    return None
