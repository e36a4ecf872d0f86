"""Owns that a pod which does not start is told why, in one event that counts; refuses to judge what failed.

The plugin writes each failed call into `failures.jsonl` and asks nobody: a stuck pod fails every few seconds, and what
the plugin asked of the API server would prolong every one of these calls.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from mooring.agent import loops, pods
from mooring.node import failures

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

REASON = "AttachmentFailed"
# A burst of failed calls is read at once.
_DEBOUNCE_SECONDS = 0.5


class Failing(loops.Reconciler):
    """Tells of failed ADDs, of pods that are on this node by what the API server says."""

    name = "failing"
    reason = "FailuresNotTold"
    fails_as = "warning"

    def __init__(
        self,
        *,
        path: Callable[[], Path | None],
        known: Callable[[], Mapping[str, dict[str, Any]]],
        report: Callable[[dict[str, Any], str, str], None],
        on_health: Callable[[], None],
    ) -> None:
        """`known` returns the node's pods by `namespace/name`; `report(pod, reason, note)` tells of one."""
        super().__init__(on_health=on_health)
        self._path = path
        self._known = known
        self._report = report
        self._tail: failures.Tail | None = None

    async def reconcile(self) -> float | None:
        """Tell of what failed since the last look; what failed before the agent came was told, or fails again."""
        path = self._path()
        if path is None:
            return None
        if self._tail is None or self._tail.path != path:
            self._tail = failures.Tail(path)
            await asyncio.to_thread(self._tail.read)
            self.report(settled=True)
            return None
        await asyncio.sleep(_DEBOUNCE_SECONDS)
        for failure in await asyncio.to_thread(self._tail.read):
            pod = self._known().get(failure.pod)
            if failure.verb != "ADD" or pod is None or failure.uid not in ("", *pods.identities(pod)):
                continue
            note = ". ".join(filter(None, (failure.message, failure.details)))
            self._report(pod, failure.reason or REASON, note)
        self.report(settled=True)
        return None
