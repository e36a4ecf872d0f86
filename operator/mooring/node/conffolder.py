"""Owns the runtime's folder of confs as it lies on the node: what is in it, and our own; refuses to touch others'.

Files there belong to many programs, are rewritten in place by some, and may be anything: what cannot be read is told
as its reason, never raised.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import os
import stat
from typing import TYPE_CHECKING

from mooring.installing import chains, confs, multus
from mooring.node import files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

_MODE = 0o600
# No conf of a network is larger; a file that is would only cost memory.
_MOST_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class Folder:
    """What was found."""

    ours: dict[str, bytes]
    """The bytes of our files, by those of their names that are there."""
    texts: dict[str, str]
    """The texts of candidates."""
    inodes: dict[str, int]
    """The inode behind every name."""
    files: frozenset[str]
    """The names of what is no folder."""
    multus: tuple[str, ...] = ()
    """The files of Multus, by name: none of them is ours, whatever it is called."""


def look(folder: Path) -> Folder:
    """Read the folder as our agent does: with all names of ours, the candidates, and the files of Multus told apart.

    Raises `OSError` for the folder and for our files.
    """
    found = read(folder, ours=confs.FILES, candidates=confs.candidates)
    texts = {name: data.decode(errors="replace") for name, data in found.ours.items()} | found.texts
    texts |= {name: _text(folder / name) or "" for name in multus.FILES if name in found.files and name not in texts}
    theirs = tuple(sorted(name for name, text in texts.items() if multus.conf_type(text)))
    return dataclasses.replace(
        found,
        ours={name: data for name, data in found.ours.items() if name not in theirs},
        texts={name: text for name, text in found.texts.items() if name not in theirs},
        multus=theirs,
    )


def read(folder: Path, *, ours: Iterable[str], candidates: Callable[[Iterable[str]], list[str]]) -> Folder:
    """Read the folder; an unreadable candidate has an empty text. Raises `OSError` for the folder and for our files.

    Where something else than a file of at most a MiB has a name of ours, it holds nothing: it is replaced.
    """
    inodes, found = {}, set()
    with os.scandir(folder) as entries:
        for entry in entries:
            inodes[entry.name] = entry.inode()
            if not entry.is_dir(follow_symlinks=False):
                found.add(entry.name)
    texts = {}
    for name in candidates(inodes):
        text = _text(folder / name)
        if text is not None:
            texts[name] = text
    own = {}
    for name in ours:
        with contextlib.suppress(FileNotFoundError):
            own[name] = _own(folder / name)
    return Folder(ours=own, texts=texts, inodes=inodes, files=frozenset(found))


def _own(path: Path) -> bytes:
    """Return the bytes of our file; a pipe in its place would keep its reader waiting for ever."""
    try:
        return _bytes(path)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.EFBIG, errno.ELOOP, errno.ENXIO):
            return b""
        raise


def chain(folder: Path) -> chains.Folder:
    """Read the plugins that other programs put into the folder of a network; one that is not there is empty."""
    texts: dict[str, str] = {}
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return chains.EMPTY
    except OSError as error:
        return chains.Folder(problem=f"{folder.name}: {error.strerror}")
    for name in chains.candidates(names):
        path = folder / name
        try:
            texts[name] = content(path)
        except (OSError, UnicodeDecodeError) as error:
            if isinstance(error, FileNotFoundError) and not os.path.lexists(path):
                continue  # removed meanwhile
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            return chains.Folder(problem=f"{folder.name}/{name}: {reason}")
    return chains.Folder(texts)


def write(folder: Path, name: str, data: bytes) -> None:
    """Put our file there, outliving a power cut. Raises `OSError`."""
    files.write_atomically(folder / name, data, mode=_MODE, durable=True)


def remove(folder: Path, name: str) -> None:
    """Take a file of ours away, for good. Raises `OSError`."""
    files.remove(folder / name, durable=True)


def content(path: Path) -> str:
    """Return the text of a regular file; anything else could keep its reader waiting for ever. Raises `OSError`.

    Raises `UnicodeDecodeError` too.
    """
    return _bytes(path).decode()


def _bytes(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(_MOST_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(data) > _MOST_BYTES:
        raise OSError(errno.EFBIG, f"it is larger than {_MOST_BYTES} bytes", str(path))
    return data


def digest(data: bytes) -> str:
    """Return the hash of a file's bytes as the NodeState tells it: `sha256:…`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _text(path: Path) -> str | None:
    """Return the text of a file, "" where it is not one; None for what the runtime does not look at either."""
    try:
        if path.is_dir():
            return None
        return content(path)
    except FileNotFoundError:
        return None  # removed meanwhile
    except (OSError, UnicodeDecodeError):
        return ""
