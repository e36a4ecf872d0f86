"""GW: the default route, as the route table of the pod has it. That table is what counts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conformance.node import Json, Node, Pod, in_netns, stub

PRIMARY4, PRIMARY6 = "10.77.1.1", "fd00:77:1::1"
FIRST4, FIRST6 = "10.77.2.1", "fd00:77:2::1"
SECOND4, SECOND6 = "10.77.3.1", "fd00:77:3::1"


def _dual(node: Node, name: str, number: int, *, gateway: bool = False) -> Json:
    """A dual-stack network whose bridge has an address in both families, so that it can be a gateway."""
    subnets = [[{"subnet": f"10.77.{number}.0/24"}], [{"subnet": f"fd00:77:{number}::/64"}]]
    ipam: Json = {"type": "host-local", "ranges": subnets, "dataDir": str(node.root / "ipam")}
    if gateway:
        ipam["routes"] = [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]
    bridge = {"bridge": f"br-{name}", "isGateway": True, "ipam": ipam}
    return {"cniVersion": "1.0.0", "name": name, "type": "bridge"} | bridge


def _networks(node: Node) -> Json:
    node.network("a", _dual(node, "a", 2))
    node.network("b", _dual(node, "b", 3))
    return node.conf(_dual(node, "primary", 1, gateway=True))


def _defaults(pod: Pod) -> dict[str, list[tuple[str, str]]]:
    """The default routes of the pod by family: gateway and interface."""
    return {
        family: [
            (route["gateway"], route["dev"])
            for route in json.loads(in_netns(pod, "ip", f"-{family}", "-json", "route"))
            if route["dst"] == "default"
        ]
        for family in ("4", "6")
    }


def _on_link(pod: Pod, interface: str) -> set[str]:
    """The subnets that an interface reaches directly."""
    return {
        route["dst"]
        for family in ("4", "6")
        for route in json.loads(in_netns(pod, "ip", f"-{family}", "-json", "route"))
        if route["dev"] == interface and "gateway" not in route and not route["dst"].startswith(("fe80", "ff00"))
    }


def test_GW_1_ipv4_moves_and_eth0_keeps_its_own_subnet(node: Node) -> None:
    conf, pod = _networks(node), node.pod()
    node.add(conf, pod, [{"name": "a", "default-route": [FIRST4]}]).ok()
    assert _defaults(pod)["4"] == [(FIRST4, "net1")]
    assert _on_link(pod, "eth0") == {"10.77.1.0/24", "fd00:77:1::/64"}
    assert _on_link(pod, "net1") == {"10.77.2.0/24", "fd00:77:2::/64"}


def test_GW_2_ipv6_moves_alone_and_ipv4_stays_where_it_was(node: Node) -> None:
    conf, pod = _networks(node), node.pod()
    node.add(conf, pod, [{"name": "a", "default-route": [FIRST6]}]).ok()
    assert _defaults(pod) == {"4": [(PRIMARY4, "eth0")], "6": [(FIRST6, "net1")]}


def test_GW_1_ipv4_moves_alone_and_ipv6_stays_where_it_was(node: Node) -> None:
    conf, pod = _networks(node), node.pod()
    node.add(conf, pod, [{"name": "a", "default-route": [FIRST4]}]).ok()
    assert _defaults(pod) == {"4": [(FIRST4, "net1")], "6": [(PRIMARY6, "eth0")]}


def test_GW_3_both_families_move_to_one_network(node: Node) -> None:
    conf, pod = _networks(node), node.pod()
    node.add(conf, pod, [{"name": "a", "default-route": [FIRST4, FIRST6]}, {"name": "b"}]).ok()
    assert _defaults(pod) == {"4": [(FIRST4, "net1")], "6": [(FIRST6, "net1")]}


def test_GW_4_each_family_moves_to_another_network(node: Node) -> None:
    conf, pod = _networks(node), node.pod()
    request = [{"name": "a", "default-route": [FIRST6]}, {"name": "b", "default-route": [SECOND4]}]
    node.add(conf, pod, request).ok()
    assert _defaults(pod) == {"4": [(SECOND4, "net2")], "6": [(FIRST6, "net1")]}


def test_GW_5_an_empty_list_takes_away_this_networks_route_and_no_other(node: Node) -> None:
    conf = _networks(node)
    network = _dual(node, "greedy", 5, gateway=True)
    network["ipam"]["routes"].append({"dst": "10.200.0.0/16"})
    node.network("greedy", network)
    pod = node.pod()
    # The kernel keeps the first default route: only a first interface without one shows what the second did.
    plain = node.conf(_dual(node, "plain", 6))
    node.add(plain, pod, [{"name": "greedy", "default-route": []}, {"name": "a"}]).ok()
    assert _defaults(pod) == {"4": [], "6": []}
    assert "10.200.0.0/16" in in_netns(pod, "ip", "route")
    other = node.pod()
    node.add(conf, other, [{"name": "a", "default-route": []}]).ok()
    assert _defaults(other) == {"4": [(PRIMARY4, "eth0")], "6": [(PRIMARY6, "eth0")]}


@pytest.mark.parametrize(
    "request_",
    [
        [{"name": "a", "default-route": [FIRST4]}, {"name": "b", "default-route": [SECOND4]}],
        [{"name": "a", "default-route": [FIRST4, "10.77.2.9"]}],
        [{"name": "a", "default-route": [FIRST6, "fd00:77:2::9"]}],
    ],
)
def test_GW_6_two_gateways_of_a_family_are_refused_before_any_delegate_runs(node: Node, request_: Any) -> None:
    for name in ("a", "b"):
        node.network(name, stub(name))
    error = node.add(node.conf(stub()), node.pod(), request_).error
    assert error["code"] == 7
    assert "default-route" in error["msg"]
    assert node.calls() == []


@pytest.mark.parametrize("gateway", ["192.0.2.1", "2001:db8::1"])
def test_GW_7_a_gateway_out_of_reach_fails_the_add_which_is_rolled_back(node: Node, gateway: str) -> None:
    conf, pod = _networks(node), node.pod()
    error = node.add(conf, pod, [{"name": "a", "default-route": [gateway]}]).error
    assert gateway in error["msg"]
    assert node.interfaces(pod) == set()
    assert node.leases() == []
    assert node.left() == []


@pytest.mark.parametrize("asking", ["a", "b"])
def test_GW_10_the_error_of_a_route_names_the_network_that_asked_for_it(node: Node, asking: str) -> None:
    conf, pod = _networks(node), node.pod()
    request = [{"name": name} | ({"default-route": ["192.0.2.1"]} if name == asking else {}) for name in ("a", "b")]
    error = node.add(conf, pod, request).error
    other, interface = {"a": ("b", "net1"), "b": ("a", "net2")}[asking]
    assert f"network default/{asking} ({interface}): default-route" in error["msg"]
    assert f"default/{other}" not in error["msg"]
    assert "192.0.2.1" in error["msg"]
    assert node.failures()[-1]["network"] == f"default/{asking}"


def _routes(result: Json) -> set[tuple[str, str]]:
    return {(route["dst"], route.get("gw", "")) for route in result.get("routes", [])}


@pytest.mark.parametrize("version", ["0.3.1", "0.4.0", "1.0.0", "1.1.0"])
def test_GW_8_result_journal_cache_and_check_agree_with_the_table(node: Node, version: str) -> None:
    conf = _networks(node)
    conf["delegates"][0]["cniVersion"] = version
    conf["cniVersion"] = "1.1.0"
    node.network("a", _dual(node, "a", 2) | {"cniVersion": version})
    pod = node.pod()
    result = node.add(conf, pod, [{"name": "a", "default-route": [FIRST4]}]).result
    assert {dst for dst, _ in _routes(result)} == {"::/0"}
    last = {record["index"]: record["result"] for record in node.journal(pod) if record["type"] == "result"}
    assert {dst for dst, _ in _routes(last[0])} == {"::/0"}
    assert ("0.0.0.0/0", FIRST4) in _routes(last[1])
    for network, interface, index in (("primary", "eth0", 0), ("a", "net1", 1)):
        cached = json.loads((node.state / "results" / f"{network}-{pod.container}-{interface}").read_text())
        assert cached["result"] == last[index]
    node.call("CHECK", conf | {"prevResult": result}, pod).ok()


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_GW_8_results_of_the_oldest_versions_agree_too(node: Node, version: str) -> None:
    primary = node.bridge("primary", "10.77.1.0/24", isGateway=True) | {"cniVersion": version}
    primary["ipam"]["routes"] = [{"dst": "0.0.0.0/0"}]
    node.network("a", node.bridge("a", "10.77.2.0/24", isGateway=True) | {"cniVersion": version})
    conf, pod = node.conf(primary, cniVersion=version), node.pod()
    result = node.add(conf, pod, [{"name": "a", "default-route": [FIRST4]}]).result
    assert result["ip4"].get("routes") in (None, [])
    assert _defaults(pod)["4"] == [(FIRST4, "net1")]
    last = [record["result"] for record in node.journal(pod) if record["type"] == "result"][-1]
    assert last["ip4"]["routes"] == [{"dst": "0.0.0.0/0", "gw": FIRST4}]


def test_ADD_2_a_moved_default_route_shows_in_the_result(node: Node) -> None:
    conf, pod = _networks(node), node.pod()
    assert {dst for dst, _ in _routes(node.add(conf, node.pod(), "a").result)} == {"0.0.0.0/0", "::/0"}
    result = node.add(conf, pod, [{"name": "a", "default-route": [FIRST4, FIRST6]}]).result
    assert _routes(result) == set()


def test_ADD_6_a_route_that_cannot_be_moved_rolls_back_what_had_succeeded(node: Node) -> None:
    conf, pod = _networks(node), node.pod()
    assert node.add(conf, pod, [{"name": "a"}, {"name": "b", "default-route": ["192.0.2.1"]}]).status != 0
    assert node.interfaces(pod) == set()
    assert node.leases() == []


def test_GW_9_listed_networks_stay_on_eth0_when_the_default_route_leaves_it(node: Node) -> None:
    conf = _networks(node) | {"keepClusterRoutes": ["10.96.0.0/16", "10.244.0.0/16", "fd00:96::/108"]}
    pod = node.pod()
    result = node.add(conf, pod, [{"name": "a", "default-route": [FIRST4, FIRST6]}]).result
    kept = {
        (route["dst"], route["gateway"], route["dev"])
        for family in ("4", "6")
        for route in json.loads(in_netns(pod, "ip", f"-{family}", "-json", "route"))
        if "gateway" in route and route["dst"] != "default"
    }
    assert kept == {
        ("10.96.0.0/16", PRIMARY4, "eth0"),
        ("10.244.0.0/16", PRIMARY4, "eth0"),
        ("fd00:96::/108", PRIMARY6, "eth0"),
    }
    assert _defaults(pod) == {"4": [(FIRST4, "net1")], "6": [(FIRST6, "net1")]}
    assert _routes(result) == {(dst, gateway) for dst, gateway, _ in kept}


def test_GW_9_a_family_that_stays_needs_no_such_routes(node: Node) -> None:
    conf = _networks(node) | {"keepClusterRoutes": ["10.96.0.0/16", "fd00:96::/108"]}
    pod = node.pod()
    node.add(conf, pod, [{"name": "a", "default-route": [FIRST4]}]).ok()
    assert "10.96.0.0/16" in in_netns(pod, "ip", "route")
    assert "fd00:96::/108" not in in_netns(pod, "ip", "-6", "route")
    assert _defaults(pod)["6"] == [(PRIMARY6, "eth0")]
