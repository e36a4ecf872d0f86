"""What a node has for networks is found, and told again when it is something else."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from mooring.agent import loops, survey
from mooring.node import manifest, namespaces

if TYPE_CHECKING:
    import contextlib

    from tests.unit.agent.conftest import Node


def nowhere() -> contextlib.AbstractContextManager[namespaces.Namespaces]:
    raise OSError("there is no runtime")


def nad(**conf: Any) -> dict[str, Any]:
    return {"config": json.dumps(conf)}


class World:
    def __init__(self, node: Node) -> None:
        self.node = node
        self.networks: dict[str, dict[str, Any]] = {}
        self.told = 0
        self.survey = survey.Survey(revision=node.revision, networks=self.networks, enter=nowhere, on_health=self.count)

    def count(self) -> None:
        self.told += 1

    async def look(self) -> survey.Found:
        while wait := await self.survey.reconcile():  # noqa: ASYNC110  it says when
            await asyncio.sleep(wait)
        return self.survey.found


@pytest.fixture
def world(node: Node, monkeypatch: pytest.MonkeyPatch) -> World:
    async def at_once(call: Any, *args: Any) -> Any:
        return call(*args)

    monkeypatch.setattr(asyncio, "to_thread", at_once)
    return World(node)


pytestmark = pytest.mark.looptime


async def test_a_program_is_ours_while_it_holds_what_we_wrote(world: World) -> None:
    ours, set_of_ours = world.node.program("mooring", "a"), world.node.program("macvlan", "b")
    world.node.program("bridge", "c")
    owned = manifest.Manifest(world.node.places.seen("/var/lib/mooring"))
    for path, owner in ((ours, manifest.MOORING), (set_of_ours, manifest.plugin_set("extra"))):
        owned.record(f"/opt/cni/bin/{path.name}", hashlib.sha256(path.read_bytes()).hexdigest(), owner)
    found = await world.look()
    assert {each.program.name: each.owner for each in found.binaries} == {
        "bridge": "",
        "macvlan": "pluginSet/extra",
        "mooring": "mooring",
    }
    assert world.told == 1
    await world.look()
    assert world.told == 1
    world.node.program("mooring", "somebody else's")
    assert {each.owner for each in (await world.look()).binaries if each.program.name == "mooring"} == {""}
    assert world.told == 2


async def test_interfaces_that_networks_name_and_that_are_not_there_are_told_with_the_networks(world: World) -> None:
    world.networks |= {
        "default/b": nad(type="macvlan", master="absent0"),
        "default/a": nad(plugins=[{"type": "vlan", "master": "absent0"}, {"type": "tuning"}, "nonsense"]),
        "default/there": nad(type="macvlan", master="lo"),
        "default/in-the-pod": nad(type="macvlan", master="absent1", linkInContainer=True),
        "default/nonsense": {"config": "{"},
        "default/list": {"config": "[]"},
        "default/long": nad(type="macvlan", master="a-name-that-no-kernel-takes"),
        "default/none": nad(type="macvlan"),
    }
    assert (await world.look()).absent == (survey.Absent("absent0", ("default/a", "default/b")),)
    del world.networks["default/a"]
    world.networks["default/b"] = nad(type="macvlan", master="lo")
    assert (await world.look()).absent == ()
    assert len(world.survey._masters) == len(world.networks)


async def test_what_is_told_is_bounded(world: World) -> None:
    world.networks |= {f"default/{number:03}": nad(master=f"absent{number % 30}") for number in range(900)}
    absent = (await world.look()).absent
    assert len(absent) == survey.MOST
    assert {len(each.networks) for each in absent} == {survey.MOST}


async def test_a_burst_of_changes_is_one_look(world: World) -> None:
    task = asyncio.create_task(world.survey.run())
    await asyncio.sleep(1)
    for _ in range(100):
        world.survey.wake()
        await asyncio.sleep(0.01)
    await asyncio.sleep(10)
    assert world.survey.durations.count <= 120
    assert world.survey._looked_at == pytest.approx(2, abs=0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_kernel_that_cannot_be_asked_leaves_the_types_unknown_and_the_node_as_ready_as_it_is(
    world: World,
) -> None:
    assert (await world.look()).link_types is None
    assert world.survey.health == loops.Health(settled=True)
