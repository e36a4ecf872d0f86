"""Kubernetes events: owns how Mooring tells a person something about an object.

What repeats is one event with a count (a series), which is written at growing intervals: a pod that fails every few
seconds costs some ten requests an hour. Refuses to fail its caller: an event that cannot be written is logged; what it
tells about must not wait for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import hashlib
import logging
import time
from typing import TYPE_CHECKING, Any, Literal

from mooring.kube import errors, resources

if TYPE_CHECKING:
    from collections.abc import Callable

    from mooring.kube.client import Client

_LOG = logging.getLogger(__name__)

_SAME_SECONDS = 600.0
# The second time is told at once, and later ones after pauses that double from the first to the longest of these.
_FIRST_PAUSE, _LONGEST_PAUSE = 15.0, 480.0
# So many different notes on one object for one reason are events of their own; further ones count with the last.
_MOST_NOTES = 3
_MOST_REMEMBERED = 1000
_NOTE_BYTES = 1024


@dataclasses.dataclass(slots=True)
class _Series:
    """One event that was written. Moments are of a monotonic clock, in seconds."""

    namespace: str
    name: str
    last: float
    stamp: str
    count: int = 1
    written: int = 1
    """The count that the API server knows."""
    due: float = 0.0
    """When the next count may be written."""
    pause: float = _FIRST_PAUSE


class Recorder:
    """Writes events as one component (`controller`, for example `mooring-agent`) on one instance (pod or node)."""

    def __init__(
        self, client: Client, *, controller: str, instance: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._controller = controller
        self._instance = instance
        self._clock = clock
        self._series: dict[str, dict[str, _Series]] = {}
        """What was told: of an object and a reason, by note, the last one last."""
        self._waits = asyncio.Event()

    async def run(self) -> None:
        """Write counts when their time comes, until cancelled; without it they wait for the next event."""
        while True:
            self._waits.clear()
            await self.flush()
            owed = [one.due for each in self._series.values() for one in each.values() if one.count > one.written]
            pause = max(min(owed) - self._clock(), 0.01) if owed else None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._waits.wait()

    async def flush(self) -> None:
        """Write the counts whose time has come."""
        now = self._clock()
        for notes in list(self._series.values()):
            for note, series in list(notes.items()):
                if series.count > series.written and series.due <= now:
                    await self._count(notes, note, series)

    async def event(
        self,
        regarding: dict[str, Any],
        *,
        kind: Literal["Normal", "Warning"],
        reason: str,
        note: str,
        action: str,
        once: str = "",
    ) -> None:
        """Tell something about an object (any dict with apiVersion, kind and metadata).

        `reason` and `action` are CamelCase words, `note` a sentence; it is cut at 1,024 bytes. `once` names the
        occasion: as long as the API server keeps the event, nobody tells of it again, not even after a restart.
        """
        reference = _reference(regarding)
        note = note.encode()[:_NOTE_BYTES].decode(errors="ignore")
        told = {"kind": kind, "reason": reason, "note": note, "action": action}
        identity = hashlib.sha256(repr((sorted(reference.items()), kind, reason, action)).encode()).hexdigest()
        try:
            if once:
                await self._create(reference, told, suffix=hashlib.sha256(once.encode()).hexdigest()[:24], once=True)
            else:
                await self._tell(identity, reference, told)
        except errors.ApiError as error:
            _LOG.warning("event %s for %s %s not written: %s", reason, reference["kind"], reference["name"], error)

    async def _tell(self, identity: str, reference: dict[str, str], told: dict[str, str]) -> None:
        now, note = self._clock(), told["note"]
        notes = self._remembered(identity, now)
        if note not in notes and len(notes) >= _MOST_NOTES:
            note = next(reversed(notes))
        series = notes.pop(note, None)
        if series is not None:
            notes[note] = series
            series.count, series.last, series.stamp = series.count + 1, now, _stamp()
            if series.due > now:
                self._waits.set()
                return
            if await self._count(notes, note, series):
                return
        name = await self._create(reference, told, suffix=f"{identity[:8]}{time.time_ns():016x}")
        notes[told["note"]] = _Series(reference.get("namespace", "default"), name, now, _stamp())

    def _remembered(self, identity: str, now: float) -> dict[str, _Series]:
        """Return the events of an object and a reason that are not long ago."""
        notes = self._series.pop(identity, {})
        for note in [note for note, series in notes.items() if now - series.last >= _SAME_SECONDS]:
            del notes[note]
        while len(self._series) >= _MOST_REMEMBERED:
            del self._series[next(iter(self._series))]
        self._series[identity] = notes
        return notes

    async def _count(self, notes: dict[str, _Series], note: str, series: _Series) -> bool:
        """Write a count; return False where the event is not there any more."""
        count = series.count
        series.due, series.pause = self._clock() + series.pause, min(series.pause * 2, _LONGEST_PAUSE)
        patch = {"series": {"count": count, "lastObservedTime": series.stamp}}
        try:
            await self._client.patch(resources.EVENTS, series.name, patch, namespace=series.namespace)
        except errors.NotFound:
            # The API server forgets events after an hour, or an admin removed it: the next time it is told anew.
            notes.pop(note, None)
            return False
        except errors.ApiError as error:
            _LOG.warning("the count of event %s was not written: %s", series.name, error)
            return True
        series.written = count
        return True

    async def _create(self, reference: dict[str, str], told: dict[str, str], *, suffix: str, once: bool = False) -> str:
        namespace = reference.get("namespace", "default")
        name = f"{reference['name'][:200].rstrip('-.')}.{suffix}"
        body = {
            "apiVersion": resources.EVENTS.api_version,
            "kind": resources.EVENTS.kind,
            "metadata": {"name": name, "namespace": namespace},
            "eventTime": _stamp(),
            "type": told["kind"],
            "reason": told["reason"],
            "note": told["note"],
            "action": told["action"],
            "regarding": reference,
            "reportingController": f"mooring.dev/{self._controller}",
            "reportingInstance": self._instance,
        }
        try:
            await self._client.create(resources.EVENTS, body, namespace=namespace)
        except errors.Conflict as error:
            if not (once and error.reason == "AlreadyExists"):
                raise
        return name


def _stamp() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _reference(item: dict[str, Any]) -> dict[str, str]:
    metadata = item["metadata"]
    found = {
        "apiVersion": item.get("apiVersion"),
        "kind": item.get("kind"),
        "name": metadata.get("name"),
        "namespace": metadata.get("namespace"),
        "uid": metadata.get("uid"),
    }
    return {name: str(value) for name, value in found.items() if value}
