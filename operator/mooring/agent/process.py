"""Owns the agent as a process: how it starts, and when and with which status it ends.

The agent is not on the pods' path. When it ends it takes nothing of the node with it: binary, conf, cache and journal
stay, and the next one compares them with what they should be.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import signal
from typing import TYPE_CHECKING

from mooring.agent import threads, wiring
from mooring.kube import client as clients
from mooring.kube import errors

if TYPE_CHECKING:
    from pathlib import Path

_LOG = logging.getLogger(__name__)
# A loop that stands still for so long writes all stacks to stderr; it is looked at so often whether it does.
_STILL_SECONDS, _TICK_SECONDS = 30.0, 10.0


async def run(
    *,
    node: str,
    namespace: str,
    host_root: Path,
    programs: Path,
    state_dir: str,
    health_port: int,
    cached_namespaces: frozenset[str],
    metrics_address: tuple[str, int] | None,
) -> int:
    """Run the agent of one node until SIGTERM or SIGINT; return the exit status of the process.

    Args:
        node: the name of the Node.
        namespace: the operator's, where the revisions are.
        host_root: where the node's folders are mounted.
        programs: the folder of the plugin's programs.
        state_dir: the node's path of our own folder, as far as it is known without a revision.
        health_port: port of /healthz, /readyz and /metrics on the loopback address.
        cached_namespaces: those whose networks are kept on the node; all where empty.
        metrics_address: host and port at which others get /metrics; None where they do not.
    """
    asyncio.get_running_loop().set_default_executor(threads.Threads())
    _tick()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        client = await clients.Client.load()
    except errors.ApiError as error:
        _LOG.error("no way to the API server: %s", error)
        return 1
    async with client:
        agent = wiring.Agent(
            client,
            node=node,
            namespace=namespace,
            host_root=host_root,
            programs=programs,
            state_dir=state_dir,
            cached_namespaces=cached_namespaces,
        )
        running = asyncio.create_task(agent.run(health_port=health_port, metrics_address=metrics_address))
        ends = (running, asyncio.create_task(stop.wait()), asyncio.create_task(agent.outdated.wait()))
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        _LOG.info("ending%s; what is on the node stays", " to start anew" if agent.outdated.is_set() else "")
        for task in ends:
            task.cancel()
        ended = await asyncio.gather(*ends, return_exceptions=True)
    if isinstance(ended[0], Exception):
        _LOG.error("the agent failed", exc_info=ended[0])
        return 1
    return 0


def _tick() -> None:
    """Put off the dump of all stacks, for as long as the event loop runs."""
    faulthandler.dump_traceback_later(_STILL_SECONDS)
    asyncio.get_running_loop().call_later(_TICK_SECONDS, _tick)
