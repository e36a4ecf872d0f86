"""The files of NADs are what the API server says, and the heartbeat beats only while that is so."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest

from mooring.agent import cache, revisions
from mooring.kube import errors
from mooring.node import networkfiles

if TYPE_CHECKING:
    from tests.unit.agent.conftest import FakeInformer, Node

BOOT = "0f8b7a52-3c1d-4e6f-9a80-1b2c3d4e5f60"


class World:
    """One node's cache, an informer that a test fills, and a clock that it turns."""

    def __init__(self, node: Node, informer: FakeInformer) -> None:
        self.folder = node.places.networks
        self.informer = informer
        self.current: revisions.Revision | None = node.revision()
        self.boottime = 100.0
        self.cache = cache.Cache(
            revision=lambda: self.current, on_current=lambda: self.heart.wake(), on_health=lambda: None
        )
        self.cache.follow(informer)  # type: ignore[arg-type]
        self.heart = cache.Heart(self.cache, boot=BOOT, boottime=lambda: self.boottime, on_health=lambda: None)

    def network(self, key: str, config: str | None = "{}", **more: Any) -> None:
        namespace, _, name = key.partition("/")
        metadata = {"namespace": namespace, "name": name, "uid": "u", "resourceVersion": "1", **more}
        nad: dict[str, Any] = {"metadata": metadata}
        if config is not None:
            nad["spec"] = {"config": config}
        old, new = self.informer.store.get(key), cache.keep(nad)
        self.informer.store[key] = new
        self.cache.changed(key, old, new)

    def gone(self, key: str) -> None:
        self.cache.changed(key, self.informer.store.pop(key), None)

    def beat(self) -> float | None:
        path = self.folder / "heartbeat"
        return json.loads(path.read_text())["boottime"] if path.exists() else None


@pytest.fixture
async def world(node: Node, informer: FakeInformer) -> World:
    informer.synced.set()
    return World(node, informer)


def test_what_is_kept_of_a_network_is_what_its_file_says() -> None:
    nad = {
        "metadata": {
            "name": "n",
            "namespace": "a",
            "uid": "u",
            "resourceVersion": "7",
            "managedFields": [{}],
            "annotations": {"k8s.v1.cni.cncf.io/resourceName": "intel.com/sriov", "other": "x"},
        },
        "spec": {"config": "{}"},
    }
    assert cache.keep(nad) == {
        "metadata": {"name": "n", "namespace": "a", "uid": "u", "resourceVersion": "7"},
        "resourceName": "intel.com/sriov",
        "config": "{}",
    }
    for odd in ({"spec": {"config": {"type": "x"}}}, {"spec": None}, {}):
        assert cache.keep({"metadata": {"name": "n", "namespace": "a"}, **odd})["config"] == ""


async def test_at_the_start_every_file_is_compared(world: World) -> None:
    networkfiles.write(world.folder, "a/old", b"{}")
    networkfiles.write(world.folder, "a/changed", b"{}")
    (world.folder / ".heartbeat.0.mooring-tmp").write_bytes(b"half")
    world.network("a/changed", '{"type":"x"}')
    world.network("b/new", None)
    await world.cache.look()
    assert networkfiles.listed(world.folder) == {"a/changed", "b/new"}
    assert json.loads((world.folder / "a/changed.json").read_text())["config"] == '{"type":"x"}'
    assert json.loads((world.folder / "b/new.json").read_text())["config"] == ""
    assert not list(world.folder.glob(".*"))
    assert world.cache.health.settled


async def test_a_changed_network_is_written_and_a_deleted_one_removed(world: World) -> None:
    world.network("a/n")
    await world.cache.look()
    world.network("a/n", '{"x":1}', resourceVersion="2")
    await world.cache.look()
    assert json.loads((world.folder / "a/n.json").read_text())["resourceVersion"] == "2"
    world.gone("a/n")
    await world.cache.look()
    assert not (world.folder / "a").exists()


async def test_the_heart_beats_while_the_watch_is_live_and_all_is_written(world: World) -> None:
    await world.heart.look()
    assert world.beat() is None
    await world.cache.look()
    await world.heart.look()
    assert world.beat() == 100
    world.boottime = 110
    await world.heart.look()
    assert world.beat() == 110


async def test_it_stops_while_the_watch_is_not_live(world: World) -> None:
    await world.cache.look()
    world.informer.live = False
    await world.heart.look()
    assert world.beat() is None


async def test_it_stops_while_a_change_is_not_on_disk(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.cache.look()
    await world.heart.look()
    world.boottime = 110
    world.network("a/n")
    await world.heart.look()
    assert world.beat() == 100

    def full(*_: object) -> bool:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(networkfiles, "write", full)
        with pytest.raises(OSError, match=r"a/n cannot be written \(1 in all\)"):
            await world.cache.look()
        await world.heart.look()
        assert world.beat() == 100
    await world.cache.look()
    await world.heart.look()
    assert world.beat() == 110


async def test_one_network_that_cannot_be_written_does_not_hold_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = networkfiles.write

    def fails_for_one(folder: Any, key: str, data: bytes) -> bool:
        if key == "a/bad":
            raise OSError("no")
        return write(folder, key, data)

    monkeypatch.setattr(networkfiles, "write", fails_for_one)
    for key in ("a/bad", "a/good", "b/good"):
        world.network(key)
    with pytest.raises(OSError, match="a/bad"):
        await world.cache.look()
    assert networkfiles.listed(world.folder) == {"a/good", "b/good"}


async def test_a_foreign_file_in_the_cache_is_left_alone(world: World, caplog: pytest.LogCaptureFixture) -> None:
    (world.folder / "UPPER").mkdir(parents=True)
    (world.folder / "UPPER" / "x.json").write_text("{}")
    await world.cache.look()
    assert (world.folder / "UPPER" / "x.json").exists()
    assert "UPPER/x" in caplog.text


async def test_nothing_is_removed_before_the_networks_are_known(world: World) -> None:
    networkfiles.write(world.folder, "a/n", b"{}")
    world.informer.synced.clear()
    world.informer.last_error = errors.Unreachable(message="nobody there")
    assert await world.cache.look() == 1.0
    assert "nobody there" in world.cache.health.problem
    assert networkfiles.listed(world.folder) == {"a/n"}


async def test_nothing_is_done_before_there_is_a_revision(world: World) -> None:
    world.current = None
    await world.cache.look()
    assert not world.folder.exists()


@pytest.mark.looptime
async def test_the_heart_beats_every_ten_seconds_at_the_latest(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache.Cache, "current", True)
    beats: list[float] = []

    async def at_once(call: Any, *arguments: Any, **more: Any) -> None:
        beats.append(asyncio.get_running_loop().time())

    monkeypatch.setattr(asyncio, "to_thread", at_once)
    world.cache._folder = world.folder
    task = asyncio.create_task(world.heart.run())
    await asyncio.sleep(100)
    task.cancel()
    assert all(after - before <= 10 for before, after in itertools.pairwise(beats))
    assert 10 <= len(beats) <= 12
