"""What Multus' own end-to-end tests pin, with the same configurations, at the plugin: no cluster is needed for it.

Its connection limit is of the daemon that we have not; DRA is in test_claims.py.
"""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.node import NETWORKS, Json, Node, Outcome, Pod, chain, in_netns

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conformance.apiservers import Server

VERSIONS = pytest.mark.parametrize("version", ["0.3.1", "0.4.0", "1.0.0", "1.1.0"])
GATEWAY = "10.244.1.1"


@pytest.fixture
def master(node: Node) -> str:
    """An interface of the node, as eth1 of their workers."""
    for line in ("link add eth1 type veth peer name other", "link set eth1 up", "link set other up"):
        subprocess.run(["nsenter", f"--net={node.netns}", "ip", *line.split()], check=True)
    return "eth1"


def _kindnet(node: Node, version: str) -> Json:
    """The default network of their clusters."""
    ranges = [[{"subnet": "10.244.1.0/24"}]]
    ipam = {
        "type": "host-local",
        "ranges": ranges,
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": str(node.root / "ipam"),
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return chain("kindnet", {"type": "ptp", "ipMasq": False, "ipam": ipam}, portmap, version=version)


@pytest.fixture
def primary(node: Node) -> Path:
    """Where the default network's file is, beside which others put folders."""
    path = node.root / "net.d" / "10-kindnet.conflist"
    path.parent.mkdir()
    return path


def _conf(node: Node, version: str, **keys: Any) -> Json:
    """A conf with the default network in it; above 0.4.0 the runtime may ask for more than ADD and DEL."""
    return node.conf(_kindnet(node, version), cniVersion=version, **keys)


def _pinned(node: Node, primary: Path, version: str, **keys: Any) -> Json:
    """A conf that names the default network's file."""
    primary.write_text(json.dumps(_kindnet(node, version)))
    return node.conf(clusterNetwork=str(primary), cniVersion=version, **keys)


def _check(node: Node, conf: Json, pod: Pod, added: Outcome) -> None:
    if conf["cniVersion"] != "0.3.1":
        node.call("CHECK", conf | {"prevResult": added.result}, pod).ok()


def _addresses(pod: Pod, interface: str) -> list[str]:
    (link,) = json.loads(in_netns(pod, "ip", "-json", "address", "show", interface))
    return [f"{info['local']}/{info['prefixlen']}" for info in link["addr_info"] if info["family"] == "inet"]


def _defaults(pod: Pod) -> list[tuple[str, str]]:
    routes = json.loads(in_netns(pod, "ip", "-json", "route"))
    return [(route["gateway"], route["dev"]) for route in routes if route["dst"] == "default"]


def _arp_filter(pod: Pod) -> str:
    return in_netns(pod, "cat", "/proc/sys/net/ipv4/conf/eth0/arp_filter").strip()


def _gone(node: Node, conf: Json, pod: Pod) -> None:
    """DEL, and nothing is left."""
    node.delete(conf, pod).ok()
    assert node.interfaces(pod) == set()
    assert node.leases() == []
    assert node.left() == []


@VERSIONS
def test_a_simple_pod_has_the_default_network_alone(node: Node, version: str) -> None:
    conf, pod = _conf(node, version), node.pod()
    added = node.add(conf, pod)
    added.ok()
    assert node.interfaces(pod) == {"eth0"}
    assert _defaults(pod) == [(GATEWAY, "eth0")]
    _check(node, conf, pod, added)
    _gone(node, conf, pod)


@VERSIONS
def test_two_pods_on_macvlan_have_the_addresses_that_they_asked_for(node: Node, master: str, version: str) -> None:
    macvlan = {"type": "macvlan", "capabilities": {"ips": True}, "master": master, "mode": "bridge"}
    network = {"cniVersion": version, "plugins": [macvlan | {"ipam": {"type": "static"}}, {"type": "tuning"}]}
    node.network("macvlan1-config", network)
    conf, pods = _conf(node, version), []
    for number in (11, 12):
        pod = node.pod(name=f"macvlan1-worker{number}")
        added = node.add(conf, pod, [{"name": "macvlan1-config", "ips": [f"10.1.1.{number}/24"]}])
        added.ok()
        assert _addresses(pod, "net1") == [f"10.1.1.{number}/24"]
        _check(node, conf, pod, added)
        pods.append(pod)
    in_netns(pods[0], "busybox", "ping", "-c1", "-W5", "-I", "net1", "10.1.1.12")
    for pod in pods:
        node.delete(conf, pod).ok()
    assert node.left() == []


@VERSIONS
@pytest.mark.parametrize("capabilities", [{}, {"ips": True}])
def test_a_default_route_moves_for_the_pod_that_asks_for_it(
    node: Node, master: str, version: str, capabilities: Json
) -> None:
    macvlan = {"type": "macvlan", "master": master, "mode": "bridge", "ipam": {"type": "static"}}
    declared = {"capabilities": capabilities} if capabilities else {}
    node.network("default-route-config", {"cniVersion": version, "plugins": [macvlan | declared]})
    conf = _conf(node, version)
    moving: Json = {"name": "default-route-config", "ips": ["10.1.1.21/24"], "default-route": ["10.1.1.254"]}
    staying: Json = {"name": "default-route-config", "ips": ["10.1.1.22/24"]}
    for asked, defaults in ((moving, [("10.1.1.254", "net1")]), (staying, [(GATEWAY, "eth0")])):
        pod = node.pod()
        added = node.add(conf, pod, [asked])
        added.ok()
        assert _addresses(pod, "net1") == asked["ips"]
        assert _defaults(pod) == defaults
        _check(node, conf, pod, added)
        node.delete(conf, pod).ok()
    assert node.left() == []


@VERSIONS
def test_a_static_pod_has_its_network_although_the_server_knows_it_by_another_uid(
    node: Node, server: Server, version: str
) -> None:
    # The kubelet's own mirror of the manifest is all that the server has.
    marks = {"kubernetes.io/config.source": "file", "kubernetes.io/config.mirror": "5f2d", NETWORKS: "bridge-nad"}
    server.pod("static-web", marks)
    ipam = {"type": "host-local", "subnet": "10.10.0.0/16", "dataDir": str(node.root / "ipam")}
    bridge = {"cniVersion": "0.3.1", "name": "testnet", "type": "bridge", "bridge": "testnet0", "ipam": ipam}
    server.network("bridge-nad", bridge)
    pod = node.pod(name="static-web", namespace=server.namespace, uid="5f2d")
    conf = _conf(node, version, kubeconfig=server.kubeconfig)
    added = node.call("ADD", conf, pod)
    added.ok()
    assert node.interfaces(pod) == {"eth0", "net1"}
    assert _addresses(pod, "net1")[0].startswith("10.10.")
    _check(node, conf, pod, added)
    _gone(node, conf, pod)


def _sysctl(folder: Path, version: str, interface: str) -> None:
    """What their daemon set drops into a folder beside the default network's file."""
    folder.mkdir()
    sysctl = {f"net.ipv4.conf.{interface}.arp_filter": "1"}
    conf = {"cniVersion": version, "name": "sysctltwiddle", "type": "tuning", "sysctl": sysctl}
    (folder / "sysctltwiddle.conf").write_text(json.dumps(conf))


@VERSIONS
def test_a_folder_named_after_the_default_network_chains_its_plugins(node: Node, primary: Path, version: str) -> None:
    conf, before, after = _pinned(node, primary, version), node.pod(), node.pod()
    node.add(conf, before).ok()
    assert _arp_filter(before) == "0"
    _sysctl(primary.parent / "kindnet", version, "IFNAME")
    added = node.add(conf, after)
    added.ok()
    assert _arp_filter(after) == "1"
    _check(node, conf, after, added)
    (primary.parent / "kindnet" / "sysctltwiddle.conf").unlink()
    for pod in (before, after):
        node.delete(conf, pod).ok()
    assert node.left() == []


@VERSIONS
def test_an_auxiliary_chain_changes_the_pod_without_an_interface_of_its_own(
    node: Node, primary: Path, version: str
) -> None:
    _sysctl(primary.parent / "vendor-cni-chain", version, "eth0")
    conf, pod = _pinned(node, primary, version, auxiliaryCNIChainName="vendor-cni-chain"), node.pod()
    added = node.add(conf, pod)
    added.ok()
    assert node.interfaces(pod) == {"eth0"}
    assert _arp_filter(pod) == "1"
    _check(node, conf, pod, added)
    _gone(node, conf, pod)


@VERSIONS
def test_a_network_may_begin_with_passthru(node: Node, passthru: Path, version: str) -> None:
    (node.bin / "passthru").symlink_to(passthru)
    tuning = {"type": "tuning", "sysctl": {"net.ipv4.conf.eth0.arp_filter": "1"}}
    node.network("vendor", chain("vendor", {"type": "passthru"}, tuning, version=version))
    conf, pod = _conf(node, version), node.pod()
    added = node.add(conf, pod, "vendor")
    added.ok()
    assert node.interfaces(pod) == {"eth0"}
    assert _arp_filter(pod) == "1"
    _check(node, conf, pod, added)
    _gone(node, conf, pod)


def test_status_is_that_of_the_default_network(node: Node) -> None:
    conf = _conf(node, "1.1.0")
    node.call("STATUS", conf).ok()
    absent = node.root / "10-kindnet.conflist"
    assert node.call("STATUS", conf | {"readinessindicatorfile": str(absent)}).error["code"] == 50
    conf["delegates"][0]["plugins"][0]["ipam"]["type"] = "nowhere"
    assert node.call("STATUS", conf).error["code"] == 50


def test_gc_takes_what_the_runtime_no_longer_knows_and_leaves_the_rest(node: Node) -> None:
    node.network("a", node.bridge("a", "10.77.2.0/24", cniVersion="1.1.0"))
    conf, living, forgotten = _conf(node, "1.1.0"), node.pod(), node.pod()
    for pod in (living, forgotten):
        node.add(conf, pod, "a").ok()
    valid = [{"containerID": living.container, "ifname": "eth0"}]
    node.call("GC", conf | {"cni.dev/valid-attachments": valid, "cni.dev/attachments": valid}).ok()
    assert node.interfaces(living) == {"eth0", "net1"}
    assert len(node.leases()) == 2
    assert node.journal_path(living).exists()
    assert not node.journal_path(forgotten).exists()
