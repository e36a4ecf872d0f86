"""CFG: networks that are made of files: the folder named after a conflist, and the chain beside the cluster network."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.conformance.node import Json, Node, chain, in_netns, stub

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


@pytest.mark.parametrize("value", [True, "true", "TRUE"])
def test_CFG_3_a_file_that_wants_no_such_plugins_gets_none(node: Node, primary: Path, value: bool | str) -> None:
    primary.write_text(json.dumps(chain("primary", {"type": "stub"}, loadOnlyInlinedPlugins=value)))
    _put(primary.parent / "primary", {"10.conf": {"type": "other"}})
    node.add(node.conf(clusterNetwork=str(primary)), node.pod()).ok()
    assert [call["type"] for call in node.calls()] == ["stub"]


def test_CFG_3_a_file_whose_switch_is_neither_true_nor_false_is_refused(node: Node, primary: Path) -> None:
    primary.write_text(json.dumps(chain("primary", {"type": "stub"}, loadOnlyInlinedPlugins="yes")))
    error = node.add(node.conf(clusterNetwork=str(primary)), node.pod()).error
    assert error["code"] == 7
    assert "loadOnlyInlinedPlugins" in error["msg"]


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


def test_CFG_11_the_agents_auxiliary_chain_comes_last_behind_an_empty_result(node: Node) -> None:
    node.network("a", stub("a"))
    plugins: list[Json] = [{"type": "other"}, {"type": "third"}]
    vendor = {"cniVersion": "1.0.0", "name": "vendor", "plugins": plugins}
    conf, pod = node.conf(stub(), auxiliaryChain=vendor), node.pod()
    node.add(conf, pod, "a").ok()
    assert [(call["type"], call["env"]["CNI_IFNAME"]) for call in node.calls()] == [
        ("stub", "eth0"),
        ("stub", "net1"),
        ("other", "net2"),
        ("third", "net2"),
    ]
    assert node.calls()[2]["conf"]["name"] == "vendor"
    assert node.calls()[2]["conf"]["prevResult"] == {"cniVersion": "1.0.0"}
    node.delete(node.conf(stub()), pod).ok()
    assert node.ran("DEL") == ["net2", "net2", "net1", "eth0"], "undone without the conf that made it"


@pytest.mark.parametrize(
    "auxiliary",
    [
        5,
        {},
        {"plugins": [{"type": "x"}]},
        {"name": "vendor", "plugins": []},
        {"name": "a", "plugins": [{"type": "../x"}]},
    ],
)
def test_CFG_11_an_auxiliary_chain_that_is_none_is_refused_with_its_place(node: Node, auxiliary: Json) -> None:
    error = node.add(node.conf(stub(), auxiliaryChain=auxiliary), node.pod()).error
    assert error["code"] == 7
    assert "$.auxiliaryChain" in error["msg"]
    assert node.calls() == []


@pytest.mark.parametrize("version", ["0.3.1", "0.4.0", "1.0.0", "1.1.0"])
def test_CFG_12_a_default_network_that_begins_with_passthru_has_the_result_of_its_chain(
    node: Node, version: str
) -> None:
    (node.bin / "passthru").symlink_to((node.bin / "stub").resolve())
    made = {"cniVersion": version, "interfaces": [{"name": "eth0", "sandbox": "/x"}], "dns": {}}
    node.answer(passthru__ADD={"result": {"cniVersion": version}}, other__ADD={"result": made})
    conf = node.conf(chain("primary", {"type": "passthru"}, {"type": "other"}, version=version))
    pod = node.pod()
    assert [each["name"] for each in node.add(conf, pod).result["interfaces"]] == ["eth0"]
    assert node.calls()[1]["conf"]["prevResult"] == {"cniVersion": version}
    node.delete(conf, pod).ok()
    assert [call["type"] for call in node.calls("DEL")] == ["other", "passthru"]


def test_CFG_12_a_default_network_of_passthru_alone_is_attached_with_an_empty_result(node: Node) -> None:
    (node.bin / "passthru").symlink_to((node.bin / "stub").resolve())
    node.answer(passthru__ADD={"result": {"cniVersion": "1.0.0"}})
    conf, pod = node.conf(chain("primary", {"type": "passthru"})), node.pod()
    result = node.add(conf, pod).result
    assert not result.get("interfaces")
    assert not result.get("ips")
    node.call("CHECK", {**conf, "prevResult": result}, pod).ok()
    node.delete(conf, pod).ok()


@pytest.mark.parametrize("by_name", [True, False])
def test_CFG_11_tuning_in_the_auxiliary_chain_reaches_the_default_interface_and_passes_a_check(
    node: Node, primary: Path, by_name: bool
) -> None:
    key = "net/ipv4/conf/eth0/arp_filter"
    tuning: Json = {"type": "tuning", "sysctl": {key: "1"}}
    network = node.bridge("primary", "10.77.9.0/24")
    if by_name:
        primary.write_text(json.dumps(chain("primary", {**network, "name": None, "cniVersion": None})))
        _put(primary.parent / "vendor", {"10.conf": tuning})
        conf = node.conf(clusterNetwork=str(primary), auxiliaryCNIChainName="vendor")
    else:
        conf = node.conf(network, auxiliaryChain=chain("vendor", tuning, disableCheck=True))
    pod = node.pod()
    result = node.add(conf, pod).result
    assert in_netns(pod, "cat", f"/proc/sys/{key}").strip() == "1"
    assert len(result["ips"]) == 1
    node.call("CHECK", {**conf, "prevResult": result}, pod).ok()
    node.delete(conf, pod).ok()
