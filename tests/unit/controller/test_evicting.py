"""A pod without its networks is evicted only where its controller makes it anew, and where that helps."""

from __future__ import annotations

import asyncio
import datetime
from typing import Any

import pytest

from mooring.controller import evicting
from mooring.installing import evictions
from mooring.kube import errors

pytestmark = pytest.mark.looptime

T0 = datetime.datetime(2026, 3, 1, 12, 0, 0, tzinfo=datetime.UTC)
REPLICAS = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "rs-1", "controller": True}
MARK = {"type": "mooring.dev/NetworksAttached", "status": "False", "reason": "RivalConf", "message": "m"}


class World:
    """A cluster with nodes, NodeStates and pods."""

    def __init__(self) -> None:
        self.states: dict[str, dict[str, Any]] = {}
        self.pods: dict[str, dict[str, Any]] = {}
        self.evicted: list[str] = []
        self.events: list[tuple[str, str]] = []
        self.wanted = True
        self.leading = True
        self.refuse: errors.ApiError | None = None
        self.evictor = evicting.Evictor(
            self,  # type: ignore[arg-type]
            states=self.states,
            wanted=self.ask,
            leading=lambda: self.leading,
            recorder=self,  # type: ignore[arg-type]
            now=self.now,
        )

    async def ask(self) -> bool:
        return self.wanted

    def now(self) -> datetime.datetime:
        return T0 + datetime.timedelta(seconds=asyncio.get_running_loop().time())

    def node(self, name: str, *, ready: bool = True) -> None:
        condition = {"type": "Ready", "status": "True" if ready else "False"}
        self.states[name] = {"status": {"conditions": [condition]}}

    def pod(self, name: str, node: str = "n1", *, age: float = 60, **more: Any) -> None:
        """Make a pod that lacks its networks by what its node says."""
        made = (self.now() - datetime.timedelta(seconds=age)).strftime("%Y-%m-%dT%H:%M:%SZ")
        metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}", "creationTimestamp": made}
        owners = more.pop("owners", [REPLICAS])
        self.pods[name] = {
            "metadata": {**metadata, "ownerReferences": owners, **more.pop("metadata", {})},
            "spec": {"nodeName": more.pop("on", node)},
            "status": {"conditions": more.pop("conditions", [MARK])},
        }
        listed = self.states[node]["status"].setdefault("podsWithoutNetworks", {"count": 0, "pods": []})
        listed["pods"].append({"namespace": "default", "name": name, "uid": f"uid-{name}", "cause": "RivalConf"})

    async def get(self, resource: Any, name: str, **more: Any) -> dict[str, Any]:
        if name not in self.pods:
            raise errors.NotFound(status=404, message="gone")
        return self.pods[name]

    async def create(self, resource: Any, body: dict[str, Any], **more: Any) -> None:
        assert more == {"namespace": "default", "name": body["metadata"]["name"], "subresource": "eviction"}
        assert body["kind"] == "Eviction"
        name = body["metadata"]["name"]
        assert body["deleteOptions"]["preconditions"] == {"uid": f"uid-{name}"}
        if self.refuse:
            raise self.refuse
        self.evicted.append(name)
        del self.pods[name]

    async def event(self, regarding: dict[str, Any], *, reason: str, **more: Any) -> None:
        self.events.append((reason, regarding["metadata"]["name"]))

    async def look(self, seconds: float = 0.0) -> None:
        """Let the leader look for so long."""
        end = asyncio.get_running_loop().time() + seconds
        while True:
            await self.evictor.reconcile()
            if asyncio.get_running_loop().time() >= end:
                return
            await asyncio.sleep(evicting.EVERY)


@pytest.fixture
async def world() -> World:
    made = World()
    made.node("n1")
    return made


async def test_nothing_is_evicted_where_nobody_wants_it_or_another_replica_leads(world: World) -> None:
    world.pod("web-1")
    world.wanted = False
    assert await world.evictor.reconcile() == 30
    world.wanted, world.leading = True, False
    assert await world.evictor.reconcile() is None
    assert world.evicted == []


