"""The selection annotation: what is understood, what is refused, and before anything runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.node import DEFAULT_NETWORK, NETWORKS, chain, stub

if TYPE_CHECKING:
    from tests.conformance.node import Node

CAPABLE = {
    "ips": True,
    "mac": True,
    "infinibandGUID": True,
    "portMappings": True,
    "bandwidth": True,
    "ipam-claim-reference": True,
}


def refused(node: Node, annotation: Any, *fragments: str, **keys: Any) -> str:
    """Assert that an annotation fails the ADD with code 7 before any delegate runs."""
    error = node.add(node.conf(stub(), **keys), node.pod(), annotation).error
    assert error["code"] == 7
    for fragment in fragments:
        assert fragment in error["msg"]
    assert node.ran() == []
    assert node.left() == []
    return str(error["msg"])


def runtime_config(node: Node, element: dict[str, Any]) -> dict[str, Any]:
    """Attach a capable network with this element and return the runtimeConfig that it was given."""
    node.beat()
    node.network("a", stub("a", capabilities=CAPABLE))
    node.add(node.conf(stub()), node.pod(), [{"name": "a"} | element]).ok()
    given: dict[str, Any] = node.calls("ADD")[1]["conf"].get("runtimeConfig", {})
    return given


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", [("default/a", "net1")]),
        ("other/b", [("other/b", "net1")]),
        ("a@eth1", [("default/a", "eth1")]),
        ("other/b@my_if.1", [("other/b", "my_if.1")]),
        ("a,other/b@x,a", [("default/a", "net1"), ("other/b", "x"), ("default/a", "net3")]),
        (" other / b @ x , a ", [("other/b", "x"), ("default/a", "net2")]),
        ("a,\n  other/b", [("default/a", "net1"), ("other/b", "net2")]),
    ],
)
def test_SEL_1_the_text_form_in_all_its_spellings(node: Node, text: str, expected: list[tuple[str, str]]) -> None:
    node.beat()
    node.network("a", stub("a"))
    node.network("b", stub("b"), namespace="other")
    pod = node.pod()
    node.add(node.conf(stub()), pod, text).ok()
    attachments = node.journal(pod)[1]["attachments"][1:]
    assert [(entry["network"], entry["ifName"]) for entry in attachments] == expected


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("root@ip/root@other/root@third", "position 1"),
        ("a,b/c/d", "position 3"),
        ("a@x@y", "position 1"),
        ("a, @x", "position 4"),
        ("/a", "position 1"),
        ("a/", "position 1"),
        ("a,", "position 3"),
        (",a", "position 1"),
        ("a\u0007b", "position 2"),
    ],
)
def test_SEL_2_a_malformed_text_is_refused_and_the_place_is_named(node: Node, text: str, position: str) -> None:
    refused(node, text, position)


def test_SEL_3_the_text_form_takes_labels_only_and_the_json_form_dots_too(node: Node) -> None:
    for text in ("flannel.1", "Upper", "under_score", "-a", "a-", "x.y/a"):
        refused(node, text, "DNS-1123")
    refused(node, [{"name": "Upper"}], "[0].name")
    refused(node, [{"name": "a", "namespace": "../x"}], "[0].namespace")
    node.beat()
    node.network("flannel.1", stub("flannel"))
    node.add(node.conf(stub()), node.pod(), [{"name": "flannel.1"}]).ok()


def test_SEL_3_names_have_up_to_253_characters_in_both_forms(node: Node) -> None:
    longest = "a" * 253
    refused(node, longest + "a", "position 1", "253")
    refused(node, [{"name": longest + "a"}], "[0].name", "253")
    refused(node, "n" * 64 + "/a", "namespace", "63")
    # Of so long a name the node's cache has no file: the API server is asked, and here there is none.
    for annotation in (longest, [{"name": longest}]):
        error = node.add(node.conf(stub()), node.pod(), annotation).error
        assert f"network default/{longest}: not in the node's cache" in error["msg"]
    cached = "a" * 248
    node.beat()
    node.network(cached, stub("a"))
    pod = node.pod()
    node.add(node.conf(stub()), pod, cached).ok()
    assert node.journal(pod)[1]["attachments"][1]["network"] == f"default/{cached}"
    node.delete(node.conf(stub()), pod).ok()
    assert node.left() == []


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        ('{"Name": "a", "Namespace": "other", "INTERFACE": "x"}', ("other/a", "x")),
        ('{"name": "b", "NAME": "a", "namespace": "default", "Namespace": "other"}', ("other/a", "net1")),
        ('{"Name": "b", "name": "a", "namespace": "other", "Namespace": null}', ("other/a", "net1")),
        ('{"name": "b", "Name": "b", "name": "a", "name\\u017fpace": "other"}', ("other/a", "net1")),
    ],
)
def test_SEL_3_keys_are_read_in_any_case_and_the_last_one_counts(
    node: Node, element: str, expected: tuple[str, str]
) -> None:
    node.beat()
    node.network("a", stub("wrong"))
    node.network("a", stub("right"), namespace="other")
    pod = node.pod()
    outcome = node.add(node.conf(stub(), logLevel="error"), pod, f"[{element}]")
    outcome.ok()
    assert "unknown keys" not in outcome.stderr
    attachment = node.journal(pod)[1]["attachments"][1]
    assert (attachment["network"], attachment["ifName"]) == expected


def test_SEL_3_keys_of_requests_within_are_read_in_any_case_too(node: Node) -> None:
    element = {
        "IPS": ["10.1.1.1/24"],
        "Mac": "02:00:00:00:00:07",
        "PortMappings": [{"HostPort": 1, "containerport": 2, "PROTOCOL": "UDP", "hostip": "10.0.0.1"}],
        "Bandwidth": {"IngressRate": 5, "ingressburst": 6},
    }
    assert runtime_config(node, element) == {
        "ips": ["10.1.1.1/24"],
        "mac": "02:00:00:00:00:07",
        "portMappings": [{"hostPort": 1, "containerPort": 2, "protocol": "udp", "hostIP": "10.0.0.1"}],
        "bandwidth": {"ingressRate": 5, "ingressBurst": 6},
    }


@pytest.mark.parametrize(
    "name", ["sixteen-bytes-xx", "a b", "a/b", "a:b", ".", "..", "eight\u00fc\u00fc\u00fc\u00fc\u00fcx"]
)
def test_SEL_4_an_impossible_interface_name_is_refused_before_any_delegate_runs(node: Node, name: str) -> None:
    refused(node, [{"name": "a", "interface": name}], "[0].interface")


def test_SEL_4_an_interface_name_of_15_bytes_passes(node: Node) -> None:
    node.beat()
    node.network("a", stub("a"))
    node.add(node.conf(stub()), node.pod(), "a@fifteen-bytes-x").ok()
    assert node.ran("ADD") == ["eth0", "fifteen-bytes-x"]


@pytest.mark.parametrize(
    "value", [{"name": "a"}, '"a"', '{"a": 1}', "[1]", "[null]", '["a"]', "[[]]", "[{]", '[{"name": 5}]']
)
def test_SEL_5_json_that_is_no_array_of_objects_is_refused(node: Node, value: Any) -> None:
    text = value if isinstance(value, str) else json.dumps(value)
    message = refused(node, text)
    assert "expected" in message or "not JSON at line 1, column" in message


@pytest.mark.parametrize("text", ["", " ", "\n\t ", "[]"])
def test_SEL_6_an_annotation_that_asks_for_nothing_is_no_request(node: Node, text: str) -> None:
    node.add(node.conf(stub()), node.pod(), text).ok()
    assert node.ran() == ["ADD eth0"]


def test_SEL_7_the_default_namespace_is_the_pods(node: Node) -> None:
    node.beat()
    node.network("a", stub("a"), namespace="shop")
    pod = node.pod(namespace="shop")
    node.add(node.conf(stub()), pod, "a").ok()
    assert node.journal(pod)[1]["attachments"][1]["network"] == "shop/a"


def test_SEL_8_the_same_network_twice_makes_two_attachments(node: Node) -> None:
    node.beat()
    node.network("a", stub("a"))
    pod = node.pod()
    node.add(node.conf(stub()), pod, "a,a").ok()
    assert node.ran() == ["ADD eth0", "ADD net1", "ADD net2"]
    assert [entry["network"] for entry in node.journal(pod)[1]["attachments"]] == [
        "pod-network",
        "default/a",
        "default/a",
    ]
    node.delete(node.conf(stub()), pod).ok()
    assert node.ran("DEL") == ["net2", "net1", "eth0"]


def test_SEL_9_the_order_of_the_annotation_is_the_order_of_attachment(node: Node) -> None:
    node.beat()
    for name in "abc":
        node.network(name, stub(name))
    node.add(node.conf(stub()), node.pod(), [{"name": "c"}, {"name": "a"}, {"name": "b"}]).ok()
    assert [call["conf"]["name"] for call in node.calls("ADD")] == ["pod-network", "c", "a", "b"]


def test_SEL_10_unknown_keys_pass_and_reserved_ones_are_logged(node: Node) -> None:
    node.beat()
    node.network("a", stub("a"))
    outcome = node.add(
        node.conf(stub(), logLevel="error"),
        node.pod(),
        [{"name": "a", "example.com/colour": "red", "ipRequest": "1.2.3.4"}],
    )
    outcome.ok()
    assert "ipRequest" in outcome.stderr
    assert "colour" not in outcome.stderr


@pytest.mark.parametrize("value", [["10.1.1.1/24"], ["10.1.1.1"], ["fd00::1/64", "10.1.1.1/24"], ["fd00::1"]])
def test_SEL_11_addresses_of_both_families_with_or_without_length_pass(node: Node, value: list[str]) -> None:
    assert runtime_config(node, {"ips": value}) == {"ips": value}


@pytest.mark.parametrize(
    "value",
    [
        [],
        ["10.1.1.300"],
        ["10.1.1.1/33"],
        "10.1.1.1",
        [5],
        ["localhost"],
        [""],
        ["fe80::1%eth0"],
        ["fe80::1%eth0/64"],
    ],
)
def test_SEL_11_garbage_in_ips_is_refused(node: Node, value: Any) -> None:
    refused(node, [{"name": "a", "ips": value}], "[0].ips")


def test_SEL_12_hardware_addresses_of_the_right_length_pass(node: Node) -> None:
    element = {"mac": "02:23:45:67:89:01", "infiniband-guid": "c2:11:22:33:44:55:66:77"}
    assert runtime_config(node, element) == {"mac": element["mac"], "infinibandGUID": element["infiniband-guid"]}


@pytest.mark.parametrize(
    ("mac", "guid"),
    [
        ("02:23:45:67:89:0A", "C2:11:22:33:44:55:66:77"),
        ("02-23-45-67-89-0a", "c2-11-22-33-44-55-66-77"),
        ("0223.4567.890a", "c211.2233.4455.6677"),
    ],
)
def test_SEL_12_hardware_addresses_in_each_spelling_become_one(node: Node, mac: str, guid: str) -> None:
    assert runtime_config(node, {"mac": mac, "infiniband-guid": guid}) == {
        "mac": "02:23:45:67:89:0a",
        "infinibandGUID": "c2:11:22:33:44:55:66:77",
    }


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mac", "c2:11:22:33:44:55:66:77"),
        ("mac", "02:23"),
        ("mac", 5),
        ("infiniband-guid", "02:23:45:67:89:01"),
        ("infiniband-guid", "00:00:00:00:fe:80:00:00:00:00:00:00:02:00:5e:10:00:00:00:01"),
    ],
)
def test_SEL_12_hardware_addresses_of_other_lengths_are_refused(node: Node, key: str, value: Any) -> None:
    refused(node, [{"name": "a", key: value}], f"[0].{key}")


def test_SEL_13_port_mappings_are_completed(node: Node) -> None:
    asked = [
        {"hostPort": 1, "containerPort": 65535},
        {"hostPort": 53, "containerPort": 53, "protocol": "UDP", "hostIP": "10.0.0.1"},
    ]
    assert runtime_config(node, {"portMappings": asked}) == {
        "portMappings": [
            {"hostPort": 1, "containerPort": 65535, "protocol": "tcp"},
            {"hostPort": 53, "containerPort": 53, "protocol": "udp", "hostIP": "10.0.0.1"},
        ]
    }


@pytest.mark.parametrize(
    "mapping",
    [
        {"hostPort": 0, "containerPort": 80},
        {"hostPort": 80, "containerPort": 65536},
        {"hostPort": 80},
        {"hostPort": 80, "containerPort": 80, "protocol": "icmp"},
        {"hostPort": "80", "containerPort": 80},
        {"hostPort": 80, "containerPort": 80, "hostIP": "here"},
        {"hostPort": 80, "containerPort": 80, "hostIP": "fe80::1%eth0"},
        5,
    ],
)
def test_SEL_13_impossible_port_mappings_are_refused(node: Node, mapping: Any) -> None:
    refused(node, [{"name": "a", "portMappings": [mapping]}], "[0].portMappings")


@pytest.mark.parametrize(
    "value",
    [
        {"ingressRate": -1},
        {"egressRate": 1.5},
        {"ingressBurst": 5},
        {"egressBurst": 5, "ingressRate": 5},
        {"egressBurst": 5, "egressRate": 0},
        {"ingressRate": "5"},
        [],
    ],
)
def test_SEL_14_impossible_bandwidth_is_refused(node: Node, value: Any) -> None:
    refused(node, [{"name": "a", "bandwidth": value}], "[0].bandwidth")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            {"ingressRate": 5, "ingressBurst": 0, "egressRate": 0, "egressBurst": 0},
            {"bandwidth": {"ingressRate": 5}},
        ),
        ({"ingressRate": 0, "ingressBurst": 0, "egressRate": 0, "egressBurst": 0}, {}),
        ({"egressRate": None}, {}),
        ({}, {}),
    ],
)
def test_SEL_14_zeros_in_bandwidth_count_as_absent(node: Node, value: Any, expected: Any) -> None:
    assert runtime_config(node, {"bandwidth": value}) == expected


def test_SEL_14_a_bandwidth_of_zeros_needs_no_capability(node: Node) -> None:
    node.beat()
    node.network("a", stub("a"))
    asked = {"name": "a", "bandwidth": {"ingressRate": 0, "ingressBurst": 0, "egressRate": 0, "egressBurst": 0}}
    node.add(node.conf(stub()), node.pod(), [asked]).ok()


@pytest.mark.parametrize("value", ["10.0.0.1", [5], ["10.0.0.0/24"], ["gateway"], ["0.0.0.0"]])  # noqa: S104
def test_SEL_15_a_default_route_that_is_no_list_of_addresses_is_refused(node: Node, value: Any) -> None:
    refused(node, [{"name": "a", "default-route": value}], "[0].default-route")


@pytest.mark.parametrize("value", ["text", 5, [], True])
def test_SEL_16_cni_args_that_are_no_object_are_refused(node: Node, value: Any) -> None:
    refused(node, [{"name": "a", "cni-args": value}], "[0].cni-args")


def test_SEL_16_cni_args_win_key_by_key_in_conf_and_every_plugin(node: Node) -> None:
    node.beat()
    own: dict[str, Any] = {"args": {"cni": {"kept": 1, "replaced": "old"}, "other": True}}
    node.network("a", stub("a", **own))
    node.network("b", chain("b", {"type": "stub"} | own, {"type": "other"}))
    args = {"replaced": "new", "added": {"x": 12345678901234567890}}
    node.add(node.conf(stub()), node.pod(), [{"name": "a", "cni-args": args}, {"name": "b", "cni-args": args}]).ok()
    merged = {"cni": {"kept": 1, "replaced": "new", "added": args["added"]}, "other": True}
    first, second, third = node.calls("ADD")[1:]
    assert first["conf"]["args"] == merged
    assert second["conf"]["args"] == merged
    assert third["conf"]["args"] == {"cni": args}


def test_SEL_16_args_of_the_network_that_are_no_object_are_refused(node: Node) -> None:
    node.beat()
    node.network("a", stub("a", args="text"))
    refused(node, [{"name": "a", "cni-args": {"x": 1}}], "args")


def test_SEL_17_the_old_key_for_the_interface_is_understood_and_may_not_contradict(node: Node) -> None:
    refused(node, [{"name": "a", "interface": "x", "interfaceRequest": "y"}], "[0].interfaceRequest")
    node.beat()
    node.network("a", stub("a"))
    node.add(
        node.conf(stub()),
        node.pod(),
        [{"name": "a", "interfaceRequest": "old"}, {"name": "a", "interface": "s", "interfaceRequest": "s"}],
    ).ok()
    assert node.ran("ADD") == ["eth0", "old", "s"]


def test_SEL_18_an_ipam_claim_and_addresses_exclude_each_other(node: Node) -> None:
    refused(node, [{"name": "a", "ips": ["10.1.1.1/24"], "ipam-claim-reference": "c"}], "ipam-claim-reference")
    assert runtime_config(node, {"ipam-claim-reference": "claim-1"}) == {"ipam-claim-reference": "claim-1"}


@pytest.mark.parametrize("text", ["a@x,a@x", "a@eth0"])
def test_SEL_19_one_interface_name_asked_for_twice_is_refused(node: Node, text: str) -> None:
    node.beat()
    node.network("a", stub("a"))
    refused(node, text, "asked for twice")


def test_SEL_20_the_default_network_annotation_replaces_the_default_network(node: Node) -> None:
    node.beat()
    node.network("mine", stub("mine", kind="other", capabilities={"portMappings": True}), namespace="kube-system")
    conf = node.conf(stub(), runtimeConfig={"portMappings": [{"hostPort": 1}]})
    pod = node.pod()
    node.answer(other__ADD={"result": {"cniVersion": "1.0.0", "ips": [{"address": "10.3.3.3/24"}]}})
    result = node.add(conf, pod, annotations={DEFAULT_NETWORK: "mine"}).result
    assert result["ips"] == [{"address": "10.3.3.3/24"}]
    assert [call["type"] for call in node.calls("ADD")] == ["other"]
    assert node.calls("ADD")[0]["conf"]["runtimeConfig"] == {"portMappings": [{"hostPort": 1}]}
    entry = node.journal(pod)[1]["attachments"][0]
    assert (entry["network"], entry["default"], entry["ifName"]) == ("kube-system/mine", True, "eth0")
    node.delete(conf, pod).ok()
    assert [call["type"] for call in node.calls("DEL")] == ["other"]


def test_SEL_20_more_than_one_default_network_is_refused(node: Node) -> None:
    for text in ("a,b", "[]"):
        error = node.add(node.conf(stub()), node.pod(), annotations={DEFAULT_NETWORK: text}).error
        assert error["code"] == 7
        assert DEFAULT_NETWORK in error["msg"]


def test_SEL_20_the_default_network_annotation_obeys_namespace_isolation(node: Node) -> None:
    node.beat()
    node.network("mine", stub("mine"), namespace="foreign")
    conf = node.conf(stub(), namespaceIsolation=True)
    error = node.add(conf, node.pod(), annotations={DEFAULT_NETWORK: "foreign/mine"}).error
    assert '"foreign"' in error["msg"]
    assert node.ran() == []


INJECTION = "fe80::1%x;K8S_POD_NAMESPACE=kube-system;K8S_POD_NAME=admin"


@pytest.mark.parametrize("key", [NETWORKS, DEFAULT_NETWORK])
@pytest.mark.parametrize(
    "request_for",
    [
        {"ips": [INJECTION]},
        {"ips": ["10.1.1.1/24", INJECTION + "/64"]},
        {"IPS": [INJECTION]},
        {"mac": "02:00:00:00:00:07;K8S_POD_NAMESPACE=kube-system"},
        {"ips": ["10.1.1.1;K8S_POD_NAMESPACE=kube-system"]},
        {"ips": ["fe80::1%x\nK8S_POD_NAMESPACE=kube-system"]},
    ],
    ids=str,
)
def test_SEL_21_no_value_of_an_annotation_becomes_another_argument(
    node: Node, key: str, request_for: dict[str, Any]
) -> None:
    node.beat()
    for namespace in ("default", "kube-system"):
        node.network("a", stub("a"), namespace=namespace)
    annotations = {key: json.dumps([{"name": "a"} | request_for])}
    error = node.add(node.conf(stub(), requireCapabilities=False), node.pod(), annotations=annotations).error
    assert error["code"] == 7
    assert f"[0].{next(iter(request_for))}" in error["msg"]
    assert node.ran() == []
    assert node.left() == []


@pytest.mark.parametrize(
    ("argument", "asked"), [("IP=10.0.0.9", {"ips": ["10.1.1.1/24"]}), ("MAC=", {"mac": "02:00:00:00:00:07"})]
)
def test_SEL_21_an_argument_of_the_runtime_is_not_replaced(node: Node, argument: str, asked: dict[str, Any]) -> None:
    node.beat()
    node.network("a", stub("a"))
    pod = node.pod()
    environment = {"CNI_ARGS": f"{pod.args};{argument}"}
    conf = node.conf(stub(), requireCapabilities=False)
    error = node.add(conf, pod, [{"name": "a"} | asked], env=environment).error
    assert error["code"] == 7
    assert argument.partition("=")[0] in error["msg"]
    assert "default/a" in error["msg"]
    assert node.ran() == []
