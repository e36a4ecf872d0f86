"""Owns what is known of the programs in the folder of CNI plugins: hash and version, read from the files alone.

Nothing is executed to ask it for its version: it may be anybody's. A program of Go says in itself from which module it
was made; of others the version stays unknown. A file is read again only where its inode, size or times changed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

#: Of more programs the first by name are told.
MOST = 100
_BLOCK = 1 << 20
_MAGIC = b"\xff Go buildinf:"
_HEADER = 32
# The flag that says that both texts follow the header; Go 1.18 and later set it.
_INLINE = 2
_MOST_INFO = 64 << 10
# Before and after the list of modules.
_SENTINEL = 16
_FLAGGED = re.compile(r"[vV]ersion=([\w.+-]+)")
_MODULE = re.compile(r"^mod\t\S+\t(v[^\t\n]+)", re.MULTILINE)
_LINKED = re.compile(r"^build\t-ldflags=(.*)$", re.MULTILINE)
_MOST_VERSION = 64


@dataclasses.dataclass(frozen=True, slots=True)
class Plugin:
    """A program: its name in the folder, the SHA-256 of its content, and its version, "" where it does not say one."""

    name: str
    sha256: str
    version: str


class Plugins:
    """The programs of one folder. One call at a time."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[tuple[int, ...], Plugin]] = {}

    def look(self, folder: Path) -> tuple[Plugin, ...]:
        """Return the programs in the folder by name, at most `MOST`. It blocks. Raises `OSError` for the folder."""
        found: dict[str, tuple[tuple[int, ...], Plugin]] = {}
        for name in sorted(os.listdir(folder)):  # noqa: PTH208  names are all that is wanted
            if name.startswith(".") or len(found) == MOST:
                continue
            try:
                status = (folder / name).stat()
                if not stat.S_ISREG(status.st_mode) or not status.st_mode & 0o111:
                    continue
                identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
                known = self._known.get(name)
                found[name] = known if known and known[0] == identity else (identity, read(folder / name))
            except OSError:
                continue  # gone meanwhile, or a link that leads out of what we see
        self._known = found
        return tuple(program for _, program in found.values())


def read(path: Path) -> Plugin:
    """Read a program. Raises `OSError`."""
    digest, info, tail = hashlib.sha256(), b"", b""
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            if not info:
                info = _found(file.fileno(), file.tell() - len(block) - len(tail), tail + block)
                tail = block[-_HEADER:]
    return Plugin(path.name, digest.hexdigest(), version(info))


def version(info: bytes) -> str:
    """Return the version in what a program of Go says of itself; "" where there is none.

    What its makers told the linker comes first, as the reference plugins' own releases do; then that of its module.
    """
    parts = info[_HEADER:]
    _, rest = _text(parts)  # the version of Go
    modules, _ = _text(rest)
    text = modules[_SENTINEL:-_SENTINEL].decode(errors="replace")
    linked = _LINKED.search(text)
    match = (_FLAGGED.search(linked[1]) if linked else None) or _MODULE.search(text)
    return match[1][:_MOST_VERSION] if match else ""


def _found(descriptor: int, start: int, data: bytes) -> bytes:
    """Return what begins with the mark in these bytes of a file, which begin at `start`; b"" for nothing."""
    at = data.find(_MAGIC)
    while at >= 0:
        flags = at + len(_MAGIC) + 1
        if flags < len(data) and data[flags] & _INLINE:
            return os.pread(descriptor, _MOST_INFO, start + at)
        at = data.find(_MAGIC, at + 1)
    return b""


def _text(data: bytes) -> tuple[bytes, bytes]:
    """Return the text at the beginning, which its length precedes as Go writes numbers, and what follows it."""
    length = shift = 0
    for position, byte in enumerate(data[:5]):
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            begin = position + 1
            return data[begin : begin + length], data[begin + length :]
    return b"", b""
