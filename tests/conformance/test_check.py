"""CHECK: every attachment, with what it was made with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.node import Json, Node, chain, in_netns, stub

if TYPE_CHECKING:
    from tests.conformance.node import Outcome, Pod

PREVIOUS: Json = {"cniVersion": "1.0.0", "dns": {}}


def _check(node: Node, conf: Json, pod: Pod, previous: Json = PREVIOUS) -> Outcome:
    return node.call("CHECK", conf | {"prevResult": previous}, pod)


def test_CHK_1_every_attachment_is_checked_with_its_own_conf_result_and_arguments(node: Node) -> None:
    node.network("a", stub("a", capabilities={"ips": True}, marker=1))
    node.network("b", chain("b", stub("x"), stub("y", kind="chained")))
    conf, pod = node.conf(stub(capabilities={"ips": True}), runtimeConfig={"ips": ["10.0.0.1/24"]}), node.pod()
    node.add(conf, pod, [{"name": "a", "ips": ["10.1.1.1/24"]}, {"name": "b", "interface": "data"}]).ok()
    _check(node, conf, pod).ok()
    assert node.ran("CHECK") == ["eth0", "net1", "data", "data"]
    for add, check in zip(node.calls("ADD"), node.calls("CHECK"), strict=True):
        assert add["type"] == check["type"]
        assert check["conf"].pop("prevResult")["interfaces"][0]["name"] == check["env"]["CNI_IFNAME"]
        add["conf"].pop("prevResult", None)
        assert check["conf"] == add["conf"]
        assert check["env"]["CNI_ARGS"] == add["env"]["CNI_ARGS"]


@pytest.mark.parametrize("victim", ["eth0", "net1"])
def test_CHK_1_an_interface_that_was_removed_is_found(node: Node, victim: str) -> None:
    node.network("a", node.bridge("a", "10.77.2.0/24"))
    conf, pod = node.conf(node.bridge("primary", "10.77.1.0/24")), node.pod()
    result = node.add(conf, pod, "a").result
    _check(node, conf, pod, result).ok()
    in_netns(pod, "ip", "link", "delete", victim)
    assert victim in _check(node, conf, pod, result).error["msg"]


def test_CHK_1_a_pod_without_a_journal_has_its_default_network_checked(node: Node) -> None:
    conf, pod = node.conf(stub()), node.pod()
    _check(node, conf, pod).ok()
    assert node.ran() == ["CHECK eth0"]


def test_CHK_1_check_changes_nothing_on_disk(node: Node) -> None:
    node.network("a", stub("a"))
    conf, pod = node.conf(stub()), node.pod()
    node.add(conf, pod, "a").ok()
    before = node.journal_path(pod).read_bytes()
    node.answer(stub__CHECK__net1={"error": {"code": 100, "msg": "gone"}})
    assert _check(node, conf, pod).status != 0
    assert node.journal_path(pod).read_bytes() == before


@pytest.mark.parametrize("version", ["0.1.0", "0.3.1"])
def test_CHK_2_a_network_whose_version_has_no_check_is_passed_over(node: Node, version: str) -> None:
    node.network("old", stub("old", kind="other", version=version))
    node.network("a", stub("a"))
    conf, pod = node.conf(stub()), node.pod()
    node.add(conf, pod, "old,a").ok()
    _check(node, conf, pod).ok()
    assert node.ran("CHECK") == ["eth0", "net2"]


@pytest.mark.parametrize("value", [True, "true"])
def test_CHK_2_disable_check_is_honoured_for_the_network_that_says_so(node: Node, value: bool | str) -> None:
    node.network("quiet", chain("quiet", stub("x", kind="other"), disableCheck=value))
    node.network("a", chain("a", stub("x"), disableCheck=False))
    conf, pod = node.conf(stub()), node.pod()
    node.add(conf, pod, "quiet,a").ok()
    _check(node, conf, pod).ok()
    assert node.ran("CHECK") == ["eth0", "net2"]


@pytest.mark.parametrize(("victim", "network"), [("eth0", "pod-network"), ("net1", "default/a")])
def test_CHK_3_the_failing_network_is_named_and_its_code_and_details_are_returned(
    node: Node, victim: str, network: str
) -> None:
    node.network("a", stub("a"))
    conf, pod = node.conf(stub()), node.pod()
    node.add(conf, pod, "a").ok()
    failure = {"code": 101, "msg": "the address is gone", "details": "10.9.0.2"}
    node.answer(**{f"stub__CHECK__{victim}": {"error": failure}})
    error = _check(node, conf, pod).error
    assert (error["code"], error["details"]) == (101, "10.9.0.2")
    for part in (network, "default/web", "the address is gone"):
        assert part in error["msg"]


@pytest.mark.parametrize("how", ["removed", "damaged"])
def test_CHK_10_networks_are_checked_from_the_result_cache_when_the_journal_is_lost(node: Node, how: str) -> None:
    node.network("a", node.bridge("a", "10.77.2.0/24"))
    conf, pod = node.conf(node.bridge("primary", "10.77.1.0/24")), node.pod()
    node.add(conf, pod, "a").ok()
    if how == "removed":
        node.journal_path(pod).unlink()
    else:
        node.journal_path(pod).write_text("no journal\nany more\n")
    node.call("CHECK", conf, pod).ok()
    in_netns(pod, "ip", "link", "delete", "net1")
    assert "default/a (net1)" in node.call("CHECK", conf, pod).error["msg"]
