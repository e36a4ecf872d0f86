"""Owns that pods are told what their networks gave them, as events; refuses to let anybody wait for it.

An event is worth less than a status: what is told waits here, and of more than can wait the rest is left out.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from mooring.networks import additions

if TYPE_CHECKING:
    from mooring.agent.sandboxes import Sandbox
    from mooring.kube.events import Recorder

_LOG = logging.getLogger(__name__)
_MOST_WAITING = 1000


class Reporter:
    """Writes the event `AddedInterface` on a pod for each attachment of a sandbox that it got."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._waiting: asyncio.Queue[tuple[dict[str, Any], Sandbox]] = asyncio.Queue(_MOST_WAITING)

    def attached(self, pod: dict[str, Any], sandbox: Sandbox) -> None:
        """Tell soon what the pod has in its new sandbox."""
        try:
            self._waiting.put_nowait((pod, sandbox))
        except asyncio.QueueFull:
            _LOG.warning("too many pods at once: no event tells what %s got", sandbox.pod)

    async def run(self) -> None:
        """Tell until cancelled."""
        while True:
            pod, sandbox = await self._waiting.get()
            regarding = {"apiVersion": "v1", "kind": "Pod", "metadata": pod["metadata"]}
            for position, note in enumerate(sandbox.added):
                await self._recorder.event(
                    regarding,
                    kind="Normal",
                    reason=additions.REASON,
                    note=note,
                    action="AttachNetwork",
                    once=f"{sandbox.name}/{position}",
                )
