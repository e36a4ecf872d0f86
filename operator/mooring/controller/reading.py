"""What the observed objects mean: owns reading nodes, NodeStates and the DaemonSet into what decisions need.

Pure functions over the informers' copies; refuses to ask the API server anything.
"""

from __future__ import annotations

import datetime
import logging
from typing import TYPE_CHECKING, Any

import pydantic

from mooring.controller import keys
from mooring.insight import networkreports
from mooring.installing import conditions, nodestates, removals, standings
from mooring.installing.installations import RolloutStatus

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

_LOG = logging.getLogger(__name__)

# As many as a NodeState lists.
_MOST_PROGRAMS = 100
HOLD = "mooring.dev/hold"
STARTUP_TAINT = "mooring.dev/agent-not-ready"
# An agent writes every five minutes; two may be lost.
HEARTBEAT = datetime.timedelta(minutes=16)
# What an agent says of a node on which nothing is wrong: it has only begun.
_STARTING = ("Applying", "Starting", "NoRevision")


def is_ours(item: Mapping[str, Any]) -> bool:
    """Whether the operator made this object."""
    return bool(keys.OURS.items() <= (item["metadata"].get("labels") or {}).items())


def differs(found: Mapping[str, Any], desired: Mapping[str, Any]) -> bool:
    """Whether a NodeState is not what it should be; what others added to it does not count."""
    metadata, wanted = found["metadata"], desired["metadata"]
    labels = metadata.get("labels") or {}
    return (
        found["spec"] != desired["spec"]
        or metadata.get("ownerReferences") != wanted["ownerReferences"]
        or any(labels.get(name) != value for name, value in wanted["labels"].items())
    )


def nodes(
    selected: Mapping[str, Mapping[str, Any]],
    states: Mapping[str, Mapping[str, Any]],
    pods: Mapping[str, Mapping[str, Any]] | None,
    *,
    now: datetime.datetime,
) -> list[standings.Node]:
    """Return where each selected node stands.

    Args:
        selected: the Nodes by name.
        states: the NodeStates by name.
        pods: the agents' pods by their node; None where nobody looks at pods.
        now: the time, for what is too old.
    """
    found = []
    for name, node in selected.items():
        state = states.get(name) or {}
        status = state.get("status") or {}
        ready, degraded = _condition(state, "Ready"), _condition(state, "Degraded")
        observed = status.get("observedGeneration")
        found.append(
            standings.Node(
                name=name,
                told=nodestates.told(state.get("spec") or {}),
                applied=status.get("revision") or "",
                # Where the runtime says that its network is not ready, no pod starts, whatever the agent sees.
                ready=ready.get("status") == "True" and not _is_not_ready(node),
                degraded=degraded.get("status") == "True",
                starting=not ready or ready.get("reason") in _STARTING,
                failed_adds=int(status.get("failedAdds") or 0),
                heard=observed is None or observed >= state["metadata"].get("generation", 0),
                away=_away(name, node, state, pods, now),
                held=HOLD in (node["metadata"].get("annotations") or {}),
                since=_time(ready.get("lastTransitionTime")),
                back_since=_back_since(node, (pods or {}).get(name)),
                why=_why(ready, degraded) or _why_not_ready(name, node),
            )
        )
    return found


def _away(
    name: str,
    node: Mapping[str, Any],
    state: Mapping[str, Any],
    pods: Mapping[str, Mapping[str, Any]] | None,
    now: datetime.datetime,
) -> str:
    """Return why nobody works on this node at present; "" where its agent does."""
    alive = _condition(node, "Ready")
    # False is the kubelet's own word, so it lives; of a kubelet that is silent the control plane says Unknown.
    if alive and alive.get("status") not in ("True", "False"):
        return "the Node's kubelet is silent"
    if pods is not None and name not in pods and state.get("spec", {}).get("revision"):
        return "no agent's pod runs on it"
    heard = _time((state.get("status") or {}).get("heartbeatTime"))
    if heard is not None and now - heard > HEARTBEAT:
        return f"its agent has said nothing since {conditions.rfc3339(heard)}"
    return ""


def _is_not_ready(node: Mapping[str, Any]) -> bool:
    return _condition(node, "Ready").get("status") == "False"


def _why_not_ready(name: str, node: Mapping[str, Any]) -> str:
    return f"its kubelet says that the Node is not Ready (kubectl describe node {name})" if _is_not_ready(node) else ""


def _back_since(node: Mapping[str, Any], pod: Mapping[str, Any] | None) -> datetime.datetime | None:
    marks = (_condition(node, "Ready").get("lastTransitionTime"), (pod or {}).get("started"))
    return max(filter(None, map(_time, marks)), default=None)


def _why(ready: Mapping[str, Any], degraded: Mapping[str, Any]) -> str:
    for condition, good in ((ready, "True"), (degraded, "False")):
        if condition and condition.get("status") != good:
            return str(condition.get("message") or condition.get("reason"))
    return ""


def rollout(installation: Mapping[str, Any]) -> RolloutStatus | None:
    """Return what is persisted of a roll-out; None where nothing is, or nothing that this version understands."""
    try:
        return RolloutStatus.model_validate((installation.get("status") or {}).get("rollout") or {})
    except pydantic.ValidationError as error:
        _LOG.warning("status.rollout of the Installation cannot be read and begins anew: %s", error)
        return None


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


def abandoned(states: Mapping[str, Mapping[str, Any]], known: Container[str], *, served: Container[str]) -> list[str]:
    """Return the nodes that are there, are not served any more, and have something of ours.

    Args:
        states: the NodeStates by name.
        known: the names of the Nodes that there are; of one that is gone nothing is left.
        served: the names of the selected ones.
    """
    return [
        name
        for name, state in states.items()
        if is_ours(state) and name in known and name not in served and not removals.leaving(name, state, away="").clean
    ]


def agents_ready(daemon_set: Mapping[str, Any] | None) -> int:
    """Return how many agents answer their probes."""
    return int(((daemon_set or {}).get("status") or {}).get("numberReady") or 0)


def _condition(item: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    for condition in (item.get("status") or {}).get("conditions") or []:
        if condition.get("type") == kind:
            found: Mapping[str, Any] = condition
            return found
    return {}


def _time(stamp: object) -> datetime.datetime | None:
    return datetime.datetime.fromisoformat(stamp) if isinstance(stamp, str) and stamp else None


def serving_nodes(states: Mapping[str, Mapping[str, Any]]) -> list[networkreports.Node]:
    """Return what each node has for its networks. A list of programs that is full may be cut: then it says nothing."""
    return [
        networkreports.Node(
            name=name,
            ready=_condition(state, "Ready").get("status") == "True",
            programs=frozenset(state["programs"]) if 0 < len(state["programs"]) < _MOST_PROGRAMS else None,
            missing_masters=frozenset(state["absent"]),
        )
        for name, state in states.items()
        if is_ours(state)
    ]
