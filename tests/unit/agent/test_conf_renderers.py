"""A revision's conf is made by its own renderer, and plugin and conf change in the order that keeps pods working."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest

from mooring.agent import binaries, conf, credentials, loops, revisions
from mooring.installing import renderers
from mooring.node import binaries as programs
from mooring.node import conffolder, confrecords, places
from tests.unit.agent.conftest import PLUGIN, FakeProver

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.agent.conftest import FakeClient, Node

LATER = renderers.NEWEST + 1


class World:
    """A node, and agents of one image after the other: each knows some renderers and carries a plugin."""

    def __init__(self, node: Node, source: Path) -> None:
        self.node = node
        self.source = source
        self.image = "mooring:1"
        self.before = ""
        self.current = self.revision(1)
        self.cni = "1.1.0"
        self.order: list[str] = []
        source.mkdir()
        node.program("bridge")
        node.primary()

    def revision(self, number: int, **more: Any) -> revisions.Revision:
        known = {"image": f"mooring:{number}", "renderer": min(number, renderers.NEWEST), **more}
        return self.node.revision(f"mooring-revision-{number}", **known)

    def start(self, image: str, *, said: str = "") -> None:
        """Start an agent of an image on the node."""
        self.image = image
        program = self.source / places.PLUGIN
        program.write_text(f"{PLUGIN}# of {image}\n")
        program.chmod(0o755)
        self.before = said or self.before
        self.binaries = binaries.Binaries(
            source=self.source,
            host_root=self.node.root,
            prover=FakeProver(),
            revision=lambda: self.current,
            image=lambda: self.image,
            applied_before=lambda: self.before,
            draining=lambda: False,
            conf_first=lambda revision: self.conf.comes_first(revision),
            on_applied=lambda: None,
            on_health=lambda: None,
        )
        self.conf = conf.Conf(
            revision=lambda: self.current,
            installed=lambda: self.binaries.applied,
            network=lambda key: None,
            cni_version=lambda: self.cni,
            on_applied=lambda: None,
            on_health=lambda: None,
        )

    async def settle(self, *, first: str = "binaries") -> None:
        """Let both work until nothing is to do; either of them may be the first to look."""
        both = [self.binaries, self.conf] if first == "binaries" else [self.conf, self.binaries]
        for each in both * 3:
            await each.reconcile()

    @property
    def plugin(self) -> str:
        return self.node.places.plugin.read_text().rpartition("# of ")[2].strip()

    def bytes_on_the_node(self) -> dict[str, bytes]:
        folders = (self.node.places.confs, self.node.places.binaries)
        return {str(path): path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
async def world(node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(node, tmp_path / "image")
    write, install = conffolder.write, programs.install

    def written(*arguments: Any) -> None:
        made.order.append("conf")
        write(*arguments)

    async def installed(*arguments: Any, **options: Any) -> str:
        made.order.append("plugin")
        return await install(*arguments, **options)

    monkeypatch.setattr(conffolder, "write", written)
    monkeypatch.setattr(programs, "install", installed)
    return made


@pytest.mark.parametrize("first", ["binaries", "conf"])
async def test_forwards_the_plugin_comes_first_and_backwards_the_conf(world: World, first: str) -> None:
    world.start("mooring:1")
    await world.settle(first=first)
    assert (world.order, world.plugin) == (["plugin", "conf"], "mooring:1")
    world.start("mooring:2", said="mooring-revision-1")
    await world.settle(first=first)
    world.order.clear()

    world.current = world.revision(2)
    await world.settle(first=first)
    assert (world.order, world.plugin) == (["plugin", "conf"], "mooring:2")
    assert json.loads(world.node.conf.read_text())["cniVersion"] == "1.1.0"
    world.start("mooring:1", said="mooring-revision-2")
    await world.settle(first=first)
    world.order.clear()

    world.current = world.revision(1)
    await world.settle(first=first)
    assert (world.order, world.plugin) == (["conf", "plugin"], "mooring:1")
    assert json.loads(world.node.conf.read_text())["cniVersion"] == "1.0.0"
    assert world.conf.applied is not None
    assert (world.conf.applied.revision, world.binaries.applied) == ("mooring-revision-1", "mooring-revision-1")


async def test_an_agent_of_another_image_changes_no_byte_before_its_revision_says_so(world: World) -> None:
    world.start("mooring:1")
    await world.settle()
    before = world.bytes_on_the_node()
    world.start("mooring:2", said="mooring-revision-1")
    await world.settle()
    assert world.bytes_on_the_node() == before
    assert world.conf.health == loops.Health(settled=True)
    assert world.binaries.health == loops.Health(settled=True)


async def test_credentials_that_are_good_are_the_same_bytes_for_every_image(
    world: World, client: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token is renewed at half its life, by whoever is there then; an agent's start alone changes nothing."""
    token = "e30.eyJpYXQiOjAsImV4cCI6ODY0MDAsImt1YmVybmV0ZXMuaW8iOnsibm9kZSI6eyJ1aWQiOiJ1In19fQ.s"  # noqa: S105  made up
    path = world.node.places.seen(world.node.places.kubeconfig)
    path.parent.mkdir()
    path.write_bytes(
        b'{"apiVersion": "v1", "kind": "Config", "current-context": "mooring", "clusters": [{"name": "mooring", '
        b'"cluster": {"server": "https://192.0.2.1:6443", "certificate-authority-data": "Q0E="}}], "contexts": '
        b'[{"name": "mooring", "context": {"cluster": "mooring", "user": "mooring"}}], "users": '
        b'[{"name": "mooring", "user": {"token": "' + token.encode() + b'"}}]}'
    )
    path.chmod(0o600)
    before = path.stat()
    client.objects["n1"] = {"metadata": {"uid": "u"}}
    monkeypatch.setattr(client, "url", "https://192.0.2.1:6443", raising=False)
    monkeypatch.setattr(client, "certificate_authority", b"CA", raising=False)
    kept = credentials.Credentials(
        loops.Site(client, "n1", "mooring-system"),  # type: ignore[arg-type]
        revision=lambda: world.current,
        now=lambda: 1000.0,
        on_health=lambda: None,
    )
    await kept.reconcile()
    assert kept.health == loops.Health(settled=True)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


