"""Owns the list of the files that are ours on a node, outside of our own folders; refuses to claim what it only names.

`<stateDir>/manifest.json` says for each file its path on the node, the hash of what we wrote, and which part of us
wrote it. A file is ours while it holds what we wrote: who put something else in its place owns that. So a list that is
wrong, of an older day, or made up, deletes nobody's file.

A list that cannot be read is set aside for a person and begun anew. It is filled again by those who keep the files:
they record at every look what they find to be theirs to the byte.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import stat
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from mooring.node import files, places

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_LOG = logging.getLogger(__name__)

VERSION = 1
FILE = "manifest.json"
DAMAGED = "manifest.damaged.json"
#: Owner of what the agent itself needs; a set of further plugins is `plugin_set(name)`.
MOORING = "mooring"
_MODE = 0o600
_SHA256 = re.compile(r"[0-9a-f]{64}")
_OWNER = re.compile(r"mooring|pluginSet/[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_MOST_BYTES = 16 << 20
_MOST_BEFORE = 4
#: Manifests whose last change failed: what is there may not outlive a power cut, though it reads right.
_UNCERTAIN: set[Path] = set()


class DamagedError(ValueError):
    """A manifest that cannot be read; the text is a clause that says why."""


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A file of ours: its path on the node, the SHA-256 of what we wrote in hex, and who of us wrote it."""

    path: str
    sha256: str
    owner: str
    before: tuple[str, ...] = ()
    """What we wrote there before that, the newest first: who was cut off may have left any of it."""

    @property
    def proven(self) -> tuple[str, ...]:
        """The hashes of all that we wrote there, the newest first: a program is recorded once it has proven itself."""
        return (self.sha256, *self.before)

    def wrote(self, digest: str | None) -> bool:
        """Say whether a file with this hash is one that we wrote; None stands for no file."""
        return digest == self.sha256 or digest in self.before


def plugin_set(name: str) -> str:
    """Return the owner of the files of a set of further plugins."""
    return f"pluginSet/{name}"


def folders(host_root: Path, *, state_dir: str) -> list[Path]:
    """Return the state folders that have a manifest, as the agent sees them: that needs no revision. It blocks.

    `state_dir` is the node's own path of the one that the agent was started with; another one is the default.
    """
    found = {places.follow(host_root, path) for path in (places.STATE, state_dir)}
    return sorted(folder for folder in found if (folder / FILE).is_file())


def parse(data: bytes) -> dict[str, Entry]:
    """Return the entries by path; raises `DamagedError` where any of it cannot be relied on."""
    try:
        document = json.loads(data)
        if document["version"] != VERSION:
            raise DamagedError(f"it has version {document['version']!r}, and this agent reads {VERSION}")
        entries = [_entry(each) for each in document["files"]]
    except DamagedError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedError(f"{type(error).__name__}: {error}") from error
    return {entry.path: entry for entry in entries}


def render(entries: Iterable[Entry]) -> bytes:
    """Return the bytes of a manifest; raises `DamagedError` for an entry that `parse` would not take."""
    listed = []
    for entry in sorted(entries, key=lambda each: each.path):
        item: dict[str, Any] = {"path": entry.path, "sha256": entry.sha256, "owner": entry.owner}
        if entry.before:
            item["before"] = list(entry.before)
        _entry(item)
        listed.append(item)
    return (json.dumps({"version": VERSION, "files": listed}, indent=1) + "\n").encode()


def recorded(entries: Mapping[str, Entry], path: str, sha256: str, owner: str) -> dict[str, Entry]:
    """Return the entries with a file of ours among them; what its owner wrote there before is remembered."""
    last = entries.get(path)
    before: tuple[str, ...] = ()
    if last is not None and last.owner == owner:
        before = last.before
        if last.sha256 != sha256:
            before = tuple(each for each in (last.sha256, *last.before) if each != sha256)[:_MOST_BEFORE]
    return {**entries, path: Entry(path, sha256, owner, before)}


class Manifest:
    """The manifest in a folder of the node, as the agent sees it. Every call blocks, and any thread may make it.

    Of what it says nothing is held in memory: who looks sees what is on the disk. All raise `OSError`.
    """

    def __init__(self, folder: Path) -> None:
        """`folder` is the state folder, which exists."""
        self._folder = folder

    @property
    def path(self) -> Path:
        """The file."""
        return self._folder / FILE

    def owned(self) -> dict[str, Entry]:
        """Return what is recorded, by path on the node; nothing where the manifest is not there or is damaged."""
        try:
            return self._read()
        except DamagedError as error:
            _LOG.warning("the manifest %s is damaged and says nothing: %s", self.path, error)
            return {}

    def record(self, path: str, sha256: str, owner: str) -> None:
        """Note, before it is written, that the file at a path of the node is ours. It outlives a power cut.

        Raises `ValueError` for what can be no entry.
        """
        with self._locked():
            entries = self._read_or_set_aside()
            changed = recorded(entries, path, sha256, owner)
            data = render(changed.values())
            if changed != entries or self.path in _UNCERTAIN:
                self._write(data)

    def forget(self, path: str) -> None:
        """Note, after it is gone, that there is no file of ours at a path of the node."""
        with self._locked():
            entries = self._read_or_set_aside()
            if entries.pop(path, None) is not None or self.path in _UNCERTAIN:
                self._write(render(entries.values()))

    def remove(self) -> None:
        """Take the manifest away: nothing is ours any more."""
        with self._locked():
            files.remove(self.path, durable=True)

    def _write(self, data: bytes) -> None:
        _UNCERTAIN.add(self.path)
        files.sweep(self._folder, of=FILE)
        files.write_atomically(self.path, data, mode=_MODE, durable=True)
        _UNCERTAIN.discard(self.path)

    def _read(self) -> dict[str, Entry]:
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return {}
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise DamagedError("it is a link") from error
            raise
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise DamagedError("it is not a regular file")
            return parse(file.read(_MOST_BYTES))

    def _read_or_set_aside(self) -> dict[str, Entry]:
        try:
            return self._read()
        except DamagedError as error:
            _LOG.warning("the manifest %s is damaged and is begun anew, see %s: %s", self.path, DAMAGED, error)
            self.path.replace(self.path.with_name(DAMAGED))
            return {}

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def digest(data: bytes) -> str:
    """Return the hash of a file's bytes as an entry has it."""
    return hashlib.sha256(data).hexdigest()


def _entry(item: dict[str, Any]) -> Entry:
    entry = Entry(item["path"], item["sha256"], item["owner"], tuple(item.get("before", ())))
    path = PurePosixPath(entry.path)
    if not path.is_absolute() or str(path) != entry.path or ".." in path.parts or "\0" in entry.path:
        raise DamagedError(f"{entry.path!r} is no absolute path of a file")
    if not all(_SHA256.fullmatch(each) for each in (entry.sha256, *entry.before)):
        raise DamagedError(f"the hash of {entry.path} is no SHA-256 in hex")
    if not _OWNER.fullmatch(entry.owner):
        raise DamagedError(f"{entry.path} has the owner {entry.owner!r}, which is none of ours")
    return entry
