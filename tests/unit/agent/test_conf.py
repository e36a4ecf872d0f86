"""00-multus.conf is there, whole, and pins the primary network, whoever else writes to the folder."""

from __future__ import annotations

import asyncio
import errno
import json
import stat
from typing import TYPE_CHECKING, Any

import pytest

from mooring.agent import conf, revisions, watching
from mooring.node import conffolder, manifest

if TYPE_CHECKING:
    from tests.unit.agent.conftest import Node


class World:
    """One node's folder of confs and the reconciler that keeps ours in it."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.current: revisions.Revision | None = node.revision()
        self.installed = "mooring-revision-1"
        self.networks: dict[str, str] = {}
        self.cni = ""
        self.applied = 0
        self.written = 0
        self.changed = asyncio.Event()
        node.program("bridge")
        node.program("mooring")
        self.start()

    def start(self) -> None:
        """Make the reconciler anew, as an agent that was restarted."""
        self.conf = conf.Conf(
            revision=lambda: self.current,
            installed=lambda: self.installed,
            network=self.networks.get,
            cni_version=lambda: self.cni,
            on_applied=self.count,
            on_health=lambda: None,
        )

    def count(self) -> None:
        self.applied += 1

    @property
    def delegate(self) -> Any:
        return json.loads(self.node.conf.read_text())["delegates"][0]


@pytest.fixture
async def world(node: Node) -> World:
    return World(node)


async def test_the_primary_network_is_pinned(world: World) -> None:
    primary = world.node.primary()
    await world.conf.reconcile()
    assert world.delegate == primary
    assert stat.S_IMODE(world.node.conf.stat().st_mode) == 0o600
    assert world.conf.applied is not None
    assert world.conf.applied.primary.file == "10-pod-network.conflist"
    assert world.conf.health.settled
    assert world.applied == 1


async def test_without_a_primary_there_is_no_conf_and_it_says_so(world: World) -> None:
    world.node.primary(plugins=[{"type": "absent"}])
    await world.conf.reconcile()
    assert not world.node.conf.exists()
    assert "There is no primary network yet" in world.conf.health.problem
    assert "absent is not on the node" in world.conf.health.problem
    world.node.program("absent")
    await world.conf.reconcile()
    assert world.node.conf.exists()
    assert not world.conf.health.problem


async def test_an_unchanged_conf_is_not_written_again(world: World) -> None:
    world.node.primary()
    await world.conf.reconcile()
    before = world.node.conf.stat().st_ino
    await world.conf.reconcile()
    assert world.node.conf.stat().st_ino == before
    assert world.applied == 1


async def test_the_binary_comes_before_the_conf(world: World) -> None:
    world.node.primary()
    world.node.places.plugin.unlink()
    world.installed = ""
    await world.conf.reconcile()
    assert not world.node.conf.exists()
    assert not world.conf.health.settled


async def test_an_old_binary_serves_where_there_is_no_conf_at_all(world: World) -> None:
    world.node.primary()
    world.installed = ""
    await world.conf.reconcile()
    assert world.node.conf.exists()


async def test_a_new_revision_s_conf_waits_for_its_binary(world: World) -> None:
    world.node.primary()
    await world.conf.reconcile()
    world.current = world.node.revision("mooring-revision-2", plugin={"logLevel": "debug"})
    await world.conf.reconcile()
    assert json.loads(world.node.conf.read_text())["logLevel"] == "error"
    world.installed = "mooring-revision-2"
    await world.conf.reconcile()
    assert json.loads(world.node.conf.read_text())["logLevel"] == "debug"
    assert world.conf.applied is not None
    assert world.conf.applied.revision == "mooring-revision-2"


async def test_after_a_restart_the_conf_of_the_revision_before_stays_until_the_binary_is_there(world: World) -> None:
    world.node.primary()
    await world.conf.reconcile()
    before = world.node.conf.read_bytes()
    world.start()
    world.current, world.installed = world.node.revision("mooring-revision-2", plugin={}), ""
    await world.conf.reconcile()
    assert world.node.conf.read_bytes() == before


@pytest.mark.parametrize("content", [None, b"", b"{", b'{"type":"flannel"}'])
async def test_what_others_do_to_it_is_repaired(world: World, content: bytes | None) -> None:
    world.node.primary()
    await world.conf.reconcile()
    before = world.node.conf.read_bytes()
    world.node.conf.unlink()
    if content is not None:
        world.node.conf.write_bytes(content)
    await world.conf.reconcile()
    assert world.node.conf.read_bytes() == before
    assert "Another program" in world.conf.health.warning


async def test_who_renames_it_is_named_and_told_what_to_do(world: World) -> None:
    world.node.primary()
    await world.conf.reconcile()
    world.node.conf.rename(world.node.conf.with_name("00-multus.conf.cilium_bak"))
    await world.conf.reconcile()
    assert world.node.conf.exists()
    warning = world.conf.health.warning
    assert "renamed /etc/cni/net.d/00-multus.conf to 00-multus.conf.cilium_bak" in warning
    assert "cni.exclusive=false" in warning
    await world.conf.reconcile()  # our own write wakes us, and is no news
    assert world.conf.health.warning == warning
    assert world.conf.health.settled


@pytest.mark.looptime
async def test_a_fight_that_is_over_is_forgotten_and_an_old_backup_blames_nobody(world: World) -> None:
    world.node.primary()
    await world.conf.reconcile()
    world.node.conf.rename(world.node.conf.with_name("00-multus.conf.cilium_bak"))
    assert await world.conf.reconcile() == 60
    await asyncio.sleep(61)
    await world.conf.reconcile()
    assert not world.conf.health.warning
    world.node.conf.unlink()
    await world.conf.reconcile()
    assert "removed" in world.conf.health.warning
    assert "Cilium" not in world.conf.health.warning
    world.node.conf.rename(world.node.conf.with_name("00-multus.conf.cilium_bak"))
    await world.conf.reconcile()
    assert "Cilium" in world.conf.health.warning


@pytest.mark.looptime
async def test_who_keeps_taking_it_makes_us_slower_and_no_more(world: World) -> None:
    world.node.primary()
    await world.conf.reconcile()
    clock = asyncio.get_running_loop().time
    began, repairs, said = clock(), [0.0], ""
    # The clock runs on while a thread works: what counts is the time, and not the number of tries.
    while len(repairs) < 12:
        world.node.conf.unlink(missing_ok=True)
        wait = await world.conf.reconcile()
        if world.node.conf.exists():
            repairs.append(clock() - began)
            assert not world.conf.health.problem
        else:
            said = world.conf.health.problem
        await asyncio.sleep(min(wait or 0.1, 0.1))
    assert repairs[-1] - repairs[-2] >= 7  # five at once, then after 1, 2, 4, 8 and 15 seconds, spread
    assert "removed /etc/cni/net.d/00-multus.conf" in said
    assert "is put back later each time" in said


async def test_the_pin_survives_a_restart_although_another_file_comes_first_now(world: World) -> None:
    primary = world.node.primary()
    await world.conf.reconcile()
    world.node.primary("05-other.conflist", name="other")
    world.start()
    await world.conf.reconcile()
    assert world.delegate == primary
    assert "05-other.conflist comes first" in world.conf.health.warning
    assert world.conf.health.settled


async def test_the_pin_survives_a_primary_file_that_is_broken_or_gone(world: World) -> None:
    primary = world.node.primary()
    await world.conf.reconcile()
    path = world.node.places.confs / "10-pod-network.conflist"
    for step in (lambda: path.write_text('{"name": "pod-ne'), path.unlink):
        step()
        await world.conf.reconcile()
        assert world.delegate == primary
        assert "pods go on with the pinned one" in world.conf.health.warning
        assert not world.conf.health.problem


async def test_a_change_of_the_primary_is_pinned_anew(world: World) -> None:
    world.node.primary()
    await world.conf.reconcile()
    changed = world.node.primary(plugins=[{"type": "bridge", "mtu": 1400}])
    await world.conf.reconcile()
    assert world.delegate == changed
    assert not world.conf.health.warning


async def test_the_primary_may_be_a_network_definition(world: World) -> None:
    world.node.primary()
    world.networks["kube-system/main"] = json.dumps({"name": "main", "type": "bridge"})
    world.current = world.node.revision(default_network="kube-system/main")
    await world.conf.reconcile()
    assert world.delegate == {"name": "main", "type": "bridge"}


async def test_others_files_are_never_touched_and_our_leftovers_go(world: World) -> None:
    world.node.primary()
    folder = world.node.places.confs
    (folder / "folder.conf").mkdir()
    (folder / "binary.conf").write_bytes(b"\xff\xfe")
    (folder / "dangling.conf").symlink_to("nowhere")
    (folder / ".00-multus.conf.0.mooring-tmp").write_bytes(b"half")
    await world.conf.reconcile()
    assert {path.name for path in folder.iterdir()} == {
        "00-multus.conf",
        "10-pod-network.conflist",
        "folder.conf",
        "binary.conf",
        "dangling.conf",
    }


async def test_a_removal_is_noticed_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    loop, write = asyncio.get_running_loop(), conffolder.write

    def noted(*arguments: Any) -> None:
        write(*arguments)
        world.written += 1
        loop.call_soon_threadsafe(world.changed.set)

    monkeypatch.setattr(conffolder, "write", noted)
    world.node.primary()
    tasks = [
        asyncio.create_task(world.conf.run()),
        asyncio.create_task(watching.follow(world.node.places.confs, world.conf.wake)),
    ]
    try:
        async with asyncio.timeout(10):
            for number in range(4):
                while world.written == number:
                    world.changed.clear()
                    await world.changed.wait()
                assert world.node.conf.exists()
                world.node.conf.unlink()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_full_folder_of_our_own_keeps_the_conf_from_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.node.primary()
    await world.conf.reconcile()
    right = world.node.conf.read_bytes()
    world.node.conf.unlink()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(manifest.Manifest, "record", full)
    with pytest.raises(OSError, match="No space left"):
        await world.conf.reconcile()
    assert world.node.conf.read_bytes() == right
