"""Owns the cache of NADs on disk: names, format and heartbeat (docs/contracts.md); refuses names that leave its folder.

The plugin reads these files on the pod's path, when neither the agent nor the API server may be there.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from typing import TYPE_CHECKING, TypeAlias

from mooring.node import files

if TYPE_CHECKING:
    from pathlib import Path

VERSION = 1
TTL_SECONDS = 30
HEARTBEAT = "heartbeat"
_MODE = 0o600
_FOLDER_MODE = 0o700
Identity: TypeAlias = tuple[int, ...]
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


def make(folder: Path) -> None:
    """Make the cache's folder, which outlives a power cut. Raises `OSError`."""
    if not folder.is_dir():
        files.make_folder(folder.parent)
        files.make_folder(folder, mode=_FOLDER_MODE)
        files.sync_folder(folder.parent)


def identity(status: os.stat_result) -> Identity:
    """Return what is another one as soon as anybody does anything to a file."""
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mode,
        status.st_uid,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def read_right(folder: Path, key: str, data: bytes) -> Identity | None:
    """Return the identity of the NAD's file where it is ours alone to read and holds `data`, else None."""
    target = path(folder, key)
    if target.parent.is_symlink():
        return None
    try:
        # A fifo in its place must not hold us.
        descriptor = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None  # absent, or something that cannot be read: both are put right by writing
    try:
        # Before the content: what changes while it is read has another identity at the next comparison.
        status = os.fstat(descriptor)
        if status.st_mode != stat.S_IFREG | _MODE or status.st_size != len(data):
            return None
        rest = memoryview(data)
        while block := os.read(descriptor, len(rest) + 1):
            if rest[: len(block)] != block:
                return None
            rest = rest[len(block) :]
        return None if rest else identity(status)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def write(folder: Path, key: str, data: bytes) -> None:
    """Make the NAD's file hold `data`, outliving a power cut, its folder included. Raises `OSError`."""
    target = path(folder, key)
    if target.parent.is_symlink() or (target.parent.exists() and not target.parent.is_dir()):
        target.parent.unlink()  # in our way, in a folder that is ours
    files.make_folder(target.parent, mode=_FOLDER_MODE)
    files.write_atomically(target, data, mode=_MODE, durable=True)
    files.sync_folder(folder)


def remove(folder: Path, key: str, *, again: bool = False) -> None:
    """Remove the NAD's file, and its namespace's folder when it was the last in it; both outlive a power cut.

    `again`: it failed before, and what is gone already may come back after a power cut. Raises `OSError`.
    """
    target = path(folder, key)
    removed = files.remove(target)
    if not removed and not again:
        return
    try:
        target.parent.rmdir()
    except FileNotFoundError:
        pass  # by us before
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        files.sync_folder(target.parent)
    files.sync_folder(folder)


def beat(folder: Path, *, boot: str, boottime: float) -> None:
    """Renew the heartbeat: for 30 s from `boottime` the cache is what the API server says. Raises `OSError`."""
    document = {"version": VERSION, "bootID": boot, "boottime": round(boottime, 3), "ttlSeconds": TTL_SECONDS}
    # Not synced: after a power cut it is another boot, and the file says nothing any more.
    files.write_atomically(folder / HEARTBEAT, _dump(document), mode=_MODE)


def _dump(document: dict[str, object]) -> bytes:
    return (json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n").encode()
