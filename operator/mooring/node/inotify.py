"""Owns the kernel's notices about folders: names that changed, in asyncio; refuses to say what happened to them.

A notice means "look again". When the kernel's queue overflows, or the folder itself is replaced, the name is `None`:
look at everything again. Everything that uses this is level-based, so a notice too many costs a look and no more.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import functools
import os
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

IN_MODIFY = 0x00000002
IN_CLOSE_WRITE = 0x00000008
IN_MOVED_FROM = 0x00000040
IN_MOVED_TO = 0x00000080
IN_CREATE = 0x00000100
IN_DELETE = 0x00000200
IN_DELETE_SELF = 0x00000400
IN_MOVE_SELF = 0x00000800
IN_Q_OVERFLOW = 0x00004000
IN_IGNORED = 0x00008000
IN_ONLYDIR = 0x01000000

#: Complete files: closed after writing, renamed in or out, removed. A file being written is not worth a look.
FINISHED = IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE
_GONE = IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED
_ALWAYS = IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR
_HEADER = struct.Struct("iIII")
_BUFFER = 64 * 1024


class FolderGone(OSError):
    """The watched folder was removed or renamed: watch its path anew."""


class Watch:
    """A watch on one folder. An async context manager; `changes()` yields sets of names.

    With `below` the folders in it are watched too, those that come later included; a change there is told as `None`.
    Entering raises `OSError` where there is no such folder or the kernel has no watch left (the sysctl
    `fs.inotify.max_user_watches` and `max_user_instances` set how many there are).
    """

    def __init__(self, folder: Path, *, below: bool = False) -> None:
        self._folder = folder
        self._below = below
        # A folder that is made, or linked, is told by no event that tells a finished file.
        self._mask = FINISHED | _ALWAYS | (IN_CREATE if below else 0)
        self._descriptor = -1
        self._watched = -1
        self._watched_below: set[int] = set()
        self._readable = asyncio.Event()
        self._waiting: asyncio.Future[bool] | None = None

    async def __aenter__(self) -> Watch:
        self._descriptor = _init()
        try:
            await self._in_thread(self._begin)
        except BaseException:
            self._close()
            raise
        asyncio.get_running_loop().add_reader(self._descriptor, self._readable.set)
        return self

    async def __aexit__(self, *exception: object) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        self._close()

    async def changes(self) -> AsyncIterator[frozenset[str | None]]:
        """Yield the names that changed since the last time, `None` among them when everything may have.

        Raises `FolderGone` when the folder is not at its path any more.
        """
        while True:
            await self._readable.wait()
            self._readable.clear()
            names, follow = self._drain()
            if follow and self._below and await self._in_thread(self._follow_folders):
                names.add(None)
            if names:
                yield frozenset(names)

    def _drain(self) -> tuple[set[str | None], bool]:
        """Return the names of all notices that wait, and whether there was any notice at all."""
        names: set[str | None] = set()
        follow = False
        while True:
            try:
                data = os.read(self._descriptor, _BUFFER)
            except BlockingIOError:
                return names, follow
            for watched, mask, name in parse(data):
                if mask & _GONE and watched == self._watched:
                    raise FolderGone(errno.ENOENT, "the watched folder was removed or renamed", str(self._folder))
                follow = True
                if mask & IN_Q_OVERFLOW:
                    names.add(None)
                elif mask & FINISHED:
                    names.add(name if watched == self._watched else None)

    async def _in_thread(self, call: Callable[[], bool]) -> bool:
        """Wait for the file system in a thread: to look a path up can take as long as to read a file."""
        self._waiting = asyncio.get_running_loop().run_in_executor(None, call)
        return await asyncio.shield(self._waiting)

    def _begin(self) -> bool:
        self._watched = _add(self._descriptor, self._folder, self._mask)
        return self._below and self._follow_folders()

    def _follow_folders(self) -> bool:
        """Watch the folders that are in ours now and no others; return whether they are other ones than before."""
        found = set()
        with os.scandir(self._folder) as entries:
            for entry in entries:
                try:
                    if entry.is_dir():
                        found.add(_add(self._descriptor, entry.path, self._mask))
                except (FileNotFoundError, NotADirectoryError, PermissionError):
                    continue  # gone since, and the next event says so; or nobody's business of ours
        found.discard(self._watched)  # a link to ourselves
        gone, before = self._watched_below - found, self._watched_below
        for watched in gone:
            _libc().inotify_rm_watch(self._descriptor, watched)
        self._watched_below = found
        return found != before

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if self._waiting is None or self._waiting.done():
            os.close(descriptor)
        else:  # its number must not become another one's while a thread still has it
            self._waiting.add_done_callback(functools.partial(_closed, descriptor))


def _closed(descriptor: int, waited: asyncio.Future[bool]) -> None:
    os.close(descriptor)
    if not waited.cancelled():
        waited.exception()  # nobody asks any more what came of it


def parse(data: bytes) -> list[tuple[int, int, str]]:
    """Return watch, mask and name of each event of the kernel; names that are not UTF-8 are surrogate-escaped."""
    events = []
    offset = 0
    while offset + _HEADER.size <= len(data):
        watched, mask, _, length = _HEADER.unpack_from(data, offset)
        offset += _HEADER.size
        events.append((watched, mask, os.fsdecode(data[offset : offset + length].rstrip(b"\0"))))
        offset += length
    return events


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _init() -> int:
    descriptor = int(_libc().inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
    if descriptor < 0:
        raise _error("inotify_init1")
    return descriptor


def _add(descriptor: int, folder: Path | str, mask: int) -> int:
    added = int(_libc().inotify_add_watch(descriptor, os.fsencode(folder), ctypes.c_uint32(mask)))
    if added < 0:
        raise _error(str(folder))
    return added


def _error(what: str) -> OSError:
    code = ctypes.get_errno()
    hint = " (raise the sysctl fs.inotify.max_user_watches or max_user_instances)" if code in (28, 24) else ""
    return OSError(code, os.strerror(code) + hint, what)
