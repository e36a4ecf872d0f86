"""The operator's process: owns its event loop, its signals, its log and its exit status.

SIGTERM: not ready at once, so that the API server asks nobody here any more, then a few seconds for that to become
known, then the end. Refuses to die of an API server that is away.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING

from mooring.controller import framework, health
from mooring.controller.operator import Operator
from mooring.kube import errors
from mooring.kube.client import Client

if TYPE_CHECKING:
    import socket

_LOG = logging.getLogger(__name__)

# Until every node's kube-proxy has taken this pod out of the webhook's Service.
_LEAVING_SECONDS = 5.0


def run(*, namespace: str, pod_name: str, listener: socket.socket, health_port: int) -> int:
    """Run the operator until it is asked to end; return the exit status of the process.

    `listener` is the socket that listens for the webhook.
    """
    framework.quieten()
    try:
        return asyncio.run(_run(namespace=namespace, pod_name=pod_name, listener=listener, health_port=health_port))
    except errors.Unreachable as error:
        # Only from loading credentials: from then on, an API server that is away is waited for.
        print(f"mooring operator: {error.message}", file=sys.stderr)  # noqa: T201  a person started this by hand
        return 1


async def _run(*, namespace: str, pod_name: str, listener: socket.socket, health_port: int) -> int:
    stopped = asyncio.Event()
    async with await Client.load() as client:
        operator = Operator(client, namespace=namespace, pod_name=pod_name, listener=listener, stopped=stopped)
        _on_signals(operator, stopped)
        async with (
            health.serving(port=health_port, missing=operator.missing, metrics=operator.metrics.text) as port,
            operator.admitting(),
            operator.working(),
        ):
            _LOG.info("Health is served on port %d", port)
            await stopped.wait()
    return 1 if operator.failed else 0


def _on_signals(operator: Operator, stopped: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def leave(number: signal.Signals) -> None:
        _LOG.info("%s: ending", number.name)
        operator.leave()
        # Outside of a cluster there is nobody who would have to learn of it.
        loop.call_later(_LEAVING_SECONDS if os.environ.get("KUBERNETES_SERVICE_HOST") else 0.0, stopped.set)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, leave, number)
