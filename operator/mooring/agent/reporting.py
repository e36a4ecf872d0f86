"""Owns that pods are told of, as events: what their networks gave them, and what fails; nobody waits for it.

An event is worth less than a status: what is told waits here, and of more than can wait the rest is left out.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from typing import TYPE_CHECKING, Any, Literal

from mooring.kube.pauses import Pace
from mooring.networks import additions

if TYPE_CHECKING:
    from mooring.agent.sandboxes import Sandbox
    from mooring.kube.events import Recorder

_LOG = logging.getLogger(__name__)
_MOST_WAITING = 1000
# A node that starts all its pods tells of several hundred attachments.
_PER_SECOND, _BURST = 20.0, 50


@dataclasses.dataclass(frozen=True, slots=True)
class _Event:
    pod: dict[str, Any]
    kind: Literal["Normal", "Warning"]
    reason: str
    note: str
    action: str
    once: str = ""


class Reporter:
    """Writes events about pods, in order and not too many at once."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._pace = Pace(per_second=_PER_SECOND, burst=_BURST)
        self._waiting: asyncio.Queue[_Event] = asyncio.Queue(_MOST_WAITING)

    def attached(self, pod: dict[str, Any], sandbox: Sandbox) -> None:
        """Tell soon what the pod has in its new sandbox: the event `AddedInterface` for each attachment."""
        for position, note in enumerate(sandbox.added):
            once = f"{sandbox.name}/{position}"
            self._put(_Event(pod, "Normal", additions.REASON, note, action="AttachNetwork", once=once))

    def failed(self, pod: dict[str, Any], reason: str, note: str) -> None:
        """Tell soon why a pod does not start; what is told again raises a count."""
        self._put(_Event(pod, "Warning", reason, note, action="AttachNetwork"))

    async def warn(self, pod: dict[str, Any], reason: str, note: str) -> None:
        """Tell soon what is wrong with a pod's status; what is told again raises a count."""
        self._put(_Event(pod, "Warning", reason, note, action="WriteNetworkStatus"))

    async def run(self) -> None:
        """Tell until cancelled."""
        while True:
            event = await self._waiting.get()
            now = asyncio.get_running_loop().time
            if wait := self._pace.take(now()):
                await asyncio.sleep(wait)
                self._pace.take(now())
            await self._recorder.event(
                {"apiVersion": "v1", "kind": "Pod", "metadata": event.pod["metadata"]},
                kind=event.kind,
                reason=event.reason,
                note=event.note,
                action=event.action,
                once=event.once,
            )

    def _put(self, event: _Event) -> None:
        try:
            self._waiting.put_nowait(event)
        except asyncio.QueueFull:
            _LOG.warning("too many pods at once: no event %s tells of %s", event.reason, event.pod["metadata"]["name"])
