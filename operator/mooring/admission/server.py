"""The webhook server: owns the listener, its TLS, its limits, and the transport of reviews and answers.

It answers reviews with our own pure functions, and does not wait for kopf, which starts its servers only once it has
scanned the cluster, allows what it has no handler for, and remembers every object that is updated
(docs/decisions/0010-admission-without-kopfs-dispatcher.md).

Reviews are read and judged in two threads, so that the event loop goes on with handshakes and probes: one for large
ones, one for all others, so that nobody waits behind a large one. A review that is not judged at its deadline is
answered then; one that was not begun yet is dropped (docs/decisions/0083-two-threads-for-reviews.md).

It refuses what it cannot judge, with an HTTP error: the failure policy of the webhook configuration decides then.
"""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import contextlib
import dataclasses
import json
import logging
import os
import ssl
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from aiohttp import web

from mooring.admission import certificates, reviews, selftest
from mooring.metrics.histograms import Histogram

if TYPE_CHECKING:
    import socket

logger = logging.getLogger(__name__)

Review: TypeAlias = Callable[[Mapping[str, object]], dict[str, object]]

#: An UPDATE carries two objects of up to 1.5 MiB each, and their managed fields.
BODY_LIMIT = 4 * 1024 * 1024

#: The webhook configuration says 10 s, of which a busy API server may spend some before it asks; an answer of ours is
#: better than a time-out of its own.
DEADLINE = 7.0

#: Reviews above this size, or of none that is told before, go one after the other in a thread of their own.
_LARGE = 64 * 1024

#: Reviews read at once, large and other ones; with the body limit it bounds the memory. More wait for their turn.
_PARALLEL_LARGE = 16
_PARALLEL = 64

#: Of the histogram of reviews, in seconds: most take milliseconds.
_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_SELF_TEST = "self-test"


@dataclasses.dataclass(frozen=True, slots=True)
class Route:
    """A path, the function that answers it, and two reviews that prove it: one to deny, one to allow."""

    path: str
    review: Review
    known_bad: Mapping[str, object]
    known_good: Mapping[str, object]


class _Lane:
    """Reviews that share a thread; `slots` bounds how many are in memory."""

    def __init__(self, name: str, slots: int) -> None:
        self.slots = asyncio.Semaphore(slots)
        # Python runs one thread at a time: a second one in a lane would only share what there is.
        self.pool = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix=name)


