"""The webhook server: owns the listener, its TLS, its limits, and the transport of reviews and answers.

It speaks kopf's server protocol (an async iterator over client configs), so that it lives and ends with the
operator, yet answers reviews with our own pure functions and not through kopf's dispatcher: that one allows what
it has no handler for, knows a resource only once it is discovered, and remembers every object that is updated
(docs/decisions/0010-admission-without-kopfs-dispatcher.md).

It refuses what it cannot judge, with an HTTP error: the failure policy of the webhook configuration decides then.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import json
import logging
import os
import ssl
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TypeAlias

import kopf
from aiohttp import web

from mooring.admission import certificates, reviews, selftest

logger = logging.getLogger(__name__)

Review: TypeAlias = Callable[[Mapping[str, object]], dict[str, object]]

#: An UPDATE carries two objects of up to 1.5 MiB each, and their managed fields.
BODY_LIMIT = 4 * 1024 * 1024

#: The webhook configuration says 5 s; an answer of ours is better than a time-out of the API server.
DEADLINE = 4.0

#: Reviews judged at once; with the body limit it bounds the memory. Others wait, within their deadline.
_PARALLEL = 16

#: A review above this size is judged in a thread, so that it does not hold up the others.
_LARGE = 64 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Route:
    """A path, the function that answers it, and two reviews that prove it: one to deny, one to allow."""

    path: str
    review: Review
    known_bad: Mapping[str, object]
    known_good: Mapping[str, object]


class Server:
    """The webhook server of one operator process; pass it as `settings.admission.server`.

    It listens as soon as it runs, but no handshake succeeds before `use()` was called with a certificate, and
    `ready` stays False until `prove()` has seen every path deny what it must deny.
    `outcomes` counts answers by (path, outcome) for the metrics; outcomes are `allowed`, `denied`, `error`,
    `malformed`, `too-large`, `late`.
    """

    def __init__(
        self,
        *,
        routes: Sequence[Route],
        host: str | None = None,
        port: int = 9443,
        body_limit: int = BODY_LIMIT,
        deadline: float = DEADLINE,
    ) -> None:
        """Take the routes; `host` None listens on all addresses, `port` 0 on any; `deadline` in seconds."""
        self._routes = {route.path: route for route in routes}
        self._host = host
        self._port = port
        self._body_limit = body_limit
        self._deadline = deadline
        self._slots = asyncio.Semaphore(_PARALLEL)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._bundle: certificates.Bundle | None = None
        self._proven = False
        self._listening = asyncio.Event()
        self.outcomes: collections.Counter[tuple[str, str]] = collections.Counter()

    @property
    def ready(self) -> bool:
        """Whether the server listens, has a certificate, and passed its self-test with it."""
        return self._listening.is_set() and self._proven

    @property
    def port(self) -> int:
        """The port it listens on; the one asked for until it does."""
        return self._port

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

    async def prove(self, *, server_name: str) -> None:
        """Post a known-bad and a known-good review to every path through the real listener.

        Waits until the server listens. Raises selftest.SelfTestError, and makes `ready` False, where an answer is
        not what it must be; while it is repeated, `ready` stays what it was.
        """
        await self._listening.wait()
        try:
            if self._bundle is None:
                raise selftest.SelfTestError("the webhook server has no certificate yet")
            await selftest.run(
                port=self._port,
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

    async def __call__(self, fn: object) -> AsyncIterator[kopf.WebhookClientConfig]:
        """Serve until cancelled: kopf's server protocol. `fn`, kopf's dispatcher, is not used."""
        async with self.running():
            # Nobody reads it: the webhook configuration is a plain file of the manifests.
            yield kopf.WebhookClientConfig(service=None)
            await asyncio.Event().wait()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen while the block runs; on leaving, take no more connections and finish what is in flight."""
        app = web.Application(client_max_size=self._body_limit)
        app.add_routes([web.get("/readyz", self._readiness), web.get("/healthz", _health)])
        app.add_routes([web.post(path, self._serve) for path in self._routes])
        runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=self._deadline)
        await runner.setup()
        try:
            site = web.TCPSite(runner, self._host, self._port, ssl_context=self._context)
            await site.start()
            self._port = int(runner.addresses[0][1])
            self._listening.set()
            logger.info("The webhook server listens on port %d", self._port)
            yield
        finally:
            self._listening.clear()
            await runner.cleanup()

    async def _readiness(self, _: web.Request) -> web.Response:
        if self.ready:
            return web.Response(text="ok\n")
        return web.Response(status=503, text="the self-test of the webhooks has not passed\n")

    async def _serve(self, request: web.Request) -> web.Response:
        route = self._routes[request.path]
        try:
            async with asyncio.timeout(self._deadline), self._slots:
                body = await request.read()
                review = _parse(body)
                answer = await self._judge(route, review, size=len(body))
        except web.HTTPRequestEntityTooLarge:
            self.outcomes[route.path, "too-large"] += 1
            raise
        except reviews.MalformedReviewError as error:
            self.outcomes[route.path, "malformed"] += 1
            return web.Response(status=400, text=f"not an admission review: {error}\n")
        except TimeoutError:
            self.outcomes[route.path, "late"] += 1
            return web.Response(status=504, text=f"no answer within {self._deadline:g} s\n")
        return web.json_response(answer)

    async def _judge(self, route: Route, review: Mapping[str, object], *, size: int) -> dict[str, object]:
        try:
            if size > _LARGE:
                answer = await asyncio.to_thread(route.review, review)
            else:
                answer = route.review(review)
        except reviews.MalformedReviewError:
            raise
        except Exception:
            correlation = uuid.uuid4().hex[:12]
            logger.exception("A review of %s failed inside Mooring; correlation id %s", route.path, correlation)
            self.outcomes[route.path, "error"] += 1
            return reviews.refuse(
                review,
                message=(
                    "Mooring could not judge this object because of an error of its own. "
                    f"Please look for {correlation} in the log of the operator."
                ),
                code=500,
            )
        response = answer["response"]
        allowed = isinstance(response, Mapping) and response.get("allowed") is True
        self.outcomes[route.path, "allowed" if allowed else "denied"] += 1
        return answer


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
