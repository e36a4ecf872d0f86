"""kopf, as far as Mooring uses it: owns the registry, the settings and the handlers, which only wake the queue.

What kopf is for here: the life cycle and the watch on our own kind. Refuses its indexes, its state on objects and
its webhooks: measured, and found wanting at scale.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import kopf

from mooring.kube import resources

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    import aiohttp

    from mooring.kube.client import Client

_DOMAIN = "operator.mooring.dev"


class _Forever:
    """Pauses between attempts, without an end: an operator that gives up takes its webhook with it."""

    def __iter__(self) -> Iterator[float]:
        yield from (1.0, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0)
        while True:
            yield 20.0


def settings() -> kopf.OperatorSettings:
    """Return kopf's settings: nothing is written onto objects, and an API server that is away is waited for."""
    made = kopf.OperatorSettings()
    made.posting.enabled = False
    made.peering.standalone = True
    made.watching.server_timeout = 300
    made.watching.chunk_size = 500
    made.queueing.idle_timeout = 1.0
    made.queueing.worker_limit = 10
    made.networking.request_timeout = 30
    made.networking.connect_timeout = 5
    made.networking.error_backoffs = _Forever()
    made.execution.max_workers = 2
    made.process.ultimate_exiting_timeout = 25
    # Unused, as no handler keeps state; named so that nothing of ours could ever be taken for another operator's.
    made.persistence.finalizer = f"{_DOMAIN}/finalizer"
    made.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=_DOMAIN)
    made.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=_DOMAIN)
    return made


def registry(
    *,
    client: Client,
    start: Callable[[], Awaitable[None]],
    stop: Callable[[], Awaitable[None]],
    installation_changed: Callable[[], None],
) -> kopf.OperatorRegistry:
    """Return a registry of our own with all handlers.

    kopf sends its requests with the credentials of `client`; `start` and `stop` frame the operator's life;
    `installation_changed` is called for each event of an Installation.
    """
    made = kopf.OperatorRegistry()

    sessions: list[aiohttp.ClientSession] = []
    closing: set[asyncio.Task[None]] = set()

    async def log_in(**_: object) -> kopf.AiohttpSession:
        sessions[:] = [each for each in sessions if not each.closed]
        sessions.append(await client.session())
        return kopf.AiohttpSession(server=client.url, aiohttp_session=sessions[-1])

    def moved() -> None:
        # kopf repeats a request for ever with the session it has; only where it finds that closed it logs in anew.
        for session in sessions:
            task = asyncio.create_task(session.close())
            closing.add(task)
            task.add_done_callback(closing.discard)

    async def begin(**_: object) -> None:
        await start()

    async def end(**_: object) -> None:
        await stop()

    async def notice(**_: object) -> None:
        installation_changed()

    kind = resources.INSTALLATIONS
    client.on_moved(moved)
    kopf.on.login(id="log-in", registry=made)(log_in)
    kopf.on.startup(id="begin", registry=made)(begin)
    kopf.on.cleanup(id="end", registry=made)(end)
    kopf.on.event(kind.group, kind.api_version.split("/")[1], kind.plural, id="installation", registry=made)(notice)
    return made


def quieten() -> None:
    """Keep kopf from telling of every event that a handler has seen it."""
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    logging.getLogger("kopf.activities").setLevel(logging.WARNING)
