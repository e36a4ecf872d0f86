"""Owns the cache of NADs on disk: names, format and heartbeat (docs/contracts.md); refuses names that leave its folder.

The plugin reads these files on the pod's path, when neither the agent nor the API server may be there.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from mooring.node import files

if TYPE_CHECKING:
    from pathlib import Path

VERSION = 1
TTL_SECONDS = 30
HEARTBEAT = "heartbeat"
_MODE = 0o600
_FOLDER_MODE = 0o700
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


def path(folder: Path, key: str) -> Path:
    """Return the file of the NAD `namespace/name`; raises `ValueError` for what can be no such name."""
    namespace, _, name = key.partition("/")
    if not _NAMESPACE.fullmatch(namespace) or not _NAME.fullmatch(name) or len(name) > 253 - len(".json"):
        raise ValueError(f"{key!r} is not the name of a NetworkAttachmentDefinition")
    return folder / namespace / f"{name}.json"


def render(*, namespace: str, name: str, uid: str, resource_version: str, resource_name: str, config: str) -> bytes:
    """Return the bytes of a NAD's file."""
    document = {
        "version": VERSION,
        "namespace": namespace,
        "name": name,
        "uid": uid,
        "resourceVersion": resource_version,
        "resourceName": resource_name,
        "config": config,
    }
    return _dump(document)


def write(folder: Path, key: str, data: bytes) -> bool:
    """Make the NAD's file hold `data`, outliving a power cut; return whether it had to be written."""
    target = path(folder, key)
    try:
        if target.read_bytes() == data:
            return False
    except OSError:
        pass  # absent, or something that cannot be read: both are put right by writing
    files.make_folder(target.parent, mode=_FOLDER_MODE)
    files.write_atomically(target, data, mode=_MODE, durable=True)
    return True


def remove(folder: Path, key: str) -> None:
    """Remove the NAD's file, and its namespace's folder when it was the last in it."""
    target = path(folder, key)
    if files.remove(target, durable=True):
        try:
            target.parent.rmdir()
        except OSError:
            return  # others are in it
        files.sync_folder(folder)


def listed(folder: Path) -> set[str]:
    """Return `namespace/name` of each NAD that has a file."""
    return {f"{file.parent.name}/{file.name.removesuffix('.json')}" for file in folder.glob("*/*.json")}


def sweep(folder: Path) -> None:
    """Remove what a killed agent left half-written."""
    files.sweep(folder)
    for namespace in folder.glob("*/"):
        files.sweep(namespace)


def beat(folder: Path, *, boot: str, boottime: float) -> None:
    """Renew the heartbeat: from now on, and for 30 s, the cache is what the API server says."""
    document = {"version": VERSION, "bootID": boot, "boottime": round(boottime, 3), "ttlSeconds": TTL_SECONDS}
    # Not synced: after a power cut it is another boot, and the file says nothing any more.
    files.write_atomically(folder / HEARTBEAT, _dump(document), mode=_MODE)


def _dump(document: dict[str, object]) -> bytes:
    return (json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n").encode()
