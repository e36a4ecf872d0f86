"""The files of NADs are what the API server says, and the heartbeat beats only while that is so."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import stat
from typing import TYPE_CHECKING, Any

import pytest

from mooring.agent import cache, revisions
from mooring.kube import errors
from mooring.node import files, networkfiles

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.agent.conftest import FakeInformer, Node

BOOT = "0f8b7a52-3c1d-4e6f-9a80-1b2c3d4e5f60"


class World:
    """One node's cache, an informer that a test fills, and a clock that it turns."""

    def __init__(self, node: Node, informer: FakeInformer, *namespaces: str) -> None:
        self.folder = node.places.networks
        self.informer = informer
        self.current: revisions.Revision | None = node.revision()
        self.boottime = 100.0
        self.informer.last_contact = 100.0
        self.cache = cache.Cache(
            revision=lambda: self.current,
            boot=BOOT,
            boottime=lambda: self.boottime,
            on_health=lambda: None,
            namespaces=frozenset(namespaces),
        )
        self.cache.follow(informer)  # type: ignore[arg-type]

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

    def hear(self, boottime: float) -> None:
        self.boottime = self.informer.last_contact = boottime

    def beat(self) -> float | None:
        path = self.folder / "heartbeat"
        return json.loads(path.read_text())["boottime"] if path.exists() else None

    def files(self) -> set[str]:
        return {f"{file.parent.name}/{file.stem}" for file in self.folder.glob("*/*.json")}


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
    (world.folder / "a" / ".n.json.0.mooring-tmp").write_bytes(b"half")
    world.network("a/changed", '{"type":"x"}')
    world.network("b/new", None)
    await world.cache.reconcile()
    assert world.files() == {"a/changed", "b/new"}
    assert json.loads((world.folder / "a/changed.json").read_text())["config"] == '{"type":"x"}'
    assert json.loads((world.folder / "b/new.json").read_text())["config"] == ""
    assert not list(world.folder.rglob(".*"))
    assert world.cache.health.settled


async def test_a_changed_network_is_written_and_a_deleted_one_removed(world: World) -> None:
    world.network("a/n")
    await world.cache.reconcile()
    world.network("a/n", '{"x":1}', resourceVersion="2")
    await world.cache.reconcile()
    assert json.loads((world.folder / "a/n.json").read_text())["resourceVersion"] == "2"
    world.gone("a/n")
    await world.cache.reconcile()
    assert not (world.folder / "a").exists()
    assert world.cache.repaired == 0


def truncated(folder: Path) -> None:
    (folder / "a/n.json").write_bytes(b"")


