"""Lines on stderr that say what is going on and for how long. Refuses to write to stdout,
which belongs to results."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_STARTED = time.monotonic()
HEARTBEAT_SECONDS = 15.0


def say(text: str) -> None:
    """Print one line with the seconds since this process started."""
    print(f"[{time.monotonic() - _STARTED:6.1f}s] {text}", file=sys.stderr, flush=True)


def waiting(text: str, done: Callable[[], bool], *, every: float = 0.2) -> None:
    """Poll `done` until it is true, repeating `text` with its own elapsed time meanwhile."""
    started = time.monotonic()
    said = started
    while not done():
        time.sleep(every)
        now = time.monotonic()
        if now - said >= HEARTBEAT_SECONDS:
            say(f"{text}: still at it after {now - started:.0f} s")
            said = now
