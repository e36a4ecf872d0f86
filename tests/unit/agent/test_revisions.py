"""A node gets the revision that the leader wrote into its NodeState, and no other."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mooring.agent import loops, revisions
from mooring.kube import errors

if TYPE_CHECKING:
    from tests.unit.agent.conftest import FakeClient, FakeInformer, Node

DOCUMENT: dict[str, Any] = {
    "version": 1,
    "image": "mooring:1",
    "paths": {"cniBinDir": "/opt/cni/bin", "cniConfDir": "/etc/cni/net.d", "stateDir": "/var/lib/mooring"},
    "defaultNetwork": "auto",
    "plugin": {"logLevel": "error"},
}


SECOND: dict[str, Any] = {**DOCUMENT, "version": 2, "renderer": 1, "pluginSets": [], "dhcpDaemon": False}
EXAMPLES = Path(__file__).parents[3] / "operator" / "contract" / "revisions"


class World:
    """A NodeState, ConfigMaps, and the reconciler that reads them."""

    def __init__(self, client: FakeClient, informer: FakeInformer, root: Path) -> None:
        self.client = client
        self.informer = informer
        self.told: list[str] = []
        self.follower = revisions.Follower(
            loops.Site(client, "n1", "mooring-system"),  # type: ignore[arg-type]
            host_root=root,
            on_revision=lambda revision: self.told.append(revision.name),
            on_health=lambda: None,
        )
        self.follower.follow(informer)  # type: ignore[arg-type]

    def config_map(self, name: str, **changes: Any) -> None:
        self.client.objects[name] = {"data": {"revision.json": json.dumps({**DOCUMENT, **changes})}}

    def wanted(self, name: str | None, *, applied: str = "") -> None:
        state: dict[str, Any] = {
            "metadata": {"name": "n1", "uid": "u"},
            "spec": {} if name is None else {"revision": name},
        }
        if applied:
            state["status"] = {"revision": applied}
        self.informer.store["n1"] = revisions.keep(state)


@pytest.fixture
async def world(client: FakeClient, informer: FakeInformer, node: Node) -> World:
    informer.synced.set()
    return World(client, informer, node.root)


async def test_the_revision_is_read_and_told_once(world: World, node: Node) -> None:
    world.config_map("r1", plugin={"logLevel": "debug"})
    world.wanted("r1")
    for _ in range(2):
        await world.follower.reconcile()
    assert world.told == ["r1"]
    assert world.follower.current is not None
    assert world.follower.current.plugin == {"logLevel": "debug"}
    assert dataclasses.replace(world.follower.current.places, where=()) == node.places
    assert (await world.follower.places()).state_dir == "/var/lib/mooring"
    assert world.follower.health.settled


async def test_another_revision_is_told_and_none_any_more_changes_nothing(world: World) -> None:
    for name in ("r1", "r2"):
        world.config_map(name)
        world.wanted(name)
        await world.follower.reconcile()
    world.wanted(None)
    await world.follower.reconcile()
    assert world.told == ["r1", "r2"]
    assert world.follower.current is not None
    assert world.follower.current.name == "r2"


async def test_a_node_without_a_revision_says_so(world: World) -> None:
    await world.follower.reconcile()
    assert world.follower.health.problem == "The operator has not given node n1 a revision yet"


async def test_a_missing_config_map_is_told(world: World) -> None:
    world.wanted("r1")
    world.follower.image = ""
    world.client.errors = [errors.NotFound(status=404, message="no")]
    with pytest.raises(OSError, match="r1 of node n1 has no ConfigMap in mooring-system"):
        await world.follower.reconcile()


@pytest.mark.parametrize("key", ["cniBinDir", "cniConfDir"])
async def test_a_folder_that_the_node_does_not_have_is_told_and_never_made(world: World, node: Node, key: str) -> None:
    world.config_map("r1", paths={**DOCUMENT["paths"], key: "/etc/mistyped"})
    world.wanted("r1")
    with pytest.raises(OSError, match="wants /etc/mistyped, which this node does not have"):
        await world.follower.reconcile()
    assert not node.places.seen("/etc/mistyped").exists()
    assert world.told == []
    assert world.follower.wanted == "r1"
    assert world.follower.asked is not None


async def test_our_own_folder_is_made(world: World, node: Node) -> None:
    world.config_map("r1", paths={**DOCUMENT["paths"], "stateDir": "/srv/mooring"})
    world.wanted("r1")
    await world.follower.reconcile()
    assert node.places.seen("/srv/mooring").is_dir()


async def test_what_cannot_be_had_changes_nothing_on_a_node_that_has_a_revision(world: World) -> None:
    world.config_map("r1")
    world.config_map("r2", paths={**DOCUMENT["paths"], "cniBinDir": "/opt/cni/bim"})
    world.wanted("r1")
    await world.follower.reconcile()
    world.wanted("r2")
    for _ in range(2):
        with pytest.raises(OSError, match="/opt/cni/bim"):
            await world.follower.reconcile()
    assert world.told == ["r1"]


async def test_an_agent_that_starts_on_such_a_node_goes_on_with_what_is_there(world: World) -> None:
    world.config_map("r1")
    world.config_map("r2", paths={**DOCUMENT["paths"], "cniBinDir": "/opt/cni/bim"})
    world.wanted("r2", applied="r1")
    for _ in range(2):
        with pytest.raises(OSError, match="/opt/cni/bim"):
            await world.follower.reconcile()
    assert world.told == ["r1"]
    assert world.follower.wanted == "r2"
    world.config_map("r3")
    world.wanted("r3", applied="r1")
    await world.follower.reconcile()
    assert world.told == ["r1", "r3"]


async def test_the_folder_of_what_is_kept_of_pods_does_not_change_under_them(world: World, node: Node) -> None:
    world.config_map("r1")
    world.config_map("r2", paths={**DOCUMENT["paths"], "stateDir": "/srv/mooring"})
    world.wanted("r2", applied="r1")
    with pytest.raises(
        OSError, match=r"what this node keeps of its pods is in /var/lib/mooring: .* Set paths.stateDir"
    ):
        await world.follower.reconcile()
    assert world.told == ["r1"]
    assert not node.places.seen("/srv/mooring").exists()


async def test_a_link_of_the_node_leads_from_the_node_s_root(world: World, node: Node) -> None:
    node.places.seen("/data/cni/bin").mkdir(parents=True)
    node.places.binaries.rmdir()
    node.places.binaries.symlink_to("/data/cni/bin")
    world.config_map("r1")
    world.wanted("r1")
    await world.follower.reconcile()
    assert world.follower.current is not None
    assert world.follower.current.places.plugin == node.root / "data/cni/bin/mooring"
    assert world.follower.current.places.bin_dir == "/opt/cni/bin"


async def test_a_link_that_is_turned_leads_to_other_folders_once_these_are_there(world: World, node: Node) -> None:
    for version in ("1", "2"):
        node.places.seen(f"/data/{version}").mkdir(parents=True)
    node.places.binaries.rmdir()
    node.places.seen("/data/current").symlink_to("1")
    node.places.binaries.symlink_to("/data/current")
    world.config_map("r1")
    world.wanted("r1")

    async def plugin() -> Path:
        await world.follower.reconcile()
        assert world.follower.current is not None
        return world.follower.current.places.plugin

    assert await plugin() == node.root / "data/1/mooring"
    node.places.seen("/data/current").unlink()
    assert await plugin() == node.root / "data/1/mooring"
    node.places.seen("/data/current").symlink_to("3")
    assert await plugin() == node.root / "data/1/mooring"
    assert world.told == ["r1"]
    node.places.seen("/data/current").unlink()
    node.places.seen("/data/current").symlink_to("2")
    for _ in range(2):
        assert await plugin() == node.root / "data/2/mooring"
    assert world.told == ["r1", "r1"]


async def test_while_the_node_state_cannot_be_read_it_says_why(world: World) -> None:
    world.informer.synced.clear()
    world.informer.last_error = errors.Forbidden(status=403, message="no")
    assert await world.follower.reconcile() == 1.0
    assert "the NodeState cannot be read" in world.follower.health.problem


async def test_the_agent_s_image_is_that_of_its_pod_that_is_not_ending(world: World) -> None:
    def pod(image: str, **metadata: str) -> dict[str, Any]:
        return {"metadata": metadata, "spec": {"containers": [{"image": image}]}}

    world.client.listed = [pod("mooring:0", deletionTimestamp="2026-03-01T12:00:00Z"), pod("mooring:1")]
    world.config_map("r1")
    world.wanted("r1")
    await world.follower.reconcile()
    assert world.follower.image == "mooring:1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "JSONDecodeError"),
        ("[]", "TypeError"),
        (json.dumps({**DOCUMENT, "version": 3}), "this agent reads versions 1 and 2: update the agent"),
        (json.dumps({key: value for key, value in DOCUMENT.items() if key != "paths"}), "paths"),
        (json.dumps({**DOCUMENT, "paths": {**DOCUMENT["paths"], "cniBinDir": "opt"}}), "absolute path"),
        (json.dumps({**DOCUMENT, "plugin": []}), "plugin must be an object"),
        (json.dumps({**DOCUMENT, "defaultNetwork": ""}), "defaultNetwork"),
        (json.dumps({**DOCUMENT, "version": 2}), "renderer"),
        (json.dumps({**SECOND, "renderer": 0}), "renderer must be a number from 1 on"),
        (json.dumps({**SECOND, "renderer": True}), "renderer must be a number from 1 on"),
        (json.dumps({**SECOND, "pluginSets": [1]}), "pluginSets must be a list of objects"),
        (json.dumps({**SECOND, "dhcpDaemon": 1}), "dhcpDaemon must be true or false"),
    ],
)
def test_a_revision_that_cannot_be_read_says_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(revisions.RevisionError, match=said):
        revisions.parse("r1", text, host_root=Path("/host"))


def test_the_examples_of_both_versions_are_read() -> None:
    first, second = (
        revisions.parse("r", (EXAMPLES / f"version-{version}.json").read_text(), host_root=Path("/host"))
        for version in revisions.VERSIONS
    )
    assert (first.renderer, first.plugin_sets, first.dhcp_daemon) == (1, (), False)
    assert (second.renderer, second.dhcp_daemon) == (2, True)
    assert [(each["name"], each["binaries"][0]["name"]) for each in second.plugin_sets] == [("reference", "bridge")]
    assert first.plugin == second.plugin
