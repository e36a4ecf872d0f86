"""Owns how a process of the node that is not our child is found, recognised and ended; refuses to end another's.

A process is recognised by the file that its command line names for its number: nobody else is started with that one. A
descriptor pins it, so that its number cannot pass to another between the look and the signal.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
import struct
from pathlib import Path

_PEER = struct.Struct("3i")  # pid, uid, gid
_CONNECT_SECONDS = 5.0
_NOBODY = frozenset({errno.ENOENT, errno.ECONNREFUSED, errno.ENOTDIR})


def listener(address: Path) -> int | None:
    """Return the process that listens at a Unix socket; None where nobody does, 0 where it is not visible here.

    It blocks. Raises `OSError` for what says neither.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_CONNECT_SECONDS)
        try:
            connection.connect(str(address))
        except OSError as error:
            if error.errno in _NOBODY:
                return None
            raise
        pid, _, _ = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
        return int(pid)


def recorded(file: Path, word: str) -> int | None:
    """Return the process whose number is in `file` if it runs with `word` in its command line; else None."""
    try:
        pid = int(file.read_text())
    except (OSError, ValueError):
        return None
    return pid if runs_with(pid, word) else None


def runs_with(pid: int, word: str) -> bool:
    """Say whether a process runs that has `word` among the words of its command line."""
    if pid <= 0:
        return False
    try:
        # One that has ended and was not waited for has none.
        return word.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def end(pid: int, word: str, *, seconds: float) -> None:
    """End a process that has `word` in its command line, by force after `seconds`; nothing where it is none. It blocks.

    Raises `OSError` where it cannot be ended.
    """
    try:
        pinned = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not runs_with(pid, word):
                return
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pinned, number)
            if select.select([pinned], [], [], seconds)[0]:
                return
        raise OSError(f"process {pid} cannot be ended")
    finally:
        os.close(pinned)
