"""The operator as one thing: owns its parts, their start and end, and what work each key of the queue is.

Refuses to hide the end of a part: when one that should run for ever ends, the process ends with it, and the kubelet
starts it anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import functools
import logging
import platform
import uuid
from typing import TYPE_CHECKING, Any, TypeVar

from mooring.admission import handlers
from mooring.admission.server import Server
from mooring.admission.tallies import Tally
from mooring.controller import (
    definition,
    evicting,
    framework,
    installation,
    keys,
    measuring,
    reading,
    reports,
    serving,
    webhook,
)
from mooring.controller.fencing import Deposed
from mooring.controller.image import Image
from mooring.controller.meters import Meter
from mooring.controller.observing import View
from mooring.controller.queues import Queue
from mooring.kube import errors, resources
from mooring.kube.events import Recorder
from mooring.kube.leases import Election

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Coroutine

    from mooring.kube.client import Client

_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")

# kopf keeps what it has seen on the Installation right after it told; a pass that began before would meet its write.
_KEPT_SECONDS = 0.1


class Operator:
    """All parts of one operator process; needs a running event loop."""

    def __init__(
        self,
        client: Client,
        *,
        namespace: str,
        pod_name: str,
        listener: socket.socket,
        stopped: asyncio.Event,
    ) -> None:
        """Put the parts together; `stopped` is set when the process must end.

        `listener` is the socket that listens for the webhook.
        """
        self._stopped = stopped
        self._leaving = False
        self.failed = False
        """Whether a part ended that should not have."""
        self.queue = Queue()
        self.serving = serving.Serving(client, namespace=namespace, changed=lambda: self.queue.add(keys.WEBHOOK))
        tally = Tally()
        routes = handlers.routes(severities=self.serving.severities, tally=tally)
        self.server = Server(routes=routes, listener=listener)
        self._events = Recorder(client, controller="mooring-operator", instance=pod_name or platform.node())
        self._view = View(client, namespace=namespace, wake=lambda key, after: self.queue.add(key, after=after))
        self._client = client
        self._election = Election(
            client,
            namespace=namespace,
            name=keys.LEASE,
            # The name of a pod is never that of two running ones, and a container that starts anew leads at once.
            identity=pod_name or f"{platform.node()}-{uuid.uuid4().hex[:8]}",
            changed=self._leadership_changed,
        )
        self._installation = installation.Reconciler(
            client,
            self._view,
            namespace=namespace,
            image=Image(client, namespace=namespace, pod_name=pod_name),
            further=lambda: self._webhook.problems,
            now=_now,
            leads=lambda: self._election.holds,
            recorder=self._events,
        )
        self._life = framework.Life(
            client,
            identity=pod_name or "mooring-operator",
            leads=lambda: self._election.holds,
            changed=lambda: self.queue.add(keys.INSTALLATION, after=_KEPT_SECONDS),
            remove=self._remove,
        )
        self._evictor = evicting.Evictor(
            client,
            states=self._view.node_states.store,
            wanted=functools.partial(evicting.wanted, client),
            leading=lambda: self._election.holds,
            recorder=self._events,
            now=_now,
        )
        self._reports = reports.Reconciler(
            client,
            leads=lambda: self._election.holds,
            nodes=lambda: reading.serving_nodes(self._view.node_states.store),
            severities=self.serving.severities,
            now=_now,
            wake=lambda after: self.queue.add(keys.REPORTS, after=after),
        )
        self._webhook = webhook.Reconciler(
            client,
            self.serving,
            namespace=namespace,
            tell=self._tell,
            changed=lambda: self.queue.add(keys.INSTALLATION),
            now=_now,
        )
        self._meter = Meter((*keys.ALL, keys.UNINSTALL))
        self.metrics = measuring.Page(
            measuring.Sources(
                queue=self.queue,
                meter=self._meter,
                election=self._election,
                server=self.server,
                tally=tally,
                informers=(*self._view.informers, *self.serving.informers, *self._reports.informers),
                ready=lambda: not self.missing(),
                reported=lambda: self._installation.reported,
            )
        )
        """What Prometheus is told."""
        # What the uninstall could not do at its last try.
        self._refused = ""
        # The passes of this term; a lost one takes them with it.
        self._term: set[asyncio.Task[Any]] = set()

    @contextlib.asynccontextmanager
    async def admitting(self) -> AsyncIterator[None]:
        """Answer reviews while the block runs, whatever becomes of all else."""
        async with self.server.running():
            task = asyncio.create_task(self.serving.run(self.server), name="admission")
            task.add_done_callback(self._ended)
            try:
                yield
            finally:
                task.cancel()
                await asyncio.wait([task])

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Observe, and work while this replica leads, while the block runs."""
        task = asyncio.create_task(self._run(), name="operator")
        task.add_done_callback(self._ended)
        try:
            yield
        finally:
            self._leaving = True
            self._life.end_term()
            task.cancel()
            await asyncio.wait([task])
            await self._election.release()

    def leave(self) -> None:
        """Say that this process is about to end: it is not ready from now on."""
        self._leaving = True
        self.server.leave()

    def missing(self) -> list[str]:
        """Return what keeps the operator from being ready: to be asked by the API server, whoever leads."""
        if self._leaving:
            return ["nothing: the operator is ending"]
        return self.serving.missing()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._view.run(), name="view")
            for informer in self._reports.informers:
                group.create_task(informer.run(), name=f"reports: {informer.plural}")
            group.create_task(self._election.run(), name="election")
            group.create_task(self.queue.run(self._work), name="queue")
            group.create_task(self._events.run(), name="events")
            group.create_task(self._life.run(), name="life")
            # Decisions on half a picture would remove NodeStates of nodes that were not seen yet.
            await self._view.wait_synced()
            _LOG.info("Everything has been seen once; working")
            self._add_all()

    async def _work(self, key: str) -> float | None:
        if not self._election.holds:
            return None  # when it leads, everything is added
        if key != keys.WEBHOOK and not self._view.synced:
            return None  # when it has synced, everything is added; the webhook needs nothing of the view
        try:
            with self._meter.timed(key):
                return await self._in_term(self._pass(key))
        except Deposed:
            return 0.0 if self._election.holds else None

    async def _pass(self, key: str) -> float | None:
        match key:
            case keys.WEBHOOK:
                return await self._webhook.reconcile()
            case keys.INSTALLATION:
                again = await self._installation.reconcile()
                # What woke it may be what a node has for its networks.
                self.queue.add(keys.REPORTS, after=reports.GATHER_SECONDS)
                return again
            case keys.REPORTS:
                return await self._reports.reconcile()
            case keys.EVICTIONS:
                return await self._evictor.reconcile()
            case keys.DEFINITION:
                await definition.reconcile(self._client, self._view)
                return None
        raise AssertionError(f"no work is known by the key {key!r}")

    async def _remove(self, uid: str) -> str:
        """Go on with the uninstall; return what is waited for, "" at its end."""
        if not self._view.synced:
            return "Not everything has been seen yet."
        try:
            with self._meter.timed(keys.UNINSTALL):
                waiting = await self._in_term(self._installation.remove(uid))
        except Deposed:
            return "The term is over."
        except errors.ApiError as error:
            if error.message != self._refused:
                _LOG.warning("The uninstall: %s; trying again", error)
            self._refused = error.message
            return error.message
        self._refused = ""
        if not waiting:
            # What was left for nodes that are away is finished without an Installation.
            self.queue.add(keys.INSTALLATION)
        return waiting

    async def _in_term(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run a pass that ends with the term, wherever it is; the next leader begins it anew.

        Raises:
            Deposed: the term is over.
        """
        task = asyncio.create_task(work, name="a pass of this term")
        self._term.add(task)
        try:
            await asyncio.wait({task})
        finally:
            self._term.discard(task)
            if not task.done():
                task.cancel()  # the operator ends
        if task.cancelled() or isinstance(task.exception(), Deposed):
            _LOG.info("The term is over; what was under way is left to the next leader")
            raise Deposed
        return task.result()

    async def _tell(self, reason: str, note: str, warning: bool) -> None:
        """Write an event on the Installation, where there is one."""
        known = self.serving.installations.store.get(keys.INSTALLATION_NAME)
        if known is None:
            return
        regarding = {
            "apiVersion": resources.INSTALLATIONS.api_version,
            "kind": resources.INSTALLATIONS.kind,
            "metadata": known["metadata"],
        }
        await self._events.event(
            regarding, kind="Warning" if warning else "Normal", reason=reason, note=note, action="Admission"
        )

    def _leadership_changed(self, leading: bool) -> None:
        for task in self._term:
            task.cancel()
        if leading:
            self._installation.begin_term()
            self._life.begin_term()
            self._add_all()
        else:
            self._life.end_term()

    def _add_all(self) -> None:
        for key in keys.ALL:
            self.queue.add(key)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or self._leaving:
            return
        self.failed = True
        _LOG.error("The operator's work has ended and should not have", exc_info=task.exception())
        self._stopped.set()


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
