"""Owns how a program of a plugin set gets onto the node and off it again; refuses one with another checksum.

It lies beside its target under a temporary name of this module's own, for the agent's own plugin is written into the
same folder by somebody else, and is renamed when it is whole. What was there before can be kept in a folder of ours.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import secrets
import stat
from typing import TYPE_CHECKING, Literal

from mooring.node import files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

MODE = 0o755
_SUFFIX = ".mooring-set-tmp"
_BLOCK = 1 << 20


class MismatchError(Exception):
    """What was handed over is not what its name says; the text is a clause."""


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """What is at a path: `digest` is the SHA-256 of a file in hex, "" of anything else."""

    kind: Literal["nothing", "file", "link", "folder", "other"]
    digest: str = ""
    mode: int = 0

    @property
    def executable(self) -> bool:
        """Everybody may execute it, as the runtime needs it."""
        return self.mode & 0o111 == 0o111


class Digests:
    """Reads files only once: again where one of device, inode, size and times is another. Raises `OSError`."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, ...], str]] = {}

    def find(self, path: Path) -> Found:
        """Return what is at a path; a link is not followed."""
        try:
            status = path.lstat()
        except FileNotFoundError:
            self._known.pop(path, None)
            return Found("nothing")
        if stat.S_ISLNK(status.st_mode):
            return Found("link")
        if stat.S_ISDIR(status.st_mode):
            return Found("folder")
        if not stat.S_ISREG(status.st_mode):
            return Found("other")
        key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        known = self._known.get(path)
        if known is None or known[0] != key:
            known = (key, _sha256(path))
            self._known[path] = known
        return Found("file", known[1], stat.S_IMODE(status.st_mode))

    def forget(self, kept: Iterable[Path]) -> None:
        """Forget all but these."""
        wanted = set(kept)
        self._known = {path: known for path, known in self._known.items() if path in wanted}


def sweep(folder: Path) -> None:
    """Remove the temporary files that a killed agent left. Raises `OSError`."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.name.startswith(".") and entry.name.endswith(_SUFFIX)]
    for name in names:
        (folder / name).unlink(missing_ok=True)


def install(source: Path, target: Path, sha256: str) -> None:
    """Make `target` the program `source`, which has this checksum; it outlives a power cut.

    Raises `MismatchError`, and `OSError`, `FileNotFoundError` where `source` is not there; what was there then stands.
    """
    with source.open("rb", buffering=0) as reading, _replacing(target) as temporary:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            digest = hashlib.sha256()
            while block := reading.read(_BLOCK):
                digest.update(block)
                view = memoryview(block)
                while view:
                    view = view[os.write(descriptor, view) :]
            if digest.hexdigest() != sha256:
                raise MismatchError(f"it has the sha256 {digest.hexdigest()} and not {sha256}")
            os.fchmod(descriptor, MODE)
            files.sync_file(descriptor)
        finally:
            os.close(descriptor)


def set_aside(path: Path, kept: Path) -> None:
    """Keep a copy of the file or link at `path`, with its mode and times, as `kept`. Raises `OSError`."""
    files.make_folder(kept.parent, mode=0o700)
    _copy(path, kept)


def put_back(kept: Path, path: Path) -> bool:
    """Make `path` what was kept, and keep it no longer; say whether anything was. Raises `OSError`."""
    if not os.path.lexists(kept):
        return False
    _copy(kept, path)
    drop(kept)
    return True


def drop(kept: Path) -> None:
    """Keep it no longer; its folder goes with the last one. Raises `OSError`."""
    files.remove(kept, durable=kept.parent.is_dir())
    with contextlib.suppress(OSError):
        kept.parent.rmdir()


def _copy(source: Path, target: Path) -> None:
    with _replacing(target) as temporary:
        if source.is_symlink():
            temporary.symlink_to(source.readlink())
            return
        status = source.stat()
        with source.open("rb") as reading, temporary.open("xb") as writing:
            while block := reading.read(_BLOCK):
                writing.write(block)
            writing.flush()
            os.fchown(writing.fileno(), status.st_uid, status.st_gid)
            os.fchmod(writing.fileno(), stat.S_IMODE(status.st_mode))
            os.utime(writing.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
            files.sync_file(writing.fileno())


@contextlib.contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}{_SUFFIX}")
    try:
        yield temporary
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    files.sync_folder(target.parent)


def _sha256(path: Path) -> str:
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
