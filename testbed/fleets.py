"""Nodes without machines: owns playing their agents and kubelets at an API server, for tests and benchmarks.

An agent here does what it is told after a moment, and says so; one whose revision is `broken` says why it is not
Ready. Refuses to play the operator, and to know what a test expects.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import random
import time
from typing import TYPE_CHECKING, Any

from mooring.installing import daemonsets, revisions
from mooring.kube import errors, resources
from mooring.kube.informers import Informer

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from mooring.kube.client import Client

SYSTEM = "mooring-system"
#: So many statuses at once: what waits is late, as on a busy network.
_AT_ONCE = 16
_BEAT_SECONDS = 10.0
_AGENTS = ",".join(f"{name}={value}" for name, value in sorted(daemonsets.LABELS.items()))


def _works(_: dict[str, Any]) -> str:
    return ""


class _Tasks(asyncio.TaskGroup):
    """Tasks that end with their block; what they raise ends it."""

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        self.create_task(work)


class Agents:
    """The agents of all nodes that have a NodeState.

    `delay` is between which seconds an agent takes to apply what it is told; `broken` returns why the document of a
    revision cannot be applied, "" where it can; `facts` returns what the status of a node says beside that.
    """

    def __init__(
        self,
        client: Client,
        *,
        seed: int,
        delay: tuple[float, float],
        broken: Callable[[dict[str, Any]], str] = _works,
        facts: Callable[[str], dict[str, Any]] = lambda _: {},
        heartbeat_seconds: float = 300.0,
    ) -> None:
        self._client = client
        self._random = random.Random(seed)  # noqa: S311  no secret
        self._delay = delay
        self._broken = broken
        self._facts = facts
        self._heartbeat = heartbeat_seconds
        self._documents: dict[str, dict[str, Any]] = {}
        self._seen: dict[str, int] = {}
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._tasks = _Tasks()
        self._states = Informer(client, resources.NODE_STATES, transform=_told, on_change=self._changed)
        self.worked: dict[tuple[str, str], float] = {}
        """By node and revision, the monotonic time just before its agent said that it works."""

    async def run(self) -> None:
        """Play until cancelled."""
        async with self._tasks:
            await self._states.run()

    def _changed(self, name: str, _: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        if new is None:
            self._seen.pop(name, None)
        elif new["generation"] != self._seen.get(name):
            self._seen[name] = new["generation"]
            self._tasks.start(self._answer(name, new))

    async def _answer(self, name: str, told: dict[str, Any]) -> None:
        """Say what became of it, and go on saying that it lives, until something else is told."""
        pause, since = self._random.uniform(*self._delay), ""
        while self._seen.get(name) == told["generation"]:
            await asyncio.sleep(pause)
            try:
                async with self._slots:
                    if self._seen.get(name) == told["generation"]:
                        since = since or _stamp()
                        await self._say(name, told, since=since)
                pause = self._heartbeat * self._random.uniform(0.8, 1)
            except errors.NotFound:
                return  # its node is gone
            except errors.ApiError:
                pause = 1.0

    async def _say(self, name: str, told: dict[str, Any], *, since: str) -> None:
        revision = told["revision"]
        why = "" if told["drain"] or not revision else self._broken(await self._document(revision))
        kind, status, reason, message = ("Ready", "True", "Applied", "") if not why else ("Ready", "False", "No", why)
        if told["drain"]:
            kind, status, reason, message = "Drained", "True", "Drained", "nothing of ours is left"
        condition = {"type": kind, "status": status, "reason": reason, "message": message}
        said: dict[str, Any] = {
            "observedGeneration": told["generation"],
            "heartbeatTime": _stamp(),
            "conditions": [condition | {"lastTransitionTime": since, "observedGeneration": told["generation"]}],
        }
        if not why:
            said |= {"revision": revision or None, **self._facts(name)}
            self.worked.setdefault((name, revision), time.monotonic())
        await self._client.patch(resources.NODE_STATES, name, {"status": said}, subresource="status")

    async def _document(self, revision: str) -> dict[str, Any]:
        if revision not in self._documents:
            found = await self._client.get(resources.CONFIG_MAPS, revision, namespace=SYSTEM)
            self._documents[revision] = json.loads(found["data"][revisions.KEY])
        return self._documents[revision]


class Kubelets:
    """The kubelets of some nodes: they say that they live, and that the agents' pods answer their probes."""

    def __init__(self, client: Client, names: list[str]) -> None:
        self._client = client
        self._names = names
        self._pods = Informer(
            client, resources.PODS, namespace=SYSTEM, label_selector=_AGENTS, on_change=self._pod_changed
        )
        self._tasks = _Tasks()

    async def run(self) -> None:
        """Play until cancelled."""
        async with self._tasks:
            self._tasks.start(self._pods.run())
            while True:
                for name in self._names:
                    with contextlib.suppress(errors.NotFound, errors.Unreachable):
                        await self.beat(name)
                await asyncio.sleep(_BEAT_SECONDS)

    async def beat(self, name: str) -> None:
        """Say that a node is Ready."""
        condition = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "it is ready"}
        times = {"lastHeartbeatTime": _stamp(), "lastTransitionTime": "2026-01-01T00:00:00Z"}
        patch = {"status": {"conditions": [condition | times]}}
        await self._client.patch(resources.NODES, name, patch, subresource="status")

    def _pod_changed(self, _: str, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        if old is None and new is not None:
            self._tasks.start(self._start(new["metadata"]["name"]))

    async def _start(self, name: str) -> None:
        status = {"conditions": [{"type": "Ready", "status": "True"}]}
        with contextlib.suppress(errors.NotFound):
            await self._client.patch(resources.PODS, name, {"status": status}, namespace=SYSTEM, subresource="status")


def _told(item: dict[str, Any]) -> dict[str, Any]:
    metadata, spec = item["metadata"], item.get("spec") or {}
    return {
        "metadata": {"name": metadata["name"]},
        "generation": metadata["generation"],
        "revision": spec.get("revision") or "",
        "drain": bool(spec.get("drain")),
    }


def _stamp() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
