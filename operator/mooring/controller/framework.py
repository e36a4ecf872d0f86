"""kopf, as far as Mooring uses it: owns what its presence, a change and the deletion of the Installation set off.

kopf runs in the replica that leads, from the beginning of its term to its end, in a thread and an event loop of its
own: at its end it cancels every task of its loop. Our finalizer is kopf's, and `on.delete` is the uninstall. Refuses
kopf's indexes, its webhooks, its events and its state on other people's objects: measured, and found wanting at scale.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from typing import TYPE_CHECKING, Any, cast

import aiohttp
import kopf

from mooring.kube import errors, resources
from mooring.kube.pauses import Pause

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from mooring.kube.client import Client

_LOG = logging.getLogger(__name__)

FINALIZER = "mooring.dev/uninstall"
# Of kopf's annotations on the Installation.
_PREFIX = "operator.mooring.dev"
# What was changed behind our back without a word to the watches is found this often, in seconds.
_EVERY = 120.0
# Between two looks at what an uninstall waits for.
_SOON = 2.0
# Its workers get five seconds to end, its tasks as many.
_END_SECONDS = 60.0
# What is left of it when the process itself ends; longer would be taken from its grace period.
_LEAVE_SECONDS = 10.0


class Stuck(Exception):
    """kopf did not end with its term."""

    def __str__(self) -> str:
        """Say it to a person."""
        return f"kopf has not ended within {_END_SECONDS:.0f} s"


class Life:
    """The life of the Installation while this replica leads.

    `leads()` is asked before each of kopf's writes, in kopf's thread. `changed()` is called for an Installation that is
    there, that changed, and now and then. `remove(uid)` is called until it returns "": what it returns before is what
    is waited for, and the Installation stays.
    """

    def __init__(
        self,
        client: Client,
        *,
        identity: str,
        leads: Callable[[], bool],
        changed: Callable[[], None],
        remove: Callable[[str], Awaitable[str]],
        pause: Pause | None = None,
    ) -> None:
        """Take what is called in the event loop that `run` is called in."""
        self._client = client
        self._identity = identity
        self._leads = leads
        self._changed = changed
        self._remove = remove
        self._pause = pause or Pause(first=0.5, longest=30.0)
        self._term = asyncio.Event()
        self._over = asyncio.Event()
        self._stop = threading.Event()
        # What was told last of what kopf is refused.
        self._refused = ""
        self._sessions: list[tuple[asyncio.AbstractEventLoop, aiohttp.ClientSession]] = []
        client.on_moved(self._moved)

    def begin_term(self) -> None:
        """Let kopf run."""
        self._over.clear()
        self._term.set()

    def end_term(self) -> None:
        """Let kopf end."""
        self._term.clear()
        self._over.set()
        self._stop.set()

    def begin_anew(self) -> None:
        """Let another kopf look at the Installation: one that was refused waits for the next event."""
        self._stop.set()

    async def run(self) -> None:
        """Run kopf in each term until cancelled; where it ends by itself, it begins anew after a pause.

        Raises:
            Stuck: it does not end with its term; only the end of the process can end it.
        """
        failures = 0
        while True:
            await self._term.wait()
            try:
                # kopf looks for the kind once, and never serves one that is not there then.
                await self._client.list(resources.INSTALLATIONS)
                if not self._term.is_set():
                    continue  # over while this was asked
                failures = 0
                await self._carry()
            except Stuck:
                raise
            except Exception as error:
                failures += 1
                _LOG.log(
                    logging.DEBUG if isinstance(error, errors.NotFound) else logging.WARNING,
                    "kopf does not carry the Installation: %s; trying again",
                    errors.reason(error),
                )
            if self._term.is_set():
                await asyncio.sleep(self._pause.after(failures))

    async def _carry(self) -> None:
        self._stop = threading.Event()
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # No pool: the end of the process must not wait for it.
        threading.Thread(
            target=self._in_thread, args=(asyncio.get_running_loop(), ended, self._stop), name="kopf", daemon=True
        ).start()
        over = asyncio.create_task(self._over.wait(), name="the end of the term")
        try:
            await asyncio.wait((ended, over), return_when=asyncio.FIRST_COMPLETED)
            self._stop.set()
            await asyncio.wait((ended,), timeout=_END_SECONDS)
            if not ended.done():
                raise Stuck
            ended.result()
        finally:
            self._stop.set()
            over.cancel()
            # Where the process ends, its thread would find an interpreter that is half gone.
            await asyncio.wait((ended,), timeout=_LEAVE_SECONDS)

    def _in_thread(self, ours: asyncio.AbstractEventLoop, ended: asyncio.Future[None], stop: threading.Event) -> None:
        async def carry() -> None:
            try:
                await kopf.operator(
                    registry=self._registry(ours),
                    settings=settings(),
                    # Otherwise kopf asks for the name of the user, and the image's has none.
                    identity=cast("Any", self._identity),
                    clusterwide=True,
                    standalone=True,
                    stop_flag=stop,
                )
            finally:
                # A thread of kopf's waits for it, and this one for that thread.
                stop.set()
                self._sessions.clear()

        failure: BaseException | None = None
        try:
            asyncio.run(carry())
        except BaseException as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the process ends, and its loop is closed
            ours.call_soon_threadsafe(_end, ended, failure)

    def _registry(self, ours: asyncio.AbstractEventLoop) -> kopf.OperatorRegistry:
        """Return a registry of our own with all handlers; what they say is told in the loop `ours`."""
        made = kopf.OperatorRegistry()

        async def log_in(**_: object) -> kopf.AiohttpSession:
            make = await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._client.sessions(), ours))
            session = make((self.fence,))
            self._sessions[:] = [each for each in self._sessions if not each[1].closed]
            self._sessions.append((asyncio.get_running_loop(), session))
            return kopf.AiohttpSession(server=self._client.url, aiohttp_session=session)

        async def present(**_: object) -> None:
            ours.call_soon_threadsafe(self._changed)

        async def updated(diff: kopf.Diff, **_: object) -> None:
            fields = dict.fromkeys(".".join(map(str, field)) for _, field, _, _ in diff)
            _LOG.info("The Installation changed: %s", ", ".join(fields))
            ours.call_soon_threadsafe(self._changed)

        async def deleted(uid: str, **_: object) -> None:
            # Not by kopf's retries: their moments are on the Installation, by the clock of whoever led then.
            while await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._removed(uid), ours)):  # noqa: ASYNC110
                await asyncio.sleep(_SOON)

        kind = resources.INSTALLATIONS
        where = (kind.group, kind.api_version.split("/")[1], kind.plural)
        kopf.on.login(id="log-in", registry=made)(log_in)
        kopf.on.resume(*where, id="present", registry=made)(present)
        kopf.on.create(*where, id="created", registry=made)(present)
        kopf.on.update(*where, id="updated", registry=made)(updated)
        kopf.timer(*where, id="again", registry=made, interval=_EVERY, initial_delay=_EVERY)(present)
        kopf.on.delete(*where, id="uninstall", registry=made)(deleted)
        return made

    async def _removed(self, uid: str) -> str:
        return await self._remove(uid)

    async def fence(self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        """Let kopf's requests through; those that write only while this replica leads. Tell what it is refused."""
        if request.method == "GET":
            return await handler(request)
        if not self._leads():
            raise aiohttp.ClientConnectionError("this replica does not lead any more")
        answer = await handler(request)
        # kopf tries again for ever, and takes a policy's 422 for a race that it lost.
        if 400 <= answer.status < 500 and answer.status not in (404, 409, 429):
            said = errors.from_answer(answer.status, await answer.read(), request=f"kopf's {request.method}").message
            if said != self._refused and "test operation" not in said:
                _LOG.warning("%s", said)
            self._refused = said
        return answer

    def _moved(self) -> None:
        # kopf repeats a request for ever with the session it has; only where it finds that closed it logs in anew.
        for loop, session in list(self._sessions):
            with contextlib.suppress(RuntimeError):  # that loop is closed, and its sessions with it
                loop.call_soon_threadsafe(_close, session)


