"""Owns that the agent's tasks live: what ends or dies is logged, restarted after a pause, and shows as not ready.

Refuses to let one task take the others with it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from mooring.agent import loops

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

_LOG = logging.getLogger(__name__)
# A task that lived that long did not die of how it starts.
_HEALTHY_SECONDS = 60.0


class Supervisor:
    """Keeps named tasks running; `dead` holds the names of those that are waiting for their restart."""

    def __init__(self, *, on_change: Callable[[], None], pause: loops.Pause | None = None) -> None:
        self._on_change = on_change
        self._pause = pause or loops.Pause(first=1.0, longest=60.0)
        self._dead: dict[str, str] = {}

    @property
    def dead(self) -> Mapping[str, str]:
        """The tasks that are not running now, and why."""
        return self._dead

    async def run(self, tasks: Mapping[str, Callable[[], Awaitable[None]]]) -> None:
        """Run all tasks until cancelled."""
        async with asyncio.TaskGroup() as group:
            for name, start in tasks.items():
                group.create_task(self._keep(name, start), name=name)

    async def _keep(self, name: str, start: Callable[[], Awaitable[None]]) -> None:
        clock = asyncio.get_running_loop().time
        failures = 0
        while True:
            began = clock()
            if self._dead.pop(name, None) is not None:
                self._on_change()
            try:
                await start()
                why = "it ended"
            except loops.EXPECTED as error:
                why = str(error) or type(error).__name__
            except Exception as error:  # whatever it is, the other tasks go on
                _LOG.exception("%s: died", name)
                why = f"a fault in the agent: {type(error).__name__}: {error}"
            failures = 1 if clock() - began > _HEALTHY_SECONDS else failures + 1
            pause = self._pause.after(failures)
            _LOG.warning("%s: %s; starting it again in %.1f s", name, why, pause)
            self._dead[name] = why
            self._on_change()
            await asyncio.sleep(pause)
