"""Pods that come and go while something else happens: each is looked at when it runs, and what it took is kept."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from typing import TYPE_CHECKING, Any

from mooring.kube import resources
from mooring.kube.informers import Informer
from tests.e2e import objects

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from mooring.kube.client import Client
    from tests.faults.looks import Node

# So many at a time: more would only measure how the machine shares its cores.
_AT_ONCE = 4
_SECONDS = 120.0


class Load:
    """Makes pods on all nodes in turn, with the same networks, and takes each away once it was looked at."""

    def __init__(
        self, client: Client, namespace: str, nodes: list[Node], networks: dict[str, str], prefix: str
    ) -> None:
        """`networks` are the interfaces that a pod must have beside `eth0`, and the NAD of each."""
        self.seconds: list[float] = []
        """From a pod's creation until it was Ready, of each."""
        self.lacking: list[str] = []
        """Pods that ran without one of their interfaces."""
        self._client = client
        self._namespace = namespace
        self._nodes = nodes
        self._networks = networks
        self._changed = asyncio.Condition()
        self._pods = Informer(client, resources.PODS, namespace=namespace, on_change=self._note)
        self._ready: dict[str, float] = {}
        self._prefix = prefix
        self._count = 0

    @contextlib.asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """Follow the pods during a block."""
        task = asyncio.create_task(self._pods.run())
        try:
            async with asyncio.timeout(_SECONDS):
                await self._pods.synced.wait()
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def run(self, *, least: int, until: asyncio.Event | None = None) -> None:
        """Make at least so many pods, and more until that event is set."""
        begun = self._count

        async def work() -> None:
            while self._count - begun < least or (until is not None and not until.is_set()):
                self._count += 1
                await self._one(self._count)

        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(work())

    async def _one(self, number: int) -> None:
        node = self._nodes[number % len(self._nodes)]
        name = f"{self._prefix}-{number:03}"
        asked = ",".join(f"{network}@{interface}" for interface, network in self._networks.items())
        body = objects.pod(self._namespace, name, asked, node.name)
        began = time.monotonic()
        await self._client.create(resources.PODS, body, namespace=self._namespace)
        await self._until(lambda: name in self._ready, what=f"{name} on {node.name} to be Ready")
        self.seconds.append(self._ready[name] - began)
        seen = await asyncio.to_thread(node.interfaces, self._namespace, name)
        if {key: len(value) for key, value in seen.items()} != dict.fromkeys(("eth0", *self._networks), 1):
            self.lacking.append(f"{name} on {node.name}: {seen}")
        await self._client.delete(resources.PODS, name, namespace=self._namespace)
        await self._until(lambda: f"{self._namespace}/{name}" not in self._pods.store, what=f"{name} to be gone")

    async def _until(self, question: Any, *, what: str) -> None:
        try:
            async with asyncio.timeout(_SECONDS), self._changed:
                await self._changed.wait_for(question)
        except TimeoutError as error:
            raise AssertionError(f"waited {_SECONDS:.0f} s for {what}") from error

    def _note(self, key: str, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        now = time.monotonic()
        conditions = new["status"].get("conditions", []) if new else []
        if any(each["type"] == "Ready" and each["status"] == "True" for each in conditions):
            self._ready.setdefault(key.partition("/")[2], now)
        # A coroutine must hold the lock to notify; nobody waits for this one.
        task = asyncio.get_running_loop().create_task(self._notify())
        task.add_done_callback(lambda done: done.exception())

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def ratios(before: Iterable[float], after: Iterable[float]) -> str:
    """Return the latencies of two runs and their ratios, in a line."""
    parts = []
    one, two = sorted(before), sorted(after)
    for what, share in (("median", 0.5), ("95 %", 0.95), ("worst", 1.0)):
        first, second = (each[min(int(len(each) * share), len(each) - 1)] for each in (one, two))
        parts.append(f"{what} {first:.2f} s -> {second:.2f} s ({second / first:.2f})")
    mean = statistics.mean(two) / statistics.mean(one)
    return f"{len(one)} pods -> {len(two)} pods: {', '.join(parts)}, mean ratio {mean:.2f}"
