"""An agent that has seen many pods come and go holds no more than one that has seen a few."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import itertools
from typing import TYPE_CHECKING, Any

import pytest

from mooring.agent import sandboxes, wiring
from mooring.kube import events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NETWORK = '{"attachments":[],"interface":"net1","network":"default/storage","pod":{"name":"%s","namespace":"default"}}'
# What is bounded by a number remembers fewer here, so that not too many pods are enough.
REMEMBERED, MANY = 50, 450


class Server:
    """An API server that takes everything, and remembers nothing but the slices that are there."""

    def __init__(self) -> None:
        self.writes = 0
        self.numbers = itertools.count(1)

    def on_moved(self, call: Callable[[], None]) -> None:
        """Never call."""

    async def list(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {"items": []}

    async def get(self, resource: Any, name: str, **_: Any) -> dict[str, Any]:
        return {"metadata": {"name": name, "uid": "u", "resourceVersion": "1"}}

    async def delete(self, *_: Any, **__: Any) -> None:
        self.writes += 1

    async def patch(self, resource: Any, name: str, *_: Any, **__: Any) -> dict[str, Any]:
        self.writes += 1
        return {"metadata": {"name": name, "uid": "u", "resourceVersion": str(next(self.numbers))}}

    async def create(self, resource: Any, body: dict[str, Any], **_: Any) -> dict[str, Any]:
        self.writes += 1
        return {**body, "metadata": {**body["metadata"], "uid": "u", "resourceVersion": str(next(self.numbers))}}

    async def apply(self, *_: Any, **__: Any) -> dict[str, Any]:
        self.writes += 1
        return {}


def sizes(root: object) -> dict[str, int]:
    """Return the size of every container that can be reached from an object through what is ours, by its way."""
    found: dict[str, int] = {}
    seen: set[int] = set()
    waiting: collections.deque[tuple[str, object]] = collections.deque([("agent", root)])
    while waiting:
        way, each = waiting.popleft()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, dict | set | frozenset | list | tuple | collections.deque):
            found[way] = found.get(way, 0) + len(each)
            inner = each.values() if isinstance(each, dict) else each
            waiting.extend((f"{way}[]", value) for value in list(inner))
        elif type(each).__module__.startswith("mooring."):
            names = list(getattr(each, "__dict__", {})) + list(getattr(type(each), "__slots__", ()))
            waiting.extend((f"{way}.{name}", getattr(each, name, None)) for name in names)
        elif isinstance(each, asyncio.Queue):
            found[way] = each.qsize()
    return found


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], wiring.Agent]:
    async def at_once(call: Any, *args: Any) -> Any:
        return call(*args)

    def make() -> wiring.Agent:
        client: Any = Server()
        made = wiring.Agent(
            client, node="n1", namespace="mooring-system", host_root=tmp_path, programs=tmp_path, state_dir="/x"
        )
        made.states._store["n1"] = {"metadata": {"name": "n1", "uid": "u", "generation": 1}, "spec": {}, "status": {}}
        for informer in (made.states, made.pods, made.networks):
            informer.synced.set()
        made.sandboxes.scanned.set()
        return made

    monkeypatch.setattr(asyncio, "to_thread", at_once)
    monkeypatch.setattr(events, "_MOST_REMEMBERED", REMEMBERED)
    return make


async def churn(agent: wiring.Agent, numbers: Iterator[int], count: int) -> None:
    """Let pods come, get their status, and go; every third one lacks its networks or is never known as a pod."""
    for batch in _batches(numbers, count):
        for number in batch:
            name, uid = f"web-{number}", f"uid-{number}"
            annotations = {"k8s.v1.cni.cncf.io/networks": "storage"}
            pod = {
                "metadata": {"name": name, "namespace": "default", "uid": uid, "annotations": annotations},
                "spec": {"containers": []},
                "status": {"phase": "Running", "startTime": "2026-03-01T12:00:00Z"},
            }
            if number % 3 != 1:
                agent.pods._put(f"default/{name}", agent.pods._transform(pod))
            if number % 3 != 2:
                agent.sandboxes.take({f"{number:064}@eth0.jsonl": sandbox(number, name, uid)})
        await asyncio.sleep(15)
        for number in batch:
            if number % 3 != 1:
                agent.pods._put(f"default/web-{number}", None)
            agent.sandboxes.take({f"{number:064}@eth0.jsonl": None})
        await asyncio.sleep(15)


def _batches(numbers: Iterator[int], count: int) -> Iterator[list[int]]:
    for begin in range(0, count, 30):
        yield list(itertools.islice(numbers, min(30, count - begin)))


def sandbox(number: int, pod: str, uid: str) -> sandboxes.Sandbox:
    return sandboxes.Sandbox(
        name=f"{number:064}@eth0.jsonl",
        pod=f"default/{pod}",
        uid=uid,
        boot="b",
        time=f"2026-03-01T12:00:00.{number:06}Z",
        status=f'[{{"name":"default/storage","interface":"net1","mac":"{number}"}}]',
        left_out=(),
        networks=("default/storage",),
        added=(f"Add net1 [10.1.{number}] from default/storage",),
        held=(NETWORK % pod,),
    )


@pytest.mark.looptime
async def test_pods_that_came_and_went_leave_nothing_in_memory(agent: Callable[[], wiring.Agent]) -> None:
    made, numbers = agent(), iter(range(10**6))
    working = (made.status, made.missing, made.slices, made.inventory, made.survey)
    tasks = [asyncio.create_task(each.run()) for each in working]
    tasks.append(asyncio.create_task(made.reporting.run()))
    await churn(made, numbers, MANY)
    few = sizes(made)
    await churn(made, numbers, 2 * MANY)
    many = sizes(made)
    for task in tasks:
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks)
    server: Any = made.slices._client
    assert server.writes > 3 * MANY  # statuses, events, marks: it did its work
    grown = {way: (few.get(way, 0), size) for way, size in many.items() if size > few.get(way, 0) + 60}
    assert not grown


def test_a_container_that_grows_is_seen() -> None:
    known = sandboxes.Sandboxes(on_change=lambda pod: None)
    before = sizes(known)
    known.take({str(number): sandbox(number, f"web-{number}", "u") for number in range(100)})
    grown = {way for way, size in sizes(known).items() if size > before.get(way, 0) + 60}
    assert {"agent._by_name", "agent._by_pod"} <= grown