@pytest.mark.parametrize(
    ("installation", "wanted"),
    [
        ({"metadata": {}, "spec": {"podsWithoutNetworks": "Evict"}}, True),
        ({"metadata": {}, "spec": {"podsWithoutNetworks": "Report"}}, False),
        ({"metadata": {}}, False),
        ({"metadata": {"deletionTimestamp": "2026-03-01T12:00:00Z"}, "spec": {"podsWithoutNetworks": "Evict"}}, False),
        (None, False),
    ],
)
async def test_the_installation_says_whether_pods_are_evicted(
    world: World, installation: dict[str, Any] | None, wanted: bool
) -> None:
    if installation is not None:
        world.pods["default"] = installation
    assert await evicting.wanted(world) is wanted  # type: ignore[arg-type]


async def test_one_pod_of_a_node_at_a_time_and_a_few_of_the_cluster(world: World) -> None:
    for number in range(2, 10):
        world.node(f"n{number}")
    for node in list(world.states):
        for number in range(3):
            world.pod(f"{node}-{number}", node)
    await world.look()
    assert len(world.evicted) == evicting.MOST
    assert len({name.split("-")[0] for name in world.evicted}) == evicting.MOST
    await world.look(100)
    assert len(world.evicted) == 27
    assert set(world.events) == {("EvictedWithoutNetworks", name) for name in world.evicted}


@pytest.mark.parametrize(
    "more",
    [
        {"owners": []},
        {"owners": [{**REPLICAS, "controller": False}]},
        {"owners": [{**REPLICAS, "apiVersion": "batch/v1", "kind": "Job"}]},
        {"owners": [{**REPLICAS, "apiVersion": "v1", "kind": "Node"}]},
        {"owners": [{**REPLICAS, "apiVersion": "example.com/v1"}]},
        {"on": "n2"},
        {"conditions": []},
        {"conditions": [{**MARK, "status": "True"}]},
        {"metadata": {"uid": "another"}},
        {"metadata": {"deletionTimestamp": "2026-03-01T12:00:00Z"}},
    ],
    ids=["bare", "owned", "job", "static", "unknown kind", "elsewhere", "unmarked", "attached", "another", "ending"],
)
async def test_what_its_node_says_is_checked_with_the_pod(world: World, more: dict[str, Any]) -> None:
    world.pod("web-1", **more)
    await world.look(60)
    assert world.evicted == []
    assert world.events == []


@pytest.mark.parametrize(("group", "kind"), sorted(evictions.MAKERS))
async def test_controllers_that_make_a_pod_anew(world: World, group: str, kind: str) -> None:
    world.pod("web-1", owners=[{**REPLICAS, "apiVersion": f"{group}/v1" if group else "v1", "kind": kind}])
    await world.look()
    assert world.evicted == ["web-1"]


async def test_nothing_is_evicted_from_a_node_that_is_not_ready(world: World) -> None:
    world.node("n1", ready=False)
    world.pod("web-1")
    await world.look(60)
    assert world.evicted == []


async def test_a_disruption_budget_is_kept_told_and_asked_again_more_and_more_rarely(world: World) -> None:
    world.refuse = errors.TooManyRequests(status=429, message="Cannot evict pod as it would violate the budget.")
    world.pod("web-1")
    await world.look(1800)
    refused = [event for event in world.events if event[0] == "EvictionRefused"]
    assert 5 <= len(refused) <= 20
    world.refuse = None
    await world.look(400)
    assert world.evicted == ["web-1"]


async def test_a_pod_that_is_gone_holds_nobody_up(world: World) -> None:
    world.pod("web-1")
    world.pod("web-2")
    del world.pods["web-1"]
    await world.look()
    assert world.evicted == ["web-2"]


async def test_a_controller_whose_new_pods_are_no_better_is_not_chased_in_circles(world: World) -> None:
    world.pod("web-0")
    for _ in range(2000):
        await world.look()
        if not world.pods:
            world.node("n1")
            world.pod(f"web-{len(world.evicted)}", age=0)
        await asyncio.sleep(evicting.EVERY)
    # In nearly three hours.
    assert 3 <= len(world.evicted) <= 12


async def test_evictions_end_with_the_term_of_the_leader(world: World) -> None:
    for number in range(2, 6):
        world.node(f"n{number}")
        world.pod(f"web-{number}", f"n{number}")
    evict = world.create

    async def last(*arguments: Any, **more: Any) -> None:
        await evict(*arguments, **more)
        world.leading = False

    world.create = last  # type: ignore[method-assign]
    await world.look()
    assert len(world.evicted) == 1
