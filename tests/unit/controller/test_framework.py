"""How kopf is run: term by term, anew where it ends, and with a fence around what it writes."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING, Any, cast

import aiohttp
import kopf
import pytest
from aiohttp import web

from mooring.controller import framework
from mooring.kube.pauses import Pause

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


class Client:
    """An API server that has the kind; its sessions are those of anybody."""

    url = "http://127.0.0.1:1"

    def __init__(self) -> None:
        self.answers = asyncio.Event()
        self.answers.set()

    async def list(self, _: object) -> dict[str, Any]:
        await self.answers.wait()
        return {"items": []}

    def on_moved(self, _: Callable[[], None]) -> None:
        pass


class Kopf:
    """What runs in place of kopf's operator: until it is stopped, or not at all."""

    def __init__(self) -> None:
        self.threads: list[str] = []
        self.failures = 0
        self.failure: BaseException = RuntimeError("Event processing has failed")
        self.deaf = threading.Event()
        self.begun = threading.Semaphore(0)
        self.ended = threading.Semaphore(0)
        self.free = threading.Event()

    async def operator(self, *, stop_flag: threading.Event, **_: object) -> None:
        self.threads.append(threading.current_thread().name)
        self.begun.release()
        if self.failures:
            self.failures -= 1
            raise self.failure
        await asyncio.to_thread(stop_flag.wait)
        if self.deaf.is_set():
            await asyncio.to_thread(self.free.wait)
        self.ended.release()


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Kopf:
    made = Kopf()
    monkeypatch.setattr(kopf, "operator", made.operator)
    return made


async def nothing_left(_: str) -> str:
    return ""


def life(*, leads: bool = True, client: Client | None = None) -> framework.Life:
    return framework.Life(
        cast("Any", client or Client()),
        identity="us",
        leads=lambda: leads,
        changed=lambda: None,
        remove=nothing_left,
        pause=Pause(first=0.001, longest=0.001),
    )


@pytest.fixture
async def lives(runs: Kopf) -> AsyncIterator[framework.Life]:
    made = life()
    task = asyncio.create_task(made.run())
    yield made
    made.end_term()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def reached(semaphore: threading.Semaphore) -> None:
    assert await asyncio.to_thread(semaphore.acquire, timeout=20)


async def test_it_begins_with_the_term_and_ends_with_it(lives: framework.Life, runs: Kopf) -> None:
    await asyncio.sleep(0)
    assert runs.threads == []
    for _ in range(2):
        lives.begin_term()
        await reached(runs.begun)
        lives.end_term()
        await reached(runs.ended)
    assert runs.threads == ["kopf", "kopf"], "and in a thread of its own"


async def test_where_it_ends_by_itself_it_begins_anew(
    lives: framework.Life, runs: Kopf, caplog: pytest.LogCaptureFixture
) -> None:
    runs.failures = 2
    lives.begin_term()
    for _ in range(3):
        await reached(runs.begun)
    assert "kopf does not carry the Installation: Event processing has failed" in caplog.text
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("leads", [True, False])
async def test_a_replica_that_was_deposed_writes_nothing_by_it(leads: bool, runs: Kopf) -> None:
    seen: list[str] = []

    async def note(request: web.Request) -> web.Response:
        seen.append(request.method)
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/", note)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = runner.addresses[0]
    try:
        async with aiohttp.ClientSession(middlewares=(life(leads=leads).fence,)) as session:
            await session.get(f"http://127.0.0.1:{url[1]}/")
            if leads:
                await session.patch(f"http://127.0.0.1:{url[1]}/")
            else:
                with pytest.raises(aiohttp.ClientConnectionError, match="does not lead"):
                    await session.patch(f"http://127.0.0.1:{url[1]}/")
    finally:
        await runner.cleanup()
    assert seen == (["GET", "PATCH"] if leads else ["GET"])


async def test_it_does_not_begin_where_the_term_ended_while_the_kind_was_looked_for(runs: Kopf) -> None:
    client = Client()
    client.answers.clear()
    late = life(client=client)
    task = asyncio.create_task(late.run())
    late.begin_term()
    await asyncio.sleep(0.01)
    late.end_term()
    client.answers.set()
    await asyncio.sleep(0.01)
    assert runs.threads == []
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_of_its_own_is_no_end_of_ours(lives: framework.Life, runs: Kopf) -> None:
    runs.failures, runs.failure = 1, asyncio.CancelledError()
    lives.begin_term()
    for _ in range(2):
        await reached(runs.begun)


async def test_one_that_does_not_end_with_its_term_is_the_end_of_the_process(
    runs: Kopf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(framework, "_END_SECONDS", 0.01)
    runs.deaf.set()
    stuck = life()
    task = asyncio.create_task(stuck.run())
    stuck.begin_term()
    await reached(runs.begun)
    stuck.end_term()
    with pytest.raises(framework.Stuck, match="kopf has not ended"):
        await task
    runs.free.set()
    await reached(runs.ended)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Request attempt #1/9 failed; will retry: PATCH x -> APIForbiddenError('no', {'code': 403})", True),
        ("Request attempt #1/9 failed; will retry: GET x -> APIServerError('etcd', {'code': 500})", False),
        ("Request attempt #1/9 failed; will retry: GET x -> ClientConnectorError(111)", False),
        ("Patching finished with inconsistencies", True),
    ],
)
def test_what_it_is_refused_is_told_and_an_api_server_that_is_away_is_not(said: str, told: bool) -> None:
    record = logging.LogRecord("kopf.objects", logging.ERROR, "", 0, said, (), None)
    assert framework.is_news(record) is told
