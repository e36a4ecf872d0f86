"""The operator as one thing: owns its parts, their start and end, and what work each key of the queue is.

Refuses to hide the end of a part: when one that should run for ever ends, the process ends with it, and the kubelet
starts it anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
import platform
import uuid
from typing import TYPE_CHECKING, Any

from mooring.admission import handlers
from mooring.admission.server import Server
from mooring.controller import definition, installation, keys, webhook
from mooring.controller.fencing import Deposed
from mooring.controller.image import Image
from mooring.controller.observing import View
from mooring.controller.queues import Queue
from mooring.rules.findings import Severity

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from mooring.installing.installations import InstallationSpec
    from mooring.kube.client import Client
from mooring.kube.events import Recorder
from mooring.kube.leases import Election

_LOG = logging.getLogger(__name__)


class Operator:
    """All parts of one operator process; needs a running event loop."""

    def __init__(
        self, client: Client, *, namespace: str, pod_name: str, webhook_port: int, stopped: asyncio.Event
    ) -> None:
        """Put the parts together; `stopped` is set when the process must end."""
        self._stopped = stopped
        self._spec: InstallationSpec | None = None
        self._leaving = False
        self._task: asyncio.Task[None] | None = None
        self.failed = False
        """Whether a part ended that should not have."""
        self.queue = Queue()
        self.server = Server(routes=handlers.routes(severities=self._severities), port=webhook_port)
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
            adopt=self._adopt,
            now=_now,
            leads=lambda: self._election.holds,
            recorder=Recorder(client, controller=keys.FIELD_MANAGER, instance=pod_name or platform.node()),
        )
        self._webhook = webhook.Reconciler(
            client,
            self._view,
            self.server,
            namespace=namespace,
            failure_policy=lambda: self._spec.admission.failure_policy if self._spec else "Fail",
            leading=lambda: self._election.holds,
            now=_now,
        )
        # The passes of this term; a lost one takes them with it.
        self._term: set[asyncio.Task[float | None]] = set()

    async def start(self) -> None:
        """Begin to observe and to work, in the background."""
        self._task = asyncio.create_task(self._run(), name="operator")
        self._task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """End what `start` began."""
        self._leaving = True
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._election.release()

    def leave(self) -> None:
        """Say that this process is about to end: it is not ready from now on."""
        self._leaving = True

    def missing(self) -> list[str]:
        """Return what keeps the operator from being ready."""
        if self._leaving:
            return ["nothing: the operator is ending"]
        lacking = []
        if not self._view.synced:
            lacking += [
                f"the first complete list of {informer.plural}"
                + (f": {informer.last_error}" if informer.last_error else "")
                for informer in self._view.informers
                if not informer.synced.is_set()
            ]
        if not self.server.ready:
            lacking.append(f"the webhook's self-test{': ' + self._webhook.problem if self._webhook.problem else ''}")
        return lacking

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._view.run(), name="view")
            # Decisions on half a picture would remove NodeStates of nodes that were not seen yet.
            await self._view.wait_synced()
            group.create_task(self._election.run(), name="election")
            await self._election.tried.wait()
            _LOG.info("Everything has been seen once; working")
            self._add_all()
            group.create_task(self.queue.run(self._work), name="queue")

    async def _work(self, key: str) -> float | None:
        match key:
            case keys.INSTALLATION if self._election.holds:
                return await self._in_term(self._installation.reconcile(writing=True))
            case keys.INSTALLATION:
                return await self._installation.reconcile(writing=False)
            case keys.WEBHOOK:
                return await self._webhook.reconcile()
            case keys.DEFINITION:
                if self._election.leading:
                    await definition.reconcile(self._client, self._view)
                return None
        raise AssertionError(f"no work is known by the key {key!r}")

    async def _in_term(self, work: Coroutine[Any, Any, float | None]) -> float | None:
        """Run a pass that ends with the term, wherever it is; the next leader begins it anew."""
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
            return 0.0 if self._election.holds else None
        return task.result()

    def _leadership_changed(self, leading: bool) -> None:
        for task in self._term:
            task.cancel()
        if leading:
            self._installation.begin_term()
            self._add_all()

    def _add_all(self) -> None:
        for key in keys.ALL:
            self.queue.add(key)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or self._leaving:
            return
        self.failed = True
        _LOG.error("The operator's work has ended and should not have", exc_info=task.exception())
        self._stopped.set()

    def _adopt(self, spec: InstallationSpec | None) -> None:
        before, self._spec = self._spec, spec
        if (spec and spec.admission.failure_policy) != (before and before.admission.failure_policy):
            self.queue.add(keys.WEBHOOK)

    def _severities(self) -> Mapping[str, Severity]:
        if self._spec is None:
            return {}
        return {code: Severity(value) for code, value in self._spec.admission.severities.items()}


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
