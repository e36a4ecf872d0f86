"""Clients that apply networks all the while: owns sending them, and counting what came of it.

For tests of what admission bears. Each client has a network of its own and changes its configuration with every
request, so that each request is a review. Refuses to judge: a test says how many failures are too many.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import math
import os
import threading
from typing import TYPE_CHECKING

from mooring.kube import errors, resources
from mooring.kube.client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any


@dataclasses.dataclass(slots=True)
class Outcome:
    """What came of the requests: seconds of those that were taken, and what was said to the others."""

    seconds: list[float] = dataclasses.field(default_factory=list)
    failures: list[str] = dataclasses.field(default_factory=list)

    def __str__(self) -> str:
        found = sorted(self.seconds)
        times = [f"{name} {1000 * _at(found, part):.0f} ms" for name, part in (("p50", 0.5), ("p99", 0.99), ("max", 1))]
        return f"{len(found) + len(self.failures)} requests, {len(self.failures)} failures, {', '.join(times)}"


def _at(found: list[float], part: float) -> float:
    return found[max(0, math.ceil(part * len(found)) - 1)] if found else math.nan


def network(namespace: str, name: str, config: dict[str, Any]) -> dict[str, Any]:
    """Return a network with a configuration."""
    return {
        "apiVersion": resources.NADS.api_version,
        "kind": resources.NADS.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"config": json.dumps(config)},
    }


async def apply(client: Client, body: dict[str, Any], outcome: Outcome) -> None:
    """Apply a network once and note what came of it."""
    clock = asyncio.get_running_loop().time
    began = clock()
    try:
        await client.apply(resources.NADS, body, field_manager="applying")
    except errors.ApiError as error:
        outcome.failures.append(str(error))
    else:
        outcome.seconds.append(clock() - began)


async def keep_applying(
    client: Client, namespace: str, *, clients: int, outcome: Outcome, until: asyncio.Event, pause: float = 0.0
) -> None:
    """Apply until the event is set; `pause` is how long a client waits between its requests, in seconds."""

    async def one(number: int) -> None:
        count = 0
        while not until.is_set():
            count += 1
            config = {"cniVersion": "1.0.0", "type": "bridge", "bridge": f"br{number}", "mtu": 1400 + count % 100}
            await apply(client, network(namespace, f"applied-{number}", config), outcome)
            if pause:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(until.wait(), pause)

    async with asyncio.TaskGroup() as group:
        for number in range(clients):
            group.create_task(one(number))


@contextlib.contextmanager
def applying(kubeconfig: Path | str, namespace: str, *, clients: int, pause: float = 0.0) -> Iterator[Outcome]:
    """Apply from a thread of its own while the block runs; what came of it is complete after the block."""
    outcome = Outcome()
    begun = threading.Event()
    stopping: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
    broken: list[BaseException] = []

    async def work() -> None:
        before = os.environ.get("KUBECONFIG")
        os.environ["KUBECONFIG"] = str(kubeconfig)
        try:
            client = await Client.load()
        finally:
            if before is None:
                del os.environ["KUBECONFIG"]
            else:
                os.environ["KUBECONFIG"] = before
        until = asyncio.Event()
        stopping.append((asyncio.get_running_loop(), until))
        async with client:
            begun.set()
            await keep_applying(client, namespace, clients=clients, outcome=outcome, until=until, pause=pause)

    def run() -> None:
        try:
            asyncio.run(work())
        except BaseException as error:
            broken.append(error)
        finally:
            begun.set()

    thread = threading.Thread(target=run, name="applying")
    thread.start()
    begun.wait()
    try:
        yield outcome
    finally:
        for loop, until in stopping:
            loop.call_soon_threadsafe(until.set)
        thread.join()
        if broken:
            raise broken[0]
