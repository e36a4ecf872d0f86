"""The first process of the operator's container: owns the webhook's listening socket, and nothing else.

It runs the operator proper as a child that inherits the socket. When the child is killed (out of memory, a fault of an
interpreter, a person), another one begins at once, and connections that came in between wait in the socket's backlog:
the API server cannot send a review twice, so one that is refused is an object that is refused. Refuses to run a child
again that ended by itself, or is killed again and again: then the container ends, and the kubelet says so.
"""

from __future__ import annotations

import collections
import ctypes
import logging
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_LOG = logging.getLogger(__name__)

_BACKLOG = 256
_PR_SET_PDEATHSIG = 1
#: So many ends within so many seconds are no accident.
_MOST_ENDS = 3
_WITHIN = 60.0


def listen(port: int, *, host: str | None = None) -> socket.socket:
    """Return a socket that listens; `host` None is every address of both families, `port` 0 any. Raises OSError."""
    if host is None and socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=_BACKLOG)
    return socket.create_server((host or "", port), backlog=_BACKLOG)


def _end_with_parent() -> None:
    """Have the kernel end this process when the one that started it is gone, as it does in a container."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def run(command: Sequence[str], *, port: int) -> int:
    """Run the operator with a socket that listens on `port`; return its exit status.

    `command` is the operator's command line; `--webhook-listener` and the descriptor are added to it.
    """
    held = listen(port)
    child: subprocess.Popen[bytes] | None = None
    leaving = False

    def leave(number: int, _: object) -> None:
        nonlocal leaving
        leaving = True
        # From now on only the child listens: what it does not accept any more must not wait here.
        held.close()
        if child is not None:
            child.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    ends: collections.deque[float] = collections.deque(maxlen=_MOST_ENDS)
    while True:
        child = subprocess.Popen(
            [*command, f"--webhook-listener={held.fileno()}"], pass_fds=[held.fileno()], preexec_fn=_end_with_parent
        )
        status = child.wait()
        if status >= 0 or leaving:
            return status if status >= 0 else 128 - status
        ends.append(time.monotonic())
        name = signal.Signals(-status).name
        if len(ends) == _MOST_ENDS and ends[-1] - ends[0] < _WITHIN:
            _LOG.error("The operator was ended by %s %d times within a minute", name, _MOST_ENDS)
            return 128 - status
        _LOG.warning("The operator was ended by %s; starting it again", name)
