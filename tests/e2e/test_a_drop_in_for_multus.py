"""The plugin in Multus' place: its name, its configuration, its rights, its files; no operator and no agent.

A cluster of this module's own: what is tried here replaces the node's configuration of networks.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from testbed import nodes as testbed_nodes
from testbed import plugin, state
from testbed.kubectl import Cluster, Failed, ask_testbed, eventually, is_up
from tests.e2e import objects

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = os.environ.get("MOORING_E2E_DROP_IN_NAME", "e2e-drop-in")
NODE_NETWORK = os.environ.get("MOORING_E2E_DROP_IN_NETWORK", "192.168.246.0/24")
CONFS = "/etc/cni/net.d"
KUBECONFIG = f"{CONFS}/multus.d/multus.kubeconfig"
ROOT = "/var/lib/cni/multus"
# What the manifests of Multus grant its service account: no `patch` of pods among it.
RULES = [
    {"apiGroups": ["k8s.cni.cncf.io"], "resources": ["*"], "verbs": ["*"]},
    {"apiGroups": [""], "resources": ["pods", "pods/status"], "verbs": ["get", "list", "update", "watch"]},
    {"apiGroups": ["", "events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch", "update"]},
]


class Node:
    """The cluster's only node, by the files that it has for itself."""

    def __init__(self, cluster: Cluster) -> None:
        found = state.load(cluster.name)
        assert found is not None
        (self.name,) = found.plan.node_names()
        self.cluster = cluster
        self.folders = testbed_nodes.binds(found.node_folder(self.name))

    def path(self, inside: str) -> Path:
        """Return where a file of the node is on this machine."""
        folder = next(folder for folder in self.folders if inside == folder or inside.startswith(f"{folder}/"))
        return self.folders[folder] / inside.removeprefix(folder).strip("/")

    def files(self, folder: str) -> set[str]:
        """Return the names of the files in a folder; none where it is absent."""
        path = self.path(folder)
        return {file.name for file in path.iterdir() if file.is_file()} if path.is_dir() else set()

    def leases(self, network: str) -> set[str]:
        """Return the addresses that host-local holds."""
        return {name for name in self.files(f"/var/lib/cni/networks/{network}") if re.fullmatch(r"[0-9.]+", name)}

    def veths(self) -> set[str]:
        """Return the node's ends of pods' interfaces."""
        links = json.loads(self.cluster.on_node(self.name, "ip", "-json", "link", "show", "type", "veth"))
        return {link["ifname"] for link in links if link.get("master")}

    def state(self) -> set[str]:
        """Return everything that pods have on the node: addresses, interfaces, what the plugin wrote down."""
        networks = self.path("/var/lib/cni/networks")
        leases = {f"{path.name}: {lease}" for path in networks.iterdir() for lease in self.leases(path.name)}
        folders = (ROOT, f"{ROOT}/attachments", f"{ROOT}/results", f"{ROOT}/quarantine")
        files = {f"{folder}/{name}" for folder in folders for name in self.files(folder)}
        return leases | self.veths() | {name for name in files if not name.endswith("/failures.jsonl")}

    def configure(self, name: str, text: str) -> None:
        """Make this the runtime's configuration, and the only one of Multus."""
        for other in self.files(CONFS):
            if other.startswith("00-multus") and other != name:
                self.path(f"{CONFS}/{other}").unlink()
        # Written in place: containerd does not look at a file that is renamed into its folder.
        self.path(f"{CONFS}/{name}").write_text(text)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster of one node with a primary network and nothing of ours."""
    if os.geteuid() != 0:
        pytest.fail("the end-to-end tests make nodes out of namespaces: they need root")
    if is_up(NAME):
        pytest.fail(f"cluster {NAME} is up, and these tests need a new one: python -m testbed down --name {NAME}")
    ask_testbed("up", "--name", NAME, "--nodes", "1", "--node-network", NODE_NETWORK)
    try:
        yield Cluster(NAME)
    finally:
        if not os.environ.get("MOORING_E2E_KEEP"):
            ask_testbed("down", "--name", NAME)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The plugin's binary."""
    chosen = os.environ.get("MOORING_PLUGIN")
    if chosen:
        return Path(chosen).read_bytes()
    return plugin.build(tmp_path_factory.mktemp("plugin")).read_bytes()


