"""Ours is the first file of the runtime's folder, whoever else comes, and pods are never without a conf of ours."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.agent import conf
from mooring.installing import confs
from mooring.node import conffolder, files, manifest, places
from tests.unit.agent import conftest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.agent.conftest import Node

pytestmark = pytest.mark.looptime

FIRST, USUAL = "00-00-multus.conf", "00-multus.conf"
RIVAL = "00-calico.conflist"


class World:
    """One node's folder of confs, with a primary network in it, and the reconciler that keeps ours there."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.folder = node.places.confs
        self.revision, self.installed = "mooring-revision-1", "mooring-revision-1"
        self.found: list[conffolder.Folder] = []
        node.program("bridge")
        node.program("mooring")
        node.primary()
        self.start()

    def start(self) -> None:
        self.conf = conf.Conf(
            revision=lambda: self.node.revision(self.revision),
            installed=lambda: self.installed,
            network=lambda key: None,
            cni_version=lambda: "",
            on_applied=lambda: None,
            on_health=lambda: None,
            on_found=self.found.append,
        )

    def rival(self, name: str = RIVAL, text: str | None = None) -> None:
        if text is None:
            self.node.primary(name, name="k8s-pod-network")
        else:
            (self.folder / name).write_text(text)

    @property
    def applied(self) -> str:
        return self.conf.applied.revision if self.conf.applied else ""

    @property
    def ours(self) -> list[str]:
        return [name for name in confs.FILES if (self.folder / name).exists()]

    @property
    def loaded(self) -> str:
        """The file that the runtime loads."""
        return min(path.name for path in self.folder.iterdir() if path.suffix in (".conf", ".conflist", ".json"))

    async def settle(self) -> None:
        """Reconcile until it asks for no further time soon."""
        for _ in range(10):
            wait = await self.conf.reconcile()
            if wait is None or wait >= 60:
                return
            await asyncio.sleep(wait)
        pytest.fail("it never comes to rest")


@pytest.fixture
async def world(node: Node) -> World:
    return World(node)


@pytest.mark.parametrize("text", [None, "", "no JSON"])
async def test_a_rival_that_sorts_before_ours_makes_it_take_a_name_before_that(world: World, text: str | None) -> None:
    await world.settle()
    assert (world.ours, world.loaded) == ([USUAL], USUAL)
    before = world.node.conf.read_bytes()
    world.rival(text=text)
    assert world.loaded == RIVAL
    await world.conf.reconcile()
    assert (world.ours, world.loaded) == ([FIRST], FIRST)
    assert (world.folder / FIRST).read_bytes() == before
    assert world.conf.applied is not None
    assert world.conf.applied.file == FIRST
    assert world.conf.rivals == (RIVAL,)
    assert f"would load {RIVAL} before {USUAL}: ours is called {FIRST}" in world.conf.health.warning
    assert not world.conf.health.problem


async def test_it_takes_its_usual_name_when_the_rival_has_been_gone_for_a_while(world: World) -> None:
    await world.settle()
    world.rival()
    await world.settle()
    (world.folder / RIVAL).unlink()
    assert await world.conf.reconcile() == 5
    assert world.ours == [FIRST]
    assert list(world.conf.rivals) == [RIVAL]
    await asyncio.sleep(5)
    await world.conf.reconcile()
    assert world.loaded == USUAL
    assert len(world.conf.rivals) == 0
    assert not world.conf.health.warning


async def test_a_rival_that_comes_and_goes_does_not_make_it_move_each_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = []
    write = conffolder.write

    def counted(*arguments: Any) -> None:
        writes.append(arguments)
        write(*arguments)

    monkeypatch.setattr(conffolder, "write", counted)
    for _ in range(50):
        world.rival()
        await world.conf.reconcile()
        (world.folder / RIVAL).unlink()
        await world.conf.reconcile()
        await asyncio.sleep(1)
    assert len(writes) == 1


async def test_a_name_that_a_rival_made_it_take_outlives_the_agent_and_then_goes(world: World) -> None:
    world.rival()
    await world.settle()
    pinned = (world.folder / FIRST).read_bytes()
    (world.folder / RIVAL).unlink()
    world.start()
    await world.settle()
    assert world.ours == [USUAL]
    assert world.node.conf.read_bytes() == pinned


async def test_a_rival_is_beaten_with_the_conf_that_is_there_while_a_new_revision_s_plugins_are_missing(
    world: World,
) -> None:
    await world.settle()
    pinned = world.node.conf.read_bytes()
    world.revision, world.installed = "mooring-revision-2", ""
    world.start()
    world.found.clear()
    await world.conf.reconcile()
    assert (world.ours, len(world.found)) == ([USUAL], 1)
    world.rival()
    await world.conf.reconcile()
    assert (world.ours, world.loaded, world.conf.rivals) == ([FIRST], FIRST, (RIVAL,))
    assert RIVAL in world.found[-1].files
    assert (world.folder / FIRST).read_bytes() == pinned
    assert RIVAL in world.conf.health.warning
    assert not world.conf.health.settled
    assert world.applied == ""
    entries = manifest.Manifest(world.node.places.state).owned()
    assert set(entries) == {f"{world.node.places.conf_dir}/{FIRST}"}
    world.installed = world.revision
    await world.conf.reconcile()
    assert (world.applied, world.ours) == (world.revision, [FIRST])


