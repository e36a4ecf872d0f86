"""ERR: ten pods that do not start, and what their events say: the cause, the place, and what can be done.

Whoever owns a stuck pod has the error of ADD and often nothing else.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.conformance.node import Json, Node, stub

if TYPE_CHECKING:
    from tests.conformance.apiservers import Server
    from tests.conformance.kubelets import Kubelet

NODE = f"node {os.uname().nodename}"


def _says(error: Json, *, cause: str, place: str, remedy: str) -> str:
    """Check an error's text and return it."""
    text: str = error["msg"]
    for words in ("pod default/web", cause, place, remedy):
        assert words in text
    assert len(text) < 1000, "an event holds no more"
    assert "\n" not in text
    return text


def test_ERR_3_a_missing_network(node: Node) -> None:
    for name in ("macvlan", "storage"):
        node.network(name, stub(name))
    error = node.add(node.conf(stub()), node.pod(), "macvaln").error
    _says(
        error,
        cause="network default/macvaln: not in the node's cache",
        place="namespace default has macvlan, storage",
        remedy="correct the pod's annotation, or create default/macvaln",
    )


def test_ERR_3_a_network_of_another_namespace(node: Node) -> None:
    node.network("storage", stub("storage"), namespace="shared")
    error = node.add(node.conf(stub()), node.pod(), "storage").error
    _says(
        error,
        cause="network default/storage: not in the node's cache",
        place="one of that name is in namespace shared",
        remedy="ask for shared/storage, or create default/storage",
    )


def test_ERR_2_the_event_of_a_missing_network_names_the_namespace_that_has_one(node: Node, server: Server) -> None:
    node.beat(age=31)
    node.network("storage", stub("storage"), namespace="shared")
    pod = node.pod(namespace=server.namespace, uid=server.pod())
    error = node.add(node.conf(stub(), kubeconfig=server.kubeconfig), pod, "storage").error
    (event,) = server.events()
    for text in (error["msg"], event["message"]):
        assert f"network {server.namespace}/storage: there is no such NetworkAttachmentDefinition" in text
        assert "ask for shared/storage" in text
    assert len(server.requests()) == 2, "the network, and the event"


@pytest.mark.parametrize("keys", [{"namespaceIsolation": True}, {"namespaceIsolation": True, "globalNamespaces": "x"}])
def test_ERR_2_under_isolation_nothing_is_said_of_other_namespaces(node: Node, keys: Json) -> None:
    node.network("storage", stub("storage"), namespace="secret")
    node.network("plain", stub("plain"))
    text = node.add(node.conf(stub(), **keys), node.pod(), "storage").error["msg"]
    assert "secret" not in text
    assert "namespace default has plain" in text


@pytest.mark.parametrize(
    ("annotation", "cause", "place", "remedy"),
    [
        ("a,shared/b/c", "more than one '/'", "network 2 at position 3", "expected [namespace/]name[@interface]"),
        ([{"name": "a"}, {"name": "a", "mac": "02:00"}], "no hardware address", "[1].mac", "6 bytes"),
    ],
    ids=["text", "JSON"],
)
def test_ERR_3_a_typing_error_in_the_annotation(
    node: Node, annotation: str, cause: str, place: str, remedy: str
) -> None:
    node.network("a", stub("a"))
    error = node.add(node.conf(stub()), node.pod(), annotation).error
    text = _says(error, cause=cause, place=place, remedy=remedy)
    assert "annotation k8s.v1.cni.cncf.io/networks" in text


@pytest.mark.parametrize("kind", ["macvlan", "ipvlan", "vlan"])
def test_ERR_3_a_wrong_master(node: Node, kind: str) -> None:
    ipam = {"type": "host-local", "subnet": "10.77.2.0/24", "dataDir": str(node.root / "ipam")}
    network = {"cniVersion": "1.0.0", "name": "a", "type": kind, "master": "eth9", "vlanId": 5, "ipam": ipam}
    node.network("a", network)
    error = node.add(node.conf(stub()), node.pod(), "a").error
    text = _says(
        error,
        cause="Link not found",
        place=f"network default/a (net1): plugin {kind} (ADD)",
        remedy="correct the name in the network's configuration",
    )
    assert 'master "eth9"' in text
    assert NODE in text


def test_ERR_3_a_missing_binary(node: Node) -> None:
    node.network("a", stub("a", kind="sriov"))
    error = node.add(node.conf(stub()), node.pod(), "a").error
    text = _says(error, cause='"sriov"', place="network default/a", remedy="install that plugin on the node")
    assert str(node.bin) in text
    assert NODE in text
    assert node.calls() == []


def test_ERR_3_a_missing_binary_of_address_management(node: Node) -> None:
    node.network("a", node.bridge("a", "10.77.2.0/24") | {"ipam": {"type": "whereabouts", "range": "10.77.2.0/24"}})
    error = node.add(node.conf(stub()), node.pod(), "a").error
    _says(error, cause='"whereabouts"', place="network default/a", remedy="install that plugin on the node")


