"""Processes that the testbed started. Owns identifying one beyond doubt (its number and its start
time: numbers are given out again) and ending it. Refuses to look processes up by name."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_PROC = Path("/proc")


@dataclasses.dataclass(frozen=True, slots=True)
class Process:
    """A process: its number on the machine, and its start in clock ticks since boot."""

    pid: int
    start: int

    def alive(self) -> bool:
        """Tell whether it still runs. A zombie does not, though a signal would still reach it."""
        seen = _stat(self.pid)
        return seen is not None and seen[1] == self.start and seen[0] not in "ZX"


def identify(pid: int) -> Process | None:
    """Return the identity of a running process, None where there is none."""
    seen = _stat(pid)
    return None if seen is None or seen[0] in "ZX" else Process(pid, seen[1])


def end(targets: Iterable[Process], *, grace: float) -> list[Process]:
    """Ask processes to end, after `grace` seconds kill them; return those that outlive even that."""
    remaining = _signalled(targets, signal.SIGTERM) if grace > 0 else list(targets)
    remaining = _gone_within(remaining, grace)
    remaining = _gone_within(_signalled(remaining, signal.SIGKILL), 10)
    return remaining


def _signalled(targets: Iterable[Process], number: signal.Signals) -> list[Process]:
    reached = []
    for target in targets:
        # A descriptor pins the process, so that the number cannot pass to another between the look and the signal.
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(target.pid)
            try:
                if target.alive():
                    signal.pidfd_send_signal(descriptor, number)
                    reached.append(target)
            finally:
                os.close(descriptor)
    return reached


def _gone_within(targets: list[Process], seconds: float) -> list[Process]:
    deadline = time.monotonic() + seconds
    remaining = [target for target in targets if target.alive()]
    while remaining and time.monotonic() < deadline:
        time.sleep(0.02)
        remaining = [target for target in remaining if target.alive()]
    return remaining


def _stat(pid: int) -> tuple[str, int] | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the program's name in brackets, and may hold blanks and brackets itself.
    fields = text[text.rindex(")") + 2 :].split()
    return fields[0], int(fields[19])
