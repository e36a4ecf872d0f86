"""How long passes take and what becomes of them: owns these numbers by piece of work; refuses to know what a pass does.

A pass that ends with the leader's term is no failure.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
from typing import TYPE_CHECKING

from mooring.controller.fencing import Deposed
from mooring.kube import errors
from mooring.metrics.histograms import Histogram

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: What is written for a reason that is none of the API server's.
FAULT = "Fault"


class Meter:
    """Numbers of the passes, by key of the queue."""

    def __init__(self, keys: Iterable[str]) -> None:
        self.durations = {key: Histogram() for key in keys}
        self.failures: collections.Counter[tuple[str, str]] = collections.Counter()
        """By key and kind of error."""
        self._began: dict[str, float] = {}

    @contextlib.contextmanager
    def timed(self, key: str) -> Iterator[None]:
        """Measure the pass that the block is. Needs a running event loop."""
        now = asyncio.get_running_loop().time
        self._began[key] = began = now()
        try:
            yield
        except Deposed:
            raise
        except Exception as error:
            kind = type(error).__name__ if isinstance(error, errors.ApiError) else FAULT
            self.failures[key, kind] += 1
            raise
        finally:
            del self._began[key]
            self.durations.setdefault(key, Histogram()).observe(now() - began)

    def running(self) -> dict[str, float]:
        """Return for how long each piece of work has been under way, in seconds; 0 where it is not."""
        now = asyncio.get_running_loop().time()
        return {key: now - self._began.get(key, now) for key in self.durations}
