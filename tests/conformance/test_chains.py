"""CFG: networks that are made of files: the folder named after a conflist, and the chain beside the cluster network."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.conformance.node import Json, Node, chain, stub

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def primary(node: Node) -> Path:
    """The cluster network as a file of the node's folder of networks."""
    path = node.root / "net.d" / "10-primary.conflist"
    path.parent.mkdir()
    path.write_text(json.dumps(chain("primary", {"type": "stub"})))
    return path


def _put(folder: Path, files: dict[str, Json]) -> None:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))


def test_CFG_3_a_file_takes_on_the_plugins_of_the_folder_that_is_named_after_its_network(
    node: Node, primary: Path
) -> None:
    files: dict[str, Json] = {"20.conf": {"type": "third"}, "10.conf": {"type": "other"}, "30.txt": {"type": "chained"}}
    _put(primary.parent / "primary", files)
    conf, pod = node.conf(clusterNetwork=str(primary)), node.pod()
    node.add(conf, pod).ok()
    assert [call["type"] for call in node.calls()] == ["stub", "other", "third"]
    (primary.parent / "primary" / "10.conf").unlink()
    node.delete(conf, pod).ok()
    assert [call["type"] for call in node.calls("DEL")] == ["third", "other", "stub"], "undone as it was made"


def test_CFG_3_a_file_that_wants_no_such_plugins_gets_none(node: Node, primary: Path) -> None:
    primary.write_text(json.dumps(chain("primary", {"type": "stub"}, loadOnlyInlinedPlugins=True)))
    _put(primary.parent / "primary", {"10.conf": {"type": "other"}})
    node.add(node.conf(clusterNetwork=str(primary)), node.pod()).ok()
    assert [call["type"] for call in node.calls()] == ["stub"]


@pytest.mark.parametrize("name", ["../primary", "a/b", ".."])
def test_CFG_3_a_network_whose_name_is_a_path_takes_on_nothing(node: Node, primary: Path, name: str) -> None:
    primary.write_text(json.dumps(chain(name, {"type": "stub"})))
    assert node.add(node.conf(clusterNetwork=str(primary)), node.pod()).error["code"] == 7
    assert node.calls() == []


def test_CFG_3_an_auxiliary_chain_beside_the_cluster_networks_file_comes_last(node: Node, primary: Path) -> None:
    _put(primary.parent / "vendor", {"10.conf": {"type": "other"}, "20.conf": {"type": "third"}})
    node.network("a", stub("a"))
    conf, pod = node.conf(clusterNetwork=str(primary), auxiliaryCNIChainName="vendor"), node.pod()
    node.add(conf, pod, "a").ok()
    assert [(call["type"], call["env"]["CNI_IFNAME"]) for call in node.calls()] == [
        ("stub", "eth0"),
        ("stub", "net1"),
        ("other", "net2"),
        ("third", "net2"),
    ]
    assert node.calls()[2]["conf"]["name"] == "vendor"
    node.delete(conf, pod).ok()
    assert node.ran("DEL") == ["net2", "net2", "net1", "eth0"]


@pytest.mark.parametrize("files", [None, {}, {"10.txt": {"type": "other"}}])
def test_CFG_3_an_auxiliary_chain_without_plugins_is_no_network(
    node: Node, primary: Path, files: dict[str, Json] | None
) -> None:
    if files is not None:
        _put(primary.parent / "vendor", files)
    node.add(node.conf(clusterNetwork=str(primary), auxiliaryCNIChainName="vendor"), node.pod()).ok()
    assert node.ran() == ["ADD eth0"]


def test_CFG_3_what_is_wrong_with_an_auxiliary_chain_is_logged_and_keeps_no_pod_from_starting(
    node: Node, primary: Path
) -> None:
    (primary.parent / "vendor").mkdir()
    (primary.parent / "vendor" / "10.conf").write_text("{")
    done = node.add(node.conf(clusterNetwork=str(primary), auxiliaryCNIChainName="vendor"), node.pod())
    done.ok()
    assert "vendor" in done.stderr
    assert node.ran() == ["ADD eth0"]
