"""A node of Multus becomes ours: its conf is never written over, ours is before it, and its own goes with it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from mooring.agent import adoption, conf
from mooring.agent.runtime import UNKNOWN, Verdict
from mooring.installing import confs, multus
from mooring.node import multus as onnode

if TYPE_CHECKING:
    from mooring.agent.conf import Applied
    from tests.unit.agent.conftest import Node

pytestmark = pytest.mark.looptime

THICK = json.dumps({"cniVersion": "0.3.1", "name": "multus-cni-network", "type": "multus-shim"})
THIN_LIST = json.dumps({"cniVersion": "1.0.0", "name": "multus-cni-network", "plugins": [{"type": "multus"}]})
LOADED = Verdict("True", "Loaded", "it has loaded us")
LOST = Verdict("False", "RuntimeHasNotLoadedUs", "it has loaded another one")


class World:
    """One node with a primary network, the reconciler of our conf and the one of Multus."""

    def __init__(self, node: Node) -> None:
        self.node, self.folder = node, node.places.confs
        self.adopted, self.drained, self.verdict = False, False, LOADED
        node.program("bridge")
        node.program("mooring")
        node.primary()
        self.conf = conf.Conf(
            revision=lambda: node.revision("mooring-revision-1"),
            installed=lambda: "mooring-revision-1",
            network=lambda key: None,
            cni_version=lambda: "",
            on_applied=lambda: None,
            on_health=lambda: None,
            adopted=lambda: self.adopted,
        )
        self.adoption = adoption.Adoption(
            folders=lambda: node.places,
            adopted=lambda: self.adopted,
            applied=self._applied,
            verdict=lambda: self.verdict,
            on_health=lambda: None,
        )

    def _applied(self) -> Applied | None:
        return None if self.drained else self.conf.applied

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir() if path.name.startswith("00-"))

    async def look(self) -> None:
        await self.conf.reconcile()
        await self.adoption.reconcile()


@pytest.fixture
async def world(node: Node) -> World:
    return World(node)


@pytest.mark.parametrize(("name", "text"), [("00-multus.conf", THICK), ("00-multus.conflist", THIN_LIST)])
async def test_the_conf_of_multus_stays_as_it_is_and_ours_is_before_it(world: World, name: str, text: str) -> None:
    (world.folder / name).write_text(text)
    await world.look()
    assert world.files() == [confs.BESIDE, name]
    assert (world.folder / name).read_text() == text
    assert world.conf.health.problem == world.conf.health.warning == ""
    assert world.adoption.found == onnode.Found((name,), 0)


async def test_multus_that_comes_to_a_node_of_ours_writes_over_no_conf_for_longer_than_a_look(world: World) -> None:
    await world.look()
    assert world.files() == [confs.FILE]
    before = (world.folder / confs.FILE).read_bytes()
    (world.folder / confs.FILE).write_text(THICK)
    await world.look()
    assert world.files() == [confs.BESIDE, "00-multus.conf"]
    assert (world.folder / confs.BESIDE).read_bytes() == before


def test_no_name_of_ours_beside_multus_is_one_that_multus_takes_for_its_primary_network() -> None:
    # Thin: .conf or .conflist, but for 00-multus.conf*; thick: the same, but for 00-multus*.
    assert not confs.BESIDE.endswith((".conf", ".conflist"))
    assert min(multus.FILES) > confs.BESIDE


@pytest.mark.parametrize(
    ("change", "gone"),
    [
        ({"adopted": True}, True),
        ({"adopted": True, "verdict": UNKNOWN}, True),
        ({"adopted": True, "verdict": LOST}, False),
        ({"adopted": True, "drained": True}, False),
        ({}, False),
    ],
)
async def test_its_conf_goes_once_it_is_kept_from_the_node_and_ours_is_loaded(
    world: World, change: dict[str, bool], gone: bool
) -> None:
    (world.folder / "00-multus.conf").write_text(THICK)
    (world.folder / "70-multus.conf").write_text(THICK)
    await world.conf.reconcile()
    for name, value in change.items():
        setattr(world, name, value)
    await world.look()
    assert ("00-multus.conf" not in world.files()) is gone
    assert (world.folder / "70-multus.conf").exists() is not gone
    assert confs.BESIDE in world.files()


async def test_ours_keeps_the_name_that_multus_does_not_remove_while_the_node_is_adopted(world: World) -> None:
    world.adopted = True
    await world.look()
    assert world.files() == [confs.BESIDE]
    world.adopted = False
    for _ in range(3):
        wait = await world.conf.reconcile()
        if wait:
            await asyncio.sleep(wait)
    assert world.files() == [confs.FILE]


async def test_it_counts_the_sandboxes_that_multus_attached(world: World) -> None:
    folder = world.node.places.host_root / multus.STATE_DIR.lstrip("/")
    folder.mkdir(parents=True)
    (folder / ("a" * 64)).write_text("[]")
    (folder / "results").mkdir()
    (folder / "note").write_text("")
    await world.look()
    assert world.adoption.found == onnode.Found((), 1)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (THICK, "multus-shim"),
        (THIN_LIST, "multus"),
        ('{"type": "mooring", "delegates": [{"type": "multus"}]}', ""),
        ("[]", ""),
        ("{", ""),
        ('{"plugins": 1, "type": 2}', ""),
        ('{"plugins": ["multus"]}', ""),
    ],
)
def test_a_conf_is_multus_s_by_the_program_that_it_calls(text: str, kind: str) -> None:
    assert multus.conf_type(text) == kind


async def test_a_conf_of_multus_under_another_name_is_never_the_primary_network(world: World) -> None:
    (world.folder / "05-multus.conf").write_text(THICK)
    await world.look()
    assert world.conf.applied is not None
    assert world.conf.applied.primary.name != "multus-cni-network"
