"""What of an object is ours: owns telling whether somebody changed a field that we apply, and only those.

Pure. Compared are the fields of what we apply, in what the API server made of it then and in what is there now, so
that neither its defaults nor what others added count. Refuses to know kinds: lists of named things are matched by name.
"""

from __future__ import annotations

from typing import Any

_KEYS = ("name", "mountPath", "uid", "containerPort")
# Maps that the API server takes as a whole: what somebody adds there changes what we said.
_ATOMIC = frozenset({"nodeSelector", "selector", "matchLabels"})


def projected(found: Any, shape: Any) -> Any:
    """Return of `found` what `shape` speaks about."""
    if isinstance(shape, dict) and isinstance(found, dict):
        return {
            key: found.get(key) if key in _ATOMIC else projected(found.get(key), value) for key, value in shape.items()
        }
    if isinstance(shape, list) and isinstance(found, list):
        key = _key(shape)
        if key is None:
            return found
        present = {each.get(key): each for each in found if isinstance(each, dict)}
        return [projected(present.get(each[key]), each) for each in shape]
    return found


def drifted(found: dict[str, Any], *, applied: dict[str, Any], desired: dict[str, Any]) -> bool:
    """Whether a field that `desired` names is not what it was when it was applied."""
    return bool(projected(found, desired) != projected(applied, desired))


def _key(shape: list[Any]) -> str | None:
    """Return the key by which the things in a list are told apart; None where it is one value as a whole."""
    for key in _KEYS:
        if shape and all(isinstance(each, dict) and key in each for each in shape):
            return key
    return None
