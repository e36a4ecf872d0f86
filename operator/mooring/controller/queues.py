"""The work queue: owns which piece of work is due when, that none runs twice at once, and the pauses after failures.

Keys, not events: however often a key is added before its turn, it is worked on once. Refuses to lose a key: added
while it is being worked on, it is due again afterwards.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from mooring.kube import errors
from mooring.kube.pauses import Pause
from mooring.metrics.histograms import Histogram

_LOG = logging.getLogger(__name__)

#: So many conflicts in a row are no accident.
_CONFLICTS = 5

Work = Callable[[str], Awaitable[float | None]]
"""Works on a key; returns the seconds after which it wants to be asked again, None for not by itself."""


class Queue:
    """Keys and the moments at which they are due."""

    def __init__(self, *, pause: Pause | None = None) -> None:
        self._pause = pause or Pause(first=0.5, longest=60.0)
        self._due: dict[str, float] = {}
        self._busy: set[str] = set()
        self._failures: dict[str, int] = {}
        self._changed = asyncio.Event()
        self.waits = Histogram()
        """How long what was due waited for its turn, in seconds."""

    @property
    def depth(self) -> int:
        """How many keys are due and not worked on yet."""
        now = asyncio.get_running_loop().time()
        return sum(moment <= now for moment in self._due.values())

    def add(self, key: str, *, after: float = 0.0) -> None:
        """Make a key due after so many seconds; if it was due earlier, it stays so."""
        moment = asyncio.get_running_loop().time() + after
        if moment < self._due.get(key, float("inf")):
            self._due[key] = moment
            self._changed.set()

    async def run(self, work: Work) -> None:
        """Work on what is due, until cancelled; different keys side by side."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._changed.clear()
                now = asyncio.get_running_loop().time()
                waiting = {key: moment for key, moment in self._due.items() if key not in self._busy}
                for key in [key for key, moment in waiting.items() if moment <= now]:
                    self.waits.observe(now - self._due[key])
                    del self._due[key], waiting[key]
                    self._busy.add(key)
                    group.create_task(self._work(key, work), name=f"work on {key}")
                try:
                    async with asyncio.timeout_at(min(waiting.values(), default=None)):
                        await self._changed.wait()
                except TimeoutError:
                    pass  # something is due

    async def _work(self, key: str, work: Work) -> None:
        try:
            again = await work(key)
            self._failures.pop(key, None)
        except errors.ApiError as error:
            again = self._after_failure(key, asked=error.retry_after)
            # Somebody was faster, and the next pass sees what they did; only where that does not end it is news.
            plain = isinstance(error, errors.Conflict) and self._failures[key] < _CONFLICTS
            _LOG.log(logging.DEBUG if plain else logging.WARNING, "%s: %s; trying again in %.1f s", key, error, again)
        except Exception:
            # A fault of ours in one piece of work must not end the others, nor the webhook.
            again = self._after_failure(key)
            _LOG.exception("%s failed for a reason that Mooring does not know; trying again in %.1f s", key, again)
        finally:
            self._busy.discard(key)
            self._changed.set()
        if again is not None:
            self.add(key, after=again)

    def _after_failure(self, key: str, *, asked: float | None = None) -> float:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        return self._pause.after(failures, asked=asked)
