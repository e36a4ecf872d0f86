"""Owns how a plugin binary gets onto the node: proven first, then renamed over the old one; refuses to copy onto it.

A running program cannot be written to ("text file busy"), and a broken one in the place of a good one takes the node
out of service. So the candidate lies beside it under a temporary name, proves itself there, and only then is renamed.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mooring.node import files, store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


def is_executable(path: Path) -> bool:
    """Say whether there is a file that somebody may execute; a link that leads out of the agent's view counts too.

    Nodes link plugins to places that are not mounted here (k3s: into its data folder), and refusing these would
    refuse a node that works.
    """
    try:
        return bool(path.stat().st_mode & 0o111) and path.is_file()
    except FileNotFoundError:
        return path.is_symlink()
    except OSError:
        return False


async def install(
    source: Path, target: Path, *, prove: Callable[[Path], Awaitable[None]], record: Callable[[str], None]
) -> str:
    """Make `target` the program `source`, once it has proven itself beside it; return its SHA-256.

    `record`, which may block, is told that before the switch. Raises what they raise, and `OSError`; the old program
    then stands as it stood. A power cut leaves the old or the new one.
    """
    await asyncio.to_thread(files.sweep, target.parent, of=target.name)  # others install here too
    candidate = await asyncio.to_thread(store.copy, source, target)
    try:
        await prove(candidate.path)
        await asyncio.to_thread(record, candidate.digest)
        candidate.path.replace(target)
    except BaseException:
        candidate.path.unlink(missing_ok=True)
        raise
    await asyncio.to_thread(files.sync_folder, target.parent)
    return candidate.digest
