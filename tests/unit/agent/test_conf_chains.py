"""The plugins that other programs chain to the primary network are pinned with it, and pinned anew when they change."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from mooring.agent import watching
from tests.unit.agent.test_conf import World

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.agent.conftest import Node

TUNING = {"type": "tuning", "sysctl": {"net.ipv4.conf.IFNAME.arp_filter": "1"}}


@pytest.fixture
async def world(node: Node) -> World:
    for name in ("tuning", "sbr", "passthru"):
        node.program(name)
    return World(node)


def put(world: World, file: str, content: Any, folder: str = "pod-network") -> Path:
    path = world.node.places.confs / folder / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def types(world: World) -> list[str]:
    return [plugin["type"] for plugin in world.delegate["plugins"]]


async def test_the_folder_s_plugins_come_behind_the_conflist_s_own_in_the_order_of_their_files(world: World) -> None:
    world.node.primary()
    put(world, "20-sbr.conf", {"type": "sbr"})
    put(world, "10-tuning.conf", TUNING)
    put(world, "00-readme.txt", "not a plugin")
    put(world, "05-list.conflist", {"name": "x", "plugins": []})
    (world.node.places.confs / "pod-network" / "30-folder.conf").mkdir()
    await world.conf.reconcile()
    assert types(world) == ["bridge", "tuning", "sbr"]
    assert world.delegate["plugins"][1] == TUNING
    assert not world.conf.health.warning


@pytest.mark.parametrize("folder", ["other", "10-pod-network", "10-pod-network.conflist.d"])
async def test_a_folder_of_another_name_is_none_of_the_chain(world: World, folder: str) -> None:
    primary = world.node.primary()
    put(world, "10-tuning.conf", TUNING, folder)
    await world.conf.reconcile()
    assert world.delegate == primary


@pytest.mark.parametrize("value", [True, "true", "True"])
async def test_a_conflist_that_wants_its_own_plugins_only_gets_no_others(world: World, value: bool | str) -> None:
    world.node.primary(loadOnlyInlinedPlugins=value)
    put(world, "10-tuning.conf", TUNING)
    await world.conf.reconcile()
    assert types(world) == ["bridge"]


async def test_a_conf_that_is_no_list_has_no_chain(world: World) -> None:
    path = world.node.places.confs / "10-pod-network.conf"
    path.write_text(json.dumps({"cniVersion": "1.0.0", "name": "pod-network", "type": "bridge"}))
    put(world, "10-tuning.conf", TUNING)
    await world.conf.reconcile()
    assert world.delegate["type"] == "bridge"
    assert "plugins" not in world.delegate


@pytest.mark.parametrize("inline", [{}, {"plugins": []}])
async def test_a_conflist_may_have_all_its_plugins_in_the_folder(world: World, inline: dict[str, Any]) -> None:
    path = world.node.places.confs / "10-pod-network.conflist"
    path.write_text(json.dumps({"cniVersion": "1.1.0", "name": "pod-network", **inline}))
    put(world, "10-bridge.conf", {"type": "bridge"})
    await world.conf.reconcile()
    assert types(world) == ["bridge"]


async def test_a_primary_that_begins_with_passthru_takes_on_its_chain(world: World) -> None:
    world.node.primary(plugins=[{"type": "passthru"}])
    put(world, "10-tuning.conf", TUNING)
    await world.conf.reconcile()
    assert types(world) == ["passthru", "tuning"]


async def test_disable_gc_and_disable_check_are_pinned_as_they_stand(world: World) -> None:
    primary = world.node.primary(disableGC=True, disableCheck="true")
    put(world, "10-tuning.conf", TUNING)
    await world.conf.reconcile()
    assert (world.delegate["disableGC"], world.delegate["disableCheck"]) == (True, "true")
    assert world.delegate["plugins"] == [*primary["plugins"], TUNING]


async def test_the_conf_follows_the_folder(world: World) -> None:
    world.node.primary()
    await world.conf.reconcile()
    path = put(world, "10-tuning.conf", TUNING)
    await world.conf.reconcile()
    assert types(world) == ["bridge", "tuning"]
    path.unlink()
    await world.conf.reconcile()
    assert types(world) == ["bridge"]
    assert not world.conf.health.warning


def invalid(path: Path) -> None:
    path.write_text('{"type": "tun')


def not_an_object(path: Path) -> None:
    path.write_text("[]")


def without_a_type(path: Path) -> None:
    path.write_text('{"sysctl": {}}')


def a_type_that_is_a_path(path: Path) -> None:
    path.write_text('{"type": "../tuning"}')


def an_ipam_type_that_is_a_path(path: Path) -> None:
    path.write_text('{"type": "tuning", "ipam": {"type": "/bin/sh"}}')


def wrong_capabilities(path: Path) -> None:
    path.write_text('{"type": "tuning", "capabilities": ["mac"]}')


def a_number_that_json_cannot_hold(path: Path) -> None:
    path.write_text('{"type": "tuning", "mtu": 1e999}')


def delegating_to_itself(path: Path) -> None:
    path.write_text('{"type": "mooring"}')


def missing_program(path: Path) -> None:
    path.write_text('{"type": "absent"}')


def not_text(path: Path) -> None:
    path.write_bytes(b"\xff\xfe")


def dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def enormous(path: Path) -> None:
    path.write_text('{"type": "tuning", "x": "' + "x" * (1 << 20) + '"}')


BREAKS = [
    invalid,
    not_an_object,
    without_a_type,
    a_type_that_is_a_path,
    an_ipam_type_that_is_a_path,
    wrong_capabilities,
    a_number_that_json_cannot_hold,
    delegating_to_itself,
    missing_program,
    not_text,
    dangling,
    pipe,
    enormous,
]


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("break_it", BREAKS)
async def test_a_file_of_the_chain_that_cannot_be_used_leaves_the_last_good_pin_and_is_told(
    world: World, break_it: Callable[[Path], None], restarted: bool
) -> None:
    world.node.primary()
    path = put(world, "10-tuning.conf", TUNING)
    await world.conf.reconcile()
    before = world.node.conf.read_bytes()
    break_it(path)
    if restarted:
        world.start()
    await world.conf.reconcile()
    assert world.node.conf.read_bytes() == before
    said = "absent" if break_it is missing_program else "pod-network/10-tuning.conf"
    assert said in world.conf.health.warning
    assert "pods go on with the pinned one" in world.conf.health.warning
    path.unlink()
    put(world, "10-tuning.conf", TUNING)
    await world.conf.reconcile()
    assert not world.conf.health.warning


def auxiliary(world: World) -> Any:
    return json.loads(world.node.conf.read_text()).get("auxiliaryChain")


@pytest.fixture
async def with_auxiliary(world: World) -> World:
    world.node.primary()
    world.current = world.node.revision(plugin={"auxiliaryCNIChainName": "vendor"})
    return world


async def test_the_plugins_of_the_auxiliary_chain_are_pinned_by_value(with_auxiliary: World) -> None:
    world = with_auxiliary
    await world.conf.reconcile()
    assert auxiliary(world) is None
    path = put(world, "20-sbr.conf", {"type": "sbr"}, "vendor")
    put(world, "10-tuning.conf", TUNING, "vendor")
    await world.conf.reconcile()
    chain = auxiliary(world)
    assert (chain["cniVersion"], chain["name"], chain["disableCheck"]) == ("1.0.0", "vendor", True)
    assert chain["plugins"] == [TUNING, {"type": "sbr"}]
    assert types(world) == ["bridge"]
    assert "auxiliaryCNIChainName" not in json.loads(world.node.conf.read_text())
    path.unlink()
    await world.conf.reconcile()
    assert auxiliary(world)["plugins"] == [TUNING]
    world.current = world.node.revision("mooring-revision-2", plugin={})
    world.installed = "mooring-revision-2"
    await world.conf.reconcile()
    assert auxiliary(world) is None


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("break_it", BREAKS)
async def test_an_auxiliary_chain_that_cannot_be_used_stays_as_it_was_and_is_told(
    with_auxiliary: World, break_it: Callable[[Path], None], restarted: bool
) -> None:
    world = with_auxiliary
    path = put(world, "10-tuning.conf", TUNING, "vendor")
    await world.conf.reconcile()
    before = world.node.conf.read_bytes()
    break_it(path)
    if restarted:
        world.start()
    await world.conf.reconcile()
    assert world.node.conf.read_bytes() == before
    assert "The auxiliary chain vendor cannot be used, pods go on with the chain as it was" in world.conf.health.warning
    assert world.conf.health.settled


async def test_a_first_auxiliary_chain_that_cannot_be_used_keeps_no_pod_from_starting(with_auxiliary: World) -> None:
    world = with_auxiliary
    put(world, "10-tuning.conf", "{", "vendor")
    await world.conf.reconcile()
    assert auxiliary(world) is None
    assert types(world) == ["bridge"]
    assert "pods start without it" in world.conf.health.warning


@pytest.mark.parametrize("key", ["disableCheck", "disableGC", "loadOnlyInlinedPlugins"])
@pytest.mark.parametrize("value", ["yes", 1, None])
async def test_a_switch_that_the_runtime_would_not_read_is_not_pinned(world: World, key: str, value: Any) -> None:
    primary = world.node.primary()
    await world.conf.reconcile()
    world.node.primary(**{key: value})
    await world.conf.reconcile()
    assert world.delegate == primary
    assert f"`{key}`" in world.conf.health.warning


async def test_a_change_in_the_folder_is_noticed_at_once_even_if_the_folder_is_new(world: World) -> None:
    world.node.primary()
    await world.conf.reconcile()
    told = asyncio.Event()
    task = asyncio.create_task(watching.follow_below(world.node.places.confs, told.set))

    async def noticed() -> None:
        async with asyncio.timeout(10):
            await told.wait()
        told.clear()

    try:
        await noticed()
        folder = world.node.places.confs / "pod-network"
        folder.mkdir()
        await noticed()
        path = put(world, "10-tuning.conf", TUNING)
        await noticed()
        path.write_text(json.dumps({"type": "sbr"}))
        await noticed()
        path.unlink()
        await noticed()
        folder.rename(folder.with_name("elsewhere"))
        await noticed()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
