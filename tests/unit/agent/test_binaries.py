"""The plugin on the node is the revision's, and the old one stays until the new one has proven itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mooring.agent import binaries, revisions
from mooring.node import binaries as programs
from mooring.node import manifest, places
from tests.unit.agent.conftest import PLUGIN

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.agent.conftest import Node


class World:
    """One node and an image with a plugin."""

    def __init__(self, node: Node, source: Path) -> None:
        self.node = node
        self.source = source
        self.current: revisions.Revision | None = node.revision()
        self.image = ""
        self.before = ""
        self.applied = 0
        self.later: set[str] = set()
        self.carry(PLUGIN)
        self.binaries = binaries.Binaries(
            source=source,
            revision=lambda: self.current,
            image=lambda: self.image,
            applied_before=lambda: self.before,
            conf_first=self.conf_first,
            on_applied=self.count,
            on_health=lambda: None,
        )

    async def conf_first(self, revision: revisions.Revision) -> bool:
        return revision.name in self.later

    def count(self) -> None:
        self.applied += 1

    def carry(self, text: str) -> None:
        """Make the image carry a plugin."""
        (self.source / places.PLUGIN).write_text(text)
        (self.source / places.PLUGIN).chmod(0o755)

    @property
    def target(self) -> Path:
        return self.node.places.plugin


@pytest.fixture
async def world(node: Node, tmp_path: Path) -> World:
    source = tmp_path / "programs"
    source.mkdir()
    return World(node, source)


async def test_a_missing_plugin_is_installed(world: World) -> None:
    await world.binaries.reconcile()
    assert world.target.read_text() == PLUGIN
    assert world.binaries.applied == "mooring-revision-1"
    assert world.binaries.sha256 == {places.PLUGIN: programs.sha256(world.target)}
    assert world.applied == 1


async def test_the_plugin_is_recorded_as_ours_and_a_lost_record_is_made_again_where_it_is_ours_to_the_byte(
    world: World,
) -> None:
    owned = manifest.Manifest(world.node.places.state)
    await world.binaries.reconcile()
    entry = owned.owned()["/opt/cni/bin/mooring"]
    assert entry.wrote(programs.sha256(world.target))
    owned.path.write_text("damaged")
    await world.binaries.reconcile()
    assert owned.owned() == {entry.path: entry}


async def test_what_an_older_agent_installed_beside_the_plugin_goes_when_the_new_plugin_is_there(world: World) -> None:
    former = world.target.with_name(places.FORMER)
    former.write_text(PLUGIN)
    world.image, world.before = "mooring:2", "mooring-revision-1"
    world.target.write_text(PLUGIN)
    world.target.chmod(0o755)
    await world.binaries.reconcile()
    assert former.exists(), "the plugin of the older revision executes it"
    world.current = world.node.revision("mooring-revision-2", image="mooring:2")
    await world.binaries.reconcile()
    assert not former.exists()
    assert world.target.read_text() == PLUGIN


async def test_the_same_plugin_is_left_alone(world: World) -> None:
    await world.binaries.reconcile()
    before = world.target.stat().st_ino
    await world.binaries.reconcile()
    assert world.target.stat().st_ino == before
    assert world.applied == 1


async def test_a_plugin_that_somebody_changed_or_made_unusable_is_put_right(world: World) -> None:
    await world.binaries.reconcile()
    world.target.write_text("broken")
    await world.binaries.reconcile()
    assert world.target.read_text() == PLUGIN
    world.target.chmod(0o644)
    await world.binaries.reconcile()
    assert world.target.stat().st_mode & 0o111


async def test_a_plugin_that_does_not_prove_itself_leaves_the_old_one(world: World) -> None:
    await world.binaries.reconcile()
    world.carry("#!/bin/sh\nexit 1\n")
    world.current = world.node.revision("mooring-revision-2")
    with pytest.raises(OSError, match="is not installed, the old one stays: VERSION ended with status 1"):
        await world.binaries.reconcile()
    assert world.target.read_text() == PLUGIN
    assert world.binaries.applied == "mooring-revision-1"
    assert sorted(path.name for path in world.target.parent.iterdir()) == ["mooring"]


async def test_an_image_without_a_plugin_is_told(world: World) -> None:
    (world.source / "mooring").unlink()
    with pytest.raises(FileNotFoundError, match="this image has no plugin"):
        await world.binaries.reconcile()


async def test_an_agent_newer_than_the_revision_leaves_its_plugin_alone(world: World) -> None:
    await world.binaries.reconcile()
    world.carry(PLUGIN + "# newer\n")
    world.image, world.before = "mooring:2", "mooring-revision-1"
    await world.binaries.reconcile()
    assert world.target.read_text() == PLUGIN
    assert world.binaries.applied == "mooring-revision-1"
    world.current = world.node.revision("mooring-revision-2", image="mooring:2")
    await world.binaries.reconcile()
    assert world.target.read_text().endswith("# newer\n")
    assert world.binaries.applied == "mooring-revision-2"


async def test_an_agent_older_than_the_revision_waits_for_its_successor(world: World) -> None:
    await world.binaries.reconcile()
    world.image, world.before = "mooring:1", "mooring-revision-1"
    world.current = world.node.revision("mooring-revision-2", image="mooring:2")
    await world.binaries.reconcile()
    assert world.binaries.applied == "mooring-revision-1"
    assert world.binaries.health.problem == "The revision mooring-revision-2 waits for the agent of mooring:2"


async def test_nothing_is_done_before_there_is_a_revision(world: World) -> None:
    world.current = None
    await world.binaries.reconcile()
    assert not world.target.exists()


async def test_on_the_way_back_the_newer_plugin_stays_until_the_older_conf_is_there(world: World) -> None:
    await world.binaries.reconcile()
    newer = world.target.read_bytes()
    world.carry(PLUGIN + "# older")
    world.current = world.node.revision("mooring-revision-0")
    world.later = {"mooring-revision-0"}
    await world.binaries.reconcile()
    assert (world.target.read_bytes(), world.binaries.applied) == (newer, "mooring-revision-1")
    world.later = set()
    await world.binaries.reconcile()
    assert world.target.read_text().endswith("# older")
    assert world.binaries.applied == "mooring-revision-0"


async def test_without_any_plugin_nobody_waits_for_a_conf(world: World) -> None:
    world.later = {"mooring-revision-1"}
    await world.binaries.reconcile()
    assert world.target.exists()
