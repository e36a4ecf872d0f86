"""Owns how many calls failed since the agent started, out of a list that the plugin cuts; refuses to remember the list.

The list is bounded by its size, so what was counted of it may be gone the next time. The last line that was seen is
remembered, and what stands behind it is new.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mooring.node.failures import Failure

MOST = 1000
#: In the place of a network, when there are too many.
OTHERS = "(others)"


class Tally:
    """Failed calls by verb, network and code. What is on the list at the start happened before us."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, str], int] = {}
        self._started = False
        self._last: Failure | None = None

    @property
    def counts(self) -> Mapping[tuple[str, str, str], int]:
        """How many there were, by verb, network and code."""
        return self._counts

    def note(self, listed: Sequence[Failure]) -> None:
        """Count what is new on the list, which is in the order of writing."""
        new = self._new(listed) if self._started else ()
        self._started = True
        if listed:
            self._last = listed[-1]
        for failure in new:
            key = (failure.verb, failure.network, str(failure.code))
            if key not in self._counts and len(self._counts) >= MOST:
                key = (failure.verb, OTHERS, "")
            self._counts[key] = self._counts.get(key, 0) + 1

    def _new(self, listed: Sequence[Failure]) -> Sequence[Failure]:
        for position in range(len(listed) - 1, -1, -1):
            if listed[position] == self._last:
                return listed[position + 1 :]
        return listed
