"""NAD: where a network's configuration comes from, and what reaches the delegate of it."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance import apiservers
from tests.conformance.node import NETWORKS, Json, Node, chain, stub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conformance.apiservers import Absent

# What a decoder and an encoder in between would change: big and long numbers, order, escapes. Blanks between tokens
# are nobody's content.
PECULIAR = (
    r'{"zeta":1.50,"alpha":12345678901234567890,"text":"<\u00e9&>","e":1e3,'
    r'"nested":{"b":[1,2],"a":null},"\u003ckey>":""}'
)


def _plugin_config(kind: str, *, listed: bool) -> str:
    keys = f'"peculiar": {PECULIAR}'
    if listed:
        return f'{{"cniVersion": "1.0.0", "name": "a", "plugins": [{{"type": "{kind}", {keys}}}]}}'
    return f'{{"cniVersion": "1.0.0", "name": "a", "type": "{kind}", {keys}}}'


@pytest.mark.parametrize("listed", [False, True], ids=["conf", "conflist"])
def test_NAD_1_every_field_of_a_plugin_reaches_it_byte_for_byte_on_every_verb(node: Node, listed: bool) -> None:
    node.network("a", _plugin_config("other", listed=listed))
    conf, pod = node.conf(stub()), node.pod()
    node.add(conf, pod, "a").ok()
    node.call("CHECK", conf | {"prevResult": {"cniVersion": "1.0.0"}}, pod).ok()
    node.delete(conf, pod).ok()
    seen = [(call["verb"], PECULIAR in call["raw"]) for call in node.calls() if call["type"] == "other"]
    assert seen == [("ADD", True), ("CHECK", True), ("DEL", True)]


@pytest.mark.parametrize("given", [{}, {"name": ""}], ids=["missing", "empty"])
@pytest.mark.parametrize("listed", [False, True], ids=["conf", "conflist"])
def test_NAD_2_a_missing_name_is_that_of_the_definition(node: Node, listed: bool, given: Json) -> None:
    plugin: Json = {"type": "other"}
    node.network("a", {"cniVersion": "1.0.0"} | given | ({"plugins": [plugin]} if listed else plugin))
    conf, pod = node.conf(stub()), node.pod()
    node.add(conf, pod, "a").ok()
    node.delete(conf, pod).ok()
    assert [call["conf"]["name"] for call in node.calls() if call["type"] == "other"] == ["a", "a"]


def _write(folder: Path, files: dict[str, Json | str]) -> None:
    for name, content in files.items():
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"10.conf": stub("a", found="conf"), "20.conflist": chain("a", stub("x", found="list"))}, "list"),
        ({"10.json": stub("a", found="json")}, "json"),
        ({"20.conf": stub("a", found="second"), "10.conf": stub("a", found="first")}, "first"),
        ({"10.conf.bak": stub("a", found="backup"), "20.conf": stub("a", found="conf")}, "conf"),
        ({"a.conf": stub("b", found="file name"), "z.conf": stub("a", found="name")}, "name"),
    ],
    ids=["a list is preferred", "json", "order of names", "other suffixes", "the name inside counts"],
)
def test_NAD_3_an_empty_config_names_a_network_of_the_nodes_folder(
    node: Node, files: dict[str, Json | str], expected: str
) -> None:
    _write(node.confs, files)
    node.network("a", "")
    node.add(node.conf(stub()), node.pod(), "a").ok()
    assert node.calls()[1]["conf"]["found"] == expected


def test_NAD_3_an_empty_config_without_such_a_file_is_an_error_that_names_both(node: Node) -> None:
    node.network("a", "")
    error = node.add(node.conf(stub()), node.pod(), "a").error
    assert "default/a" in error["msg"]
    assert str(node.confs) in error["msg"]
    assert node.calls() == []


@pytest.mark.parametrize("broken", ["{", "[]", "", '{"name": 3}', '{"name": "b"}', '{"plugins": 3}'])
def test_NAD_4_a_broken_neighbour_in_the_folder_does_not_matter(node: Node, broken: str) -> None:
    _write(node.confs, {"10.conf": broken, "10.conflist": broken, "20.conf": stub("a")})
    (node.confs / "15.conf").symlink_to(node.root / "nowhere")
    (node.confs / "16.conf").mkdir()
    node.network("a", "")
    node.add(node.conf(stub()), node.pod(), "a").ok()
    assert node.ran() == ["ADD eth0", "ADD net1"]


def test_NAD_4_a_broken_neighbour_in_the_folder_is_logged(node: Node) -> None:
    _write(node.confs, {"10.conf": "{", "20.conf": stub("a")})
    node.network("a", "")
    done = node.add(node.conf(stub()), node.pod(), "a")
    done.ok()
    assert "10.conf" in done.stderr


def test_NAD_4_an_unreadable_file_is_named_where_it_may_be_the_one_that_is_missing(node: Node) -> None:
    _write(node.confs, {"10-torn.conf": '{"name": "a", ', "20.conf": stub("b")})
    (node.confs / "15.conflist").symlink_to(node.root / "nowhere")
    node.network("a", "")
    error = node.add(node.conf(stub()), node.pod(), "a").error
    assert error["code"] == 7
    for word in ("default/a", str(node.confs / "10-torn.conf"), str(node.confs / "15.conflist"), "line 1"):
        assert word in error["msg"]
    assert "20.conf" not in error["msg"]


def test_NAD_5_files_of_a_folder_count_in_the_order_of_their_names(node: Node) -> None:
    folder = node.root / "folder"
    folder.mkdir()
    names = ["0.txt", "1.conflist.bak", "2.json", "10.conf", "3.conflist"]
    for name in names:
        content = chain("n", stub(found=name)) if name.endswith("conflist") else stub("n", found=name)
        _write(folder, {name: content})
    order = []
    for _ in range(3):
        node.forget_calls()
        node.add(node.conf(clusterNetwork=str(folder)), node.pod()).ok()
        order.append(node.calls()[0]["conf"]["found"])
        (folder / order[-1]).unlink()
    assert order == ["10.conf", "2.json", "3.conflist"]


@pytest.fixture
def away(tmp_path: Path) -> Iterator[Absent]:
    """A kubeconfig of a server that never answers."""
    with apiservers.absent(tmp_path) as absent:
        yield absent


def test_NAD_7_a_fresh_cache_is_enough_and_nobody_is_asked(node: Node, away: Absent) -> None:
    node.netns = None
    node.network("a", stub("a"))
    node.add(node.conf(stub(), kubeconfig=away.kubeconfig), node.pod(), "a").ok()
    assert away.knocks() == 0


def _make_stale(node: Node, how: str) -> None:
    heartbeat = node.state / "networks" / "heartbeat"
    match how:
        case "old":
            node.beat(age=31)
        case "other boot":
            node.beat(boot="00000000-0000-0000-0000-000000000000")
        case "missing":
            heartbeat.unlink()
        case "garbage":
            heartbeat.write_text("{")
        case "from the future":
            node.beat(age=-60)


@pytest.mark.parametrize("how", ["old", "other boot", "missing", "garbage", "from the future"])
def test_NAD_7_a_cache_without_a_recent_heartbeat_of_this_boot_is_stale(node: Node, how: str) -> None:
    node.network("a", stub("a"))
    fresh = node.add(node.conf(stub()), node.pod(), "a")
    _make_stale(node, how)
    stale = node.add(node.conf(stub()), node.pod(), "a")
    fresh.ok()
    stale.ok()
    assert "stale" not in fresh.stderr
    assert "stale" in stale.stderr


def test_NAD_7_a_stale_copy_serves_with_a_warning_when_the_server_is_away(node: Node, away: Absent) -> None:
    node.netns = None
    node.beat(age=31)
    node.network("a", stub("a"))
    conf, pod, orphan = node.conf(stub(), kubeconfig=away.kubeconfig), node.pod(), node.pod()
    with_copy = node.start("ADD", conf, pod, annotations={NETWORKS: "a"})
    without = node.start("ADD", conf, orphan, annotations={NETWORKS: "b"})
    done, failed = with_copy.end(), without.end()
    done.ok()
    assert away.knocks() > 0
    assert "default/a" in done.stderr
    assert "stale" in done.stderr
    assert failed.error["code"] == 11
    assert "default/b" in failed.error["msg"]
    assert node.calls("ADD", event="begin")[-1]["env"]["CNI_CONTAINERID"] == pod.container


def _type_leads_back(node: Node, kind: str) -> str:
    match kind:
        case "hard link":
            shutil.copy(node.plugin, node.bin / "own-copy")
            os.link(node.bin / "own-copy", node.bin / "linked")
            node.plugin = node.bin / "own-copy"
            return "linked"
        case "symlink":
            (node.bin / "linked").symlink_to(node.plugin)
            return "linked"
        case "own name":
            (node.bin / "mooring").symlink_to(node.plugin)
            return "mooring"
        case "copy":
            shutil.copy(node.plugin, node.bin / "copied")
            return "copied"
        case _:
            return kind


@pytest.mark.parametrize(
    "kind", ["hard link", "symlink", "own name", "/bin/true", "../bin/stub", "..", ".", "a/b", "stub\n", "\x00"]
)
@pytest.mark.parametrize("where", ["conf", "conflist", "second plugin", "clusterNetwork", "inline"])
def test_NAD_8_a_type_that_is_a_path_or_leads_back_to_us_is_refused_before_anything_runs(
    node: Node, kind: str, where: str
) -> None:
    plugin: Json = {"type": _type_leads_back(node, kind), "name": "a"}
    network: Json = plugin | {"cniVersion": "1.0.0"}
    if where in {"conflist", "second plugin"}:
        network = chain("a", *([stub()] if where == "second plugin" else []), plugin)
    conf: Json = node.conf(stub())
    annotation: Any = "a"
    match where:
        case "clusterNetwork":
            node.network("a", network, namespace="kube-system")
            conf, annotation = node.conf(clusterNetwork="a"), None
        case "inline":
            conf, annotation = node.conf(network), None
        case _:
            node.network("a", network)
    error = node.add(conf, node.pod(), annotation).error
    assert error["code"] == 7
    assert node.calls() == []
    assert node.left() == []


def test_NAD_8_a_copy_of_us_ends_the_circle_at_its_first_turn(node: Node) -> None:
    shutil.copy(node.plugin, node.bin / "copied")
    inner = node.conf(stub(), type="copied") | {"name": "inner"}
    error = node.add(node.conf(inner), node.pod()).error
    assert error["code"] == 7
    assert node.calls() == []
