"""Owns how the agent puts a file on its node: whole or not at all; refuses to write in place.

The temporary file lies in the folder of the target, because a rename across file systems is a copy, and because
container runtimes ignore what is created under its final name. Its name starts with a dot and ends in `.mooring-tmp`,
which no reader of a CNI folder matches (they take `.conf`, `.conflist` and `.json` only).
"""

from __future__ import annotations

import contextlib
import os
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SUFFIX = ".mooring-tmp"
# A file name holds 255 bytes at most; a longer target leaves less of its name in the temporary one.
_NAME_BYTES = 255 - len(SUFFIX) - len(".") - 1 - 16


def temporary_beside(path: Path) -> Path:
    """Return a name for a temporary file in the folder of `path` that no other writer has."""
    stem = os.fsdecode(os.fsencode(path.name)[:_NAME_BYTES])
    return path.with_name(f".{stem}.{secrets.token_hex(8)}{SUFFIX}")


def write_atomically(path: Path, data: bytes, *, mode: int, durable: bool = False) -> None:
    """Make `path` hold `data` with exactly `mode`, whatever was there; readers see the old or the new file.

    `durable` makes it outlive a power cut: the file and its folder are synced. Raises `OSError`; the old file then
    stands as it stood, unless the folder alone could not be synced: then the new one is seen, and a power cut may
    bring the old one back. Who must know writes again, whatever it reads.
    """
    temporary = temporary_beside(path)
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            write_all(descriptor, data)
            os.fchmod(descriptor, mode)  # not left to the umask
            if durable:
                sync_file(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def remove(path: Path, *, durable: bool = False) -> bool:
    """Remove `path` and return whether it was there. Raises `OSError`."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    if durable:
        sync_folder(path.parent)
    return True


def make_folder(path: Path, *, mode: int = 0o755) -> None:
    """Make `path` and what is missing above it, each with `mode`; an existing folder keeps the mode it has."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            folder.chmod(mode)
    if not path.is_dir():
        raise NotADirectoryError(f"{path} is not a folder")


def sync_file(descriptor: int) -> None:
    """Make the content of an open file outlive a power cut. Raises `OSError`."""
    os.fsync(descriptor)


def sync_folder(path: Path) -> None:
    """Make the entries of a folder outlive a power cut. Raises `OSError`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_temporary(name: str) -> bool:
    """Return whether `name` is one that `temporary_beside` gives."""
    return name.startswith(".") and name.endswith(SUFFIX)


def sweep(folder: Path, *, of: str = "") -> list[str]:
    """Remove the temporary files that a killed writer left in `folder`; return their names.

    Only for a folder whose one writer is the caller, or of the file `of` there whose one writer it is, and before it
    writes. A folder that does not exist has none.
    """
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if is_temporary(entry.name)]
            names = [name for name in names if not of or name.rsplit(".", 2)[0] == f".{of}"]
    except FileNotFoundError:
        return []
    return [name for name in sorted(names) if remove(folder / name)]


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data` to an open file. Raises `OSError`."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