class TestARendererThatTheAgentDoesNotKnow:
    async def test_the_conf_stays_and_the_node_says_what_to_do(self, world: World) -> None:
        world.start("mooring:1")
        await world.settle()
        before = world.bytes_on_the_node()
        world.start("mooring:1", said="mooring-revision-9")
        world.current = world.revision(9, renderer=LATER)
        await world.settle()
        assert world.bytes_on_the_node() == before
        assert world.conf.applied is None
        assert world.conf.health.problem == (
            f"The revision mooring-revision-9 wants its conf made by renderer {LATER}, and this agent knows "
            f"renderers up to {renderers.NEWEST}: the conf on the node stays as it is. Update the agent's image"
        )

    async def test_what_was_there_is_put_back_where_somebody_takes_it(self, world: World) -> None:
        world.start("mooring:1")
        await world.settle()
        before = world.bytes_on_the_node()
        world.start("mooring:1", said="mooring-revision-9")
        world.current = world.revision(9, renderer=LATER)
        await world.settle()
        for content in (None, b"{}"):
            world.node.conf.unlink()
            if content is not None:
                world.node.conf.write_bytes(content)
            await world.conf.reconcile()
            assert world.bytes_on_the_node() == before
        world.order.clear()
        for _ in range(20):
            world.node.conf.unlink(missing_ok=True)
            await world.conf.reconcile()
        assert world.order == ["conf"] * 3
        assert "Another program removed" in world.conf.health.problem

    async def test_a_node_without_any_conf_gets_none(self, world: World) -> None:
        world.start("mooring:1")
        world.current = world.revision(9, renderer=LATER)
        await world.settle()
        assert not world.node.conf.exists()
        assert "Update the agent's image" in world.conf.health.problem

    async def test_who_had_another_revision_goes_on_with_that(self, world: World) -> None:
        world.start("mooring:1")
        await world.settle()
        world.current = world.revision(9, renderer=LATER)
        changed = world.node.primary(plugins=[{"type": "bridge", "mtu": 1400}])
        await world.settle()
        assert json.loads(world.node.conf.read_text())["delegates"] == [changed]
        assert world.conf.applied is not None
        assert world.conf.applied.revision == "mooring-revision-1"
        assert "Update the agent's image" in world.conf.health.problem


