"""A node is drained in an order that keeps its pods working, and says all the way what it waits for."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from mooring.agent import drain
from mooring.installing import confs
from mooring.kube import errors
from mooring.node import cri, files, leaving, manifest, places

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.agent.conftest import FakeInformer, Node

NODE = "worker-1"


class FakeApi:
    """AttachmentSlices at an API server."""

    def __init__(self) -> None:
        self.slices: dict[str, str] = {"worker-1-1": "u1", "worker-1-2": "u2"}
        self.error: Exception | None = None

    async def list(self, resource: Any, *, field_selector: str) -> dict[str, Any]:
        await asyncio.sleep(0)
        if self.error:
            raise self.error
        assert (resource.kind, field_selector) == ("AttachmentSlice", f"nodeName={NODE}")
        return {"items": [{"metadata": {"name": name, "uid": uid}} for name, uid in self.slices.items()]}

    async def delete(self, resource: Any, name: str, *, uid: str) -> None:
        await asyncio.sleep(0)
        assert self.slices.pop(name) == uid


class World:
    """One node with everything of ours on it."""

    def __init__(self, node: Node, informer: FakeInformer) -> None:
        self.node, self.informer, self.api = node, informer, FakeApi()
        self.places: places.Places | None = node.places
        self.loaded: list[str] | Exception | None = [confs.NETWORK]
        self.writing: list[str] = []
        self.running = 0
        self.why = ""
        self.changes = self.collected = self.withdrawn = 0
        self.stays: list[str] = []
        node.program("bridge")
        self.primary = node.primary()
        node.program(places.PLUGIN)
        self.install()
        self.drain = drain.Drain(
            self.api,  # type: ignore[arg-type]
            node=NODE,
            places=lambda: self.places,
            traces=lambda: leaving.traces(node.root, state_dir="/var/lib/mooring"),
            ask=self.ask,
            primary=lambda: "10-pod-network.conflist",
            writing=lambda: self.writing,
            collect=self.collect,
            undoing=lambda: self.running,
            why=lambda: self.why,
            withdraw=self.withdraw,
            on_change=self.change,
            on_health=lambda: None,
        )
        self.drain.follow(informer)  # type: ignore[arg-type]
        informer.synced.set()

    def install(self) -> None:
        text = {"type": confs.TYPE, "name": confs.NETWORK, "delegates": [self.primary]}
        self.node.conf.write_text(json.dumps(text))

    def want(self, wanted: bool) -> None:
        self.informer.store[NODE] = {"spec": {"drain": wanted}}

    async def ask(self) -> cri.Status:
        await asyncio.sleep(0)
        if isinstance(self.loaded, Exception):
            raise self.loaded
        networks = None
        if self.loaded is not None:
            networks = tuple(
                cri.Network(name, (confs.TYPE if name == confs.NETWORK else "bridge",)) for name in self.loaded
            )
        return cri.Status("containerd", "v2", True, "", self.node.places.conf_dir, "OK", networks)

    def change(self) -> None:
        self.changes += 1

    def collect(self) -> None:
        self.collected += 1

    async def withdraw(self, folders: places.Places) -> list[str]:
        assert folders == self.places
        self.withdrawn += 1
        return self.stays

    def attach(self, data: bytes) -> Path:
        path = self.node.places.journals / f"{'a' * 64}@eth0.jsonl"
        files.make_folder(path.parent)
        path.write_bytes(data)
        return path

    async def settle(self) -> None:
        """Reconcile until there is nothing to be looked at soon."""
        for _ in range(20):
            if await self.drain.reconcile() != 1.0:
                return
            await asyncio.sleep(1)
        pytest.fail(f"it looks again and again: {self.told()}")

    def told(self) -> tuple[str, str, str]:
        verdict = self.drain.verdict
        assert verdict is not None
        return verdict.status, verdict.reason, verdict.message


@pytest.fixture
async def world(node: Node, informer: FakeInformer) -> World:
    return World(node, informer)


async def test_nothing_is_done_while_nobody_asks(world: World) -> None:
    await world.drain.reconcile()
    world.want(False)
    await world.drain.reconcile()
    assert world.node.conf.exists()
    assert (world.drain.verdict, world.drain.health.problem, world.changes) == (None, "", 0)
    assert world.drain.health.settled


async def test_nothing_is_done_before_the_nodestate_is_known(world: World) -> None:
    (world.node.places.state / places.LEAVING).touch()
    world.informer.synced.clear()
    assert await world.drain.reconcile() is not None
    assert (world.node.places.state / places.LEAVING).exists()


@pytest.mark.looptime
async def test_a_node_without_pods_is_drained_and_says_so(world: World) -> None:
    world.want(True)
    await world.drain.reconcile()
    assert world.changes == 1, "the others are told"
    assert world.told() == (
        "False",
        "Draining",
        "It waits until containerd v2 has loaded the primary network's own conf",
    )
    assert not world.node.conf.exists()
    assert world.node.places.plugin.exists(), "the runtime may still run it"
    world.loaded = ["pod-network"]
    await world.drain.reconcile()
    assert world.told()[2] == "It waits for calls that the runtime began before"
    await world.settle()
    assert world.told()[:2] == ("True", "Drained")
    assert world.api.slices == {}
    assert list(world.node.places.state.iterdir()) == []
    assert "Mooring is taken off this node" in world.drain.health.problem
    assert not world.drain.staying.is_set()
    assert (await world.drain.reconcile(), world.changes) == (None, 1)


@pytest.mark.looptime
async def test_attached_pods_keep_plugin_and_journals_until_they_are_undone(world: World, write_journal: Any) -> None:
    journal = world.attach(write_journal(networks=("default/storage",)))
    world.want(True)
    world.loaded = ["pod-network"]
    await world.settle()
    assert world.told() == ("False", "Draining", "It waits for the end of a pod with further networks: default/web")
    assert (world.collected, world.drain.released) == (1, True)
    assert world.node.places.plugin.exists()
    assert world.api.slices
    assert world.drain.staying.is_set()
    journal.unlink()
    world.running = 1
    await world.settle()
    assert world.told()[2] == "It waits for DELs that still run"
    assert world.node.places.plugin.exists()
    world.running = 0
    await world.settle()
    assert world.told()[0] == "True"


@pytest.mark.looptime
async def test_attached_pods_are_held_for_as_long_as_they_are_there(world: World, write_journal: Any) -> None:
    journal = world.attach(write_journal(networks=("default/storage",)))
    assert (world.drain.holding, world.drain.verdict) == (False, None)
    world.want(True)
    await world.drain.reconcile()
    assert "has loaded the primary network's own conf" in world.told()[2]
    assert world.drain.holding, "pods end while the runtime is waited for, too"
    world.loaded = ["pod-network"]
    await world.settle()
    assert world.drain.holding
    journal.unlink()
    await world.settle()
    assert (world.drain.holding, world.told()[1]) == (False, "Drained")


@pytest.mark.looptime
async def test_a_drain_that_is_withdrawn_holds_nothing(world: World, write_journal: Any) -> None:
    world.attach(write_journal(networks=("default/storage",)))
    world.want(True)
    await world.drain.reconcile()
    world.want(False)
    await world.drain.reconcile()
    assert not world.drain.holding


@pytest.mark.looptime
async def test_a_daemon_that_is_started_just_now_is_waited_for_before_it_is_ended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.want(True)
    world.loaded = ["pod-network"]
    released = False

    def starting(_: places.Places) -> list[str]:
        world.writing = ["dhcpdaemon"] if released else []
        return []

    monkeypatch.setattr(leaving, "attached", starting)
    for _ in range(6):
        released = world.drain.released
        await world.drain.reconcile()
        await asyncio.sleep(1)
    assert released
    assert world.told()[2] == "It waits for dhcpdaemon to end what was begun"
    assert world.withdrawn == 0
    monkeypatch.undo()
    world.writing = []
    await world.settle()
    assert (world.withdrawn, world.told()[1]) == (1, "Drained")


@pytest.mark.looptime
async def test_a_pod_that_is_gone_and_cannot_be_undone_is_told_with_the_reason(
    world: World, write_journal: Any
) -> None:
    world.attach(write_journal(networks=("default/storage",)))
    world.want(True)
    world.loaded = ["pod-network"]
    world.why = "DEL of default/storage for default/web failed: no master"
    await world.settle()
    assert world.told()[2] == (
        "It waits for the end of a pod with further networks: default/web. "
        "DEL of default/storage for default/web failed: no master"
    )


@pytest.mark.looptime
async def test_programs_of_plugin_sets_go_when_nothing_is_attached_and_before_the_record_of_them(
    world: World, write_journal: Any
) -> None:
    world.want(True)
    journal = world.attach(write_journal(networks=("default/storage",)))
    world.loaded = ["pod-network"]
    await world.settle()
    assert world.withdrawn == 0
    journal.unlink()
    world.stays = ["/opt/cni/bin/macvlan cannot be removed: it is busy."]
    await world.settle()
    assert world.told() == ("False", "Draining", "/opt/cni/bin/macvlan cannot be removed: it is busy.")
    assert world.node.places.plugin.exists()
    world.stays = []
    await world.settle()
    assert world.told()[1] == "Drained"


async def test_what_another_reconciler_has_begun_is_waited_for(world: World) -> None:
    world.want(True)
    world.writing = ["binaries"]
    await world.drain.reconcile()
    assert world.told()[2] == "It waits for binaries to end what was begun"
    assert world.node.conf.exists()


@pytest.mark.looptime
@pytest.mark.parametrize("loaded", [None, cri.NoSocketError("no runtime")])
async def test_a_runtime_that_cannot_tell_holds_nothing_up(world: World, loaded: Any) -> None:
    world.want(True)
    world.loaded = loaded
    await world.settle()
    assert world.told()[0] == "True"


@pytest.mark.looptime
async def test_a_runtime_that_does_not_answer_or_has_no_network_is_waited_for(world: World) -> None:
    world.want(True)
    for loaded, said in ((cri.UnansweredError("it hangs"), "it hangs"), ([], "it has none")):
        world.loaded = loaded
        await world.drain.reconcile()
        assert said in world.told()[2]
        assert not world.drain.released


@pytest.mark.looptime
async def test_an_api_server_that_is_away_is_told_and_the_files_stay(world: World) -> None:
    world.want(True)
    world.loaded = None
    world.api.error = errors.Unreachable(message="it is away", request="GET x")
    with pytest.raises(errors.Unreachable):
        await world.settle()
    assert world.told()[2] == "It cannot go on: GET x: no answer: it is away"
    assert world.node.places.state.joinpath(places.LEAVING).exists()
    world.api.error = None
    await world.settle()
    assert world.told()[0] == "True"


@pytest.mark.looptime
async def test_a_conf_that_cannot_go_is_told_with_its_reason(world: World) -> None:
    (world.node.places.confs / "10-pod-network.conflist").write_text("{")
    world.want(True)
    await world.settle()
    assert "10-pod-network.conflist, which cannot be used" in world.told()[2]
    assert world.node.conf.exists()


@pytest.mark.looptime
async def test_a_drain_that_is_withdrawn_is_forgotten_and_the_others_are_told(world: World) -> None:
    world.want(True)
    await world.drain.reconcile()
    world.want(False)
    await world.drain.reconcile()
    assert (world.drain.verdict, world.drain.health.problem, world.changes) == (None, "", 2)
    assert not (world.node.places.state / places.LEAVING).exists()
    assert not world.drain.released
    assert world.drain.staying.is_set()


@pytest.mark.looptime
async def test_a_nodestate_that_vanishes_takes_no_drain_back(world: World) -> None:
    world.want(True)
    world.loaded = ["pod-network"]
    await world.drain.reconcile()
    del world.informer.store[NODE]
    assert world.drain.wanted
    await world.settle()
    assert world.told()[:2] == ("True", "Drained")
    assert (world.changes, list(world.node.places.state.iterdir())) == (1, [])
    world.informer.store[NODE] = {"spec": {}}
    await world.drain.reconcile()
    assert (world.drain.wanted, world.drain.verdict, world.changes) == (False, None, 2)


@pytest.mark.looptime
async def test_an_agent_that_starts_goes_on_with_a_drain_and_forgets_one_that_was_withdrawn(world: World) -> None:
    (world.node.places.state / places.LEAVING).touch()
    world.want(False)
    await world.drain.reconcile()
    assert not (world.node.places.state / places.LEAVING).exists()
    world.node.conf.unlink()
    world.want(True)
    world.loaded = ["pod-network"]
    await world.settle()
    assert world.told()[0] == "True"


async def test_without_its_folders_a_node_with_something_of_ours_cannot_be_drained(world: World) -> None:
    path = world.node.places.state / manifest.FILE
    path.write_text("{}")
    world.want(True)
    world.places = None
    assert await world.drain.reconcile() is not None
    assert world.told() == (
        "False",
        "Draining",
        "It waits for the revision of this node, which names its folders: there is /var/lib/mooring/manifest.json",
    )
    assert world.api.slices
    assert path.exists()


async def test_a_node_that_never_took_a_revision_is_drained(world: World) -> None:
    world.want(True)
    world.places = None
    assert await world.drain.reconcile() is None
    assert world.told()[:2] == ("True", "Drained")
    assert world.api.slices == {}
    assert not world.drain.staying.is_set()
