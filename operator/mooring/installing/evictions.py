"""Owns which pods may be evicted because they run without their networks; refuses all that nobody would make again.

The agent of a node only marks such a pod. What it says in its NodeState is checked with the pod itself, whose node,
owner and condition no agent of another node can change.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from mooring.installing import podconditions

if TYPE_CHECKING:
    from collections.abc import Mapping

# Not Job: an evicted pod counts as failed, and a Job makes only so many anew. Not kinds that we do not know: whether
# they make a pod anew, and what else they do, is theirs.
MAKERS = frozenset(
    {("apps", "ReplicaSet"), ("apps", "StatefulSet"), ("apps", "DaemonSet"), ("", "ReplicationController")}
)


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """A pod that runs without its networks by what the NodeState of a node says."""

    node: str
    namespace: str
    name: str
    uid: str


def candidates(states: Mapping[str, Mapping[str, Any]]) -> list[Candidate]:
    """Return the pods that the NodeStates name, of nodes that are Ready: made anew there they get their networks."""
    found = []
    for node in sorted(states):
        status = states[node].get("status") or {}
        listed = (status.get("podsWithoutNetworks") or {}).get("pods") or []
        if listed and _is_ready(status):
            found += [
                Candidate(node=node, namespace=each["namespace"], name=each["name"], uid=each["uid"]) for each in listed
            ]
    return found


def _is_ready(status: Mapping[str, Any]) -> bool:
    conditions = status.get("conditions") or []
    return any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)


def maker(pod: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the owner that makes a pod anew, where it has one that surely does."""
    for owner in pod["metadata"].get("ownerReferences") or []:
        group, _, version = owner["apiVersion"].partition("/")
        if owner.get("controller") and ((group if version else ""), owner["kind"]) in MAKERS:
            found: dict[str, Any] = owner
            return found
    return None


def refusal(pod: Mapping[str, Any], candidate: Candidate) -> str:
    """Return in a few words why a pod is not to be evicted; "" where it is."""
    if pod["metadata"]["uid"] != candidate.uid:
        return "it is another pod by now"
    if (pod.get("spec") or {}).get("nodeName") != candidate.node:
        return "it is not on that node"
    if pod["metadata"].get("deletionTimestamp"):
        return "it is ending"
    mark = podconditions.found(dict(pod))
    if mark is None or mark[0] != "False":
        return "it is not marked as one that lacks its networks"
    if maker(pod) is None:
        return "no controller makes it anew"
    return ""


def eviction(candidate: Candidate) -> dict[str, Any]:
    """Return the body of a request for the eviction of that very pod; disruption budgets are kept by the API server."""
    return {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": candidate.name, "namespace": candidate.namespace},
        "deleteOptions": {"preconditions": {"uid": candidate.uid}},
    }
