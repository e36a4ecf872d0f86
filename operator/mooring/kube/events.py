"""Kubernetes events: owns how Mooring tells a person something about an object.

The same event again within ten minutes raises a count instead of making a new object. Refuses to fail its caller:
an event that cannot be written is logged; what it tells about must not wait for it.
"""

from __future__ import annotations

import datetime
import hashlib
import logging
import time
from typing import TYPE_CHECKING, Any, Literal

from mooring.kube import errors, resources

if TYPE_CHECKING:
    from mooring.kube.client import Client

_LOG = logging.getLogger(__name__)

_SAME_SECONDS = 600.0
_MOST_REMEMBERED = 1000
_NOTE_BYTES = 1024


class Recorder:
    """Writes events as one component (`controller`, for example `mooring-agent`) on one instance (pod or node)."""

    def __init__(self, client: Client, *, controller: str, instance: str) -> None:
        self._client = client
        self._controller = controller
        self._instance = instance
        # What was told: hash of the event -> (namespace, name, how often, when last by the monotonic clock).
        self._told: dict[str, tuple[str, str, int, float]] = {}

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
        identity = hashlib.sha256(repr((sorted(reference.items()), kind, reason, note, action)).encode()).hexdigest()
        try:
            await self._write(identity, reference, once, kind=kind, reason=reason, note=note, action=action)
        except errors.ApiError as error:
            _LOG.warning("event %s for %s %s not written: %s", reason, reference["kind"], reference["name"], error)

    async def _write(self, identity: str, reference: dict[str, str], once: str, **told: str) -> None:
        now = time.monotonic()
        stamp = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        known = self._told.get(identity)
        if known and now - known[3] < _SAME_SECONDS:
            namespace, name, count, _ = known
            series = {"series": {"count": count + 1, "lastObservedTime": stamp}}
            self._told[identity] = (namespace, name, count + 1, now)
            try:
                await self._client.patch(resources.EVENTS, name, series, namespace=namespace)
                return
            except errors.NotFound:
                pass  # the API server forgets events after an hour, or an admin removed it: tell it anew
        namespace = reference.get("namespace", "default")
        suffix = hashlib.sha256(once.encode()).hexdigest()[:24] if once else f"{identity[:8]}{time.time_ns():016x}"
        name = f"{reference['name'][:200].rstrip('-.')}.{suffix}"
        self._remember(identity, (namespace, name, 1, now))
        body = {
            "apiVersion": resources.EVENTS.api_version,
            "kind": resources.EVENTS.kind,
            "metadata": {"name": name, "namespace": namespace},
            "eventTime": stamp,
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

    def _remember(self, identity: str, told: tuple[str, str, int, float]) -> None:
        self._told.pop(identity, None)
        while len(self._told) >= _MOST_REMEMBERED:
            del self._told[next(iter(self._told))]
        self._told[identity] = told


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
