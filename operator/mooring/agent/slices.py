"""Owns the AttachmentSlices of this node: who holds which address here, as the journals say; refuses to ask the pods.

Slices are listed at the start, every ten minutes, and after anything unexpected; between, what was written is
remembered. No watch: docs/decisions/0060-slices-without-a-watch.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import itertools
import json
import logging
import operator
import random
from typing import TYPE_CHECKING, Any

from mooring.agent import holdings, loops, packing
from mooring.installing import attachmentslices
from mooring.kube import errors, resources

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mooring.agent.sandboxes import Sandboxes
    from mooring.kube.client import Client

_LOG = logging.getLogger(__name__)

FIELD_MANAGER = "mooring-agent"
# A burst of pods is one write.
_DEBOUNCE_SECONDS = 1.0
# More is no node's work but journals that nobody cleans up, and would fill the cluster's store.
_MOST_SLICES = 100


@dataclasses.dataclass(frozen=True, slots=True)
class _Slice:
    """A slice as it was last seen or written."""

    uid: str
    version: str
    entries: tuple[str, ...]
    sound: bool = True
    """Its labels and its owner are as they should be."""


class Slices(loops.Reconciler):
    """Writes this node's slices. What goes wrong is a warning: pods get their networks all the same."""

    name = "slices"
    reason = "SlicesNotWritten"
    period = 600.0
    fails_as = "warning"

    def __init__(self, client: Client, *, node: str, sandboxes: Sandboxes, on_health: Callable[[], None]) -> None:
        super().__init__(on_health=on_health)
        self._client = client
        self._node = node
        self._sandboxes = sandboxes
        self._known: dict[str, _Slice] | None = None
        self._listed_at = 0.0
        self._taken: set[str] = set()
        """Names of ours that objects have which are not ours."""
        self._due = 0.0
        """When to compare next."""
        self._failures = 0
        self._left_out = 0
        """How many attachments are too many to be told."""

    def changed(self) -> None:
        """Note that a journal says something else; it is written a little later."""
        if not self._failures:  # else that pause counts: what wakes us may be what we fail at
            self._due = min(self._due, _now() + _DEBOUNCE_SECONDS)
        self.wake()

    async def reconcile(self) -> float | None:
        """Compare the slices with the journals where that is due, and write what differs."""
        if not self._sandboxes.scanned.is_set():
            # Every slice would seem stale. Nobody waits for us: the node may be Ready meanwhile.
            self.report(settled=True, warning=self.health.warning)
            return _DEBOUNCE_SECONDS
        if _now() < self._due:
            return self._due - _now()
        self._due = _now() + self.period * random.uniform(0.9, 1)  # noqa: S311  no secret
        try:
            await self._reconcile()
        except errors.ApiError as error:
            self._known = None  # what was written, and what somebody else wrote, is seen by listing
            self._failures += 1
            self._due = _now() + max(self.pause.after(self._failures), error.retry_after or 0.0)
            # Somebody was faster: that is put right at once and no reason to tell.
            if self._failures > 1 or not isinstance(error, errors.Conflict | errors.NotFound):
                self.report(settled=True, warning=f"Who holds which address here cannot be written down: {error}")
        else:
            self._failures = 0
            self.report(settled=True, warning=self._overflow())
        return max(self._due - _now(), 0.0)

    def _overflow(self) -> str:
        if not self._left_out:
            return ""
        return (
            f"The AttachmentSlices of this node are full: they leave out {self._left_out} older attachments; "
            "journals of sandboxes that are gone may be waiting to be cleaned up"
        )

    async def _reconcile(self) -> None:
        if self._known is None or _now() - self._listed_at >= self.period * 0.8:
            self._known = await self._list()
        known = self._known
        strays = [name for name in known if not attachmentslices.is_name(self._node, name)]
        ours = {name: each for name, each in known.items() if name not in strays}
        plan = packing.plan({name: each.entries for name, each in ours.items()}, self._wanted())
        unsound = {name: each.entries for name, each in ours.items() if not each.sound and name not in plan.deletes}
        # What ends comes first: where it can be, an address is not seen with its last holder and its next one.
        writes: list[Callable[[], Awaitable[None]]] = [
            *(functools.partial(self._delete, name, known) for name in (*strays, *plan.deletes)),
            *(functools.partial(self._update, *each, known) for each in ({**unsound, **plan.updates}).items()),
            *(functools.partial(self._create, entries, known) for entries in plan.creates),
        ]
        refused: errors.Invalid | None = None
        for write in writes:
            try:
                await write()
            except errors.Invalid as error:
                refused = error  # what one slice cannot hold keeps no other from being written
        if refused is not None:
            raise refused

    def _wanted(self) -> list[str]:
        """Return all entries; of too many those of the newest sandboxes."""
        most = _MOST_SLICES * attachmentslices.MOST
        sandboxes = [sandbox for sandbox in self._sandboxes if sandbox.held]
        self._left_out = max(sum(len(sandbox.held) for sandbox in sandboxes) - most, 0)
        if self._left_out:
            sandboxes.sort(key=operator.attrgetter("time"), reverse=True)
        return list(itertools.islice((entry for sandbox in sandboxes for entry in sandbox.held), most))

    async def _list(self) -> dict[str, _Slice]:
        # By the field and not by the label, which a hand may have taken off.
        listed = await self._client.list(resources.ATTACHMENT_SLICES, field_selector=f"nodeName={self._node}")
        self._listed_at = _now()
        items = [item for item in listed["items"] if not item["metadata"].get("deletionTimestamp")]
        if not items:
            return {}
        owners = attachmentslices.owners(await self._client.get(resources.NODES, self._node))
        ours = {entry: entry for entry in self._wanted()}  # one text in memory, not two that are equal
        return {item["metadata"]["name"]: self._read(item, owners, ours) for item in items}

    def _read(self, item: dict[str, Any], owners: list[dict[str, Any]], ours: dict[str, str]) -> _Slice:
        metadata = item["metadata"]
        labels = metadata.get("labels") or {}
        entries = [holdings.text(entry) for entry in item.get("attachments") or []]
        return _Slice(
            uid=metadata["uid"],
            version=metadata["resourceVersion"],
            entries=tuple(ours.get(entry, entry) for entry in entries),
            sound=metadata.get("ownerReferences") == owners
            and attachmentslices.labels(self._node).items() <= labels.items(),
        )

    async def _delete(self, name: str, known: dict[str, _Slice]) -> None:
        with contextlib.suppress(errors.NotFound):
            await self._client.delete(resources.ATTACHMENT_SLICES, name, uid=known[name].uid)
        del known[name]

    async def _update(self, name: str, entries: tuple[str, ...], known: dict[str, _Slice]) -> None:
        # The version makes the API server refuse it where somebody else wrote in between.
        metadata: dict[str, Any] = {"resourceVersion": known[name].version}
        if not known[name].sound:
            node = await self._client.get(resources.NODES, self._node)
            metadata |= {
                "labels": attachmentslices.labels(self._node),
                "ownerReferences": attachmentslices.owners(node),
            }
        written = await self._client.patch(
            resources.ATTACHMENT_SLICES,
            name,
            {"metadata": metadata, "attachments": [json.loads(entry) for entry in entries]},
            field_manager=FIELD_MANAGER,
        )
        known[name] = _known(written, entries)

    async def _create(self, entries: tuple[str, ...], known: dict[str, _Slice]) -> None:
        # Asked each time: under a Node that was made anew the old UID would end the slice at once.
        node = await self._client.get(resources.NODES, self._node)
        attachments = [json.loads(entry) for entry in entries]
        for number in itertools.count(1):
            name = attachmentslices.name(self._node, number)
            if name in known or name in self._taken:
                continue
            body = attachmentslices.desired(node, number=number, attachments=attachments)
            try:
                written = await self._client.create(resources.ATTACHMENT_SLICES, body, field_manager=FIELD_MANAGER)
            except errors.Conflict:
                _LOG.warning("the name %s is taken by an AttachmentSlice that is not of this node, or ends", name)
                self._taken.add(name)
                continue
            known[name] = _known(written, entries)
            return


def _known(written: dict[str, Any], entries: tuple[str, ...]) -> _Slice:
    metadata = written["metadata"]
    return _Slice(uid=metadata["uid"], version=metadata["resourceVersion"], entries=entries)


def _now() -> float:
    return asyncio.get_running_loop().time()
