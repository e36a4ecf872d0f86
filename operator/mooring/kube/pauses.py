"""Owns how long to wait after failures before the next attempt: exponential back-off, spread, for all of Mooring.

Refuses to give up, and to come sooner than the API server asked for.
"""

from __future__ import annotations

import dataclasses
import random


@dataclasses.dataclass(frozen=True, slots=True)
class Pause:
    """How long to wait after a number of failures in a row, in seconds."""

    first: float = 0.5
    longest: float = 30.0

    def after(self, failures: int, *, asked: float | None = None) -> float:
        """Return a pause that doubles with each failure, spread over its upper half so that many do not come at once.

        `asked` is what the other side wants at least (Retry-After).
        """
        whole: float = min(self.longest, self.first * 2 ** min(max(failures - 1, 0), 20))
        return max(whole * random.uniform(0.5, 1), asked or 0.0)  # noqa: S311  no secret
