"""The objects that the operator makes: owns that each is as it should be, and that it is written only where it is not.

What the API server made of the last apply is remembered and compared with what is there: its defaults are no drift,
and what others add stays. A process that has just begun applies each once. Refuses to touch what does not carry our
label.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal

from mooring.controller import keys, reading
from mooring.installing import drift
from mooring.kube import errors, resources

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mooring.controller.fencing import Writer
    from mooring.kube.resources import Resource

_LOG = logging.getLogger(__name__)

Outcome = Literal["", "made", "changed", "repaired"]
"""What became of an object: nothing; made for the first time; made what is newly wanted; put right after somebody."""


class Managed:
    """Objects of the operator's own, by kind and name."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        # What we wanted the last time, and what the API server made of it.
        self._applied: dict[tuple[str, str], tuple[dict[str, Any], dict[str, Any]]] = {}

    async def ensure(self, resource: Resource, desired: dict[str, Any], found: Mapping[str, Any] | None) -> Outcome:
        """Apply an object where it is absent or not as it should be; return what that changed."""
        key = (resource.kind, resources.key(desired))
        wanted, applied = self._applied.get(key, ({}, {}))
        if found is not None and wanted == desired and not drift.drifted(dict(found), applied=applied, desired=desired):
            return ""
        made = await self._writer.apply(resource, desired, field_manager=keys.FIELD_MANAGER)
        self._applied[key] = (desired, made)
        version = made["metadata"].get("resourceVersion", "")
        # Applied by a process that has just begun, or before the watch told of the last time: it was as it should be.
        if any(version == each["metadata"].get("resourceVersion") for each in (found, applied) if each):
            return ""
        if wanted == desired:
            return "repaired"
        return "changed" if found is not None else "made"

    async def reconcile(
        self, resource: Resource, desired: Iterable[dict[str, Any]], there: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Make the objects of ours in `there`, by key, those that are desired.

        Raises:
            errors.ApiError: one could not be written or removed; the others were tried.
        """
        failed: list[errors.ApiError] = []
        wanted = list(desired)
        for each in wanted:
            try:
                await self.ensure(resource, each, there.get(resources.key(each)))
            except errors.ApiError as error:
                failed.append(error)
        try:
            await self.prune(resource, there.values(), wanted=[each["metadata"]["name"] for each in wanted])
        except errors.ApiError as error:
            failed.append(error)
        if failed:
            raise failed[0]

    async def prune(self, resource: Resource, there: Iterable[Mapping[str, Any]], *, wanted: Iterable[str]) -> None:
        """Delete what carries our label and is not wanted.

        Raises:
            errors.ApiError: one could not be removed; the others were tried.
        """
        names, failed = set(wanted), list[errors.ApiError]()
        for item in list(there):
            metadata = item["metadata"]
            if metadata["name"] in names or metadata.get("deletionTimestamp") or not reading.is_ours(item):
                continue
            try:
                await self._writer.delete(
                    resource, metadata["name"], namespace=metadata.get("namespace"), uid=metadata.get("uid")
                )
            except errors.NotFound:
                continue
            except errors.ApiError as error:
                failed.append(error)
                continue
            _LOG.info("Removed %s %s, which is not wanted any more", resource.kind, metadata["name"])
        if failed:
            raise failed[0]
