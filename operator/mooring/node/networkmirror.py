"""Owns that the cache of NADs on disk is what is wanted, file by file; refuses to take a file for right unread.

A file that was read and found right is known by its inode, size, mode and times: while these stay as they were it is
not read again until `forget`. So a comparison of everything costs one `stat` for each file, and misses nothing that
anybody does to one.
"""

from __future__ import annotations

import dataclasses
import os
import stat
from typing import TYPE_CHECKING, Any

from mooring.node import files, networkfiles

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


@dataclasses.dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison found. The files in `failed` are not as they should be; all others are."""

    damaged: tuple[str, ...]
    """Files that were right before, were not now, and are again."""
    foreign: tuple[str, ...]
    """What cannot be of a NAD and was left alone."""
    failed: dict[str, OSError]
    heartbeat: float | None
    """The boot time in the heartbeat; None where it is not the one that `beat` wrote."""


class Mirror:
    """One folder of NADs, of which its user is the only writer. One call at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, tuple[object, networkfiles.Identity]] = {}
        # What failed may be on disk and yet not outlive a power cut: it is done again even where it reads right.
        self._uncertain: set[str] = set()
        self._heartbeat: tuple[float, networkfiles.Identity] | None = None

    def forget(self) -> None:
        """Read every file at the next comparison."""
        self._known.clear()

    def align(self, wanted: Mapping[str, Any], render: Callable[[Any], bytes]) -> Compared:
        """Make the folder hold exactly the files of `wanted`, by `namespace/name`.

        Values are compared by identity: one that changed is another object. Raises `OSError` where the folder itself
        cannot be made or read.
        """
        networkfiles.make(self.folder)
        found, heartbeat = self._scan()
        damaged: list[str] = []
        foreign: list[str] = []
        failed: dict[str, OSError] = {}
        for key in sorted(self._known.keys() - wanted.keys()):
            del self._known[key]
        for key in sorted((found.keys() | self._uncertain) - wanted.keys()):
            try:
                networkfiles.remove(self.folder, key, again=key in self._uncertain)
                self._uncertain.discard(key)
            except ValueError:
                foreign.append(key)
            except OSError as error:
                self._fail(failed, key, error)
        for key, value in wanted.items():
            known = self._known.get(key)
            same = known is not None and known[0] is value
            if known is not None and same and known[1] == found.get(key) and key not in self._uncertain:
                continue
            try:
                self._put(key, value, render(value))
            except ValueError:
                foreign.append(key)
            except OSError as error:
                self._fail(failed, key, error)
            else:
                if same and key not in self._uncertain:
                    damaged.append(key)
                self._uncertain.discard(key)
        intact = self._heartbeat is not None and self._heartbeat[1] == heartbeat
        return Compared(
            damaged=tuple(damaged),
            foreign=tuple(foreign),
            failed=failed,
            heartbeat=self._heartbeat[0] if self._heartbeat is not None and intact else None,
        )

    def beat(self, *, boot: str, boottime: float) -> None:
        """Renew the heartbeat: what is on disk is what the API server said at that moment. Raises `OSError`."""
        networkfiles.beat(self.folder, boot=boot, boottime=boottime)
        self._heartbeat = boottime, networkfiles.identity(os.lstat(self.folder / networkfiles.HEARTBEAT))

    def withdraw(self) -> None:
        """Take the heartbeat away: the cache is not to be trusted. Raises `OSError`."""
        files.remove(self.folder / networkfiles.HEARTBEAT)
        self._heartbeat = None

    def _put(self, key: str, value: object, data: bytes) -> None:
        self._known.pop(key, None)
        right = None if key in self._uncertain else networkfiles.read_right(self.folder, key, data)
        if right is None:
            networkfiles.write(self.folder, key, data)
            right = networkfiles.read_right(self.folder, key, data)
            if right is None:
                raise OSError("it was written, and what is there is something else")
        self._known[key] = value, right

    def _fail(self, failed: dict[str, OSError], key: str, error: OSError) -> None:
        failed[key] = error
        self._uncertain.add(key)

    def _scan(self) -> tuple[dict[str, networkfiles.Identity], networkfiles.Identity | None]:
        """Return each NAD's file and the heartbeat as they are; what a killed writer left is removed."""
        found: dict[str, networkfiles.Identity] = {}
        heartbeat = None
        for name, status in _entries(self.folder):
            if stat.S_ISDIR(status.st_mode):
                for file, inner in _entries(self.folder / name):
                    if file.endswith(".json") and not stat.S_ISDIR(inner.st_mode):
                        found[f"{name}/{file.removesuffix('.json')}"] = networkfiles.identity(inner)
            elif name == networkfiles.HEARTBEAT:
                heartbeat = networkfiles.identity(status)
        return found, heartbeat


def _entries(folder: Path) -> list[tuple[str, os.stat_result]]:
    """Return what is in a folder; one that is gone meanwhile is empty."""
    listed = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    if files.is_temporary(entry.name):
                        files.remove(folder / entry.name)
                    else:
                        listed.append((entry.name, entry.stat(follow_symlinks=False)))
                except FileNotFoundError:
                    continue
    except FileNotFoundError:
        return []
    return listed
