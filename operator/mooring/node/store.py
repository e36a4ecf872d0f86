"""Owns the programs that a node had and may need again, by their content; refuses to judge which of them is good.

`<stateDir>/programs/<sha256>/mooring`: a program is there whole or not at all, and is what its name says whenever it
is taken out. So the last good one can be put back without an image and without the API server.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from typing import TYPE_CHECKING

from mooring.node import files
from mooring.node.places import PLUGIN

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

_BLOCK = 1 << 20
_MODE = 0o755
_FOLDER_MODE = 0o700
_NAME = re.compile(r"[0-9a-f]{64}")


class Store:
    """The programs in a folder of the node, as the agent sees it. Every call blocks and raises `OSError`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, digest: str) -> Path:
        """Return where the program with this SHA-256 is, or would be."""
        return self._folder / digest / PLUGIN

    def holds(self, digest: str) -> bool:
        """Say whether the program is there and whole: all of it is read."""
        return sha256(self.path(digest)) == digest

    def listed(self) -> list[str]:
        """Return the hashes of what is there, the newest first, whole or not."""
        found = []
        with contextlib.suppress(FileNotFoundError), os.scandir(self._folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    if _NAME.fullmatch(entry.name):
                        found.append((self.path(entry.name).stat().st_mtime_ns, entry.name))
        return [name for _, name in sorted(found, reverse=True)]

    def put(self, source: Path, digest: str) -> None:
        """Take in a program, which outlives a power cut; nothing is done where it is there."""
        target = self.path(digest)
        if self.holds(digest):
            return
        files.make_folder(self._folder, mode=_FOLDER_MODE)
        files.make_folder(target.parent, mode=_FOLDER_MODE)
        files.sweep(target.parent)
        copied = copy(source, target)
        try:
            if copied.digest != digest:
                raise OSError(f"{source} changed while it was copied")
            copied.path.replace(target)
        except BaseException:
            copied.path.unlink(missing_ok=True)
            raise
        for folder in (target.parent, self._folder, self._folder.parent):
            files.sync_folder(folder)

    def keep(self, digests: Collection[str]) -> None:
        """Remove all other programs."""
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self._folder):  # noqa: PTH208  names alone
                if name not in digests:
                    shutil.rmtree(self._folder / name)


class Copy:
    """A program that was copied under a temporary name beside where it is to be, synced, and its SHA-256."""

    def __init__(self, path: Path, digest: str) -> None:
        self.path = path
        self.digest = digest


def copy(source: Path, target: Path) -> Copy:
    """Copy a program beside `target`, executable; what was written is read again. Raises `OSError`."""
    candidate = files.temporary_beside(target)
    wanted = hashlib.sha256()
    try:
        writing = os.open(candidate, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            with source.open("rb") as reading:
                while block := reading.read(_BLOCK):
                    wanted.update(block)
                    files.write_all(writing, block)
            os.fchmod(writing, _MODE)
            files.sync_file(writing)
        finally:
            os.close(writing)
        digest = sha256(candidate)
        if digest != wanted.hexdigest():
            raise OSError(f"{candidate} does not hold what {source} holds; is the disk full or failing?")
    except BaseException:
        candidate.unlink(missing_ok=True)
        raise
    return Copy(candidate, digest)


def sha256(path: Path) -> str | None:
    """Return the SHA-256 of a file in hex; None where there is no such file. Raises `OSError`."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        return None
