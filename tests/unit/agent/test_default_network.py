"""The default network is the one that the Installation wants now; what cannot be applied makes the node not Ready."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.agent import loops
from mooring.installing import confs
from mooring.node import confrecords
from tests.unit.agent.test_conf import World

if TYPE_CHECKING:
    from tests.unit.agent.conftest import Node

MAIN = {"name": "main", "type": "bridge"}


@pytest.fixture
async def world(node: Node) -> World:
    made = World(node)
    node.primary()
    made.networks["kube-system/main"] = json.dumps(MAIN)
    return made


async def want(world: World, name: str, *, anew: bool = False) -> None:
    """Give the node a revision with this defaultNetwork, and the agent a look, perhaps as one that just started."""
    world.current = world.node.revision(f"revision-{name.replace('/', '-')}", default_network=name)
    world.installed = world.current.name
    if anew:
        world.start()
    await world.conf.reconcile()


@pytest.mark.parametrize("anew", [False, True])
async def test_what_is_changed_back_is_changed_back(world: World, anew: bool) -> None:
    await want(world, "auto")
    pinned = world.delegate
    await want(world, "kube-system/main", anew=anew)
    assert world.delegate == MAIN
    await want(world, "auto", anew=anew)
    assert world.delegate == pinned
    assert world.conf.health == loops.Health(settled=True)


@pytest.mark.parametrize("anew", [False, True])
async def test_auto_after_another_choice_takes_the_file_that_a_new_node_would(world: World, anew: bool) -> None:
    await want(world, "10-pod-network.conflist")
    world.node.primary("05-other.conflist", name="other")
    await want(world, "auto", anew=anew)
    assert world.delegate["name"] == "other"


async def test_an_agent_that_ended_between_the_revision_and_the_conf_comes_to_the_same(world: World) -> None:
    await want(world, "kube-system/main")
    world.current = world.node.revision("revision-auto", default_network="auto")
    world.start()
    await world.conf.reconcile()  # the plugin is not there yet: nothing changed
    assert world.delegate == MAIN
    world.start()
    world.installed = "revision-auto"
    await world.conf.reconcile()
    assert world.delegate["name"] == "pod-network"


@pytest.mark.parametrize("anew", [False, True])
async def test_what_does_not_exist_makes_the_node_not_ready_and_pods_go_on(world: World, anew: bool) -> None:
    await want(world, "auto")
    pinned = world.delegate
    await want(world, "10-mistyped.conflist", anew=anew)
    assert world.delegate == pinned
    assert world.conf.health.problem == (
        "The primary network 10-mistyped.conflist cannot be used: it is not there. "
        "Pods go on with pod-network, as it was pinned"
    )
    world.start()
    await world.conf.reconcile()
    assert "10-mistyped.conflist cannot be used" in world.conf.health.problem  # a restart makes nothing good
    await want(world, "auto")
    assert (world.delegate, world.conf.health.problem) == (pinned, "")


@pytest.mark.parametrize("anew", [False, True])
async def test_one_that_was_applied_and_goes_is_a_warning(world: World, anew: bool) -> None:
    await want(world, "kube-system/main")
    del world.networks["kube-system/main"]
    if anew:
        world.start()
    await world.conf.reconcile()
    assert world.delegate == MAIN
    assert not world.conf.health.problem
    assert "kube-system/main cannot be used: it is not there" in world.conf.health.warning


async def test_a_node_of_an_agent_that_remembered_nothing_keeps_its_primary(world: World) -> None:
    await want(world, "kube-system/main")
    (world.node.places.state / confrecords.FILE).unlink()
    await want(world, "auto", anew=True)
    assert world.delegate == MAIN


async def test_with_nothing_to_choose_auto_is_a_problem_until_there_is(world: World) -> None:
    await want(world, "kube-system/main")
    path = world.node.places.confs / "10-pod-network.conflist"
    content = path.read_text()
    path.write_text("{")
    await want(world, "auto")
    assert world.delegate == MAIN
    assert "pods go on with main, as it was pinned" in world.conf.health.problem
    world.start()
    path.write_text(content)
    await world.conf.reconcile()
    assert (world.delegate["name"], world.conf.health.problem) == ("pod-network", "")


class TestAFolderOfPluginsThatIsMistyped:
    async def test_the_conf_that_works_stays_and_the_node_is_not_ready(self, world: World) -> None:
        await want(world, "auto")
        before = world.node.conf.read_bytes()
        mistyped = world.node.places.seen("/opt/cni/bim")
        mistyped.mkdir()
        world.node.places = dataclasses.replace(world.node.places, bin_dir="/opt/cni/bim")
        world.node.program("mooring")
        for _ in range(2):
            await want(world, "auto", anew=True)
            assert world.node.conf.read_bytes() == before
            assert world.conf.health.problem == (
                "The program bridge of the primary network pod-network is not in /opt/cni/bim: no pod can start"
            )

    async def test_where_no_conf_is_there_the_one_that_fails_loudly_is_better(self, world: World) -> None:
        await want(world, "auto")
        world.node.program("bridge").unlink()
        world.node.conf.unlink()
        await world.conf.reconcile()
        assert world.delegate["name"] == "pod-network"
        assert "no pod can start" in world.conf.health.problem


NETWORKS: dict[str, dict[str, Any]] = {
    "10-a.conflist": {"name": "a", "plugins": [{"type": "bridge"}]},
    "20-b.conflist": {"name": "b", "plugins": [{"type": "bridge"}]},
    "ns/c": {"name": "c", "type": "bridge"},
}


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["auto", *NETWORKS]), st.sets(st.sampled_from(sorted(NETWORKS)))), min_size=1
    )
)
def test_once_all_is_there_the_primary_is_what_is_wanted_whatever_was_before(
    steps: list[tuple[str, set[str]]],
) -> None:
    """The same rule as the reconciler's: what was chosen is remembered only where it was what was wanted."""
    pinned, chosen_for = None, ""

    def look(wanted: str, there: set[str]) -> confs.Choice:
        nonlocal pinned, chosen_for
        choice = confs.choose(
            wanted=wanted,
            texts={name: json.dumps(NETWORKS[name]) for name in there if "/" not in name or name == wanted},
            folders={},
            pinned=pinned,
            executable=lambda program: True,
            chosen_for=chosen_for,
        )
        if choice.primary is not None:
            pinned, chosen_for = choice.primary, wanted if choice.applied else chosen_for
        return choice

    for wanted, there in steps:
        choice = look(wanted, there)
        assert choice.applied or choice.problem
    for wanted in NETWORKS:
        assert look(wanted, set(NETWORKS)).primary == confs.Primary(NETWORKS[wanted]["name"], wanted, NETWORKS[wanted])
    final = look("auto", set(NETWORKS))
    assert final.primary is not None
    assert final.primary.name == "a"
