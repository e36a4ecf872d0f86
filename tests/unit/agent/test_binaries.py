"""The plugin on the node is the revision's, and the old one stays until the new one has proven itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mooring.agent import binaries, revisions
from mooring.node import manifest, places, store
from tests.unit.agent.conftest import PLUGIN, FakeProver

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.agent.conftest import Node

NEWER = PLUGIN + "# newer\n"


class World:
    """One node and an image with a plugin."""

    def __init__(self, node: Node, source: Path) -> None:
        self.node = node
        self.source = source
        self.current: revisions.Revision | None = node.revision()
        self.image = ""
        self.before = ""
        self.applied = 0
        self.draining = False
        self.prover = FakeProver()
        self.later: set[str] = set()
        self.carry(PLUGIN)
        self.start()

    def start(self) -> None:
        """Start an agent."""
        self.binaries = binaries.Binaries(
            source=self.source,
            host_root=self.node.root,
            prover=self.prover,
            revision=lambda: self.current,
            image=lambda: self.image,
            applied_before=lambda: self.before,
            draining=lambda: self.draining,
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
    def store(self) -> store.Store:
        return store.Store(self.node.places.programs)

    async def upgrade(self, text: str, name: str = "mooring-revision-2") -> None:
        """Give the node an agent of another image, and its revision."""
        self.carry(text)
        self.current = self.node.revision(name)
        await self.binaries.reconcile()

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
    assert world.binaries.sha256 == {places.PLUGIN: store.sha256(world.target)}
    assert world.applied == 1


async def test_the_plugin_is_recorded_as_ours_and_a_lost_record_is_made_again_where_it_is_ours_to_the_byte(
    world: World,
) -> None:
    owned = manifest.Manifest(world.node.places.state)
    await world.binaries.reconcile()
    entry = owned.owned()["/opt/cni/bin/mooring"]
    assert entry.wrote(store.sha256(world.target))
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
    with pytest.raises(OSError, match="is not installed, the last good one stays: VERSION ended with status 1"):
        await world.binaries.reconcile()
    assert world.target.read_text() == PLUGIN
    assert world.binaries.applied == "mooring-revision-1"
    assert sorted(path.name for path in world.target.parent.iterdir()) == ["mooring"]


async def test_what_fails_the_proof_though_it_answers_is_not_installed(world: World) -> None:
    await world.binaries.reconcile()
    world.prover.fault = "ADD ended with status 1"
    with pytest.raises(OSError, match="the last good one stays: ADD ended with status 1"):
        await world.upgrade(NEWER)
    assert world.target.read_text() == PLUGIN
    assert world.binaries.applied == "mooring-revision-1"
    assert list(manifest.Manifest(world.node.places.state).owned()["/opt/cni/bin/mooring"].before) == []
    world.prover.fault = ""
    await world.binaries.reconcile()
    assert world.target.read_text() == NEWER


async def test_where_nothing_on_the_node_works_that_is_told(world: World) -> None:
    world.prover.fault = "CHECK ended with status 1"
    with pytest.raises(OSError, match="there is none that works on the node: CHECK ended"):
        await world.binaries.reconcile()
    assert not world.target.exists()


async def test_the_store_holds_the_current_and_the_last_good_program_and_no_more(world: World) -> None:
    texts = [PLUGIN, NEWER, PLUGIN + "# newest\n"]
    for number, text in enumerate(texts):
        await world.upgrade(text, f"mooring-revision-{number}")
    digests = [manifest.digest(text.encode()) for text in texts]
    assert world.store.listed() == [digests[2], digests[1]]
    assert world.prover.proven == digests
    assert all(world.store.holds(digest) for digest in digests[1:])


@pytest.mark.parametrize("damage", ["removed", "changed", "replaced by one that works", "not executable", "emptied"])
@pytest.mark.parametrize("started", ["before", "without the API server"])
async def test_a_damaged_plugin_is_put_back_from_the_store(world: World, damage: str, started: str) -> None:
    await world.binaries.reconcile()
    await world.upgrade(NEWER)
    if started != "before":
        world.current = None
        (world.source / places.PLUGIN).unlink()
        world.start()
    if damage == "removed":
        world.target.unlink()
    elif damage == "not executable":
        world.target.chmod(0o644)
    else:
        world.target.write_text({"changed": "x", "emptied": ""}.get(damage, PLUGIN + "# foreign\n"))
    await world.binaries.reconcile()
    assert world.target.read_text() == NEWER
    assert world.target.stat().st_mode & 0o777 == 0o755
    assert world.binaries.repaired == 1
    assert len(world.prover.proven) == 2, "what was proven is put back at once"
    await world.binaries.reconcile()
    assert world.binaries.repaired == 1


async def test_a_plugin_that_does_not_run_any_more_is_replaced_by_the_last_good_one(world: World) -> None:
    flag = world.node.root / "broken"
    fragile = f"#!/bin/sh\n[ ! -e {flag} ] || exit 1\n" + PLUGIN.partition("\n")[2]
    await world.binaries.reconcile()
    await world.upgrade(fragile)
    flag.touch()
    world.start()  # it is executed again, though nobody changed it
    with pytest.raises(OSError, match="the last good one stays: VERSION ended with status 1"):
        await world.binaries.reconcile()
    assert world.target.read_text() == PLUGIN
    flag.unlink()
    await world.binaries.reconcile()
    assert world.target.read_text() == fragile


async def test_a_damaged_program_of_the_store_is_not_put_back(world: World) -> None:
    await world.binaries.reconcile()
    await world.upgrade(NEWER)
    world.store.path(manifest.digest(NEWER.encode())).write_text(PLUGIN + "# foreign\n")
    world.target.unlink()
    world.current = None
    world.start()
    await world.binaries.reconcile()
    assert world.target.read_text() == PLUGIN


async def test_where_the_manifest_is_lost_the_newest_program_of_the_store_is_put_back(world: World) -> None:
    await world.binaries.reconcile()
    await world.upgrade(NEWER)
    manifest.Manifest(world.node.places.state).path.write_text("damaged")
    world.target.write_text("damaged")
    world.prover.fault = "the image is broken"
    world.carry(PLUGIN + "# newest\n")
    with pytest.raises(OSError, match="the last good one stays: the image is broken"):
        await world.binaries.reconcile()
    assert world.target.read_text() == NEWER


async def test_while_the_node_is_drained_nothing_is_installed(world: World) -> None:
    await world.binaries.reconcile()
    world.draining = True
    world.current = None
    world.target.unlink()
    await world.binaries.reconcile()
    assert not world.target.exists()
    assert (world.binaries.applied, world.binaries.sha256) == ("", {})


async def test_an_agent_that_comes_back_to_a_drained_node_installs_nothing(world: World) -> None:
    await world.binaries.reconcile()
    (world.node.places.state / places.LEAVING).touch()
    world.current = None
    world.target.unlink()
    world.start()
    await world.binaries.reconcile()
    assert not world.target.exists()


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
