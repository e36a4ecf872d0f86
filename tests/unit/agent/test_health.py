"""The kubelet is told whether the agent lives and whether its node is ready."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
import urllib.request
from typing import TYPE_CHECKING

import pytest

from mooring.agent import health, loops

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


PAGES = health.probes(stuck=list, unready=lambda: ["a", "b"])


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\n", 200),
        (b"GET /readyz?verbose HTTP/1.1\r\n", 503),
        (b"HEAD /healthz HTTP/1.1\r\n", 200),
        (b"GET / HTTP/1.1\r\n", 404),
        (b"GET /healthz/../x HTTP/1.1\r\n", 404),
        (b"POST /healthz HTTP/1.1\r\n", 405),
        (b"\x16\x03\x01\r\n", 405),
    ],
)
async def test_requests_are_answered_with_their_status(request_line: bytes, status: int) -> None:
    assert (await health.respond(request_line, PAGES)).status == status


async def test_not_ready_and_stuck_say_why() -> None:
    asked = b"GET /readyz HTTP/1.1\r\n"
    assert await health.respond(asked, PAGES) == health.Answer(503, b"a\nb\n")
    well = health.probes(stuck=lambda: ["conf hangs"], unready=list)
    assert await health.respond(asked, well) == health.Answer(200, b"ok\n")
    assert await health.respond(b"GET /healthz HTTP/1.1\r\n", well) == health.Answer(503, b"conf hangs\n")


@pytest.mark.looptime
async def test_a_pass_that_never_ends_makes_the_process_one_to_be_ended() -> None:
    class Endless(loops.Reconciler):
        name = "endless"
        reason = "Endless"

        async def reconcile(self) -> float | None:
            await asyncio.sleep(1e9)
            return None

    endless = Endless(on_health=lambda: None)
    task = asyncio.create_task(endless.run())
    await asyncio.sleep(endless.deadline + loops.STUCK_SECONDS - 1)
    assert endless.health.warning
    assert health.stuck((endless,), seconds=loops.STUCK_SECONDS) == []
    await asyncio.sleep(2)
    assert health.stuck((endless,), seconds=loops.STUCK_SECONDS) == [
        "endless has been at one pass for 15 minutes more than it may"
    ]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_loop_that_stands_still_answers_no_probe() -> None:
    """What the kubelet sees of a process that is stuck as a whole: nothing in time, so it ends that process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    loop, held, goes_on = asyncio.new_event_loop(), threading.Event(), threading.Event()

    def stand_still() -> None:
        held.set()
        goes_on.wait(20)

    def run() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(server)

    server = loop.create_task(health.serve(port=port, pages=health.probes(stuck=list, unready=list)))
    thread = threading.Thread(target=run)
    thread.start()
    try:
        until(lambda: probed(port, seconds=5) == 200)
        loop.call_soon_threadsafe(stand_still)
        assert held.wait(20)
        assert probed(port, seconds=0.2) is None
        goes_on.set()
        until(lambda: probed(port, seconds=5) == 200)
    finally:
        goes_on.set()
        loop.call_soon_threadsafe(server.cancel)
        thread.join(20)
        loop.close()


def probed(port: int, *, seconds: float) -> int | None:
    """Return the status that a probe with a timeout gets; None where it gets none."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=seconds) as answer:
            return int(answer.status)
    except OSError:
        return None


def until(probe: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not probe():
        assert time.monotonic() < deadline


@contextlib.asynccontextmanager
async def serving(unready: list[str]) -> AsyncIterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    task = asyncio.create_task(health.serve(port=port, pages=health.probes(stuck=list, unready=lambda: unready)))
    try:
        async with asyncio.timeout(5):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    break
                except ConnectionRefusedError:
                    await asyncio.sleep(0.01)
        writer.close()
        await writer.wait_closed()
        yield port
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def ask(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    await writer.wait_closed()
    return answer


async def test_it_answers_over_http_and_outlives_nonsense() -> None:
    reasons = ["CacheNotWritten: the disk is full"]
    async with serving(reasons) as port:
        assert await ask(port, b"x" * 10_000 + b"\r\n\r\n") == b""
        answer = await ask(port, b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert answer.endswith(b"\r\n\r\nCacheNotWritten: the disk is full\n")
        reasons.clear()
        assert (await ask(port, b"GET /readyz HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")
