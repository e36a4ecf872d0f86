"""DEV-4: devices that a pod was given by dynamic resource allocation, as the API server tells of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.kubelets import RESOURCE
from tests.conformance.node import Node, Pod, chain, stub

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.conformance.apiservers import Server
    from tests.conformance.kubelets import Kubelet
    from tests.conformance.node import Json, Outcome

DRIVER = "nics.example.com"
DRA = "resource.k8s.io/v1"
ID, NAME = "k8s.cni.cncf.io/deviceID", "k8s.cni.cncf.io/resourceName"


def _slice(server: Server) -> None:
    """Devices of the node: two for networks, one that is none."""
    devices = [
        {"name": "vf0", "attributes": {ID: {"string": "0000:05:00.0"}, NAME: {"string": RESOURCE}}},
        {"name": "vf1", "attributes": {ID: {"string": "0000:05:00.1"}, NAME: {"string": RESOURCE}}},
        {"name": "gpu0", "attributes": {"model": {"string": "big"}}},
    ]
    spec = {
        "driver": DRIVER,
        "nodeName": "somewhere",
        "pool": {"name": server.namespace, "generation": 1, "resourceSliceCount": 1},
        "devices": devices,
    }
    server.make({"apiVersion": DRA, "kind": "ResourceSlice", "metadata": {"name": server.namespace}, "spec": spec})


def _claim(server: Server, name: str, *devices: str, allocated: bool = True) -> None:
    requests = [{"name": f"r{number}", "exactly": {"deviceClassName": "any"}} for number, _ in enumerate(devices)]
    metadata = {"name": name, "namespace": server.namespace}
    spec = {"devices": {"requests": requests or [{"name": "r0", "exactly": {"deviceClassName": "any"}}]}}
    server.make({"apiVersion": DRA, "kind": "ResourceClaim", "metadata": metadata, "spec": spec})
    if allocated:
        results = [
            {"request": f"r{number}", "driver": DRIVER, "pool": server.namespace, "device": device}
            for number, device in enumerate(devices)
        ]
        server.patch_status("resourceclaim", name, {"allocation": {"devices": {"results": results}}})


def _attach(
    node: Node,
    server: Server,
    kubelet: Kubelet,
    networks: str,
    *,
    claims: Sequence[str] = (),
    status: Json | None = None,
) -> Outcome:
    """ADD for a pod of the API server with claims; the kubelet's socket knows no device of it."""
    node.network("a", stub("a"), namespace=server.namespace, resource=RESOURCE)
    uid = server.pod(claims=claims, resources={RESOURCE: "1"} if status else None)
    named = [{"name": claim, "resourceClaimName": claim} for claim in claims]
    server.patch_status("pod", "web", {"resourceClaimStatuses": named} | (status or {}))
    kubelet.listen(Pod("", "", namespace=server.namespace), {})
    pod = node.pod(namespace=server.namespace, uid=uid)
    return node.add(node.conf(stub(), kubeconfig=server.kubeconfig), pod, networks)


def test_DEV_4_devices_of_claims_are_given_and_others_are_passed_over(
    node: Node, server: Server, kubelet: Kubelet
) -> None:
    _slice(server)
    _claim(server, "first", "vf1", "gpu0")
    _claim(server, "second", "vf0")
    _attach(node, server, kubelet, "a,a", claims=["first", "second"]).ok()
    assert [call["conf"].get("deviceID") for call in node.calls()] == [None, "0000:05:00.0", "0000:05:00.1"]
    assert [call["conf"].get("pciBusID") for call in node.calls()] == [None, "0000:05:00.0", "0000:05:00.1"]


def test_DEV_4_a_definition_on_the_server_names_its_resource_and_gets_the_claims_device(
    node: Node, server: Server, kubelet: Kubelet
) -> None:
    # As in Multus' own end-to-end test of it: no cache, and a claim of the pod.
    _slice(server)
    _claim(server, "single", "vf1")
    bridge = node.bridge("dra-net", "10.1.2.0/24")
    server.network("dra-net", chain("dra-net", bridge, {"type": "chained"}), resource=RESOURCE)
    uid = server.pod(claims=["single"])
    server.patch_status("pod", "web", {"resourceClaimStatuses": [{"name": "single", "resourceClaimName": "single"}]})
    kubelet.listen(Pod("", "", namespace=server.namespace), {})
    conf, pod = node.conf(stub(), kubeconfig=server.kubeconfig), node.pod(namespace=server.namespace, uid=uid)
    node.add(conf, pod, "dra-net").ok()
    assert node.interfaces(pod) == {"net1"}
    node.delete(conf, pod).ok()
    told = [call["conf"]["deviceID"] for call in node.calls() if call["type"] == "chained"]
    assert told == ["0000:05:00.1", "0000:05:00.1"]
    assert node.leases() == []


def test_DEV_4_devices_of_an_extended_resource_are_given(node: Node, server: Server, kubelet: Kubelet) -> None:
    _slice(server)
    _claim(server, "extended", "vf1")
    mapping = {"containerName": "c", "requestName": "r0", "resourceName": RESOURCE}
    status = {"extendedResourceClaimStatus": {"resourceClaimName": "extended", "requestMappings": [mapping]}}
    _attach(node, server, kubelet, "a", status=status).ok()
    assert node.calls()[1]["conf"]["deviceID"] == "0000:05:00.1"


@pytest.mark.parametrize("case", ["missing", "not allocated"])
def test_DEV_4_a_claim_that_is_missing_or_not_allocated_is_an_error_that_names_it(
    node: Node, server: Server, kubelet: Kubelet, case: str
) -> None:
    _slice(server)
    if case == "not allocated":
        _claim(server, "pending", "vf0", allocated=False)
    error = _attach(node, server, kubelet, "a", claims=["pending"]).error
    assert "pending" in error["msg"]
    assert node.calls() == []


def test_DEV_4_a_device_without_our_attributes_is_not_enough(node: Node, server: Server, kubelet: Kubelet) -> None:
    _slice(server)
    _claim(server, "other", "gpu0")
    error = _attach(node, server, kubelet, "a", claims=["other"]).error
    assert RESOURCE in error["msg"]
    assert node.calls() == []


@pytest.mark.parametrize("known_as", ["the claim's name", "the template's name"])
def test_DEV_10_a_resource_that_is_a_claim_without_our_attributes_gives_its_network_no_device(
    node: Node, server: Server, kubelet: Kubelet, known_as: str
) -> None:
    # Multus' own end-to-end test: the definition names the template of the pod's claim.
    _slice(server)
    _claim(server, "generated", "gpu0")
    resource = "generated" if known_as == "the claim's name" else "single-gpu"
    node.network("dra-net", stub("dra-net", kind="other"), namespace=server.namespace, resource=resource)
    templates = {"gpu": "single-gpu"} if resource == "single-gpu" else {}
    uid = server.pod(claims=() if templates else ("generated",), templates=templates)
    statuses = [{"name": "gpu" if templates else "generated", "resourceClaimName": "generated"}]
    server.patch_status("pod", "web", {"resourceClaimStatuses": statuses})
    kubelet.listen(Pod("", "", namespace=server.namespace), {})
    pod = node.pod(namespace=server.namespace, uid=uid)
    node.add(node.conf(stub(), kubeconfig=server.kubeconfig), pod, "dra-net").ok()
    assert "deviceID" not in node.calls("ADD")[1]["conf"]
