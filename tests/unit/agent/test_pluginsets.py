"""Programs of plugin sets: what the revision has is on the node, and what is somebody else's stays as it is."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mooring.agent import loops, pluginsets, revisions, setremoval
from mooring.installing import deliveries
from mooring.node import manifest, places
from tests.unit.agent.conftest import FakeClient, line

if TYPE_CHECKING:
    from tests.unit.agent.conftest import Node


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def a_set(name: str = "reference", /, *, overwrite: bool = False, **programs: str) -> dict[str, Any]:
    """Return a set of programs, each with its text."""
    binaries = [{"name": each, "path": f"/bin/{each}", "sha256": digest(text)} for each, text in programs.items()]
    made: dict[str, Any] = {"name": name, "image": f"registry/{name}:1", "binaries": binaries}
    return {**made, "overwrite": True} if overwrite else made


class World:
    """One node, its revision, and a clock."""

    def __init__(self, node: Node, client: FakeClient) -> None:
        self.node = node
        self.client = client
        self.current: revisions.Revision | None = None
        self.conf = ""
        self.primary: tuple[str, ...] = ()
        self.seconds = 1000.0
        self.applied = 0
        self.start()

    def start(self) -> None:
        """Start an agent, as after its end."""
        self.sets = pluginsets.PluginSets(
            loops.Site(self.client, "n1", "mooring-system"),  # type: ignore[arg-type]
            revision=lambda: self.current,
            conf_applied=lambda: self.conf,
            primary=lambda: self.primary,
            on_applied=self.count,
            on_health=lambda: None,
            clock=lambda: self.seconds,
        )

    def count(self) -> None:
        self.applied += 1

    async def have(self, *sets: dict[str, Any], name: str = "mooring-revision-1", conf: bool = True) -> float | None:
        """Give the node a revision with these sets, and look."""
        self.current = self.node.revision(name, plugin_sets=sets)
        self.conf = name if conf else self.conf
        return await self.sets.reconcile()

    def hand_over(self, *texts: str) -> None:
        for text in texts:
            path = self.handover / digest(text)
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)

    @property
    def handover(self) -> Path:
        return self.state / deliveries.HANDOVER

    @property
    def state(self) -> Path:
        return self.node.places.seen(self.node.places.state_dir)

    @property
    def problem(self) -> str:
        return self.sets.health.problem

    @property
    def warning(self) -> str:
        return self.sets.health.warning

    def text(self, name: str) -> str | None:
        path = self.node.places.binaries / name
        return path.read_text() if path.exists() else None

    def owned(self) -> dict[str, str]:
        return {path: each.owner for path, each in manifest.Manifest(self.state).owned().items()}

    def everything(self) -> dict[str, str]:
        """Return every file of the folder of plugins and of the state folder, but what is handed over."""
        folders = (self.node.places.binaries, self.state)
        return {
            str(path): path.read_text()
            for folder in folders
            for path in sorted(folder.rglob("*"))
            if path.is_file() and not path.is_relative_to(self.handover)
        }


@pytest.fixture
async def world(node: Node, client: FakeClient) -> World:
    return World(node, client)


class TestInstalling:
    async def test_what_is_handed_over_is_installed_and_recorded_as_ours(self, world: World) -> None:
        world.hand_over("b", "h")
        await world.have(a_set(bridge="b", host_local="h"), a_set("other", sriov="b"))
        assert [world.text(name) for name in ("bridge", "host_local", "sriov")] == ["b", "h", "b"]
        assert stat.S_IMODE((world.node.places.binaries / "bridge").stat().st_mode) == 0o755
        assert world.owned() == {
            "/opt/cni/bin/bridge": "pluginSet/reference",
            "/opt/cni/bin/host_local": "pluginSet/reference",
            "/opt/cni/bin/sriov": "pluginSet/other",
        }
        assert world.sets.applied == "mooring-revision-1"
        assert world.sets.programs == {"bridge": digest("b"), "host_local": digest("h"), "sriov": digest("b")}
        assert (world.problem, world.warning, world.applied) == ("", "", 1)

    async def test_without_sets_nothing_is_to_be_done_and_no_folder_is_made(self, world: World) -> None:
        await world.have()
        assert world.sets.applied == "mooring-revision-1"
        assert world.sets.health.settled
        assert world.everything() == {}

    async def test_a_program_that_runs_is_replaced_by_another_file(self, world: World) -> None:
        world.hand_over("old", "new")
        await world.have(a_set(bridge="old"))
        before = (world.node.places.binaries / "bridge").stat().st_ino
        await world.have(a_set(bridge="new"), name="mooring-revision-2")
        assert world.text("bridge") == "new"
        assert (world.node.places.binaries / "bridge").stat().st_ino != before
        assert (world.sets.applied, world.warning) == ("mooring-revision-2", "")

    async def test_what_is_handed_over_damaged_is_not_installed_and_asked_for_again(self, world: World) -> None:
        world.hand_over("b")
        (world.handover / digest("b")).write_text("x")
        await world.have(a_set(bridge="b"))
        assert "what was handed over is damaged" in world.problem
        assert (world.text("bridge"), listed(world.handover)) == (None, [])
        world.hand_over("b")
        await world.have(a_set(bridge="b"))
        assert (world.text("bridge"), world.problem) == ("b", "")

    async def test_what_a_killed_agent_left_is_removed_and_what_another_part_writes_is_not(self, world: World) -> None:
        ours, anothers = ".bridge.0123456789abcdef.mooring-set-tmp", ".mooring.0123456789abcdef.mooring-tmp"
        for name in (ours, anothers):
            (world.node.places.binaries / name).write_text("half")
        world.hand_over("b")
        await world.have(a_set(bridge="b"))
        assert listed(world.node.places.binaries) == [anothers, "bridge"]


class TestWhatIsMissing:
    async def test_what_is_not_handed_over_is_told_with_the_kubelets_word_and_the_rest_is_installed(
        self, world: World
    ) -> None:
        waiting = {"reason": "ErrImagePull", "message": "registry/other:1: not found"}
        world.client.listed = [
            {
                "metadata": {"namespace": "mooring-system", "name": "mooring-set-other-1"},
                "status": {"phase": "Pending", "containerStatuses": [{"state": {"waiting": waiting}}]},
            }
        ]
        world.hand_over("b")
        wait = await world.have(a_set(bridge="b"), a_set("other", y="y", x="x"))
        assert world.problem == (
            "Plugin set other (registry/other:1) is not whole on node n1: x, y not handed over. "
            "mooring-system/mooring-set-other-1: ErrImagePull: registry/other:1: not found."
        )
        assert world.text("bridge") == "b"
        assert (wait, world.sets.applied) == (1.0, "")

    async def test_that_no_pod_brings_it_is_told(self, world: World) -> None:
        await world.have(a_set(bridge="b"))
        assert "No pod that brings it runs on node n1 yet." in world.problem

    async def test_a_set_that_is_on_the_node_needs_nobody_who_brings_it(self, world: World) -> None:
        world.hand_over("b")
        await world.have(a_set(bridge="b"))
        (world.handover / digest("b")).unlink()
        world.start()
        await world.have(a_set(bridge="b"))
        assert (world.problem, world.sets.applied) == ("", "mooring-revision-1")


class TestWhatIsSomebodyElses:
    async def test_it_stays_and_everything_that_is_wrong_is_told_at_once(self, world: World) -> None:
        world.node.program("bridge", "theirs")
        (world.node.places.binaries / "ptp").mkdir()
        (world.node.places.binaries / "vlan").symlink_to("/elsewhere/vlan")
        world.hand_over("b", "p", "v", "t")
        await world.have(a_set(bridge="b", ptp="p", vlan="v", tuning="t", dhcp="d"))
        for clause in (
            "/opt/cni/bin/bridge on node n1 is not that of plugin set reference, and Mooring did not put it there",
            "/opt/cni/bin/ptp on node n1 is a folder",
            "/opt/cni/bin/vlan on node n1 is not that of plugin set reference",
            "overwrite: true",
            "dhcp not handed over",
        ):
            assert clause in world.problem
        assert (world.text("bridge"), world.text("tuning")) == ("theirs", "t")
        assert (world.node.places.binaries / "vlan").readlink() == Path("/elsewhere/vlan")
        assert world.owned() == {"/opt/cni/bin/tuning": "pluginSet/reference"}

    async def test_one_that_is_the_sets_to_the_byte_is_right_and_stays_somebody_elses(self, world: World) -> None:
        world.node.program("bridge", "b")
        await world.have(a_set(bridge="b"))
        assert (world.problem, world.owned()) == ("", {})
        await world.have(name="mooring-revision-2")
        assert world.text("bridge") == "b"

    async def test_with_overwrite_it_is_replaced_and_comes_back_when_the_set_goes(self, world: World) -> None:
        world.node.program("bridge", "theirs").chmod(0o711)
        (world.node.places.binaries / "vlan").symlink_to("/elsewhere/vlan")
        world.hand_over("b", "v")
        await world.have(a_set(bridge="b", vlan="v", overwrite=True))
        assert (world.problem, world.text("bridge"), world.text("vlan")) == ("", "b", "v")
        await world.have(name="mooring-revision-2")
        assert world.text("bridge") == "theirs"
        assert stat.S_IMODE((world.node.places.binaries / "bridge").stat().st_mode) == 0o711
        assert (world.node.places.binaries / "vlan").readlink() == Path("/elsewhere/vlan")
        assert not (world.state / places.ORIGINALS).exists()
        assert world.owned() == {}

    async def test_what_was_overwritten_is_kept_as_it_was_at_first(self, world: World) -> None:
        world.node.program("bridge", "theirs")
        world.hand_over("b")
        await world.have(a_set(bridge="b", overwrite=True))
        (world.node.places.binaries / "bridge").write_text("damaged")
        await world.have(a_set(bridge="b", overwrite=True))
        assert world.text("bridge") == "b"
        await world.have(name="mooring-revision-2")
        assert world.text("bridge") == "theirs"


class TestWhatSomebodyChanges:
    @pytest.mark.parametrize("change", ["write", "remove", "link"])
    async def test_it_is_put_back_and_told_for_a_while(self, world: World, change: str) -> None:
        world.hand_over("b")
        await world.have(a_set(bridge="b"))
        path = world.node.places.binaries / "bridge"
        if change == "write":
            path.write_text("another")
        else:
            path.unlink()
        if change == "link":
            path.symlink_to("/elsewhere")
        await world.have(a_set(bridge="b"))
        assert (path.read_text(), path.is_symlink(), world.problem) == ("b", False, "")
        assert "/opt/cni/bin/bridge of plugin set reference on node n1; it was put back" in world.warning
        assert world.sets.put_back == 1
        world.seconds += 601
        await world.have(a_set(bridge="b"))
        assert world.warning == ""

    async def test_a_mode_that_keeps_the_runtime_from_it_is_put_right(self, world: World) -> None:
        world.hand_over("b")
        await world.have(a_set(bridge="b"))
        (world.node.places.binaries / "bridge").chmod(0o600)
        await world.have(a_set(bridge="b"))
        assert stat.S_IMODE((world.node.places.binaries / "bridge").stat().st_mode) == 0o755

    async def test_who_keeps_changing_it_is_met_ever_later_and_the_node_says_so(self, world: World) -> None:
        world.hand_over("b")
        await world.have(a_set(bridge="b"))
        path, waits = world.node.places.binaries / "bridge", []
        for _ in range(6):
            path.write_text("another")
            wait = await world.have(a_set(bridge="b"))
            while path.read_text() != "b":
                assert wait is not None
                assert "Another program keeps changing or removing /opt/cni/bin/bridge" in world.problem
                waits.append(wait)
                world.seconds += wait
                wait = await world.have(a_set(bridge="b"))
        assert waits == [2.0, 4.0, 8.0]

    async def test_an_agent_that_starts_blames_nobody_for_what_a_reboot_took(self, world: World) -> None:
        world.hand_over("b")
        await world.have(a_set(bridge="b"))
        (world.node.places.binaries / "bridge").unlink()
        world.start()
        await world.have(a_set(bridge="b"))
        assert (world.text("bridge"), world.warning) == ("b", "")


class TestWhatIsNoLongerWanted:
    async def test_it_goes_and_only_it(self, world: World) -> None:
        world.node.program("theirs", "theirs")
        before = world.everything()
        world.hand_over("b", "p")
        await world.have(a_set(bridge="b", ptp="p"))
        await world.have(a_set(bridge="b"), name="mooring-revision-2")
        assert (world.text("bridge"), world.text("ptp"), world.text("theirs")) == ("b", None, "theirs")
        await world.have(name="mooring-revision-3")
        left = world.everything()
        assert {path: text for path, text in left.items() if not path.endswith("manifest.json")} == before

    async def test_it_stays_until_the_conf_is_the_new_revisions_too(self, world: World) -> None:
        world.hand_over("b")
        await world.have(a_set(bridge="b"))
        await world.have(name="mooring-revision-2", conf=False)
        assert world.text("bridge") == "b"
        await world.have(name="mooring-revision-2")
        assert world.text("bridge") is None

    async def test_one_that_somebody_changed_is_left_to_them(self, world: World) -> None:
        world.hand_over("b")
        await world.have(a_set(bridge="b"))
        (world.node.places.binaries / "bridge").write_text("theirs")
        await world.have(name="mooring-revision-2")
        assert (world.text("bridge"), world.owned()) == ("theirs", {})

    async def test_it_stays_while_the_primary_network_needs_it(self, world: World) -> None:
        world.hand_over("b", "p")
        await world.have(a_set(bridge="b", ptp="p"))
        world.primary = ("bridge", "host-local")
        await world.have(name="mooring-revision-2")
        assert (world.text("bridge"), world.text("ptp")) == ("b", None)
        assert world.sets.health.warning == (
            "/opt/cni/bin/bridge on node n1 is in no plugin set any more, and stays because the primary network needs "
            "it: install it by other means."
        )
        world.primary = ()
        await world.sets.reconcile()
        assert world.text("bridge") is None

    async def test_it_stays_while_something_attached_needs_it_to_be_undone(self, world: World) -> None:
        world.hand_over("b", "p", "d")
        await world.have(a_set(bridge="b", ptp="p", dhcp="d"))
        journal = world.node.places.journals / "c@eth0.jsonl"
        journal.parent.mkdir()
        conf = {"name": "a", "plugins": [{"type": "bridge", "ipam": {"type": "dhcp"}}]}
        attached: list[dict[str, Any]] = [
            {"type": "header", "version": 1},
            {"type": "intents", "attachments": [{"index": 0, "network": "d/a", "ifName": "net1", "conf": conf}]},
            {"type": "result", "verb": "ADD", "index": 0, "result": {}},
        ]
        journal.write_bytes(b"".join(map(line, attached)))
        await world.have(name="mooring-revision-2")
        assert [world.text(name) for name in ("bridge", "ptp", "dhcp")] == ["b", None, "d"]
        assert "/opt/cni/bin/bridge on node n1 is in no plugin set any more, and stays" in world.warning
        journal.unlink()
        await world.have(name="mooring-revision-2")
        assert [world.text(name) for name in ("bridge", "ptp", "dhcp")] == [None, None, None]

    async def test_what_was_handed_over_and_nobody_vouches_for_goes(self, world: World) -> None:
        world.hand_over("b", "young", "old")
        os.utime(world.handover / digest("old"), (1, 1))
        os.utime(world.handover / digest("b"), (1, 1))
        await world.have(a_set(bridge="b"))
        assert listed(world.handover) == sorted([digest("b"), digest("young")])

    async def test_a_drain_takes_all_of_it_and_gives_back_what_was_there(self, world: World) -> None:
        world.node.program("bridge", "theirs")
        world.hand_over("b", "p")
        await world.have(a_set(bridge="b", ptp="p", overwrite=True))
        assert setremoval.withdraw(world.node.places) == []
        assert (world.text("bridge"), world.text("ptp"), world.owned()) == ("theirs", None, {})


async def test_a_program_that_cannot_be_written_does_not_keep_the_others_away(world: World) -> None:
    world.hand_over("b", "p")
    (world.handover / digest("b")).unlink()
    (world.handover / digest("b")).mkdir()
    await world.have(a_set(bridge="b", ptp="p"))
    assert world.text("ptp") == "p"
    assert "bridge not handed over" in world.problem


async def test_a_revision_whose_sets_are_none_is_told(world: World) -> None:
    with pytest.raises(OSError, match="plugin sets of mooring-revision-1 cannot be read"):
        await world.have({"name": "x"})


async def test_a_look_reads_no_program_twice(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.hand_over("b")
    await world.have(a_set(bridge="b"))
    await world.have(a_set(bridge="b"))

    def read(*_: Any) -> Any:
        raise AssertionError("it was read")

    monkeypatch.setattr(hashlib, "file_digest", read)
    await world.have(a_set(bridge="b"))
    assert json.loads((world.state / manifest.FILE).read_text())["files"]
