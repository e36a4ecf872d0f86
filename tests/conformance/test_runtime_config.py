"""RTC: runtimeConfig and CNI_ARGS: who is given what."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conformance.node import ANNOTATIONS, DEFAULT_NETWORK, NETWORKS, Json, Node, chain, in_netns, stub

PORTS = [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]


def _given(call: Json) -> Json:
    """The runtimeConfig of a call of the stub."""
    given: Json = call["conf"].get("runtimeConfig", {})
    return given


def test_RTC_1_each_plugin_gets_only_the_capabilities_that_it_declares(node: Node) -> None:
    network = chain(
        "a",
        {"type": "stub", "capabilities": {"ips": True, "mac": False}},
        {"type": "other", "capabilities": {"mac": True, "ips": False}},
        {"type": "third"},
    )
    node.network("a", network)
    request = {"name": "a", "ips": ["10.1.1.1/24"], "mac": "02:00:00:00:00:07"}
    conf, pod = node.conf(stub()), node.pod()
    node.add(conf, pod, [request]).ok()
    node.delete(conf, pod).ok()
    for verb in ("ADD", "DEL"):
        given = {call["type"]: _given(call) for call in node.calls(verb) if call["env"]["CNI_IFNAME"] == "net1"}
        assert given == {"stub": {"ips": ["10.1.1.1/24"]}, "other": {"mac": "02:00:00:00:00:07"}, "third": {}}


def test_RTC_2_what_the_runtime_gives_reaches_the_default_network_only(node: Node) -> None:
    capabilities = {"portMappings": True, "ips": True, "mac": True, "dns": True, "bandwidth": True, ANNOTATIONS: True}
    node.network("a", stub("a", capabilities=capabilities))
    node.network("everyone", stub("everyone", capabilities=capabilities), namespace="kube-system")
    runtime = {
        "portMappings": PORTS,
        "ips": ["10.1.1.1/24"],
        "mac": "02:00:00:00:00:07",
        "dns": {"servers": ["10.96.0.10"]},
        "bandwidth": {"ingressRate": 1000},
    }
    conf = node.conf(stub(capabilities=capabilities), runtimeConfig=runtime, defaultNetworks=["everyone"])
    conf["clusterNetwork"] = "primary"
    node.network("primary", stub("primary", capabilities=capabilities), namespace="kube-system")
    node.add(conf, node.pod(), "a").ok()
    first, *others = node.calls("ADD")
    assert _given(first) == runtime | {ANNOTATIONS: {NETWORKS: "a"}}
    assert [_given(call) for call in others] == [{}, {}]


@pytest.mark.parametrize(
    ("capability", "value"),
    [
        ("dns", {"servers": ["10.96.0.10"], "searches": ["a.b"], "options": ["ndots:5"]}),
        ("aliases", ["web", "www"]),
        ("ipRanges", [[{"subnet": "10.1.2.0/24", "rangeStart": "10.1.2.3"}]]),
        ("cgroupPath", "/kubepods/pod6d0f1c3e"),
        ("portMappings", PORTS),
        ("something.example.com/new", {"number": 12345678901234567890, "none": None}),
    ],
)
def test_RTC_3_any_capability_reaches_the_default_network_unchanged(node: Node, capability: str, value: Any) -> None:
    conf = node.conf(stub(capabilities={capability: True}), runtimeConfig={capability: value})
    pod = node.pod()
    node.add(conf, pod).ok()
    node.delete(conf, pod).ok()
    assert [_given(call) for call in node.calls()] == [{capability: value}] * 2


REQUESTS = [
    ("ips", {"ips": ["10.1.1.1/24"]}, "ips"),
    ("mac", {"mac": "02:00:00:00:00:07"}, "mac"),
    ("portMappings", {"portMappings": [{"hostPort": 1, "containerPort": 2}]}, "portMappings"),
    ("bandwidth", {"bandwidth": {"ingressRate": 1}}, "bandwidth"),
    ("infiniband-guid", {"infiniband-guid": "02:00:00:00:00:00:00:07"}, "infinibandGUID"),
]


def _cases(*keys: str) -> pytest.MarkDecorator:
    chosen = [case for case in REQUESTS if case[0] in keys]
    return pytest.mark.parametrize(("request_", "capability"), [case[1:] for case in chosen], ids=keys)


def _refused(node: Node, conf: Json, request_: Json, capability: str) -> None:
    node.network("a", stub("a", capabilities={capability: False}))
    error = node.add(conf, node.pod(), [{"name": "a"} | request_]).error
    assert error["code"] == 7
    assert capability in error["msg"]
    assert "default/a" in error["msg"]
    assert node.calls() == []


@_cases("portMappings", "bandwidth", "infiniband-guid")
def test_RTC_4_a_request_that_no_plugin_offers_fails_before_anything_runs(
    node: Node, request_: Json, capability: str
) -> None:
    _refused(node, node.conf(stub()), request_, capability)


@_cases("ips", "mac", "portMappings", "bandwidth", "infiniband-guid")
def test_RTC_4_a_key_of_the_conf_makes_that_strict_for_addresses_too(
    node: Node, request_: Json, capability: str
) -> None:
    _refused(node, node.conf(stub(), requireCapabilities=True), request_, capability)


@_cases("ips", "mac", "portMappings", "bandwidth", "infiniband-guid")
def test_RTC_4_a_key_of_the_conf_relaxes_that_to_a_warning(node: Node, request_: Json, capability: str) -> None:
    node.network("a", stub("a"))
    done = node.add(node.conf(stub(), requireCapabilities=False), node.pod(), [{"name": "a"} | request_])
    done.ok()
    assert capability in done.stderr
    assert _given(node.calls()[1]) == {}


@pytest.mark.parametrize(
    "asked",
    [
        {"ingressRate": 1000},
        {"egressRate": 1000, "egressBurst": 2000},
        {"ingressRate": 1, "ingressBurst": 2, "egressRate": 3, "egressBurst": 4},
    ],
)
def test_RTC_5_bandwidth_holds_what_was_asked_for_and_no_zeros(node: Node, asked: Json) -> None:
    node.network("a", stub("a", capabilities={"bandwidth": True}))
    node.add(node.conf(stub()), node.pod(), [{"name": "a", "bandwidth": asked}]).ok()
    assert _given(node.calls()[1]) == {"bandwidth": asked}


def _pairs(call: Json) -> list[str]:
    arguments: str = call["env"]["CNI_ARGS"]
    return arguments.split(";")


def _result(*addresses: str, mac: str = "02:00:00:00:00:01", name: str = "net1", **keys: Any) -> Json:
    interface = {"name": name, "mac": mac, "sandbox": "/run/netns/x"}
    return {
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "br0", "mac": "02:00:00:00:00:ff"}, interface],
        "ips": [{"address": address, "interface": 1} for address in addresses],
    } | keys


@pytest.mark.parametrize("keys", [{}, {"requireCapabilities": False}], ids=["as it is", "relaxed"])
@pytest.mark.parametrize("name", ["mooring", "multus"])
def test_RTC_6_addresses_are_in_the_arguments_where_a_plugin_knows_only_the_old_form(
    node: Node, name: str, keys: Json
) -> None:
    (node.root / name).symlink_to(node.plugin)
    node.network("a", stub("a"))
    node.answer(stub__ADD__net1={"result": _result("10.1.1.1/24", "fd00::1/64", mac="02:00:00:00:00:07")})
    request = {"name": "a", "ips": ["10.1.1.1/24", "fd00::1/64"], "mac": "02:00:00:00:00:07"}
    conf, pod = node.conf(stub(), **keys), node.pod()
    node.add(conf, pod, [request], program=node.root / name).ok()
    node.delete(conf, pod, program=node.root / name).ok()
    first, second = node.calls("ADD")
    assert not [pair for pair in _pairs(first) if pair.startswith(("IP=", "MAC="))]
    assert {"IP=10.1.1.1/24,fd00::1/64", "MAC=02:00:00:00:00:07"} <= set(_pairs(second))
    assert _pairs(node.calls("DEL")[0]) == _pairs(second)


def test_RTC_6_only_what_has_no_capability_goes_into_the_arguments(node: Node) -> None:
    node.network("a", stub("a", capabilities={"mac": True}))
    request = {"name": "a", "ips": ["10.9.0.2"], "mac": "02:00:00:00:00:07"}
    node.add(node.conf(stub()), node.pod(), [request]).ok()
    call = node.calls("ADD")[1]
    assert _given(call) == {"mac": "02:00:00:00:00:07"}
    assert [pair for pair in _pairs(call) if pair.startswith(("IP=", "MAC="))] == ["IP=10.9.0.2"]


@pytest.mark.parametrize(
    ("request_", "result", "asked", "came"),
    [
        ({"ips": ["10.1.1.1/24"]}, _result("10.9.0.2/24"), "10.1.1.1/24", "10.9.0.2"),
        ({"ips": ["10.9.0.2", "fd00::5"]}, _result("10.9.0.2/24", "fd00::6/64"), "fd00::5", "fd00::6"),
        ({"mac": "02:00:00:00:00:07"}, _result("10.9.0.2/24"), "02:00:00:00:00:07", "02:00:00:00:00:01"),
        ({"mac": "02:00:00:00:00:ff"}, _result("10.9.0.2/24"), "02:00:00:00:00:ff", "02:00:00:00:00:01"),
    ],
    ids=["address", "second address", "MAC", "MAC of the node's side"],
)
def test_RTC_9_a_network_that_ignores_the_arguments_is_undone_and_the_error_says_what_came(
    node: Node, request_: Json, result: Json, asked: str, came: str
) -> None:
    node.network("a", stub("a"))
    node.answer(stub__ADD__net1={"result": result})
    error = node.add(node.conf(stub()), node.pod(), [{"name": "a"} | request_]).error
    assert error["code"] == 7
    for word in ("default/a", "net1", asked, came, "CNI_ARGS", "capability"):
        assert word in error["msg"]
    assert node.ran() == ["ADD eth0", "ADD net1", "DEL net1", "DEL eth0"]
    assert node.left() == []


@pytest.mark.parametrize(
    ("request_", "result"),
    [
        ({"ips": ["10.1.1.1"]}, _result("10.1.1.1/24")),
        ({"ips": ["10.1.1.1/32"]}, _result("10.1.1.1/24")),
        ({"ips": ["FD00:0::1/64"]}, _result("fd00::1/64")),
        ({"ips": ["::ffff:10.1.1.1"]}, _result("10.1.1.1/24")),
        ({"mac": "02-00-00-00-00-0A"}, _result(mac="02:00:00:00:00:0a")),
        ({"mac": "0200.0000.000a"}, _result(mac="02:00:00:00:00:0A")),
        ({"ips": ["10.1.1.1"]}, {"cniVersion": "0.2.0", "ip4": {"ip": "10.1.1.1/24"}}),
    ],
)
def test_RTC_9_addresses_are_compared_by_value_and_not_by_their_spelling(
    node: Node, request_: Json, result: Json
) -> None:
    node.network("a", stub("a", version=result["cniVersion"]))
    node.answer(stub__ADD__net1={"result": result})
    node.add(node.conf(stub()), node.pod(), [{"name": "a"} | request_]).ok()


def test_RTC_9_the_default_network_that_an_annotation_names_is_verified_too(node: Node) -> None:
    node.network("a", stub("a"), namespace="kube-system")
    request = json.dumps([{"name": "a", "mac": "02:00:00:00:00:07"}])
    pod = node.pod()
    error = node.add(node.conf(stub()), pod, annotations={DEFAULT_NETWORK: request}).error
    assert "02:00:00:00:00:07" in error["msg"]
    assert "eth0" in error["msg"]
    node.answer(stub__ADD__eth0={"result": _result(mac="02:00:00:00:00:07", name="eth0")})
    node.add(node.conf(stub()), pod, annotations={DEFAULT_NETWORK: request}).ok()


@pytest.mark.parametrize("version", ["0.2.0", "0.3.1", "1.0.0"])
def test_RTC_9_a_real_network_gives_what_the_arguments_ask_for(node: Node, version: str) -> None:
    node.network("a", node.bridge("a", "10.77.2.0/24") | {"cniVersion": version})
    pod = node.pod()
    request = {"name": "a", "ips": ["10.77.2.9/24"], "mac": "02:00:00:00:00:07"}
    node.add(node.conf(stub()), pod, [request]).ok()
    (link,) = json.loads(in_netns(pod, "ip", "-json", "address", "show", "net1"))
    assert link["address"] == "02:00:00:00:00:07"
    assert "10.77.2.9" in [address["local"] for address in link["addr_info"]]


def test_RTC_9_where_a_result_tells_of_no_addresses_the_interface_itself_is_looked_at(node: Node) -> None:
    node.network("a", node.bridge("a", "10.77.2.0/24") | {"cniVersion": "0.2.0"})
    error = node.add(node.conf(stub()), node.pod(), [{"name": "a", "mac": "03:00:00:00:00:07"}]).error
    assert "03:00:00:00:00:07" in error["msg"]
    node.network("b", stub("b"))
    node.answer(stub__ADD__net1={"result": {"cniVersion": "1.0.0"}})
    error = node.add(node.conf(stub()), node.pod(), [{"name": "b", "mac": "02:00:00:00:00:07"}]).error
    assert '"net1"' in error["msg"]
    assert node.left() == []


def test_RTC_9_more_addresses_than_a_variable_holds_are_refused_before_anything_runs(node: Node) -> None:
    node.network("a", stub("a"))
    error = node.add(node.conf(stub()), node.pod(), [{"name": "a", "ips": ["10.0.0.1"] * 10_000}]).error
    assert error["code"] == 7
    assert "CNI_ARGS" in error["msg"]
    assert node.calls() == []


@pytest.mark.parametrize(
    "extra",
    ["A=1;B=2", "WITH=a=b=c", "EMPTY=", "A=1;", "A=1;A=2", "Z=1;A=2", "IP=10.0.0.9"],
    ids=["plain", "with =", "empty", "trailing ;", "twice", "order", "IP"],
)
def test_RTC_7_the_arguments_of_the_runtime_stay_whole_and_in_order_on_every_verb(node: Node, extra: str) -> None:
    node.network("a", stub("a"))
    pod = node.pod()
    arguments = f"{pod.args};{extra}"
    conf = node.conf(stub())
    node.add(conf, pod, "a", env={"CNI_ARGS": arguments}).ok()
    node.call("CHECK", conf | {"prevResult": {"cniVersion": "1.0.0"}}, pod, env={"CNI_ARGS": arguments}).ok()
    node.delete(conf, pod, env={"CNI_ARGS": arguments}).ok()
    assert node.ran() == ["ADD eth0", "ADD net1", "CHECK eth0", "CHECK net1", "DEL net1", "DEL eth0"]
    wanted = [pair for pair in arguments.split(";") if pair]
    for call in node.calls():
        assert [pair for pair in _pairs(call) if pair in wanted] == wanted


@pytest.mark.parametrize(
    "arguments", ["", "IgnoreUnknown=1", "K8S_POD_NAMESPACE=;K8S_POD_NAME=", "IgnoreUnknown=1;FOO=bar"]
)
def test_RTC_7_the_pods_keys_are_always_there(node: Node, arguments: str) -> None:
    pod = node.pod()
    node.add(node.conf(stub()), pod, env={"CNI_ARGS": arguments}).ok()
    keys = [pair.partition("=")[0] for pair in _pairs(node.calls()[0])]
    for key in ("IgnoreUnknown", *(f"K8S_POD_{key}" for key in ("NAMESPACE", "NAME", "INFRA_CONTAINER_ID", "UID"))):
        assert keys.count(key) == 1
    assert f"K8S_POD_INFRA_CONTAINER_ID={pod.container}" in _pairs(node.calls()[0])


@pytest.mark.parametrize("arguments", ["novalue", "A=1;B;C=2", "=1"])
def test_RTC_7_arguments_that_are_no_pairs_are_refused_by_add_and_never_hinder_del(node: Node, arguments: str) -> None:
    pod = node.pod()
    conf = node.conf(stub())
    error = node.add(conf, pod, env={"CNI_ARGS": arguments}).error
    assert error["code"] == 4
    assert "CNI_ARGS" in error["msg"]
    node.add(conf, pod).ok()
    node.delete(conf, pod, env={"CNI_ARGS": arguments}).ok()
    assert node.ran() == ["ADD eth0", "DEL eth0"]
