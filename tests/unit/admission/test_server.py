"""The webhook server, over real TLS on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import io
import json
import ssl
import threading
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from mooring.admission import certificates, handlers, reviews, selftest, server, tallies
from mooring.controller import holding

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

NOW = datetime.datetime.now(datetime.UTC)
NAME = certificates.server_name("mooring-system")
BUNDLE = certificates.make(namespace="mooring-system", now=NOW)


def review(config: str, **request: object) -> dict[str, Any]:
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "42",
            "operation": "CREATE",
            "namespace": "default",
            "name": "storage",
            "object": {
                "apiVersion": "k8s.cni.cncf.io/v1",
                "kind": "NetworkAttachmentDefinition",
                "metadata": {"name": "storage", "namespace": "default"},
                "spec": {"config": config},
            },
            **request,
        },
    }


GOOD = review('{"cniVersion": "1.0.0", "type": "loopback"}')
BAD = review("{")


class Client:
    """An API server: it trusts a CA, and expects the name of the Service."""

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self._session = session
        self._base = f"https://127.0.0.1:{port}"

    async def post(self, path: str, *, json: object = None, data: bytes | io.BytesIO | None = None) -> tuple[int, Any]:
        async with self._session.post(self._base + path, json=json, data=data, server_hostname=NAME) as response:
            kind = response.content_type
            return response.status, await (response.json() if kind == "application/json" else response.text())

    async def get(self, path: str) -> int:
        async with self._session.get(self._base + path, server_hostname=NAME) as response:
            return response.status


@contextlib.asynccontextmanager
async def client(port: int, *, trusted: bytes = BUNDLE.ca_certificates) -> AsyncIterator[Client]:
    context = ssl.create_default_context(cadata=trusted.decode())
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        yield Client(session, port)


@contextlib.asynccontextmanager
async def serving(
    *, routes: list[server.Route] | None = None, bundle: certificates.Bundle | None = BUNDLE, **options: Any
) -> AsyncIterator[server.Server]:
    listener = holding.listen(0, host="127.0.0.1")
    subject = server.Server(routes=routes or handlers.routes(), listener=listener, **options)
    if bundle is not None:
        subject.use(bundle)
    async with subject.running():
        yield subject


async def test_a_good_definition_is_allowed_and_a_bad_one_denied() -> None:
    async with serving() as subject, client(subject.port) as api:
        status, answer = await api.post(handlers.DEFINITIONS, json=GOOD)
        assert (status, answer["response"]["allowed"], answer["response"]["uid"]) == (200, True, "42")
        status, answer = await api.post(handlers.DEFINITIONS, json=BAD)
        assert (status, answer["response"]["allowed"]) == (200, False)
        assert "MR101" in answer["response"]["status"]["message"]
        assert subject.outcomes == {
            (handlers.DEFINITIONS, "allowed"): 1,
            (handlers.DEFINITIONS, "denied"): 1,
        }
        assert subject.durations[handlers.DEFINITIONS].count == 2


async def test_what_reviews_find_is_counted_by_rule_and_the_self_test_is_told_apart() -> None:
    counted = tallies.Tally()
    async with serving(routes=handlers.routes(tally=counted)) as subject, client(subject.port) as api:
        await subject.prove(server_name=NAME)
        assert counted.counts() == {}
        await api.post(handlers.DEFINITIONS, json=BAD)
        await api.post(handlers.DEFINITIONS, json=BAD)
        assert counted.counts() == {("MR101", "Enforce"): 2}
        assert subject.outcomes == {(handlers.DEFINITIONS, "self-test"): 2, (handlers.DEFINITIONS, "denied"): 2}
        assert subject.durations[handlers.DEFINITIONS].count == 2


@pytest.mark.parametrize("path", ["/", "/validate", "/validate/", handlers.DEFINITIONS + "x", "/validate/pods"])
async def test_a_path_that_is_not_declared_is_not_found(path: str) -> None:
    async with serving() as subject, client(subject.port) as api:
        status, _ = await api.post(path, json=GOOD)
        assert status == 404


async def test_a_review_with_two_large_objects_is_judged() -> None:
    large = review('{"cniVersion": "1.0.0", "type": "x", "remark": "' + "x" * 1_400_000 + '"}')
    large["request"] |= {"operation": "UPDATE", "oldObject": {"spec": {"config": "y" * 1_400_000}}}
    async with serving() as subject, client(subject.port) as api:
        status, answer = await api.post(handlers.DEFINITIONS, data=io.BytesIO(json.dumps(large).encode()))
        assert (status, answer["response"]["allowed"]) == (200, True)


async def test_a_body_beyond_the_limit_is_refused_with_413() -> None:
    async with serving(body_limit=1000) as subject, client(subject.port) as api:
        status, _ = await api.post(handlers.DEFINITIONS, data=b"x" * 2000)
        assert status == 413
        assert subject.outcomes[handlers.DEFINITIONS, "too-large"] == 1


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"request": {}}', b"\xff", b"[" * 5000])
async def test_what_is_no_review_is_refused_with_400(body: bytes) -> None:
    async with serving() as subject, client(subject.port) as api:
        status, _ = await api.post(handlers.DEFINITIONS, data=body)
        assert status == 400


async def test_an_error_of_our_own_denies_with_a_correlation_id_and_without_its_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(_: Mapping[str, object]) -> dict[str, object]:
        raise KeyError("a secret thing")

    route = server.Route(path="/validate/x", review=broken, known_bad=BAD, known_good=GOOD)
    async with serving(routes=[route]) as subject, client(subject.port) as api:
        status, answer = await api.post("/validate/x", json=GOOD)
    response = answer["response"]
    assert (status, response["allowed"], response["status"]["code"]) == (200, False, 500)
    assert "secret" not in response["status"]["message"]
    correlation = next(word for word in caplog.records[-1].getMessage().split() if len(word) == 12)
    assert correlation in response["status"]["message"]


async def test_a_review_that_takes_too_long_is_answered_with_504() -> None:
    async with serving(deadline=0.05) as subject, client(subject.port) as api:
        # The body never ends: the sender is what is slow.
        async def body() -> AsyncIterator[bytes]:
            yield b"{"
            await asyncio.Event().wait()

        with contextlib.suppress(aiohttp.ClientError):
            status, _ = await api.post(handlers.DEFINITIONS, data=body())  # type: ignore[arg-type]
            assert status == 504
        assert subject.outcomes[handlers.DEFINITIONS, "late"] == 1


class TestReadiness:
    async def test_it_is_not_ready_before_the_self_test_and_ready_after(self) -> None:
        async with serving() as subject, client(subject.port) as api:
            assert await api.get("/readyz") == 503
            await subject.prove(server_name=NAME)
            assert await api.get("/readyz") == 200
            assert await api.get("/healthz") == 200
        assert not subject.ready

    async def test_a_server_that_allows_a_known_bad_object_never_becomes_ready(self) -> None:
        def lenient(request: Mapping[str, object]) -> dict[str, object]:
            return reviews.review_definition({**request, "request": {"uid": "1", "operation": "CONNECT"}})

        route = server.Route(path="/validate/x", review=lenient, known_bad=BAD, known_good=GOOD)
        async with serving(routes=[route]) as subject:
            with pytest.raises(selftest.SelfTestError, match="/validate/x allowed"):
                await subject.prove(server_name=NAME)
            assert not subject.ready

    async def test_a_server_that_denies_a_known_good_object_never_becomes_ready(self) -> None:
        route = server.Route(path="/validate/x", review=reviews.review_definition, known_bad=BAD, known_good=BAD)
        async with serving(routes=[route]) as subject:
            with pytest.raises(selftest.SelfTestError, match="/validate/x denied"):
                await subject.prove(server_name=NAME)

    async def test_without_a_certificate_there_is_nothing_to_prove(self) -> None:
        async with serving(bundle=None) as subject:
            with pytest.raises(selftest.SelfTestError, match="no certificate"):
                await subject.prove(server_name=NAME)

    async def test_a_certificate_for_another_name_does_not_pass(self) -> None:
        async with serving() as subject:
            with pytest.raises(selftest.SelfTestError, match="cannot be asked"):
                await subject.prove(server_name="mooring-webhook.elsewhere.svc")


class TestRenewal:
    async def test_the_next_connection_sees_the_new_certificate_and_open_ones_go_on(self) -> None:
        renewed = certificates.make(namespace="mooring-system", now=NOW, previous=BUNDLE)
        async with serving() as subject, client(subject.port) as before:
            assert await before.get("/healthz") == 200
            subject.use(renewed)
            assert await before.get("/healthz") == 200
            async with client(subject.port, trusted=renewed.ca_certificates) as after:
                assert await after.get("/healthz") == 200
            async with client(subject.port) as old:
                with pytest.raises(aiohttp.ClientConnectorCertificateError):
                    await old.get("/healthz")

    async def test_a_key_that_does_not_fit_is_refused_and_the_old_certificate_kept(self) -> None:
        other = certificates.make(namespace="mooring-system", now=NOW)
        mixed = certificates.Bundle(
            ca_certificates=BUNDLE.ca_certificates,
            certificate=BUNDLE.certificate,
            private_key=other.private_key,
        )
        async with serving() as subject:
            with pytest.raises(ssl.SSLError):
                subject.use(mixed)
            await subject.prove(server_name=NAME)


class TestLeaving:
    async def test_a_server_that_leaves_ends_each_connection_with_its_answer(self) -> None:
        async with serving() as subject:
            context = ssl.create_default_context(cadata=BUNDLE.ca_certificates.decode())
            url = f"https://127.0.0.1:{subject.port}{handlers.DEFINITIONS}"
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
                for leaving, kept in ((False, "keep-alive"), (True, "close")):
                    if leaving:
                        subject.leave()
                    async with session.post(url, json=GOOD, server_hostname=NAME) as answer:
                        assert answer.status == 200
                        assert answer.headers.get("Connection", "keep-alive") == kept

    async def test_what_is_in_flight_when_it_ends_is_answered(self) -> None:
        begun, go_on = threading.Event(), threading.Event()

        def slowly(request: Mapping[str, object]) -> dict[str, object]:
            begun.set()
            go_on.wait(10)
            return reviews.review_definition(request)

        route = server.Route(path="/validate/x", review=slowly, known_bad=BAD, known_good=GOOD)
        async with contextlib.AsyncExitStack() as stack:
            subject = await stack.enter_async_context(serving(routes=[route]))
            async with client(subject.port) as api:
                asked = asyncio.create_task(api.post("/validate/x", json=GOOD))
                await asyncio.to_thread(begun.wait, 10)
                ending = asyncio.create_task(stack.aclose())
                await asyncio.sleep(0)
                go_on.set()
                assert (await asked)[0] == 200
                await ending


class TestTheEventLoop:
    async def test_a_large_review_in_work_does_not_hold_up_others(self) -> None:
        large = review('{"cniVersion": "1.0.0", "type": "x", "remark": "' + "x" * 100_000 + '"}')
        begun, go_on = threading.Event(), threading.Event()

        def slowly(request: Mapping[str, object]) -> dict[str, object]:
            begun.set()
            go_on.wait(10)
            return reviews.review_definition(request)

        slow = server.Route(path="/validate/slow", review=slowly, known_bad=BAD, known_good=GOOD)
        async with serving(routes=[slow, *handlers.routes()]) as subject, client(subject.port) as api:
            asked = asyncio.create_task(api.post("/validate/slow", data=io.BytesIO(json.dumps(large).encode())))
            await asyncio.to_thread(begun.wait, 10)
            assert await api.get("/healthz") == 200
            status, _ = await api.post(handlers.DEFINITIONS, json=GOOD)
            assert status == 200
            go_on.set()
            assert (await asked)[0] == 200

    async def test_a_review_that_is_not_judged_at_its_deadline_is_answered_then(self) -> None:
        go_on = threading.Event()

        def never(request: Mapping[str, object]) -> dict[str, object]:
            go_on.wait(30)
            return reviews.review_definition(request)

        route = server.Route(path="/validate/x", review=never, known_bad=BAD, known_good=GOOD)
        async with serving(routes=[route], deadline=0.1) as subject, client(subject.port) as api:
            answers = await asyncio.gather(*(api.post("/validate/x", json=GOOD) for _ in range(20)))
            go_on.set()
        assert [status for status, _ in answers] == [504] * 20
        assert subject.outcomes["/validate/x", "late"] == 20


async def test_a_connection_that_comes_before_the_certificate_waits_for_it() -> None:
    async with serving(bundle=None) as subject, client(subject.port) as api:
        asked = asyncio.create_task(api.get("/healthz"))
        _, waiting = await asyncio.wait([asked], timeout=0.2)
        assert waiting
        subject.use(BUNDLE)
        assert await asked == 200