class TestTheVersionOfCNI:
    @pytest.fixture
    async def second(self, world: World) -> World:
        world.current = world.revision(2)
        world.start("mooring:2")
        return world

    def written(self, world: World) -> Any:
        return json.loads(world.node.conf.read_text())["cniVersion"]

    async def test_before_the_runtime_said_its_name_it_is_what_every_runtime_parses(self, second: World) -> None:
        second.cni = ""
        await second.settle()
        assert self.written(second) == "1.0.0"
        second.cni = "1.1.0"
        await second.settle()
        assert self.written(second) == "1.1.0"
        assert not second.conf.health.warning

    async def test_a_runtime_that_does_not_answer_the_next_agent_changes_nothing(self, second: World) -> None:
        await second.settle()
        before = second.node.conf.stat().st_ino
        second.start("mooring:2", said="mooring-revision-2")
        second.cni = ""
        await second.settle()
        assert second.node.conf.stat().st_ino == before
        assert self.written(second) == "1.1.0"

    async def test_it_goes_down_with_the_runtime(self, second: World) -> None:
        await second.settle()
        second.cni = "1.0.0"
        await second.settle()
        assert self.written(second) == "1.0.0"
        second.start("mooring:2")
        second.cni = ""
        await second.settle()
        assert self.written(second) == "1.0.0"

    async def test_the_first_renderer_says_1_0_0_to_every_runtime(self, world: World) -> None:
        world.start("mooring:1")
        await world.settle()
        assert self.written(world) == "1.0.0"


class TestWhatIsRemembered:
    RECORD = confrecords.Record(renderer=2, default_network="kube-system/main", cni_version="1.1.0")

    async def test_it_is_read_as_it_was_written(self, node: Node) -> None:
        confrecords.write(node.places.state, self.RECORD)
        assert confrecords.read(node.places.state) == self.RECORD
        assert json.loads((node.places.state / "conf.json").read_text()) == {
            "version": 1,
            "renderer": 2,
            "defaultNetwork": "kube-system/main",
            "cniVersion": "1.1.0",
        }

    @pytest.mark.parametrize(
        "text",
        [
            b"",
            b"[]",
            b"\xff",
            b'{"version": 2, "renderer": 1, "defaultNetwork": "", "cniVersion": ""}',
            b'{"version": 1, "renderer": "1", "defaultNetwork": "", "cniVersion": ""}',
            b'{"version": 1, "renderer": true, "defaultNetwork": "", "cniVersion": ""}',
            b'{"version": 1, "renderer": 1, "defaultNetwork": null, "cniVersion": ""}',
            b'{"version": 1, "renderer": 1}',
        ],
    )
    async def test_a_damaged_record_says_nothing_and_is_written_again(self, world: World, text: bytes) -> None:
        (world.node.places.state / "conf.json").write_bytes(text)
        assert confrecords.read(world.node.places.state) == confrecords.Record()
        world.start("mooring:1")
        await world.settle()
        record = confrecords.read(world.node.places.state)
        assert record == confrecords.Record(renderer=1, default_network="auto", cni_version="1.1.0")

    async def test_a_disk_that_cannot_be_read_is_a_problem_and_no_record(self, world: World) -> None:
        (world.node.places.state / "conf.json").mkdir()
        world.start("mooring:1")
        with pytest.raises(OSError, match="not a regular file"):
            await world.conf.reconcile()


async def test_both_running_side_by_side_come_to_the_same(world: World) -> None:
    for number, image in ((1, "mooring:1"), (2, "mooring:2"), (1, "mooring:1"), (2, "mooring:2")):
        world.current = world.revision(number)
        world.start(image, said=f"mooring-revision-{number}")
        world.order.clear()
        tasks = [asyncio.create_task(each.run()) for each in (world.binaries, world.conf)]
        async with asyncio.timeout(20):
            while not (world.conf.applied and world.conf.applied.revision == world.binaries.applied):
                world.binaries.wake()
                world.conf.wake()
                await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert world.plugin == image
        assert json.loads(world.node.conf.read_text())["cniVersion"] == {1: "1.0.0", 2: "1.1.0"}[number]
        assert dataclasses.replace(world.conf.health, warning="") == loops.Health(settled=True)
