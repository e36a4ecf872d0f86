"""NetworkReports: owns that each network with findings or attachments has one, that it is true, and that no other is.

Level-based: what exists is compared with what the definitions, AttachmentSlices and NodeStates say. Bounded: networks
that nothing changed about are not looked at, and of those that differ only some are written in a pass. Refuses to say
anything before everything has been seen once: half a picture would report pools with room that are used up.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
import logging
from typing import TYPE_CHECKING, Any

from mooring.controller import keys
from mooring.controller.fencing import Writer
from mooring.insight import networkreports, usage
from mooring.installing import networkreports as models
from mooring.kube import errors, resources
from mooring.kube.informers import Informer
from mooring.networks import nads
from mooring.rules import definitions

if TYPE_CHECKING:
    import datetime
    from collections.abc import Callable, Mapping, Sequence

    from mooring.kube.client import Client
    from mooring.rules.findings import Finding, Severity

_LOG = logging.getLogger(__name__)

#: What many pods and nodes change within these seconds is written once.
GATHER_SECONDS = 5.0
_MOST_WRITES = 50
_EVERY = 600.0


class Reconciler:
    """Writes the reports while this replica leads. `wake(after)` asks for a pass so many seconds from now."""

    def __init__(
        self,
        client: Client,
        *,
        leads: Callable[[], bool],
        nodes: Callable[[], Sequence[networkreports.Node]],
        severities: Callable[[], Mapping[str, Severity]],
        now: Callable[[], datetime.datetime],
        wake: Callable[[float], None],
    ) -> None:
        """`nodes` are the served nodes, `severities` the administrator's by code; `leads` is asked at each write."""
        self._writer = Writer(client, leads=leads)
        self._nodes = nodes
        self._severities = severities
        self._now = now
        self._wake = wake
        self._definitions = Informer(client, resources.NADS, transform=_definition, on_change=self._definition_changed)
        self._slices = Informer(client, resources.ATTACHMENT_SLICES, transform=_slice, on_change=self._slice_changed)
        self._reports = Informer(
            client,
            resources.NETWORK_REPORTS,
            label_selector=resources.selector(models.LABELS),
            transform=_report,
            on_change=self._report_changed,
        )
        self._due: set[str] = set()
        self._failed: set[str] = set()
        """Of those, the ones that could not be written when they were tried last."""
        self._findings: dict[str, list[Finding]] = {}
        """Of the definitions as they are, under the severities in `_judged_by`."""
        self._judged_by: Mapping[str, Severity] = {}
        self._seen_nodes: tuple[networkreports.Node, ...] = ()
        self._served = networkreports.Nodes()
        """The same, as reports are made of them."""

    @property
    def informers(self) -> tuple[Informer, ...]:
        """What it follows."""
        return (self._definitions, self._slices, self._reports)

    async def reconcile(self) -> float:
        """Write the reports that differ; return the seconds until the next pass.

        Raises:
            errors.ApiError: something could not be written; it is still due, and holds up no other report.
        """
        if not all(informer.synced.is_set() for informer in self.informers):
            return 1.0
        nodes = tuple(sorted(self._nodes(), key=lambda node: node.name))
        severities = dict(self._severities())
        if nodes != self._seen_nodes or severities != self._judged_by:
            if severities != self._judged_by:
                self._findings.clear()
            self._seen_nodes, self._judged_by = nodes, severities
            self._served = networkreports.Nodes(nodes)
            self._due |= {*self._definitions.store, *self._reports.store}
        # What failed the last time comes last: many that cannot be written would take all the turns.
        turns = collections.deque(sorted(self._due, key=lambda key: (key in self._failed, key)))
        # Emptied before the look: what changes from now on is due again, whatever becomes of this pass.
        self._due.clear()
        usages = usage.by_network(entry["held"] for entry in self._slices.store.values())
        tried, failed, first = 0, set[str](), None
        try:
            while turns and tried < _MOST_WRITES:
                key = turns[0]
                # Judging a large definition takes a while, and probes and watches want their turn.
                await asyncio.sleep(0)
                try:
                    tried += await self._write(key, usages.get(key, usage.Usage()))
                except errors.ApiError as error:
                    self._due.add(key)
                    failed.add(key)
                    tried += 1
                    first = first or error
                    if isinstance(error, errors.Unreachable | errors.TooManyRequests):
                        break  # the next one would fare no better
                turns.popleft()
        finally:
            self._due.update(turns)  # also where the term ends
        self._failed = (self._failed & self._due) | failed
        if first is not None:
            raise first
        return GATHER_SECONDS if tried == _MOST_WRITES else _EVERY

    async def _write(self, key: str, used: usage.Usage) -> bool:
        """Bring one report in line; return whether that took a request."""
        definition, found = self._definitions.store.get(key), self._reports.store.get(key)
        before = json.loads(found["content"]) if found else None
        wanted = None if definition is None else self._describe(key, definition, used, before)
        if definition is None or wanted is None:
            if found is None:
                return False
            namespace, _, name = key.partition("/")
            with contextlib.suppress(errors.NotFound):  # it went with its definition
                await self._writer.delete(resources.NETWORK_REPORTS, name, namespace=namespace)
            return True
        body = models.desired(definition, wanted)
        if found is not None and _same(found, body):
            return False
        try:
            await self._writer.apply(resources.NETWORK_REPORTS, body, field_manager=keys.FIELD_MANAGER)
        except errors.NotFound:
            _LOG.debug("the namespace of %s is gone", key)
        except errors.Forbidden as error:
            # In a namespace that is being deleted nothing can be created, and its reports are about to go.
            if not _terminating(error):
                raise
        return True

    def _describe(
        self, key: str, definition: dict[str, Any], used: usage.Usage, before: dict[str, Any] | None
    ) -> models.NetworkReport | None:
        if key not in self._findings:
            self._findings[key] = definitions.validate(definition, severities=self._judged_by)
        facts = networkreports.Facts(
            namespace=definition["metadata"]["namespace"],
            name=definition["metadata"]["name"],
            config=definition["spec"].get("config") or "",
            findings=self._findings[key],
            usage=used,
            nodes=self._served,
        )
        return networkreports.describe(facts, before=before, now=self._now())

    def _definition_changed(self, key: str, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        if old != new:
            self._findings.pop(key, None)
            self._note(key)

    def _slice_changed(self, _: str, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        before = frozenset(old["held"] if old else ())
        after = frozenset(new["held"] if new else ())
        # Of a slice that only took or lost a pod no other network's report changes.
        self._note(*{held.network for held in before ^ after})

    def _report_changed(self, key: str, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        if old != new:
            self._note(key)

    def _note(self, *networks: str) -> None:
        self._due.update(networks)
        if networks:
            self._wake(GATHER_SECONDS)


def _definition(item: dict[str, Any]) -> dict[str, Any]:
    metadata = item["metadata"]
    annotations = metadata.get("annotations") or {}
    kept = {nads.RESOURCE_NAME: annotations[nads.RESOURCE_NAME]} if nads.RESOURCE_NAME in annotations else {}
    return {
        "apiVersion": nads.API_VERSION,
        "kind": nads.KIND,
        "metadata": {**{name: metadata[name] for name in ("name", "namespace", "uid")}, "annotations": kept},
        "spec": item.get("spec") or {},
    }


def _slice(item: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": item["metadata"]["name"]}, "held": usage.compact(item)}


def _report(item: dict[str, Any]) -> dict[str, Any]:
    """Keep a report as text: thousands of them are compared now and then, and weigh less so."""
    metadata = item["metadata"]
    content = {name: value for name, value in item.items() if name not in ("apiVersion", "kind", "metadata")}
    return {
        "metadata": {name: metadata.get(name) for name in ("name", "namespace", "ownerReferences")},
        "content": _text(content),
    }


def _same(found: dict[str, Any], body: dict[str, Any]) -> bool:
    content = {name: value for name, value in body.items() if name not in ("apiVersion", "kind", "metadata")}
    owners = found["metadata"]["ownerReferences"]
    return bool(found["content"] == _text(content) and owners == body["metadata"]["ownerReferences"])


def _text(content: dict[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def _terminating(error: errors.Forbidden) -> bool:
    causes = error.details.get("causes") or ()
    return any(isinstance(cause, dict) and cause.get("reason") == "NamespaceTerminating" for cause in causes)
