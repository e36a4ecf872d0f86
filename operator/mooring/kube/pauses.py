"""Owns how long to wait: after failures (exponential back-off, spread), and so that a burst of work is no flood.

Refuses to give up, and to come sooner than the API server asked for.
"""

from __future__ import annotations

import dataclasses
import random

# A wait that is shorter is lost in rounding, and who waited as long as was said must not lack this much.
_TICK = 0.001
_ROUNDING = 1e-9


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


class Pace:
    """Lets `burst` things happen at once, and `per_second` on average."""

    def __init__(self, *, per_second: float, burst: int) -> None:
        self._per_second = per_second
        self._burst = burst
        self._left = float(burst)
        self._at: float | None = None

    def take(self, now: float) -> float:
        """Take leave to do one thing, at `now` by a monotonic clock: return 0.0, or the seconds until there is one."""
        if self._at is not None:
            self._left = min(self._burst, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left >= 1 - _ROUNDING:
            self._left -= 1
            return 0.0
        return max((1 - self._left) / self._per_second, _TICK)
