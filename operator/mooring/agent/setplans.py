"""Owns what is to be done with one program of a plugin set, from what is on the node; pure.

Refuses to touch what is somebody else's: a file that is neither recorded as ours nor to be overwritten.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mooring.node.manifest import Entry
    from mooring.node.setfiles import Found

_OWNER = "pluginSet/"


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """One program of a set: where it is to be on the node, and where it comes from."""

    path: str
    """The node's own."""
    sha256: str
    plugin_set: str
    image: str
    overwrite: bool = False

    @property
    def name(self) -> str:
        """The program's."""
        return self.path.rpartition("/")[2]


class Step(enum.Enum):
    """What is to be done."""

    NOTHING = "it is right"
    INSTALL = "it is absent, or ours and another one"
    PUT_BACK = "it is ours, and somebody changed it"
    REPLACE = "it is somebody else's, and is to be overwritten"
    REFUSE = "it is somebody else's"
    REMOVE = "it is ours, and no longer wanted"
    FORGET = "it was ours, and is gone or somebody else's now"


def wanted(sets: Iterable[Mapping[str, Any]], *, folder: str) -> dict[str, Wanted]:
    """Return the programs of a revision's sets by path; raises `KeyError` and `TypeError` for what is no set."""
    found = [
        Wanted(
            path=f"{folder.rstrip('/')}/{binary['name']}",
            sha256=binary["sha256"],
            plugin_set=each["name"],
            image=each["image"],
            overwrite=each.get("overwrite", False),
        )
        for each in sets
        for binary in each["binaries"]
    ]
    return {each.path: each for each in found}


def step(each: Wanted, found: Found, entry: Entry | None) -> Step:
    """Return what is to be done with a program that is wanted; `entry` is what the manifest says of its path."""
    ours = entry is not None and entry.owner.startswith(_OWNER)
    if found.digest == each.sha256 and (found.executable or not ours):
        # Where it is not executable and not ours, somebody wants it so.
        return Step.NOTHING if found.executable else Step.REFUSE
    if found.kind == "nothing":
        return Step.INSTALL
    if found.kind in ("folder", "other"):
        return Step.REFUSE
    if ours:
        return Step.INSTALL if entry is not None and entry.wrote(found.digest) else Step.PUT_BACK
    return Step.REPLACE if each.overwrite else Step.REFUSE


def superfluous(entries: Mapping[str, Entry], wanted: Mapping[str, Wanted]) -> list[Entry]:
    """Return what the manifest has of plugin sets and no set has any more."""
    return [entry for path, entry in sorted(entries.items()) if entry.owner.startswith(_OWNER) and path not in wanted]


def end(entry: Entry, found: Found) -> Step:
    """Return what is to be done with a program that is no longer wanted."""
    return Step.REMOVE if found.kind == "file" and entry.wrote(found.digest) else Step.FORGET


def types(conf: object) -> set[str]:
    """Return the plugins that a configuration or list names, at whatever depth."""
    found: set[str] = set()
    rest = [conf]
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            if isinstance(value.get("type"), str):
                found.add(value["type"])
            rest += value.values()
        elif isinstance(value, list):
            rest += value
    return found


def why_not_handed_over(pods: Iterable[Mapping[str, Any]], *, node: str) -> str:
    """Return in a sentence why the pod that brings a set has not handed it over, by what the kubelet says of it."""
    listed = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    if not listed:
        return f"No pod that brings it runs on node {node} yet."
    said = []
    for pod in listed:
        status = pod.get("status") or {}
        name = f"{pod['metadata'].get('namespace', '')}/{pod['metadata']['name']}"
        for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
            for state in (container.get("state") or {}, container.get("lastState") or {}):
                for kind in ("waiting", "terminated"):
                    told = state.get(kind) or {}
                    text = ": ".join(filter(None, (told.get("reason"), (told.get("message") or "").strip())))
                    if told.get("message"):
                        said.append(f"{name}: {text}")
        if not said:
            said.append(f"{name} is {status.get('phase') or 'Pending'}")
    return f"{'; '.join(dict.fromkeys(said))[:600]}."
