"""The condition `mooring.dev/NetworksAttached` of pods: owns its name, its reasons, and the patch that sets it.

True: the pod has every network that it asked for, and its network-status says which. False: it runs without them. It
stands on pods that ask for networks, and on those that name it as a readiness gate; on others nobody would read it.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

from mooring.installing import conditions

if TYPE_CHECKING:
    import datetime

CONDITION = "mooring.dev/NetworksAttached"
#: The longest message that we write; an event holds 1,024 bytes.
MOST_BYTES = 1000


class Reason(enum.StrEnum):
    """Why the condition is what it is: the first three with True, the others with False."""

    ATTACHED = "Attached"
    NONE_ASKED = "NoneAsked"
    HOST_NETWORK = "HostNetwork"
    OLDER = "OlderThanMooring"
    RIVAL = "RivalConf"
    NOT_LOADED = "RuntimeHadNotLoadedUs"
    CONF_AWAY = "ConfWasAway"
    UNKNOWN = "CauseUnknown"


MESSAGES = {
    Reason.ATTACHED: "The pod has every network that it asks for; its network-status says which",
    Reason.NONE_ASKED: "The pod asks for no network beside the default one",
    Reason.HOST_NETWORK: "The pod is on its node's own network",
}
#: With these reasons the condition is True.
GOOD = frozenset(MESSAGES)


def condition(reason: Reason, message: str = "", *, now: datetime.datetime) -> dict[str, str]:
    """Return the condition for a reason; `message` is needed only where the reason does not say all."""
    return {
        "type": CONDITION,
        "status": "True" if reason in GOOD else "False",
        "reason": str(reason),
        "message": message or MESSAGES[reason],
        "lastTransitionTime": conditions.rfc3339(now),
    }


def removal() -> dict[str, str]:
    """Return what takes the condition away, in the place of one."""
    return {"type": CONDITION, "$patch": "delete"}


def found(item: dict[str, Any]) -> tuple[str, ...] | None:
    """Return status and reason of the condition on a pod, and the message where it is False; None where it has none."""
    for each in (item.get("status") or {}).get("conditions") or []:
        if each.get("type") == CONDITION:
            kept = ("status", "reason", "message")[: 3 if each.get("status") == "False" else 2]
            return tuple(str(each.get(name) or "") for name in kept)
    return None


def gated(item: dict[str, Any]) -> bool:
    """Say whether a pod waits for the condition before it is Ready."""
    gates = (item.get("spec") or {}).get("readinessGates") or []
    return any(each.get("conditionType") == CONDITION for each in gates)


def patch(uid: str, *, annotations: dict[str, str] | None = None, set_to: dict[str, str] | None = None) -> Any:
    """Return a strategic merge patch of `pods/status`: annotations, and the condition or its `removal`.

    In that form of a patch a list of conditions is merged by type, so the kubelet's are out of reach, and annotation
    and condition go in one request. With the UID it fits one pod alone, not the next one of its name.
    """
    body: dict[str, Any] = {"metadata": {"uid": uid}}
    if annotations is not None:
        body["metadata"]["annotations"] = annotations
    if set_to is not None:
        body["status"] = {"conditions": [set_to]}
    return body