@pytest.fixture(scope="module")
def plain(cluster: Cluster) -> Node:
    """The node before anything of Multus or of ours came to it, with a pod that stays."""
    node = Node(cluster)
    cluster.apply(objects.pod("default", "older", None, node.name))
    cluster.wait("pod/older", "--for=condition=Ready")
    return node


@pytest.fixture(scope="module")
def node(cluster: Cluster, plain: Node, program: bytes) -> Node:
    """The node with the plugin in Multus' place."""
    cluster.kubectl("apply", "-f", "crds/network-attachment-definitions.yaml")
    cluster.wait(
        "customresourcedefinition/network-attachment-definitions.k8s.cni.cncf.io", "--for=condition=Established"
    )
    binary = plain.path("/opt/cni/bin/multus")
    binary.write_bytes(program)
    binary.chmod(0o755)
    kubeconfig = plain.path(KUBECONFIG)
    kubeconfig.parent.mkdir()
    kubeconfig.write_text(yaml.safe_dump(multus_kubeconfig(cluster)))
    kubeconfig.chmod(0o600)
    plain.configure("00-multus.conf", json.dumps(multus_conf(plain)))
    return plain


def multus_kubeconfig(cluster: Cluster) -> dict[str, Any]:
    """Make the service account of Multus and return the kubeconfig that its installer writes."""
    account = {"name": "multus", "namespace": "kube-system"}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "multus"}
    rbac = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "multus"}}
    cluster.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account},
        rbac | {"kind": "ClusterRole", "rules": RULES},
        rbac | {"kind": "ClusterRoleBinding", "roleRef": role, "subjects": [account | {"kind": "ServiceAccount"}]},
    )
    token = cluster.kubectl("create", "token", "multus", "-n", "kube-system").strip()
    admin = yaml.safe_load(Path(cluster.kubeconfig).read_text())
    (place,) = (entry["cluster"] for entry in admin["clusters"])
    if "certificate-authority" in place:
        authority = Path(cluster.kubeconfig).parent / place.pop("certificate-authority")
        place["certificate-authority-data"] = base64.b64encode(authority.read_bytes()).decode()
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "local", "cluster": place}],
        "users": [{"name": "multus", "user": {"token": token}}],
        "contexts": [{"name": "multus-context", "context": {"cluster": "local", "user": "multus"}}],
        "current-context": "multus-context",
    }


def multus_conf(node: Node) -> dict[str, Any]:
    """Return the configuration that Multus' installer makes of the primary network, for cniVersion 0.3.1."""
    primary = json.loads(node.path(f"{CONFS}/{testbed_nodes.PRIMARY_CONFLIST}").read_text())
    return {
        "cniVersion": "0.3.1",
        "name": "multus-cni-network",
        "type": "multus",
        "capabilities": {"portMappings": True},
        "logToStderr": True,
        "logLevel": "error",
        "kubeconfig": KUBECONFIG,
        "delegates": [primary | {"cniVersion": "0.3.1"}],
    }


def delete(cluster: Cluster, node: Node, *names: str, namespace: str = "default", leaving: set[str]) -> None:
    """Delete pods and wait until the node has nothing but `leaving` for pods; the kubelet forgets a pod before that."""
    cluster.kubectl("delete", "pod", *names, "-n", namespace, "--timeout=60s")
    with contextlib.suppress(Failed):
        eventually(lambda: node.state() <= leaving, seconds=30, what="the end of all that was made for them")
    assert node.state() <= leaving


def test_a_pod_gets_its_networks_and_its_status_before_it_starts(cluster: Cluster, node: Node, namespace: str) -> None:
    cluster.apply(objects.network(namespace, "reda", objects.bridge("reda", "10.71.0.0/24")))
    before = node.state()
    cluster.apply(objects.pod(namespace, "both", "reda,reda@data0", node.name))
    cluster.wait("pod/both", "-n", namespace, "--for=condition=Ready")
    status = cluster.network_status("both", namespace)
    assert [(entry["name"], entry["interface"]) for entry in status] == [
        ("pod-network", "eth0"),
        (f"{namespace}/reda", "net1"),
        (f"{namespace}/reda", "data0"),
    ]
    assert status[0]["default"] is True
    shown = cluster.kubectl("exec", "both", "-n", namespace, "--", "ip", "addr")
    for entry in status:
        assert re.search(rf" {entry['interface']}\b", shown)
        assert all(f"inet {ip}/" in shown for ip in entry["ips"])
    assert len(node.leases("reda")) == 2

    cluster.kubectl("delete", "network-attachment-definition", "reda", "-n", namespace)
    delete(cluster, node, "both", namespace=namespace, leaving=before)


