"""Owns the agent's small HTTP server, and what the kubelet is told there; refuses to know what else is on its pages.

The kubelet probes on the loopback address. It ends the agent's process where `/healthz` does not answer in time (the
event loop stands still) or says no (a pass that will not end any more).
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mooring.agent.loops import Reconciler

_LOG = logging.getLogger(__name__)
_MOST_BYTES = 4096
_SECONDS = 5.0
_MOST_CONNECTIONS = 32
_STATUS = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}
_PLAIN = "text/plain; charset=utf-8"


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What a page says."""

    status: int
    body: bytes
    content_type: str = _PLAIN

    @classmethod
    def text(cls, status: int, text: str) -> Answer:
        """Return an answer of plain text."""
        return cls(status, f"{text}\n".encode())


Pages = Mapping[str, Callable[[], Awaitable[Answer]]]


async def serve(*, port: int, pages: Pages, host: str = "127.0.0.1") -> None:
    """Serve pages by their path until cancelled; raises `OSError`."""
    connections = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        # Whoever connects and says nothing, or goes away, is nobody's fault.
        with contextlib.suppress(TimeoutError, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(_SECONDS):
                if connections <= _MOST_CONNECTIONS:
                    await _converse(reader, writer, pages)
        connections -= 1
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(answer, host, port, limit=_MOST_BYTES)
    async with server:
        await server.serve_forever()


async def _converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pages: Pages) -> None:
    request = await reader.readuntil(b"\r\n")
    while (await reader.readuntil(b"\r\n")) != b"\r\n":
        pass
    found = await respond(request, pages)
    head = (
        f"HTTP/1.1 {found.status} {_STATUS[found.status]}\r\nContent-Type: {found.content_type}\r\n"
        f"Content-Length: {len(found.body)}\r\nConnection: close\r\n\r\n"
    )
    writer.write(head.encode() + (b"" if request.startswith(b"HEAD ") else found.body))
    await writer.drain()


async def respond(request: bytes, pages: Pages) -> Answer:
    """Return the answer to a request line such as `GET /readyz HTTP/1.1`."""
    method, _, rest = request.decode("latin-1").strip().partition(" ")
    path = rest.partition(" ")[0].partition("?")[0]
    if method not in ("GET", "HEAD"):
        return Answer.text(405, "only GET is answered here")
    page = pages.get(path)
    return Answer.text(404, f"there is {', '.join(pages)}") if page is None else await page()


def probes(*, stuck: Callable[[], list[str]], unready: Callable[[], list[str]]) -> Pages:
    """Return the kubelet's pages; both ask for reasons in sentences, none where all is well."""

    def page(reasons: Callable[[], list[str]]) -> Callable[[], Awaitable[Answer]]:
        async def answer() -> Answer:
            found = reasons()
            return Answer.text(503, "\n".join(found)) if found else Answer.text(200, "ok")

        return answer

    return {"/healthz": page(stuck), "/readyz": page(unready)}


def stuck(reconcilers: tuple[Reconciler, ...], *, seconds: float) -> list[str]:
    """Return in a sentence each which passes are so long over their deadline that only a new process helps."""
    return [
        f"{each.name} has been at one pass for {each.overdue / 60:.0f} minutes more than it may"
        for each in reconcilers
        if each.overdue >= seconds
    ]
