"""A primary network that comes minutes after us, or says later that it is ready, is waited for, and that is told."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from mooring.agent import loops, watching
from mooring.node import conffolder
from tests.unit.agent.test_conf import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.agent.conftest import Node

INDICATOR = "/run/flannel/subnet.env"


@pytest.fixture
async def world(node: Node) -> World:
    made = World(node)
    made.current = node.revision(plugin={"readinessindicatorfile": INDICATOR})
    return made


@pytest.mark.looptime
async def test_while_there_is_no_primary_nothing_is_written_for_hours(world: World) -> None:
    task = asyncio.create_task(world.conf.run())
    await asyncio.sleep(7200)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [path.name for path in world.node.places.confs.iterdir()] == []
    assert world.conf.health == loops.Health(
        problem="There is no primary network yet: install a CNI plugin that writes its conf"
    )


async def test_the_conf_follows_the_primary_at_once_however_late(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    loop, write, written = asyncio.get_running_loop(), conffolder.write, asyncio.Event()

    def noted(*arguments: object) -> None:
        write(*arguments)  # type: ignore[arg-type]
        loop.call_soon_threadsafe(written.set)

    monkeypatch.setattr(conffolder, "write", noted)
    await world.conf.reconcile()
    assert not world.node.conf.exists()
    watched = asyncio.Event()

    def wake() -> None:
        watched.set()
        world.conf.wake()

    tasks = [
        asyncio.create_task(watching.follow(world.node.places.confs, wake)),
        asyncio.create_task(world.conf.run()),
    ]
    try:
        async with asyncio.timeout(20):
            await watched.wait()
            assert not written.is_set()
            primary = world.node.primary()
            await written.wait()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert world.delegate == primary


async def test_its_program_may_come_last(world: World) -> None:
    primary = world.node.primary(plugins=[{"type": "late"}])
    await world.conf.reconcile()
    assert "its program late is not on the node" in world.conf.health.problem
    world.node.program("late")
    await world.conf.reconcile()
    assert world.delegate == primary


class TestTheFileThatSaysThatItIsReady:
    async def test_the_conf_makes_the_plugin_wait_for_it_and_the_node_is_not_ready(self, world: World) -> None:
        world.node.primary()
        assert await world.conf.reconcile() == 5.0
        assert json.loads(world.node.conf.read_text())["readinessindicatorfile"] == INDICATOR
        assert world.conf.health == loops.Health(
            settled=True,
            problem=f"The default network is not ready: readinessIndicatorFile {INDICATOR} is not there. "
            "Pods wait for it, and their start is tried again until it is",
        )

    @pytest.mark.looptime
    async def test_it_is_looked_for_every_few_seconds(self, world: World) -> None:
        world.node.primary()
        task = asyncio.create_task(world.conf.run())
        await asyncio.sleep(300)
        assert world.conf.health.problem
        path = world.node.places.seen(INDICATOR)
        path.parent.mkdir(parents=True)
        path.touch()
        await asyncio.sleep(6)
        assert world.conf.health == loops.Health(settled=True)
        path.unlink()
        await asyncio.sleep(60)
        assert world.conf.health.problem
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    @pytest.mark.parametrize(
        "link", [lambda run: run.symlink_to("/srv/run"), lambda run: run.symlink_to("srv/run")], ids=["absolute", "not"]
    )
    async def test_links_to_it_are_the_node_s(self, world: World, link: Callable[..., None]) -> None:
        world.node.primary()
        path = world.node.places.seen("/srv/run/flannel/subnet.env")
        path.parent.mkdir(parents=True)
        path.touch()
        link(world.node.places.seen("/run"))
        await world.conf.reconcile()
        assert world.conf.health == loops.Health(settled=True)