class Server:
    """The webhook server of one operator process.

    It accepts connections from the first `use()` of a certificate on; those that come before wait. `ready` stays False
    until `prove()` has seen every path deny what it must deny.
    `outcomes` counts answers by (path, outcome) for the metrics, `durations` how long they took by path; outcomes are
    `allowed`, `denied`, `error`, `malformed`, `too-large`, `late`, and `self-test`, which are in no duration.
    """

    def __init__(
        self,
        *,
        routes: Sequence[Route],
        listener: socket.socket,
        body_limit: int = BODY_LIMIT,
        deadline: float = DEADLINE,
    ) -> None:
        """Take the routes and a socket that listens, which is closed at the end; `deadline` in seconds."""
        self._routes = {route.path: route for route in routes}
        self._listener = listener
        self._leaving = False
        self._body_limit = body_limit
        self._deadline = deadline
        self._lane, self._large = _Lane("review", _PARALLEL), _Lane("large-review", _PARALLEL_LARGE)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._bundle: certificates.Bundle | None = None
        self._usable = asyncio.Event()
        self._proven = False
        self._listening = asyncio.Event()
        self.outcomes: collections.Counter[tuple[str, str]] = collections.Counter()
        self.durations = {path: Histogram(_BOUNDS) for path in self._routes}

    @property
    def ready(self) -> bool:
        """Whether the server listens, has a certificate, and passed its self-test with it."""
        return self._listening.is_set() and self._proven

    @property
    def bundle(self) -> certificates.Bundle | None:
        """What it serves with; None before the first `use()`."""
        return self._bundle

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._listener.getsockname()[1])

    def use(self, bundle: certificates.Bundle) -> None:
        """Serve with this certificate from the next handshake on; connections that are open stay.

        Raises ssl.SSLError where certificate and key do not fit, and keeps the one before.
        """
        if bundle == self._bundle:
            return
        # OpenSSL reads files only. These are in memory: the key never reaches a disk, and a read-only root will do.
        with _memory_file(bundle.certificate) as certificate, _memory_file(bundle.private_key) as key:
            probe = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            probe.load_cert_chain(certificate, key)
            self._context.load_cert_chain(certificate, key)
        self._bundle = bundle
        self._usable.set()

    async def prove(self, *, server_name: str) -> None:
        """Post a known-bad and a known-good review to every path through the real listener.

        Waits until the server accepts connections. Raises selftest.SelfTestError, and makes `ready` False, where an
        answer is not what it must be; while it is repeated, `ready` stays what it was.
        """
        try:
            if self._bundle is None:
                raise selftest.SelfTestError("the webhook server has no certificate yet")
            await self._listening.wait()
            await selftest.run(
                port=self.port,
                trusted=self._bundle.ca_certificates,
                server_name=server_name,
                cases=[
                    selftest.Case(path=route.path, denied=route.known_bad, allowed=route.known_good)
                    for route in self._routes.values()
                ],
            )
        except selftest.SelfTestError:
            self._proven = False
            raise
        self._proven = True

    def leave(self) -> None:
        """End each connection with its next answer, so that the API server opens the next one to another replica."""
        self._leaving = True

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen while the block runs; on leaving, take no more connections and finish what is in flight."""
        app = web.Application(client_max_size=self._body_limit)
        app.add_routes([web.get("/readyz", self._readiness), web.get("/healthz", _health)])
        app.add_routes([web.post(path, self._serve) for path in self._routes])
        runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=self._deadline)
        await runner.setup()
        try:
            async with asyncio.TaskGroup() as group:
                accepting = group.create_task(self._accept(runner), name="accept reviews")
                yield
                accepting.cancel()
        finally:
            self._listening.clear()
            await runner.cleanup()
            self._listener.close()
            for lane in (self._lane, self._large):
                lane.pool.shutdown(wait=False, cancel_futures=True)

    async def _accept(self, runner: web.AppRunner) -> None:
        await self._usable.wait()
        await web.SockSite(runner, self._listener, ssl_context=self._context).start()
        self._listening.set()
        logger.info("The webhook server listens on port %d", self.port)

    async def _readiness(self, _: web.Request) -> web.Response:
        if self.ready:
            return web.Response(text="ok\n")
        return web.Response(status=503, text="the self-test of the webhooks has not passed\n")

    async def _serve(self, request: web.Request) -> web.Response:
        response = await self._answer(request, self._routes[request.path])
        if self._leaving:
            response.force_close()
        return response

    async def _answer(self, request: web.Request, route: Route) -> web.Response:
        now = asyncio.get_running_loop().time
        began = now()
        outcome, response = await self._judged(request, route)
        self.outcomes[route.path, outcome] += 1
        if outcome != _SELF_TEST:
            self.durations[route.path].observe(now() - began)
        return response

    async def _judged(self, request: web.Request, route: Route) -> tuple[str, web.Response]:
        told = request.content_length
        lane = self._large if told is None or told > _LARGE else self._lane
        try:
            async with asyncio.timeout(self._deadline), lane.slots:
                body = await request.read()
                loop = asyncio.get_running_loop()
                outcome, answer = await loop.run_in_executor(lane.pool, _judge, route, body)
        except web.HTTPRequestEntityTooLarge as error:
            return "too-large", web.Response(status=error.status, text=error.text)
        except reviews.MalformedReviewError as error:
            return "malformed", web.Response(status=400, text=f"not an admission review: {error}\n")
        except TimeoutError:
            return "late", web.Response(status=504, text=f"no answer within {self._deadline:g} s\n")
        return outcome, web.Response(body=answer, content_type="application/json")


def _judge(route: Route, body: bytes) -> tuple[str, bytes]:
    """Return outcome and answer of one review; runs in a thread. Raises MalformedReviewError."""
    review = _parse(body)
    try:
        answer = route.review(review)
    except reviews.MalformedReviewError:
        raise
    except Exception:
        correlation = uuid.uuid4().hex[:12]
        logger.exception("A review of %s failed inside Mooring; correlation id %s", route.path, correlation)
        answer = reviews.refuse(
            review,
            message=(
                "Mooring could not judge this object because of an error of its own. "
                f"Please look for {correlation} in the log of the operator."
            ),
            code=500,
        )
        return "error", json.dumps(answer).encode()
    response = answer["response"]
    allowed = isinstance(response, Mapping) and response.get("allowed") is True
    if review in (route.known_bad, route.known_good):
        return _SELF_TEST, json.dumps(answer).encode()
    return "allowed" if allowed else "denied", json.dumps(answer).encode()


async def _health(_: web.Request) -> web.Response:
    return web.Response(text="ok\n")


def _parse(body: bytes) -> Mapping[str, object]:
    try:
        review = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise reviews.MalformedReviewError("the body is not JSON") from error
    if not isinstance(review, dict):
        raise reviews.MalformedReviewError("the body is not an object")
    return review


@contextlib.contextmanager
def _memory_file(content: bytes) -> collections.abc.Iterator[str]:
    descriptor = os.memfd_create("mooring-tls", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
