"""What the operators asked of the API server, from its audit log: owns counting requests by verb and kind.

Refuses to judge.
"""

from __future__ import annotations

import collections
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


class Audit:
    """The audit log from one moment on."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._offset = log.stat().st_size

    def lines(self) -> list[bytes]:
        """Return what was logged since then; of a request that is still under way nothing."""
        with self._log.open("rb") as file:
            file.seek(self._offset)
            return [line for line in file.read().splitlines(keepends=True) if line.endswith(b"\n")]


def counted(lines: Iterable[bytes], *, user: str) -> dict[str, int]:
    """Return how many requests of a user began, by `verb kind`, most first; watches once, when they end."""
    found: collections.Counter[str] = collections.Counter()
    marker = user.encode()
    for line in lines:
        if marker not in line:
            continue
        entry = json.loads(line)
        about = entry.get("objectRef") or {}
        if entry["user"].get("username") == user and about.get("resource"):
            parts = filter(None, (about["resource"], about.get("subresource")))
            found[f"{entry['verb']} {'/'.join(parts)}"] += 1
    return dict(found.most_common())


def writes(requests: dict[str, int]) -> dict[str, int]:
    """Return the writes among requests, but for those of the Lease."""
    return {what: count for what, count in requests.items() if what.split()[0] in WRITES and "leases" not in what}


def lists(requests: dict[str, int]) -> dict[str, int]:
    """Return the lists among requests."""
    return {what: count for what, count in requests.items() if what.startswith("list ")}