def test_a_missing_network_is_told_in_an_event(cluster: Cluster, node: Node, namespace: str) -> None:
    before = node.state()
    cluster.apply(objects.pod(namespace, "waiting", "nowhere", node.name))

    def told() -> list[str]:
        found = cluster.get("events", "-n", namespace, "--field-selector=reason=NoNetworkFound")
        return [event["message"] for event in found["items"] if event["involvedObject"]["name"] == "waiting"]

    messages = eventually(told, seconds=30, what="the event NoNetworkFound")
    assert f"{namespace}/nowhere" in messages[0]
    delete(cluster, node, "waiting", namespace=namespace, leaving=before)


def test_a_pod_that_is_older_than_the_plugin_is_deleted_cleanly(cluster: Cluster, node: Node) -> None:
    address = cluster.get("pod", "older")["status"]["podIP"]
    assert address in node.leases("pod-network")
    before, veths = node.state(), node.veths()
    cluster.kubectl("delete", "pod", "older", "--timeout=60s")
    eventually(lambda: address not in node.leases("pod-network"), seconds=30, what="the release of its address")
    eventually(lambda: len(veths - node.veths()) == 1, seconds=30, what="the end of its interface")
    assert node.state() <= before


def test_a_pod_that_multus_attached_is_deleted_cleanly(cluster: Cluster, node: Node, namespace: str) -> None:
    conf = objects.bridge("blue", "10.72.0.0/24")
    cluster.apply(objects.network(namespace, "blue", conf))
    before = node.state()
    cluster.apply(objects.pod(namespace, "taken", "blue", node.name))
    cluster.wait("pod/taken", "-n", namespace, "--for=condition=Ready")
    (journal,) = (name for name in node.files(f"{ROOT}/attachments") if f"{ROOT}/attachments/{name}" not in before)
    container = journal.partition("@")[0]
    # What is left of the attachment is what Multus would have left: its scratch file, and libcni's results beside it.
    node.path(f"{ROOT}/attachments/{journal}").unlink()
    scratch = node.path(f"{ROOT}/{container}")
    scratch.write_text(json.dumps([delegate(multus_conf(node)["delegates"][0]), delegate(conf, f"{namespace}/blue")]))
    assert any(container in name for name in node.files(f"{ROOT}/results"))

    cluster.kubectl("delete", "network-attachment-definition", "blue", "-n", namespace)
    delete(cluster, node, "taken", namespace=namespace, leaving=before)


def delegate(conf: dict[str, Any], name: str = "") -> dict[str, Any]:
    """Return one network of a pod as Multus 4 writes it down."""
    listed = "plugins" in conf
    return {
        "Conf": {} if listed else {"cniVersion": conf["cniVersion"], "name": conf["name"], "type": conf["type"]},
        "ConfList": {"cniVersion": conf["cniVersion"], "name": conf["name"]} if listed else {},
        "Name": name,
        "Bytes": base64.b64encode(json.dumps(conf).encode()).decode(),
    }


def test_other_names_and_the_list_that_multus_writes_for_newer_versions_work_too(
    cluster: Cluster, node: Node, namespace: str
) -> None:
    conf = multus_conf(node)
    plugin = {key: value for key, value in conf.items() if key not in ("cniVersion", "name")}
    plugin["delegates"] = [delegate | {"cniVersion": "1.0.0"} for delegate in conf["delegates"]]
    conflist = {"cniVersion": "1.0.0", "name": conf["name"], "plugins": [plugin]}
    cluster.apply(objects.network(namespace, "gold", objects.bridge("gold", "10.73.0.0/24")))
    before = node.state()
    names = []
    for file, content in (
        ("00-multus.conf", conf),
        ("00-multus-cni.conf", conf),
        ("00-multus.conflist", conflist),
    ):
        node.configure(file, json.dumps(content))
        names.append(file.replace(".", "-"))
        cluster.apply(objects.pod(namespace, names[-1], "gold", node.name))
        cluster.wait(f"pod/{names[-1]}", "-n", namespace, "--for=condition=Ready")
        status = cluster.network_status(names[-1], namespace)
        assert [entry["name"] for entry in status] == ["pod-network", f"{namespace}/gold"]
    delete(cluster, node, *names, namespace=namespace, leaving=before)
