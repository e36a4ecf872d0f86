"""DEV: devices that containers were given, and the networks that need them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conformance.kubelets import RESOURCE
from tests.conformance.node import DEFAULT_NETWORK, NETWORKS, Json, Node, chain, stub

if TYPE_CHECKING:
    from tests.conformance.kubelets import Kubelet

OTHER = "example.com/other"


def _networks(node: Node) -> None:
    node.network("a", stub("a"), resource=RESOURCE)
    node.network("b", chain("b", stub("x", own=1), stub("y", kind="chained")), resource=RESOURCE)
    node.network("c", stub("c"), resource=OTHER)
    node.network("plain", stub("plain"))


def _devices(node: Node, verb: str = "ADD") -> list[tuple[str, str | None, str | None]]:
    return [
        (call["env"]["CNI_IFNAME"], call["conf"].get("deviceID"), call["conf"].get("pciBusID"))
        for call in node.calls(verb)
    ]


@pytest.mark.parametrize("source", ["socket", "checkpoint"])
def test_DEV_1_the_i_th_network_of_a_resource_gets_its_i_th_device_in_every_plugin_on_every_verb(
    node: Node, kubelet: Kubelet, source: str
) -> None:
    _networks(node)
    conf, pod = node.conf(stub()), node.pod()
    devices = {RESOURCE: ["0000:03:00.2", "0000:03:00.1"], OTHER: ["0000:04:00.1"]}
    if source == "socket":
        kubelet.listen(pod, {RESOURCE: devices[RESOURCE][:1]}, {RESOURCE: devices[RESOURCE][1:], OTHER: devices[OTHER]})
    else:
        kubelet.write_checkpoint(pod, devices)
    node.add(conf, pod, "a,plain,c,b").ok()
    expected = [
        ("eth0", None, None),
        ("net1", "0000:03:00.1", "0000:03:00.1"),
        ("net2", None, None),
        ("net3", "0000:04:00.1", "0000:04:00.1"),
        ("net4", "0000:03:00.2", "0000:03:00.2"),
        ("net4", "0000:03:00.2", "0000:03:00.2"),
    ]
    assert _devices(node) == expected
    node.delete(conf, pod).ok()
    assert _devices(node, "DEL") == expected[::-1]


@pytest.mark.parametrize("given", [[], ["one"]])
def test_DEV_2_more_networks_than_devices_are_an_error_that_names_the_resource(
    node: Node, kubelet: Kubelet, given: list[str]
) -> None:
    _networks(node)
    pod = node.pod()
    kubelet.listen(pod, {RESOURCE: given})
    error = node.add(node.conf(stub()), pod, "a,b").error
    assert RESOURCE in error["msg"]
    assert node.calls() == []


def test_DEV_3_the_socket_is_asked_even_where_there_is_a_checkpoint(node: Node, kubelet: Kubelet) -> None:
    _networks(node)
    pod = node.pod()
    kubelet.listen(pod, {RESOURCE: ["by-socket"]})
    kubelet.write_checkpoint(pod, {RESOURCE: ["by-checkpoint"]})
    node.add(node.conf(stub()), pod, "a").ok()
    assert _devices(node)[1] == ("net1", "by-socket", "by-socket")
    assert len(kubelet.calls()) == 1


def test_DEV_3_without_socket_and_checkpoint_only_networks_with_devices_fail(node: Node, kubelet: Kubelet) -> None:
    _networks(node)
    assert kubelet.calls() == []
    node.add(node.conf(stub()), node.pod(), "plain").ok()
    node.forget_calls()
    error = node.add(node.conf(stub()), node.pod(), "plain,a").error
    assert "kubelet" in error["msg"]
    assert node.calls() == []


@pytest.mark.parametrize("content", ["", "{", '{"Data": {"PodDeviceEntries": [{"PodUID": "@", "DeviceIDs": 3}]}}'])
def test_DEV_3_a_checkpoint_that_cannot_be_read_is_an_error(node: Node, kubelet: Kubelet, content: str) -> None:
    _networks(node)
    pod = node.pod()
    kubelet.checkpoint.write_text(content.replace("@", pod.uid))
    error = node.add(node.conf(stub()), pod, "a").error
    assert "kubelet_internal_checkpoint" in error["msg"]
    assert node.calls() == []


INFORMATION: Json = {"type": "pci", "version": "1.1.0", "pci": {"pci-address": "0000:03:00.1"}}


def test_DEV_5_the_device_plugins_file_is_copied_for_each_attachment_and_removed_on_del(
    node: Node, kubelet: Kubelet
) -> None:
    node.network("a", stub("a", capabilities={"CNIDeviceInfoFile": True}), resource=RESOURCE)
    conf, pod = node.conf(stub()), node.pod()
    kubelet.listen(pod, {RESOURCE: ["d1", "d2"]})
    kubelet.describe("d1", INFORMATION)
    kubelet.describe("d2", INFORMATION | {"type": "vdpa"})
    node.add(conf, pod, "a,a").ok()
    files = kubelet.files()
    assert sorted(file["type"] for file in files.values()) == ["pci", "vdpa"]
    assert all(pod.container in name for name in files)
    told = [call["conf"]["runtimeConfig"]["CNIDeviceInfoFile"].rpartition("/")[2] for call in node.calls("ADD")[1:]]
    assert sorted(told) == sorted(files)
    node.delete(conf, pod).ok()
    assert kubelet.files() == {}
    assert (kubelet.devinfo / "dp").exists()


def test_DEV_5_a_failed_add_leaves_no_file(node: Node, kubelet: Kubelet) -> None:
    node.network("a", stub("a", capabilities={"CNIDeviceInfoFile": True}), resource=RESOURCE)
    pod = node.pod()
    kubelet.listen(pod, {RESOURCE: ["d1"]})
    kubelet.describe("d1", INFORMATION)
    node.answer(stub__ADD__net1={"error": {"code": 7, "msg": "no"}})
    assert node.add(node.conf(stub()), pod, "a").status != 0
    assert kubelet.files() == {}


def test_DEV_7_no_device_is_given_twice_however_a_network_is_asked_for(node: Node, kubelet: Kubelet) -> None:
    for name in ("primary", "everyone", "instead"):
        node.network(name, stub(name), namespace="kube-system", resource=RESOURCE)
    _networks(node)
    conf, pod = node.conf(clusterNetwork="primary", defaultNetworks=["everyone"]), node.pod()
    kubelet.listen(pod, {RESOURCE: ["d1", "d2", "d3"]})
    node.add(conf, pod, "a").ok()
    assert [device for _, device, _ in _devices(node)] == ["d1", "d2", "d3"]
    node.delete(conf, pod).ok()
    node.forget_calls()
    node.add(conf, pod, annotations={DEFAULT_NETWORK: "instead", NETWORKS: "a"}).ok()
    assert [device for _, device, _ in _devices(node)] == ["d1", "d2", "d3"]


def test_DEV_8_for_pods_without_such_networks_the_kubelet_is_not_asked(node: Node, kubelet: Kubelet) -> None:
    _networks(node)
    pod = node.pod()
    kubelet.listen(pod, {RESOURCE: ["d1"]})
    node.add(node.conf(stub()), pod, "plain").ok()
    node.delete(node.conf(stub()), pod).ok()
    assert kubelet.calls() == []


def test_DEL_10_files_with_device_information_are_removed(node: Node, kubelet: Kubelet) -> None:
    capable = stub("a", capabilities={"CNIDeviceInfoFile": True})
    node.network("a", capable)
    conf, pod = node.conf(stub()), node.pod()
    node.add(conf, pod, "a").ok()
    path = node.calls("ADD")[1]["conf"]["runtimeConfig"]["CNIDeviceInfoFile"]
    written = kubelet.devinfo / "cni" / path.rpartition("/")[2]
    written.write_text("{}")
    node.delete(conf, pod).ok()
    assert kubelet.files() == {}


def test_RTC_8_a_file_for_device_information_is_offered_to_every_plugin_that_declares_it(
    node: Node, kubelet: Kubelet
) -> None:
    capable: Json = {"capabilities": {"CNIDeviceInfoFile": True}}
    node.network("a", stub("a", **capable))
    node.network("b", stub("b"))
    conf, pod = node.conf(stub(**capable)), node.pod()
    node.add(conf, pod, "a,b,a").ok()
    given = [call["conf"].get("runtimeConfig", {}).get("CNIDeviceInfoFile", "") for call in node.calls("ADD")]
    assert [bool(path) for path in given] == [True, True, False, True]
    assert len({path for path in given if path}) == 3, "one file for each attachment"
    assert all(path.startswith("/var/run/k8s.cni.cncf.io/devinfo/cni/") for path in given if path)
    assert (kubelet.devinfo / "cni").is_dir(), "the folder is there for whoever writes the file"
    node.delete(conf, pod).ok()
    told = [call["conf"].get("runtimeConfig", {}).get("CNIDeviceInfoFile", "") for call in node.calls("DEL")]
    assert told == given[::-1]


@pytest.mark.parametrize("kind", ["large", "pipe"])
@pytest.mark.parametrize("whose", ["device plugin", "delegate"])
def test_DEV_9_a_file_of_device_information_that_is_too_large_or_none_is_an_error(
    node: Node, kubelet: Kubelet, kind: str, whose: str
) -> None:
    node.network("a", stub("a", capabilities={"CNIDeviceInfoFile": True}), resource=RESOURCE)
    pod = node.pod()
    kubelet.listen(pod, {RESOURCE: ["0000:03:00.1"]})
    go = node.root / "go"
    if whose == "device plugin":
        go.touch()
        _make(kubelet.devinfo / "dp" / f"{RESOURCE.replace('/', '-')}-0000:03:00.1-device.json", kind)
    node.answer(stub__ADD__net1={"waitFor": str(go)})
    running = node.start("ADD", node.conf(stub()), pod, annotations={NETWORKS: "a"})
    if whose == "delegate":
        while len(node.calls("ADD", event="begin")) < 2:
            assert running.process.poll() is None
        [offered] = node.calls("ADD", event="begin")[1]["conf"]["runtimeConfig"].values()
        _make(kubelet.devinfo / "cni" / Path(offered).name, kind)
        go.touch()
    error = running.end().error
    assert {"large": "larger than 65536 bytes", "pipe": "no regular file"}[kind] in error["msg"]
    assert node.ran("DEL")[-1] == "eth0"
    assert node.left() == []


def _make(path: Path, kind: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_text('{"pad": "' + "x" * 70_000 + '"}')