def test_ERR_3_an_exhausted_range(node: Node) -> None:
    node.network("a", node.bridge("a", "10.77.3.0/30"))
    conf = node.conf(stub())
    pods = [node.pod() for _ in range(2)]
    node.add(conf, pods[0], "a").ok()
    error = node.add(conf, pods[1], "a").error
    text = _says(
        error,
        cause="no IP addresses available",
        place="network default/a (net1): plugin bridge (ADD)",
        remedy="enlarge the range, or delete pods that hold addresses of it",
    )
    assert "range 10.77.3.0/30" in text
    assert NODE in text


def test_ERR_3_an_interface_that_is_asked_for_twice(node: Node) -> None:
    for name in ("a", "b"):
        node.network(name, stub(name))
    error = node.add(node.conf(stub()), node.pod(), "a@data,b@data").error
    _says(
        error,
        cause='interface "data" is asked for twice',
        place="networks default/a and default/b",
        remedy="give each an interface of its own",
    )


@pytest.mark.parametrize("capabilities", [{}, {"capabilities": {"ips": True}}], ids=["in CNI_ARGS", "as a capability"])
def test_ERR_3_an_address_out_of_the_range(node: Node, capabilities: Json) -> None:
    network = node.bridge("a", "10.77.2.0/24") | capabilities
    network["ipam"] |= {"rangeStart": "10.77.2.10", "rangeEnd": "10.77.2.20"}
    node.network("a", network)
    error = node.add(node.conf(stub()), node.pod(), [{"name": "a", "ips": ["10.99.0.5"]}]).error
    text = _says(
        error,
        cause="failed to allocate all requested IPs",
        place="network default/a (net1): plugin bridge (ADD)",
        remedy="ask for a free one of the range",
    )
    assert "range 10.77.2.0/24 (10.77.2.10-10.77.2.20)" in text
    assert "asked address 10.99.0.5" in text


def test_ERR_3_a_missing_device_of_a_resource(node: Node, kubelet: Kubelet) -> None:
    node.network("a", stub("a"), resource="example.com/nic")
    pod = node.pod()
    kubelet.listen(pod, {})
    error = node.add(node.conf(stub()), pod, "a").error
    _says(
        error,
        cause="resource example.com/nic",
        place="1 networks of the pod (default/a) need a device of it, but its containers were given 0",
        remedy="request as many in the containers' resources",
    )


@pytest.mark.parametrize("key", ["device", "pciBusID"])
def test_ERR_3_a_device_that_the_node_does_not_have(node: Node, key: str) -> None:
    name = {"device": "ens99", "pciBusID": "0000:99:00.0"}[key]
    node.network("a", {"cniVersion": "1.0.0", "name": "a", "type": "host-device", key: name})
    error = node.add(node.conf(stub()), node.pod(), "a").error
    text = _says(
        error,
        cause=f'{key} "{name}"',
        place="network default/a (net1): plugin host-device (ADD)",
        remedy="in the network's configuration, or keep the pod off nodes without it",
    )
    assert NODE in text


def test_ERR_3_bad_JSON_in_a_network(node: Node) -> None:
    node.network("a", '{\n  "cniVersion": "1.0.0",\n  "type": "macvlan",\n}')
    error = node.add(node.conf(stub()), node.pod(), "a").error
    _says(
        error,
        cause="not JSON",
        place="network default/a: spec.config: ",
        remedy="correct the NetworkAttachmentDefinition",
    )
    assert "line 4" in error["msg"]


def test_ERR_3_bad_JSON_in_the_annotation(node: Node) -> None:
    error = node.add(node.conf(stub()), node.pod(), '[{"name": "a",}]').error
    _says(error, cause="not JSON", place="annotation k8s.v1.cni.cncf.io/networks: ", remedy="column 15")


def test_ERR_1_a_delegates_own_words_and_code_come_before_what_we_hold(node: Node) -> None:
    ranges = [[{"subnet": f"10.{number}.0.0/16"}] for number in range(9)]
    network = stub("a", master="eth1", ipam={"type": "host-local", "ranges": ranges})
    node.network("a", network)
    node.answer(stub__ADD__net1={"error": {"code": 42, "msg": "no luck today", "details": "d"}})
    request = {"name": "a", "ips": ["10.1.0.5"], "mac": "02:00:00:00:00:07"}
    error = node.add(node.conf(stub()), node.pod(), [request]).error
    assert (error["code"], error["details"]) == (42, "d")
    _, words, held = error["msg"].partition("no luck today; ")
    assert words
    for fact in ('master "eth1"', "10.0.0.0/16", "and 4 more", "asked address 10.1.0.5", "asked MAC 02:00", NODE):
        assert fact in held


def test_ERR_1_a_gateway_out_of_reach_is_explained(node: Node) -> None:
    node.network("a", node.bridge("a", "10.77.2.0/24", isGateway=True))
    error = node.add(node.conf(stub()), node.pod(), [{"name": "a", "default-route": ["192.0.2.1"]}]).error
    _says(
        error,
        cause="default route by 192.0.2.1",
        place="network default/a (net1): default-route",
        remedy="the gateway must be in the subnet of an address that the network gives the pod",
    )