async def test_a_rival_before_every_name_of_ours_is_told_while_a_new_revision_s_plugins_are_missing(
    world: World,
) -> None:
    await world.settle()
    world.revision, world.installed = "mooring-revision-2", ""
    world.start()
    world.rival("00-00-a.conflist")
    await world.conf.reconcile()
    assert "the runtime loads 00-00-a.conflist and not ours" in world.conf.health.problem


async def test_what_an_agent_left_that_was_killed_while_it_moved_is_put_right(world: World) -> None:
    await world.settle()
    world.rival()
    (world.folder / FIRST).write_bytes(world.node.conf.read_bytes())
    world.start()
    await world.settle()
    assert (world.ours, world.loaded) == ([FIRST], FIRST)
    assert not world.conf.health.problem


async def test_ours_is_never_the_primary_under_either_name(world: World) -> None:
    world.rival()
    (world.folder / "10-pod-network.conflist").unlink()
    for _ in range(3):
        world.start()
        await world.conf.reconcile()
        assert world.conf.applied is not None
        assert world.conf.applied.primary.name == "k8s-pod-network"
        conflist = json.loads((world.folder / FIRST).read_text())
        assert [each["name"] for each in conflist["delegates"]] == ["k8s-pod-network"]


async def test_a_rival_before_every_name_of_ours_is_named_and_the_node_not_ready(world: World) -> None:
    await world.settle()
    world.rival("00-00-a.conflist")
    await world.conf.reconcile()
    assert "/etc/cni/net.d the runtime loads 00-00-a.conflist and not ours" in world.conf.health.problem
    assert world.ours == [FIRST]
    (world.folder / "00-00-a.conflist").unlink()
    await world.settle()
    assert not world.conf.health.problem


async def test_who_renames_it_under_its_other_name_is_named_too(world: World) -> None:
    world.rival()
    await world.settle()
    (world.folder / FIRST).rename(world.folder / f"{FIRST}.cilium_bak")
    await world.conf.reconcile()
    assert world.ours == [FIRST]
    assert f"renamed /etc/cni/net.d/{FIRST} to {FIRST}.cilium_bak" in world.conf.health.warning


async def test_a_folder_whose_name_sorts_first_is_no_rival(world: World) -> None:
    (world.folder / "00-a.conf").mkdir()
    await world.settle()
    assert world.ours == [USUAL]


class Watched:
    """What a runtime would find after each change that we make to the folder."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world = world
        self.without: list[str] = []
        for module, name in ((conffolder, "write"), (files, "remove")):
            monkeypatch.setattr(module, name, self._noting(getattr(module, name)))

    def _noting(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **more: Any) -> Any:
            answer = function(*arguments, **more)
            texts = [(self.world.folder / name).read_text() for name in self.world.ours]
            if not any(confs.pinned(text) for text in texts):
                self.without.append(function.__name__)
            return answer

        return called


NAMES = ("00-a.conf", "00-calico.conflist", "00-multus.conflist", "00-z.conf", FIRST, USUAL)


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.tuples(st.sampled_from(NAMES), st.booleans(), st.sampled_from((0.0, 1.0, 6.0))), max_size=12))
def test_whatever_comes_and_goes_ours_is_first_and_alone_and_always_there(
    steps: list[tuple[str, bool, float]],
) -> None:
    async def play(root: Path) -> None:
        node = conftest.Node(
            root=root,
            places=places.Places(
                host_root=root, bin_dir="/opt/cni/bin", conf_dir="/etc/cni/net.d", state_dir="/var/lib/mooring"
            ),
        )
        for folder in node.places.absent():
            node.places.seen(folder).mkdir(parents=True)
        world = World(node)
        clock = [0.0]
        asyncio.get_running_loop().time = lambda: clock[0]  # type: ignore[method-assign]
        await world.conf.reconcile()
        with pytest.MonkeyPatch.context() as patch:
            for name, there, passes in steps:
                path = world.folder / name
                mine = name in confs.FILES
                if there and not mine:
                    world.rival(name)
                elif there or not mine:
                    path.unlink(missing_ok=True)
                watched = Watched(world, patch)
                clock[0] += passes
                while (wait := await world.conf.reconcile()) is not None and wait <= 2:
                    clock[0] += wait
                assert watched.without == []
                assert len(world.ours) == 1
                assert world.loaded == world.ours[0]

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(Path(folder) / "host"))
