"""The operator's health server: owns /healthz and /readyz for the kubelet's probes, and /metrics, in plain HTTP.

Live: the event loop turns. Ready: the webhook serves what the API server trusts, has proven itself and knows the
severities, and the process is not on its way out; else the answer says what is missing. Whether it leads, and what it
has seen of nodes, does not matter: the API server asks whoever is ready. Refuses to touch the API server.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from aiohttp import web

from mooring.metrics import families

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@contextlib.asynccontextmanager
async def serving(
    *, port: int, missing: Callable[[], list[str]], metrics: Callable[[], bytes], host: str | None = None
) -> AsyncIterator[int]:
    """Serve while the block runs and yield the port.

    `missing` lists what keeps the operator from being ready, `metrics` is what Prometheus reads; `host` None means all
    addresses.
    """

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        lacking = missing()
        if lacking:
            return web.Response(status=503, text="".join(f"waiting for {each}\n" for each in lacking))
        return web.Response(text="ok\n")

    async def numbers(_: web.Request) -> web.Response:
        return web.Response(body=metrics(), headers={"Content-Type": families.CONTENT_TYPE})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", numbers)])
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
