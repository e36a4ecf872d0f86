"""Owns the runtime's folder of confs as it lies on the node: what is in it, and our one file; refuses to touch others'.

Files there belong to many programs, are rewritten in place by some, and may be anything: what cannot be read is told
as its reason, never raised.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from typing import TYPE_CHECKING

from mooring.node import files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

_MODE = 0o600
# No conf of a network is larger; a file that is would only cost memory.
_MOST_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class Folder:
    """What was found: our file's bytes (None: absent), the texts of candidates, and the inode behind every name."""

    ours: bytes | None
    texts: dict[str, str]
    inodes: dict[str, int]


def read(folder: Path, *, ours: str, candidates: Callable[[Iterable[str]], list[str]]) -> Folder:
    """Read the folder; an unreadable candidate has an empty text. Raises `OSError` for the folder and for our file."""
    with os.scandir(folder) as entries:
        inodes = {entry.name: entry.inode() for entry in entries}
    texts = {}
    for name in candidates(inodes):
        text = _text(folder / name)
        if text is not None:
            texts[name] = text
    try:
        own: bytes | None = (folder / ours).read_bytes()
    except FileNotFoundError:
        own = None
    return Folder(ours=own, texts=texts, inodes=inodes)


def write(folder: Path, name: str, data: bytes) -> None:
    """Put our file there, outliving a power cut. Raises `OSError`."""
    files.write_atomically(folder / name, data, mode=_MODE, durable=True)


def digest(data: bytes) -> str:
    """Return the hash of a file's bytes as the NodeState tells it: `sha256:…`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _text(path: Path) -> str | None:
    """Return the text of a file, "" where it is not one; None for what the runtime does not look at either."""
    try:
        if path.is_dir():
            return None
        with path.open("rb") as file:
            return file.read(_MOST_BYTES).decode()
    except FileNotFoundError:
        return None  # removed meanwhile
    except (OSError, UnicodeDecodeError):
        return ""
