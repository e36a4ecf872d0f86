"""The kubelet is told whether the agent lives and whether its node is ready."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

import pytest

from mooring.agent import health

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


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
def test_requests_are_answered_with_their_status(request_line: bytes, status: int) -> None:
    assert health.respond(request_line, lambda: ["NoRevision: not yet"])[0] == status


def test_not_ready_says_why() -> None:
    assert health.respond(b"GET /readyz HTTP/1.1\r\n", lambda: ["a", "b"]) == (503, "a\nb")
    assert health.respond(b"GET /readyz HTTP/1.1\r\n", list) == (200, "ok")


@contextlib.asynccontextmanager
async def serving(unready: list[str]) -> AsyncIterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    task = asyncio.create_task(health.serve(port=port, unready=lambda: unready))
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
