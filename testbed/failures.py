"""The one error that the testbed shows to people. Refuses to wrap programming errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Failure(Exception):
    """Something a person can act on: what is wrong, where, and what to do about it."""


def with_log(message: str, log: Path, *, lines: int = 25) -> Failure:
    """Make a failure that shows the end of a part's log (bytes that are no text are replaced)."""
    try:
        tail = log.read_text(errors="replace").splitlines()[-lines:]
    except OSError as error:
        return Failure(f"{message} (its log {log} cannot be read: {error.strerror})")
    shown = "\n".join(f"    {line}" for line in tail) or "    (empty)"
    return Failure(f"{message}\n  the end of {log}:\n{shown}")
