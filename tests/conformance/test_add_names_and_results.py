"""ADD: the order and names of interfaces, and what is returned."""

from __future__ import annotations

import json

import pytest

from tests.conformance.node import Node, in_netns, stub


def test_ADD_1_with_reference_plugins_every_interface_has_an_address_of_its_network(node: Node) -> None:
    node.network("a", node.bridge("a", "10.77.2.0/24"))
    node.network("b", node.bridge("b", "fd00:77::/64"))
    conf, pod = node.conf(node.bridge("primary", "10.77.1.0/24", isGateway=True, ipMasq=False)), node.pod()
    node.add(conf, pod, "a,b@data").ok()
    links = {link["ifname"]: link for link in json.loads(in_netns(pod, "ip", "-json", "address"))}
    found = {name: links[name]["addr_info"][0]["local"] for name in ("eth0", "net1", "data")}
    assert found == {"eth0": "10.77.1.2", "net1": "10.77.2.2", "data": "fd00:77::2"}
    node.delete(conf, pod).ok()
    assert node.interfaces(pod) == set()
    assert node.left() == []
    assert node.leases() == []


@pytest.mark.parametrize("version", ["0.2.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"])
def test_ADD_2_the_default_networks_result_is_returned_in_the_callers_version(node: Node, version: str) -> None:
    node.network("a", stub("a"))
    result = node.add(node.conf(stub(), cniVersion=version), node.pod(), "a").result
    assert result["cniVersion"] == version
    names = [] if version == "0.2.0" else ["eth0"]  # 0.2.0 knows no interfaces
    assert [interface["name"] for interface in result.get("interfaces", [])] == names


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        ("a,b", ["eth0", "net1", "net2"]),
        ("a@x,b", ["eth0", "x", "net2"]),
        ("a,b@net1", ["eth0", "net2", "net1"]),
        ("a,b@net1,a", ["eth0", "net2", "net1", "net3"]),
        ("a,a@net2,b@net1", ["eth0", "net3", "net2", "net1"]),
    ],
)
def test_ADD_3_interfaces_are_counted_over_all_attachments_past_names_that_are_taken(
    node: Node, annotation: str, expected: list[str]
) -> None:
    for name in ("a", "b"):
        node.network(name, stub(name))
    node.add(node.conf(stub()), node.pod(), annotation).ok()
    assert node.ran("ADD") == expected


def test_ADD_3_default_networks_count_before_requested_ones(node: Node) -> None:
    for name in ("primary", "extra"):
        node.network(name, stub(name), namespace="kube-system")
    node.network("a", stub("a"))
    node.add(node.conf(clusterNetwork="primary", defaultNetworks=["extra"]), node.pod(), "a").ok()
    assert node.ran("ADD") == ["eth0", "net1", "net2"]


def test_ADD_3_an_interface_that_is_there_already_fails_before_its_delegate_runs(node: Node) -> None:
    node.network("a", stub("a"))
    pod = node.pod()
    in_netns(pod, "ip", "link", "add", "net1", "type", "bridge")
    error = node.add(node.conf(stub()), pod, "a").error
    assert "net1" in error["msg"]
    assert "ADD net1" not in node.ran()
    assert node.interfaces(pod) == {"net1"}, "what was there before is not ours to remove"
    assert node.left() == []


def test_ADD_3_a_second_name_of_an_interface_is_taken_too(node: Node) -> None:
    node.network("a", stub("a"))
    pod = node.pod()
    in_netns(pod, "ip", "link", "property", "add", "dev", "lo", "altname", "net1")
    error = node.add(node.conf(stub()), pod, "a").error
    assert 'interface "net1" exists in the pod already' in error["msg"]
    assert "ADD net1" not in node.ran()
