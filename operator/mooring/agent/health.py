"""Owns `/healthz` and `/readyz` of the agent; refuses everything else.

It listens on the loopback address only: the kubelet probes it there, and nobody else needs it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_LOG = logging.getLogger(__name__)
_MOST_BYTES = 4096
_SECONDS = 5.0
_STATUS = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


async def serve(*, port: int, unready: Callable[[], list[str]], host: str = "127.0.0.1") -> None:
    """Serve until cancelled. `unready` returns in sentences why the agent is not ready; raises `OSError`."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Whoever connects and says nothing, or goes away, is nobody's fault.
        with contextlib.suppress(TimeoutError, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(_SECONDS):
                request = await reader.readuntil(b"\r\n")
                while (await reader.readuntil(b"\r\n")) != b"\r\n":
                    pass
                status, text = respond(request, unready)
                body = (text + "\n").encode()
                head = (
                    f"HTTP/1.1 {status} {_STATUS[status]}\r\nContent-Type: text/plain; charset=utf-8\r\n"
                    f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                )
                writer.write(head.encode() + body)
                await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(answer, host, port, limit=_MOST_BYTES)
    async with server:
        await server.serve_forever()


def respond(request: bytes, unready: Callable[[], list[str]]) -> tuple[int, str]:
    """Return status and text for a request line such as `GET /readyz HTTP/1.1`."""
    method, _, rest = request.decode("latin-1").strip().partition(" ")
    path = rest.partition(" ")[0].partition("?")[0]
    if method not in ("GET", "HEAD"):
        return 405, "only GET is answered here"
    if path == "/healthz":
        return 200, "ok"
    if path == "/readyz":
        reasons = unready()
        return (503, "\n".join(reasons)) if reasons else (200, "ok")
    return 404, "there is /healthz and /readyz"
