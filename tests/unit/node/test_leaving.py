"""A node that we leave keeps its network all the time, and at the end nothing of ours and all of the others'."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from mooring.installing import confs, renderers
from mooring.node import files, leaving, manifest, places, store
from tests.unit.agent.conftest import journal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PRIMARY = {"cniVersion": "1.0.0", "name": "pods", "type": "bridge"}
OWN = "10-pods.conf"
SANDBOX = "a" * 64


@pytest.fixture
def node(tmp_path: Path) -> places.Places:
    made = places.Places(host_root=tmp_path, bin_dir="/bin/cni", conf_dir="/etc/cni", state_dir="/var/mooring")
    for folder in made.absent():
        made.seen(folder).mkdir(parents=True)
    program(made, "bridge", b"bridge")
    (made.confs / OWN).write_text(json.dumps(PRIMARY))
    return made


def program(node: places.Places, name: str, data: bytes) -> Path:
    path = node.binaries / name
    path.write_bytes(data)
    path.chmod(0o755)
    return path


def everything(node: places.Places) -> dict[str, bytes | None]:
    """Return all files and folders of the node with their content."""
    return {
        str(path.relative_to(node.host_root)): path.read_bytes() if path.is_file() else None
        for path in node.host_root.rglob("*")
    }


def install(node: places.Places, file: str = confs.FILE) -> bytes:
    """Put onto the node what an agent puts there, and what the plugin does."""
    owned = manifest.Manifest(node.state)
    content = renderers.Content(
        confs.Primary("pods", OWN, PRIMARY),
        bin_dir=node.bin_dir,
        state_dir=node.state_dir,
        kubeconfig=node.kubeconfig,
        plugin={},
    )
    conf = renderers.render(renderers.NEWEST, content)
    store.Store(node.programs).put(program(node, places.PLUGIN, b"ours"), manifest.digest(b"ours"))
    written = {node.plugin_path: b"ours", f"{node.conf_dir}/{file}": conf, node.kubeconfig: b"{}"}
    for path, data in written.items():
        owned.record(path, manifest.digest(data), manifest.MOORING)
        files.make_folder(node.seen(path).parent)
        node.seen(path).write_bytes(data)
    for name in ("networks/default/a.json", "attachments/.x.tmp", "results/x", "quarantine/y", "proof/z/w"):
        files.make_folder((node.state / name).parent)
        (node.state / name).write_text("x")
    for name in ("failures.jsonl", "conf.json", "presence.json", manifest.DAMAGED):
        (node.state / name).write_text("x")
    return conf


def test_a_node_that_we_leave_is_as_it_was_before_we_came(node: places.Places) -> None:
    program(node, "macvlan", b"others")
    before = everything(node)
    conf = install(node)
    assert leaving.give_back(node, OWN) == ""
    assert not (node.confs / confs.FILE).exists()
    assert (node.state / places.LEAVING).read_bytes() == conf, "the plugin needs it to undo what is attached"
    assert leaving.give_back(node, OWN) == ""
    leaving.remove(node)
    assert everything(node) == before
    leaving.remove(node)
    assert everything(node) == before


def test_at_no_moment_the_folder_is_without_a_network(node: places.Places) -> None:
    install(node)
    (node.confs / OWN).unlink()
    seen: list[int] = []
    unlink = os.unlink

    def watched(path: Any, **more: Any) -> None:
        seen.append(len(list(node.confs.glob("*.conf"))))
        unlink(path, **more)

    with mock.patch.object(os, "unlink", watched):
        assert leaving.give_back(node, OWN) == ""
    assert seen == [2], "ours goes when the primary's is back"
    assert json.loads((node.confs / OWN).read_bytes()) == PRIMARY
    assert (node.confs / OWN).stat().st_mode & 0o777 == 0o644


def test_ours_stays_while_the_primary_s_file_cannot_be_used(node: places.Places) -> None:
    install(node)
    (node.confs / OWN).write_text("{")
    before = everything(node)
    assert "would load 10-pods.conf, which cannot be used: it is not JSON" in leaving.give_back(node, OWN)
    assert everything(node) == before


@pytest.mark.parametrize("file", confs.FILES)
def test_ours_goes_under_either_of_its_names_and_another_s_of_that_name_stays(node: places.Places, file: str) -> None:
    install(node, file)
    other = next(name for name in confs.FILES if name != file)
    (node.confs / other).write_text(json.dumps({**PRIMARY, "type": "multus"}))
    leaving.give_back(node, OWN)
    assert not (node.confs / file).exists()
    assert (node.confs / other).exists()


def test_what_somebody_put_in_the_place_of_ours_stays(node: places.Places) -> None:
    install(node)
    owned = manifest.Manifest(node.state)
    for name, replace in (("changed", lambda path: path.write_bytes(b"theirs")), ("linked", _link)):
        path = program(node, name, b"ours")
        owned.record(f"{node.bin_dir}/{name}", manifest.digest(b"ours"), manifest.plugin_set("x"))
        replace(path)
    ours = program(node, "vlan", b"set")
    owned.record(f"{node.bin_dir}/vlan", manifest.digest(b"set"), manifest.plugin_set("x"))
    leaving.give_back(node, OWN)
    leaving.remove(node)
    assert not ours.exists()
    assert (node.binaries / "changed").read_bytes() == b"theirs"
    assert (node.binaries / "linked").is_symlink()
    assert list(node.state.iterdir()) == []


def _link(path: Path) -> None:
    target = path.with_name("target")
    path.rename(target)
    path.symlink_to(target)


def test_a_lost_manifest_leaves_what_its_content_proves_to_be_ours(node: places.Places) -> None:
    before = everything(node)
    install(node)
    node.seen(node.kubeconfig).write_text('{"current-context": "mooring"}')
    files.temporary_beside(node.plugin).touch()
    manifest.Manifest(node.state).path.write_text("damaged")
    leaving.give_back(node, OWN)
    leaving.remove(node)
    assert everything(node) == before


def test_a_foreign_plugin_of_our_name_and_foreign_files_in_our_folders_stay(node: places.Places) -> None:
    program(node, places.PLUGIN, b"theirs")
    for path in (node.seen(node.kubeconfig), node.seen(node.kubeconfig).with_name("theirs"), node.state / "theirs"):
        files.make_folder(path.parent)
        path.write_text("{}")
    before = everything(node)
    leaving.give_back(node, OWN)
    leaving.remove(node)
    assert everything(node) == before


def test_a_folder_of_former_paths_gets_its_network_back_too(node: places.Places) -> None:
    """The runtime may still read it: the folder of the Installation may be wrong."""
    former = install(node)
    (node.confs / OWN).unlink()
    moved = dataclasses.replace(node, conf_dir="/etc/other", bin_dir="/bin/other")
    for folder in moved.absent():
        moved.seen(folder).mkdir(parents=True)
    program(moved, "bridge", b"bridge")
    newest = install(moved)
    (moved.confs / OWN).write_text(json.dumps(PRIMARY))
    (moved.binaries / "bridge").unlink()  # it is still where the former paths are
    assert former != newest
    assert leaving.give_back(moved, OWN) == ""
    for given_back in (node.confs, moved.confs):
        assert json.loads((given_back / OWN).read_bytes()) == PRIMARY
        assert not (given_back / confs.FILE).exists()
    assert (node.state / places.LEAVING).read_bytes() == newest
    leaving.remove(moved)
    assert not node.plugin.exists()
    assert not moved.plugin.exists()
    assert list(node.state.iterdir()) == []


def test_a_former_folder_that_would_be_left_without_a_network_holds_up_the_drain(node: places.Places) -> None:
    install(node)
    (node.confs / OWN).write_text("{")
    moved = dataclasses.replace(node, conf_dir="/etc/other")
    moved.confs.mkdir()
    assert "10-pods.conf, which cannot be used" in leaving.give_back(moved, OWN)
    assert (node.confs / confs.FILE).exists()
    (node.confs / OWN).write_text(json.dumps(PRIMARY))
    assert leaving.give_back(moved, OWN) == ""
    assert not (node.confs / confs.FILE).exists()


def test_a_former_folder_that_is_gone_or_the_same_by_a_link_holds_up_nothing(node: places.Places) -> None:
    install(node)
    node.seen("/etc/link").symlink_to("/etc/cni")
    owned = manifest.Manifest(node.state)
    for path in ("/etc/link/00-multus.conf", "/etc/gone/00-multus.conf", "/00-multus.conf"):
        owned.record(path, manifest.digest(b"x"), manifest.MOORING)
    assert leaving.give_back(node, OWN) == ""
    leaving.remove(node)
    assert list(node.state.iterdir()) == []


def test_a_node_has_traces_of_us_until_we_have_left(node: places.Places) -> None:
    (node.state / "theirs").touch()
    assert leaving.traces(node.host_root, state_dir=node.state_dir) == []
    install(node)
    assert "/var/mooring/manifest.json" in leaving.traces(node.host_root, state_dir=node.state_dir)
    leaving.give_back(node, OWN)
    leaving.remove(node)
    assert leaving.traces(node.host_root, state_dir=node.state_dir) == []


class TestWhoIsStillAttached:
    @pytest.fixture
    def write(self, node: places.Places) -> Callable[..., Path]:
        def write(name: str = SANDBOX, age: float = 300.0, **said: Any) -> Path:
            path = node.journals / f"{name}@eth0.jsonl"
            files.make_folder(path.parent)
            path.write_bytes(said.pop("data", None) or journal(**said))
            return path

        return write

    def test_a_pod_with_further_networks_is(self, node: places.Places, write: Callable[..., Path]) -> None:
        write(networks=("default/storage",))
        write("b" * 64, pod="default/quiet", networks=())
        assert leaving.attached(node) == ["default/web"]

    def test_one_that_is_being_undone_is(self, node: places.Places, write: Callable[..., Path]) -> None:
        write(undone=True)
        assert leaving.attached(node) == ["default/web"]

    def test_one_that_cannot_be_read_is(self, node: places.Places, write: Callable[..., Path]) -> None:
        write(data=b"damaged\nfor good\n")
        assert leaving.attached(node) == [SANDBOX[:12]]

    def test_one_in_the_making_is_for_two_minutes(self, node: places.Places, write: Callable[..., Path]) -> None:
        write(networks=(), complete=False)
        assert leaving.attached(node) == ["default/web"]
        now = time.time()
        with mock.patch.object(time, "time", lambda: now + 121):
            assert leaving.attached(node) == []

    def test_one_of_which_only_a_result_tells_is(self, node: places.Places) -> None:
        files.make_folder(node.results)
        for container, told in (
            ("c1", {"default": False}),
            ("c2", {"default": True, "nad": True}),
            ("c3", {"default": True}),
        ):
            entry = {"containerId": container, "mooring": told}
            (node.results / f"n-{container}-eth0").write_text(json.dumps(entry))
        (node.results / "foreign").write_text("{")
        assert leaving.attached(node) == ["c1", "c2"]

    def test_nobody_is_where_there_is_no_folder(self, node: places.Places) -> None:
        assert leaving.attached(node) == []
