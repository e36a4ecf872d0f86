"""Owns in which order things are worked on, and how many at once: new ones first, however slow the others are.

A key that is put again while it waits is worked on once; while it is worked on, once more afterwards and never twice
at the same time. Refuses to know what the work is, and to lose a key.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mooring.kube.pauses import Pace


class Workers:
    """Calls `work(key)` for each key that is put, which must not raise.

    At most `most` at once, plus `reserved` for urgent keys; those that are not urgent keep to `pace`.
    """

    def __init__(
        self,
        work: Callable[[str], Awaitable[None]],
        *,
        most: int,
        reserved: int,
        pace: Pace,
        on_idle: Callable[[], None] = lambda: None,
    ) -> None:
        self._work = work
        self._most = most
        self._reserved = reserved
        self._pace = pace
        self._on_idle = on_idle
        self._waiting: dict[str, bool] = {}
        """What is to be worked on, in order; whether it is urgent."""
        self._urgent: dict[str, None] = {}
        self._busy: dict[str, bool] = {}
        self._later: dict[str, asyncio.TimerHandle] = {}
        self._woken = asyncio.Event()

    @property
    def idle(self) -> bool:
        """Whether nothing is worked on and nothing waits, not even for its time."""
        return not (self._waiting or self._busy or self._later)

    def put(self, key: str, *, urgent: bool = False, after: float = 0.0) -> None:
        """Have a key worked on, `after` seconds; soon where it was to wait until now."""
        timer = self._later.pop(key, None)
        if timer is not None:
            timer.cancel()
        if after > 0:
            self._later[key] = asyncio.get_running_loop().call_later(after, self._due, key, urgent)
            return
        self._waiting[key] = urgent = urgent or self._waiting.get(key, False)
        if urgent:
            self._urgent[key] = None
        self._woken.set()

    def drop(self, key: str) -> None:
        """Forget a key that waits."""
        timer = self._later.pop(key, None)
        if timer is not None:
            timer.cancel()
        self._waiting.pop(key, None)
        self._urgent.pop(key, None)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._woken.clear()
                pause = None
                while self._waiting:
                    key, pause = self._next()
                    if key is None:
                        break
                    self._busy[key] = self._waiting.pop(key)
                    self._urgent.pop(key, None)
                    group.create_task(self._one(key))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._woken.wait()

    def _next(self) -> tuple[str | None, float | None]:
        """Return what may be worked on now; else None, and after how many seconds to look again."""
        if len(self._busy) < self._most + self._reserved:
            for key in self._urgent:
                if key not in self._busy:
                    return key, None
        if sum(not urgent for urgent in self._busy.values()) >= self._most:
            return None, None
        for key, urgent in self._waiting.items():
            if not urgent and key not in self._busy:
                wait = self._pace.take(asyncio.get_running_loop().time())
                return (None, wait) if wait else (key, None)
        return None, None

    async def _one(self, key: str) -> None:
        try:
            await self._work(key)
        finally:
            del self._busy[key]
            self._woken.set()
            if self.idle:
                self._on_idle()

    def _due(self, key: str, urgent: bool) -> None:
        del self._later[key]
        self.put(key, urgent=urgent)
