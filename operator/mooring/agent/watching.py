"""Owns that a change in a folder of the node wakes whoever looks after it; refuses to make the folder.

A folder that other programs read is not ours to make where it is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mooring.node import inotify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


async def follow(folder: Path, wake: Callable[[], None], name: str | None = None) -> None:
    """Wake at every change in the folder until cancelled; with `name` only at changes of that file.

    Wakes once at the start too: what happened before the watch is not told. Raises `OSError` when the folder is gone
    or cannot be watched.
    """
    async with inotify.Watch(folder) as watch:
        wake()
        async for names in watch.changes():
            if name is None or not names.isdisjoint({None, name}):
                wake()


async def follow_below(folder: Path, wake: Callable[[], None]) -> None:
    """Wake at every change in the folder and in the folders in it, as `follow` does."""
    async with inotify.Watch(folder, below=True) as watch:
        wake()
        async for _ in watch.changes():
            wake()