def changed_in_place(folder: Path) -> None:
    path = folder / "a/n.json"
    before = path.stat()
    path.write_bytes(path.read_bytes().replace(b"{}", b"[]"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as a tool that hides what it did


def linked(folder: Path) -> None:
    (folder / "a/n.json").rename(folder / "elsewhere")
    (folder / "a/n.json").symlink_to(folder / "elsewhere")


def added(folder: Path) -> None:
    (folder / "a/no-network.json").write_bytes(b"{}")


def a_file_for_a_folder(folder: Path) -> None:
    shutil.rmtree(folder / "a")
    (folder / "a").write_bytes(b"")


def a_link_for_a_folder(folder: Path) -> None:
    (folder / "a").rename(folder / "b-elsewhere")
    (folder / "a").symlink_to(folder / "b-elsewhere")


@pytest.mark.parametrize(
    "damage",
    [
        truncated,
        changed_in_place,
        linked,
        added,
        a_file_for_a_folder,
        a_link_for_a_folder,
        lambda folder: (folder / "a/n.json").unlink(),
        lambda folder: (folder / "a/n.json").chmod(0o644),
        lambda folder: (folder / "a/n.json").rename(folder / "a/other.json"),
        lambda folder: shutil.rmtree(folder / "a"),
        lambda folder: shutil.rmtree(folder),
    ],
)
@pytest.mark.parametrize("away", [False, True])
async def test_what_somebody_does_to_the_files_is_undone_with_and_without_an_api_server(
    world: World, damage: Callable[[Path], None], away: bool
) -> None:
    world.network("a/n")
    await world.cache.reconcile()
    right = (world.folder / "a/n.json").read_bytes()
    if away:
        world.informer.last_error = errors.Unreachable(message="nobody there")
    damage(world.folder)
    await world.cache.reconcile()
    assert (world.folder / "a/n.json").read_bytes() == right
    assert stat.S_ISREG((world.folder / "a/n.json").lstat().st_mode)
    assert world.files() == {"a/n"}
    assert world.beat() == 100
    repaired = world.cache.repaired
    await world.cache.reconcile()
    assert world.cache.repaired == repaired, "nothing is done twice"


async def test_a_file_that_nobody_touched_is_not_read_again_for_minutes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    right = networkfiles.read_right

    def counted(folder: Path, key: str, data: bytes) -> networkfiles.Identity | None:
        read.append(key)
        return right(folder, key, data)

    world.network("a/n")
    await world.cache.reconcile()
    monkeypatch.setattr(networkfiles, "read_right", counted)
    world.boottime += cache.READ_SECONDS - 1
    await world.cache.reconcile()
    assert read == []
    world.boottime += 1
    await world.cache.reconcile()
    assert read == ["a/n"]


async def test_the_heartbeat_s_time_is_the_api_server_s_last_sign_of_life(world: World) -> None:
    world.informer.last_contact = None
    await world.cache.reconcile()
    assert world.beat() is None
    world.informer.last_contact = 100
    world.boottime = 109
    await world.cache.reconcile()
    assert world.beat() == 100
    world.informer.last_contact = 109
    await world.cache.reconcile()
    assert world.beat() == 109


async def test_a_silent_watch_lets_the_heartbeat_grow_old_and_is_told(world: World) -> None:
    await world.cache.reconcile()
    for world.boottime in (110, 130):
        await world.cache.reconcile()
        assert (world.beat(), world.cache.health.warning) == (100, "")
    world.boottime = 131
    await world.cache.reconcile()
    assert world.beat() == 100
    assert "the watch is silent" in world.cache.health.warning
    assert world.cache.health.problem == ""
    world.hear(140)
    await world.cache.reconcile()
    assert (world.beat(), world.cache.health.warning) == (140, "")


async def test_a_heartbeat_that_somebody_changes_or_removes_is_put_right(world: World) -> None:
    await world.cache.reconcile()
    path = world.folder / "heartbeat"
    right = path.read_bytes()
    for wrong in (None, b"", right.replace(b"100", b"999")):
        path.unlink()
        if wrong is not None:
            path.write_bytes(wrong)
        await world.cache.reconcile()
        assert path.read_bytes() == right


async def test_it_is_taken_away_where_a_file_cannot_be_put_right(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.cache.reconcile()
    world.hear(110)
    world.network("a/n")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(networkfiles, "write", full)
        with pytest.raises(OSError, match=r"a/n cannot be put right \(1 in all\)"):
            await world.cache.reconcile()
        assert world.beat() is None
        broken.setattr(files, "remove", full)
        with pytest.raises(OSError, match=r"ends within 30 s, cannot be withdrawn: .*No space"):
            await world.cache.reconcile()
    await world.cache.reconcile()
    assert world.beat() == 110


async def test_a_change_that_comes_while_files_are_compared_is_on_disk_before_the_heartbeat(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = networkfiles.write

    def slow(folder: Path, key: str, data: bytes) -> None:
        write(folder, key, data)
        loop.call_soon_threadsafe(world.network, "a/later")

    loop = asyncio.get_running_loop()
    world.network("a/n")
    with monkeypatch.context() as patched:
        patched.setattr(networkfiles, "write", slow)
        await world.cache.reconcile()
    assert world.files() == {"a/n"}
    assert world.beat() is None
    await world.cache.reconcile()
    assert world.files() == {"a/n", "a/later"}
    assert world.beat() == 100


async def test_one_network_that_cannot_be_written_does_not_hold_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = networkfiles.write

    def fails_for_one(folder: Path, key: str, data: bytes) -> None:
        if key == "a/bad":
            raise OSError("no")
        write(folder, key, data)

    monkeypatch.setattr(networkfiles, "write", fails_for_one)
    for key in ("a/bad", "a/good", "b/good"):
        world.network(key)
    with pytest.raises(OSError, match="a/bad"):
        await world.cache.reconcile()
    assert world.files() == {"a/good", "b/good"}


async def test_foreign_files_in_the_cache_are_left_alone_and_told_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    (world.folder / "UPPER").mkdir(parents=True)
    (world.folder / "UPPER" / "x.json").write_text("{}")
    (world.folder / "a" / "folder.json").mkdir(parents=True)
    for _ in range(3):
        await world.cache.reconcile()
    assert (world.folder / "UPPER" / "x.json").exists()
    assert (world.folder / "a" / "folder.json").exists()
    assert caplog.text.count("UPPER/x") == 1
    assert world.beat() == 100


async def test_nothing_is_removed_before_the_networks_are_known(world: World) -> None:
    networkfiles.write(world.folder, "a/n", b"{}")
    world.informer.synced.clear()
    world.informer.last_error = errors.Unreachable(message="nobody there")
    assert await world.cache.reconcile() == 1.0
    assert "nobody there" in world.cache.health.problem
    assert world.files() == {"a/n"}


async def test_nothing_is_done_before_there_is_a_revision(world: World) -> None:
    world.current = None
    await world.cache.reconcile()
    assert not world.folder.exists()


async def test_whoever_removes_the_folder_finds_it_again_and_again(world: World) -> None:
    world.network("a/n")
    tasks = [asyncio.create_task(each) for each in (world.cache.run(), world.cache.watch())]
    async with asyncio.timeout(30):
        for _ in range(5):
            while not (world.folder / "a/n.json").exists():  # noqa: ASYNC110  a disk has no event
                await asyncio.sleep(0.01)
            shutil.rmtree(world.folder, ignore_errors=True)
        # Removed between its writing and the look at it, a file is a problem until the next look.
        while world.cache.health.problem or not (world.folder / "a/n.json").exists():  # noqa: ASYNC110  as above
            await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_with_namespaces_named_the_files_are_those_of_their_networks_and_the_heartbeat_vouches_for_these(
    node: Node, informer: FakeInformer
) -> None:
    informer.synced.set()
    wide = World(node, informer)
    wide.network("a/n")
    wide.network("b/n")
    await wide.cache.reconcile()
    assert wide.files() == {"a/n", "b/n"}
    narrow = World(node, informer, "a", "c")
    await narrow.cache.reconcile()
    assert narrow.files() == {"a/n"}
    assert narrow.beat() == 100.0
    assert (narrow.cache.health.problem, narrow.cache.health.warning) == ("", "")
