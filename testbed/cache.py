"""What is built once and kept outside the checkout.

Owns the cache folder's place, the keys (content, never time), and publishing: an entry appears
complete or not at all, and two processes that want the same one build it once. Refuses to
delete: `rm -rf` of the folder is always safe while no cluster runs.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def root() -> Path:
    """Return the cache folder: MOORING_TESTBED_CACHE, else a folder in the user's cache."""
    chosen = os.environ.get("MOORING_TESTBED_CACHE")
    if chosen:
        return Path(chosen).absolute()
    caches = os.environ.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else Path.home() / ".cache") / "mooring-testbed"


def key(*parts: str | bytes) -> str:
    """Return 16 hex digits that stand for these parts in this order."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()[:16]


def files_key(top: Path, names: list[Path]) -> str:
    """Return a key for files (paths below `top`): their names, whether they run, their bytes."""
    parts: list[str | bytes] = []
    for name in sorted(names):
        path = top / name
        parts.append(str(name))
        if path.is_symlink():
            parts.append(f"link to {path.readlink()}")
        else:
            parts.append("runs" if path.stat().st_mode & 0o100 else "plain")
            parts.append(path.read_bytes())
    return key(*parts)


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the lock of this name against every other process that uses the cache."""
    folder = root() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def published(kind: str, entry: str, make: Callable[[Path], None]) -> Path:
    """Return the folder `kind/entry`, made by `make(folder)` if it is not there yet.

    Whatever `make` raises passes through, and leaves no entry behind.
    """
    final = root() / kind / entry
    if final.is_dir():
        return final
    with locked(f"{kind}-{entry}"):
        if final.is_dir():
            return final
        final.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{entry}.", dir=final.parent))
        try:
            scratch.chmod(0o755)
            make(scratch)
            scratch.rename(final)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return final
