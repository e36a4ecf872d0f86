"""Owns the search for files that tell of sandboxes which the runtime does not list; refuses to judge and to remove.

Fifty thousand stale files must stall nothing: folders are streamed, a search returns a bounded number in the order of
names and goes on behind the last one, and only what it returns is opened. All of it blocks: run it in a thread.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import heapq
import ipaddress
import json
import os
import re
import stat
import time
from typing import TYPE_CHECKING

from mooring.node import clocks, journals

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

# What runtimes of Kubernetes call their sandboxes.
SANDBOX_ID = re.compile(r"[0-9a-f]{64}")
_IN_NAME = re.compile(r"-(?P<container>[0-9a-f]{64})-(?P<interface>[^/]+)")
_MOST_BYTES = 4 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class Clock:
    """One moment by the wall clock, which files have, and by `CLOCK_BOOTTIME`, with the boot that it belongs to."""

    wall: float
    boottime: float
    boot: str

    @classmethod
    def now(cls, boot: str) -> Clock:
        """Read the clocks of this boot."""
        return cls(wall=time.time(), boottime=clocks.boottime(), boot=boot)

    def when(self, changed: float) -> float | None:
        """Return a file's time as a boot time; None for an earlier boot. What lies in the future is now."""
        age = max(0.0, self.wall - changed)
        return None if age > self.boottime else self.boottime - age


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """What one sandbox's file says, as much as it takes to judge and to undo it."""

    name: str
    container: str
    interface: str
    changed: float | None
    ending: bool = False
    pod: str = ""
    """`namespace/name`, or ""."""
    netns: str = ""
    arguments: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Search:
    """What was found: at most as many as were asked for, and the name behind which to go on."""

    found: tuple[Found, ...]
    behind: str
    """"" where the search has reached the end of the folder."""
    total: int
    """How many there are in the whole folder."""


def unlisted(folder: Path, *, listed: Collection[str], behind: str, most: int, clock: Clock) -> Search:
    """Find journals of sandboxes that are not listed. Raises `OSError` for the folder."""
    total = 0

    def names() -> Iterator[str]:
        nonlocal total
        for name in _names(folder):
            if not journals.is_journal(name) or journals.sandbox(name)[0] in listed:
                continue
            total += 1
            if name > behind:
                yield name

    chosen = heapq.nsmallest(most, names())
    found = [journal for name in chosen if (journal := _journal(folder, name, clock)) is not None]
    return Search(tuple(found), chosen[-1] if len(chosen) == most else "", total)


def locked(path: Path) -> bool:
    """Say whether a call holds the lock of a journal. Only for old ones: who makes a journal expects it to be free."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def orphaned_results(
    folder: Path, *, network: str, listed: Collection[str], known: Collection[Path], most: int, clock: Clock
) -> list[Found]:
    """Find sandboxes of which only results in libcni's cache tell; raises `OSError`.

    `network` limits them to those of one configuration, where it is not "". `known` are folders of which a file with
    the container's id in its name says that more is known of it.
    """
    found: dict[str, Found] = {}
    for name in _names(folder):
        match = _IN_NAME.search(name)
        if name.startswith(".") or match is None or match["container"] in listed:
            continue
        if (network and match.start() != len(network)) or not name.startswith(network):
            continue
        container = match["container"]
        if container not in found and len(found) >= most:
            continue
        try:
            changed = clock.when((folder / name).lstat().st_ctime)
        except FileNotFoundError:
            continue
        interface, netns, pod = _said(folder / name)
        if network:
            interface = match["interface"]
        before = found.get(container)
        if before is not None:
            changed = None if changed is None or before.changed is None else max(changed, before.changed)
            interface, netns, pod = interface or before.interface, netns or before.netns, pod or before.pod
        found[container] = Found(name, container, interface, changed, pod=pod, netns=netns)
    for each in _known(known, set(found)):
        found.pop(each)
    return [dataclasses.replace(each, interface=each.interface or "eth0") for each in found.values()]


@dataclasses.dataclass(frozen=True, slots=True)
class Lease:
    """An address that host-local has given to a container."""

    path: Path
    container: str
    changed: float | None


def orphaned_leases(
    folders: Collection[Path], *, listed: Collection[str], known: Collection[Path], most: int, clock: Clock
) -> list[Lease]:
    """Find leases of sandboxes of which nothing else tells; folders that are not there have none."""
    leases: list[Lease] = []
    for folder in sorted(folders):
        for name in _names(folder):
            if len(leases) >= most:
                break
            container = _holder(folder / name) if _is_address(name) else ""
            if not SANDBOX_ID.fullmatch(container) or container in listed:
                continue
            with contextlib.suppress(FileNotFoundError):
                leases.append(Lease(folder / name, container, clock.when((folder / name).lstat().st_ctime)))
    told = _known(known, {lease.container for lease in leases})
    return [lease for lease in leases if lease.container not in told]


def release(lease: Lease) -> bool:
    """Remove a lease under host-local's own lock; False where it is another's by now, or host-local works."""
    descriptor = os.open(lease.path.parent / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _holder(lease.path) != lease.container:
            return False
        lease.path.unlink()
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _journal(folder: Path, name: str, clock: Clock) -> Found | None:
    container, interface = journals.sandbox(name)
    path = folder / name
    try:
        changed = clock.when(path.stat().st_ctime)
        journal = journals.read(path)
    except FileNotFoundError:
        return None
    if journal is None:
        return None
    # The time of a file of this boot may seem to lie before it: the clock was put right meanwhile.
    changed = (changed or 0.0) if journal.boot == clock.boot or not journal.boot else None
    return Found(
        name=name,
        container=container,
        interface=interface,
        changed=changed,
        ending=journal.ending,
        pod="/".join(filter(None, (journal.namespace, journal.pod))),
        netns=journal.netns,
        arguments=journal.arguments,
    )


def _names(folder: Path) -> Iterator[str]:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            yield entry.name


def _known(folders: Collection[Path], containers: set[str]) -> set[str]:
    """Return those containers that a file's name in one of the folders tells of."""
    told: set[str] = set()
    for folder in folders:
        for name in _names(folder):
            told.update(each for each in SANDBOX_ID.findall(name) if each in containers)
    return told


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _holder(path: Path) -> str:
    """Return the container that a lease names: its first line."""
    try:
        return _content(path, 512).decode(errors="replace").partition("\n")[0].strip()
    except OSError:
        return ""


def _content(path: Path, most: int) -> bytes:
    """Return the beginning of a regular file that is no link; anything else may keep its reader waiting for ever."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        return file.read(most)


def _said(path: Path) -> tuple[str, str, str]:
    """Return what an entry of the cache says: a default network's interface, the network namespace, the pod."""
    try:
        entry = json.loads(_content(path, _MOST_BYTES))
        own = entry.get("mooring") or {}
        interface = entry["ifName"] if own.get("default") is True else ""
        arguments = dict(entry.get("cniArgs") or [])
        pod = [str(arguments.get(f"K8S_POD_{part}") or "") for part in ("NAMESPACE", "NAME")]
        return str(interface), str(entry.get("netns") or ""), "/".join(filter(None, pod))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "", "", ""
