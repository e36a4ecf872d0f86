"""STA: what pods carry about their networks: the agent's reading of the journal and the plugin's own writing agree."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from mooring.agent import sandboxes
from mooring.networks import statuses
from tests.conformance.kubelets import RESOURCE
from tests.conformance.node import Json, Node, Pod, chain, in_netns, stub

if TYPE_CHECKING:
    from tests.conformance.apiservers import Server
    from tests.conformance.kubelets import Kubelet


def _agents(node: Node, pod: Pod) -> str:
    """The text that an agent of this node writes for a sandbox."""
    known = sandboxes.Sandboxes(on_change=lambda _: None)
    known.take(sandboxes.read([node.journal_path(pod)]))
    (sandbox,) = known.of(f"{pod.namespace}/{pod.name}")
    return sandbox.status


def _attached(node: Node, server: Server, conf: Json, annotation: Any = None) -> tuple[Pod, list[Json]]:
    """Attach a pod of the API server and return it with the entries of its status, which both writers agree on."""
    pod = node.pod(namespace=server.namespace, uid=server.pod("web", {"kept": "as it is"}))
    conf = conf | {"kubeconfig": server.direct, "statusBeforeStart": True}
    node.add(conf, pod, annotation).ok()
    text = server.annotations()[statuses.ANNOTATION]
    entries: list[Json] = json.loads(text)
    assert entries == json.loads(_agents(node, pod))
    return pod, entries


def test_STA_1_the_default_network_has_an_entry_for_a_pod_without_other_networks(node: Node, server: Server) -> None:
    _, entries = _attached(node, server, node.conf(stub()))
    assert [(entry["name"], entry["default"]) for entry in entries] == [("pod-network", True)]


def test_STA_1_exactly_one_entry_is_the_default_networks(node: Node, server: Server) -> None:
    node.answer(stub__ADD__eth0={"result": {"cniVersion": "1.0.0", "dns": {}}})
    node.network("a", stub("a"), namespace=server.namespace)
    _, entries = _attached(node, server, node.conf(stub()), "a,a")
    assert [entry.get("default", False) for entry in entries] == [True, False, False]


def test_STA_2_entries_are_as_the_pod_is(node: Node, server: Server) -> None:
    node.network("a", node.bridge("a", "10.77.2.0/24", mtu=1400), namespace=server.namespace)
    pod, entries = _attached(node, server, node.conf(node.bridge("primary", "10.77.1.0/24")), "a@data")
    links = {link["ifname"]: link for link in json.loads(in_netns(pod, "ip", "-json", "address"))}
    for entry, name in zip(entries, ("primary", f"{server.namespace}/a"), strict=True):
        link = links[entry["interface"]]
        assert entry["name"] == name
        assert entry["mac"] == link["address"]
        assert entry["ips"] == [link["addr_info"][0]["local"]]
        assert entry.get("mtu", link["mtu"]) == link["mtu"]
    assert [entry["interface"] for entry in entries] == ["eth0", "data"]


OLD = {"ip4": {"ip": "10.1.1.2/24"}, "ip6": {"ip": "fd00::2/64"}}


@pytest.mark.parametrize(
    ("version", "result", "ips"),
    [
        ("0.1.0", OLD, ["10.1.1.2", "fd00::2"]),
        ("0.2.0", OLD, ["10.1.1.2", "fd00::2"]),
        ("0.3.1", {"ips": [{"version": "4", "address": "10.1.1.2/24"}]}, ["10.1.1.2"]),
        ("1.0.0", {"interfaces": [], "ips": [{"address": "10.1.1.2/24"}]}, ["10.1.1.2"]),
        ("1.0.0", {}, None),
    ],
)
def test_STA_3_a_result_without_interfaces_makes_a_minimal_entry(
    node: Node, server: Server, version: str, result: Json, ips: list[str] | None
) -> None:
    node.answer(other__ADD={"result": {"cniVersion": version} | result})
    node.network("a", stub("a", kind="other", version=version), namespace=server.namespace)
    _, entries = _attached(node, server, node.conf(stub()), "a")
    assert entries[1]["name"] == f"{server.namespace}/a"
    assert entries[1].get("ips") == ips
    assert "interface" not in entries[1]


def test_STA_4_several_interfaces_make_an_entry_each_with_their_own_addresses(node: Node, server: Server) -> None:
    result = {
        "cniVersion": "1.0.0",
        "interfaces": [
            {"name": "br0", "mac": "02:00:00:00:00:01"},
            {"name": "net1", "mac": "02:00:00:00:00:02", "sandbox": "/x"},
            {"name": "net1a", "mac": "02:00:00:00:00:03", "sandbox": "/x"},
        ],
        "ips": [
            {"address": "10.1.1.1/24", "interface": 1},
            {"address": "10.1.1.2/24", "interface": 2},
            {"address": "10.1.1.3/24", "interface": 0},
            {"address": "10.1.1.4/24"},
        ],
    }
    node.answer(other__ADD={"result": result})
    node.network("a", stub("a", kind="other"), namespace=server.namespace)
    _, entries = _attached(node, server, node.conf(stub()), "a")
    assert [(entry["interface"], entry["mac"], entry["ips"]) for entry in entries[1:]] == [
        ("net1", "02:00:00:00:00:02", ["10.1.1.1"]),
        ("net1a", "02:00:00:00:00:03", ["10.1.1.2", "10.1.1.4"]),
    ]
    assert {entry["name"] for entry in entries[1:]} == {f"{server.namespace}/a"}


def test_STA_5_dns_and_gateways_are_told(node: Node, server: Server) -> None:
    dns = {"nameservers": ["10.1.1.53"], "domain": "example.com", "search": ["a.example.com"]}
    result = {
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "net1", "sandbox": "/x"}],
        "ips": [{"address": "10.1.1.2/24", "interface": 0}],
        "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.1.1"}, {"dst": "10.2.0.0/16", "gw": "10.1.1.9"}, {"dst": "::/0"}],
        "dns": dns,
    }
    node.answer(other__ADD={"result": result})
    node.network("a", stub("a", kind="other"), namespace=server.namespace)
    _, entries = _attached(node, server, node.conf(stub()), "a")
    assert entries[1]["dns"] == dns
    assert entries[1]["gateway"] == ["10.1.1.1"]
    assert entries[0]["dns"] == {}
    assert "gateway" not in entries[0]


def test_STA_5_the_default_route_that_was_asked_for_is_told(node: Node, server: Server) -> None:
    node.network("a", node.bridge("a", "10.77.2.0/24", isGateway=True), namespace=server.namespace)
    request = [{"name": "a", "default-route": ["10.77.2.1"]}]
    _, entries = _attached(node, server, node.conf(node.bridge("primary", "10.77.1.0/24")), request)
    assert entries[1]["default-route"] == ["10.77.2.1"]
    assert entries[1]["gateway"] == ["10.77.2.1"]
    assert "default-route" not in entries[0]


def test_DEV_6_the_information_on_a_device_is_told(node: Node, server: Server, kubelet: Kubelet) -> None:
    information = {"type": "pci", "version": "1.1.0", "pci": {"pci-address": "0000:03:00.1"}}
    conf = stub("a", capabilities={"CNIDeviceInfoFile": True})
    node.network("a", conf, namespace=server.namespace, resource=RESOURCE)
    kubelet.listen(Pod("", "", namespace=server.namespace), {RESOURCE: ["d1"]})
    kubelet.describe("d1", information)
    _, entries = _attached(node, server, node.conf(stub()), "a")
    assert entries[1]["device-info"] == information
    assert "device-info" not in entries[0]


@pytest.mark.parametrize("case", ["another uid", "gone"])
def test_STA_6_a_pod_that_is_another_or_gone_is_not_written_to_and_not_in_the_way(
    node: Node, server: Server, case: str
) -> None:
    if case == "another uid":
        server.pod()
    conf = node.conf(stub(), kubeconfig=server.direct, statusBeforeStart=True)
    node.add(conf, node.pod(namespace=server.namespace)).ok()
    if case == "another uid":
        assert statuses.ANNOTATION not in server.annotations()


@pytest.mark.parametrize(("sandbox", "written"), [("5f2d", True), ("6a11", False)])
def test_STA_6_a_mirror_pod_is_told_by_the_hash_of_its_manifest(
    node: Node, server: Server, sandbox: str, written: bool
) -> None:
    marks = {"config.hash": "5f2d", "config.mirror": "5f2d", "config.source": "file"}
    server.pod("web", {f"kubernetes.io/{key}": value for key, value in marks.items()})
    conf = node.conf(stub(), kubeconfig=server.direct, statusBeforeStart=True)
    node.add(conf, node.pod(namespace=server.namespace, uid=sandbox)).ok()
    assert (statuses.ANNOTATION in server.annotations()) is written


def test_STA_7_other_annotations_stay_as_they_are(node: Node, server: Server) -> None:
    _attached(node, server, node.conf(stub()))
    assert server.annotations()["kept"] == "as it is"


def test_STA_8_twenty_networks_with_long_names_and_any_letters_stay_valid(node: Node, server: Server) -> None:
    names = [f"{letter}{'long' * 45}" for letter in "abcdefghijklmnopqrst"]
    result = {
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "größe\u2028✓", "sandbox": "/x"}],
        "ips": [{"address": f"fd00::{number}/64", "interface": 0} for number in range(1, 9)],
        "dns": {"search": ["bücher.example", '"quoted"\\']},
    }
    node.answer(other__ADD={"result": result})
    for name in names:
        node.network(name, stub(name, kind="other"), namespace=server.namespace)
    _, entries = _attached(node, server, node.conf(stub()), [{"name": name} for name in names])
    assert [entry["name"] for entry in entries[1:]] == [f"{server.namespace}/{name}" for name in names]
    assert {entry["interface"] for entry in entries[1:]} == {"größe\u2028✓"}
    assert len(server.annotations()[statuses.ANNOTATION].encode()) < 256 * 1024


def test_STA_8_what_does_not_fit_is_left_out_and_an_event_says_so(node: Node, server: Server) -> None:
    addresses = [{"address": f"fd00::{number:x}/64", "interface": 0} for number in range(1, 5000)]
    result = {"cniVersion": "1.0.0", "interfaces": [{"name": "net1", "sandbox": "/x"}], "ips": addresses}
    node.answer(other__ADD={"result": result})
    for name in ("a", "b", "c"):
        node.network(name, stub(name, kind="other"), namespace=server.namespace)
    _, entries = _attached(node, server, node.conf(stub()), "a,b,c")
    assert [entry["name"] for entry in entries] == ["pod-network", f"{server.namespace}/a"]
    (event,) = server.events()
    assert event["reason"] == "NetworkStatusTooLong"
    for name in ("b", "c"):
        assert f"{server.namespace}/{name}" in event["message"]


def test_STA_10_a_new_sandbox_of_the_same_pod_has_the_status_of_its_own(node: Node, server: Server) -> None:
    node.network("a", stub("a"), namespace=server.namespace)
    conf = node.conf(stub(), kubeconfig=server.direct, statusBeforeStart=True)
    uid = server.pod()
    old, new = (node.pod(namespace=server.namespace, uid=uid) for _ in range(2))
    node.add(conf, old, "a").ok()
    node.add(conf, new, "a,a").ok()
    node.delete(conf, old).ok()
    assert len(json.loads(server.annotations()[statuses.ANNOTATION])) == 3


def test_STA_2_a_chain_has_one_entry_of_its_last_result(node: Node, server: Server) -> None:
    node.network("a", chain("a", stub("x"), stub("y", kind="chained")), namespace=server.namespace)
    _, entries = _attached(node, server, node.conf(stub()), "a")
    assert [entry["interface"] for entry in entries] == ["eth0", "net1"]


def test_STA_6_a_status_that_cannot_be_written_fails_the_add_that_was_to_wait_for_it(
    node: Node, server: Server
) -> None:
    uid = server.pod()
    conf = node.conf(stub(), kubeconfig=server.kubeconfig, statusBeforeStart=True)
    error = node.add(conf, node.pod(namespace=server.namespace, uid=uid)).error
    assert error["code"] == 11
    assert node.ran() == ["ADD eth0", "DEL eth0"]
    assert node.left() == []