def settings() -> kopf.OperatorSettings:
    """Return kopf's settings: its annotations and its finalizer on the Installation alone, no scanning, no end."""
    made = kopf.OperatorSettings()
    made.posting.enabled = False
    made.peering.standalone = True
    # The one kind is there before kopf begins.
    made.scanning.disabled = True
    made.watching.server_timeout = 300
    made.watching.chunk_size = 500
    made.queueing.idle_timeout = 1.0
    made.queueing.worker_limit = 10
    made.networking.request_timeout = 30
    made.networking.connect_timeout = 5
    made.networking.error_backoffs = _Forever()
    made.execution.max_workers = 2
    # It would be the end of the process, not of kopf.
    made.process.ultimate_exiting_timeout = None
    made.persistence.finalizer = FINALIZER
    made.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=_PREFIX)
    made.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=_PREFIX)
    return made


def quieten() -> None:
    """Keep kopf from telling of every event that a handler has seen it, and of an API server that is away.

    That the informers say, once, and kopf would at each attempt; what it is refused `Life.fence` tells.
    """
    logging.getLogger("kopf").setLevel(logging.WARNING)
    for name in ("kopf.objects", "kopf._cogs.clients.watching"):
        logging.getLogger(name).addFilter(lambda record: not record.getMessage().startswith("Request attempt "))
    # It runs in a thread of its own, as it should, and signals are ours.
    logging.getLogger("kopf._core.reactor.running").addFilter(
        lambda record: "OS signals are ignored" not in record.getMessage()
    )


class _Forever:
    """Pauses between attempts, without an end: an API server that is away is waited for."""

    def __iter__(self) -> Iterator[float]:
        yield from (1.0, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0)
        while True:
            yield 20.0


def _end(ended: asyncio.Future[None], failure: BaseException | None) -> None:
    if ended.done():
        return
    if failure is None:
        ended.set_result(None)
    elif isinstance(failure, Exception):
        ended.set_exception(failure)
    else:
        # A cancellation of theirs would pass for one of ours.
        ended.set_exception(RuntimeError(repr(failure)))


_closing: set[asyncio.Task[None]] = set()


def _close(session: aiohttp.ClientSession) -> None:
    # Kept, because a loop itself forgets tasks that nobody holds.
    task = asyncio.get_running_loop().create_task(session.close())
    _closing.add(task)
    task.add_done_callback(_closing.discard)
