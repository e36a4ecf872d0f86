"""Owns what the agent keeps of its node's pods, and by which names a runtime knows one; refuses to change a pod."""

from __future__ import annotations

from typing import Any

from mooring.installing import podconditions
from mooring.networks import annotations as asking
from mooring.networks import statuses

# How a static pod's mirror is told: the kubelet, and so the runtime, knows the pod by the hash of its file.
_HASH = "kubernetes.io/config.hash"
_MIRROR = "kubernetes.io/config.mirror"
_KEPT = (statuses.ANNOTATION, _HASH, _MIRROR)
_ASKING = (asking.NETWORKS, asking.DEFAULT_NETWORK)


def keep(item: dict[str, Any]) -> dict[str, Any]:
    """Keep of a pod what its status needs, and whether it is one that asks for networks.

    `runs`: its phase. `asks`: it names networks in an annotation and is not on its node's own network (`host`).
    `gated`: it waits for our condition. `mark`: status and reason of that condition, or None. `ends`: it is being
    deleted. `started`: between which moments its sandbox was made, as (startTime, a container's startedAt), both
    RFC 3339 or ""; only of running pods without a network-status.
    """
    metadata = item["metadata"]
    found = metadata.get("annotations") or {}
    spec, status = item.get("spec") or {}, item.get("status") or {}
    host, runs = spec.get("hostNetwork") is True, status.get("phase") == "Running"
    return {
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
            "annotations": {key: found[key] for key in _KEPT if key in found},
        },
        "runs": runs,
        "asks": not host and any(str(found.get(key) or "").strip() for key in _ASKING),
        "host": host,
        "gated": podconditions.gated(item),
        "mark": podconditions.found(item),
        "ends": bool(metadata.get("deletionTimestamp")),
        "started": _started(status) if runs and not host and statuses.ANNOTATION not in found else ("", ""),
    }


def _started(status: dict[str, Any]) -> tuple[str, str]:
    """Return two moments between which the pod's sandbox was made; a restarted container tells a later one."""
    listed = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    states = [(each.get("state") or {}).get("running") or {} for each in listed]
    moments = [str(state["startedAt"]) for state in states if state.get("startedAt")]
    return str(status.get("startTime") or ""), min(moments, default="")


def told(pod: dict[str, Any]) -> bool | None:
    """Return whether the condition on a pod is True; None where it has none."""
    return None if pod["mark"] is None else pod["mark"][0] == "True"


def identities(pod: dict[str, Any]) -> set[str]:
    """Return the UIDs by which the runtime may know a pod: for a mirror pod also the hash of the static pod's file."""
    metadata = pod["metadata"]
    found = metadata.get("annotations") or {}
    own = {metadata["uid"]}
    if _MIRROR in found and found.get(_HASH):
        own.add(found[_HASH])
    return own
