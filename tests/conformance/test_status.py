"""STA: when the plugin writes the network-status itself, and what becomes of an ADD where it cannot.

What the status says is in test_network_status.py; here is who writes it, at what price, and for which configuration.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml

from mooring.networks import statuses
from tests.conformance import apiservers
from tests.conformance.node import NETWORKS, Json, Node, stub

if TYPE_CHECKING:
    from pathlib import Path

    from testbed import controlplane
    from tests.conformance.apiservers import Server

WRITER = "system:serviceaccount:mooring-system:writer-of-statuses"
MULTUS = "system:serviceaccount:kube-system:multus"
NOBODY = "system:serviceaccount:mooring-system:writer-of-nothing"
DIRECT = {"statusBeforeStart": True}
_READING = {
    "apiGroups": ["", "k8s.cni.cncf.io"],
    "resources": ["pods", "network-attachment-definitions"],
    "verbs": ["get"],
}


@pytest.fixture(scope="module")
def writer(plane: controlplane.ControlPlane) -> str:
    """A kubeconfig with what the manifests grant for statusBeforeStart, and nothing else."""
    for document in yaml.safe_load_all(apiservers.RIGHTS.read_text()):
        if (document["kind"], document["metadata"]["name"]) == ("ClusterRole", "mooring-plugin-status"):
            rules = document["rules"]
    return _granted(plane, WRITER, [*rules, _READING])


@pytest.fixture(scope="module")
def multus_rights(plane: controlplane.ControlPlane) -> str:
    """A kubeconfig with what Multus' own manifests grant: it may update, and not patch."""
    updating = {"apiGroups": [""], "resources": ["pods", "pods/status"], "verbs": ["get", "list", "update", "watch"]}
    return _granted(plane, MULTUS, [updating, {"apiGroups": ["k8s.cni.cncf.io"], "resources": ["*"], "verbs": ["*"]}])


def _granted(plane: controlplane.ControlPlane, user: str, rules: list[Json]) -> str:
    name = user.rpartition(":")[2]
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}}
    plane.kubectl("create", "-f", "-", stdin=json.dumps(role | {"rules": rules}))
    plane.kubectl("create", "clusterrolebinding", name, f"--clusterrole={name}", f"--user={user}")
    return str(plane.kubeconfig_for(user))


@pytest.fixture
def multus(node: Node) -> Path:
    """The plugin under the name of the one that it stands in for."""
    path = node.root / "multus"
    path.symlink_to(node.plugin)
    return path


def _asked(server: Server) -> list[str]:
    """The verbs of what the plugin asked of pods, in order."""
    server.requests()  # from here on the audit log holds all that was asked before
    entries = [json.loads(line) for line in server.plane.audit_log.read_text().splitlines() if line.endswith("}")]
    return [
        entry["verb"]
        for entry in entries
        if entry["user"]["username"] == WRITER and f"/namespaces/{server.namespace}/pods/" in entry["requestURI"]
    ]


def _version(server: Server) -> str:
    """The pod's resourceVersion, which every change makes another one."""
    return server.plane.kubectl(
        "get", "pod", "web", "-n", server.namespace, "-o", "jsonpath={.metadata.resourceVersion}"
    )


def test_STA_7_with_an_agent_the_plugin_asks_nothing_and_writes_nothing(
    node: Node, server: Server, writer: str
) -> None:
    pod = node.pod(namespace=server.namespace, uid=server.pod())
    node.add(node.conf(stub(), kubeconfig=writer), pod).ok()
    assert _asked(server) == []
    assert statuses.ANNOTATION not in server.annotations()


def test_STA_7_a_status_costs_one_request(node: Node, server: Server, writer: str) -> None:
    node.network("a", stub("a"), namespace=server.namespace)
    pod = node.pod(namespace=server.namespace, uid=server.pod())
    conf = node.conf(stub(), kubeconfig=writer, **DIRECT)
    node.add(conf, pod, "a").ok()
    assert _asked(server) == ["patch"]
    node.delete(conf, pod).ok()
    assert _asked(server) == ["patch"]


def test_STA_7_a_status_that_is_right_changes_nothing_of_the_pod(node: Node, server: Server, writer: str) -> None:
    uid = server.pod()
    conf = node.conf(stub(), kubeconfig=writer, **DIRECT)
    node.add(conf, node.pod(namespace=server.namespace, uid=uid)).ok()
    before = _version(server)
    node.add(conf, node.pod(namespace=server.namespace, uid=uid)).ok()
    assert _version(server) == before


def test_STA_2_called_multus_the_status_is_written_before_the_pod_starts_with_the_rights_of_multus(
    node: Node, server: Server, multus: Path, multus_rights: str
) -> None:
    server.network("a", stub("a"))
    pod = node.pod(namespace=server.namespace, uid=server.pod("web", {NETWORKS: "a", "kept": "as it is"}))
    # As Multus is called: no annotations from the runtime, no cache.
    (node.state / "networks" / "heartbeat").unlink()
    node.call("ADD", node.conf(stub(), kubeconfig=multus_rights, type="multus"), pod, program=multus).ok()
    annotations = server.annotations()
    entries = json.loads(annotations[statuses.ANNOTATION])
    assert [entry["name"] for entry in entries] == ["pod-network", f"{server.namespace}/a"]
    assert annotations["kept"] == "as it is"


def test_STA_6_a_pod_whose_uid_the_runtime_does_not_tell_has_its_status(
    node: Node, server: Server, writer: str
) -> None:
    server.pod()
    conf = node.conf(stub(), kubeconfig=writer, **DIRECT)
    node.add(conf, node.pod(namespace=server.namespace, uid="")).ok()
    assert statuses.ANNOTATION in server.annotations()


def test_STA_6_called_multus_a_status_that_cannot_be_written_is_a_warning(
    node: Node, server: Server, multus: Path
) -> None:
    pod = node.pod(namespace=server.namespace, uid=server.pod())
    done = node.add(
        node.conf(stub(), kubeconfig=str(server.plane.kubeconfig_for(NOBODY)), type="multus"), pod, program=multus
    )
    done.ok()
    assert "network-status" in done.stderr
    assert node.ran() == ["ADD eth0"]


def test_STA_6_called_multus_without_a_kubeconfig_nobody_is_told(node: Node, multus: Path) -> None:
    node.add(node.conf(stub(), type="multus"), node.pod(), program=multus).ok()
    assert node.ran() == ["ADD eth0"]


def test_STA_6_called_multus_the_key_leaves_the_status_to_others(
    node: Node, server: Server, multus: Path, writer: str
) -> None:
    pod = node.pod(namespace=server.namespace, uid=server.pod())
    conf = node.conf(stub(), kubeconfig=writer, type="multus", statusBeforeStart=False)
    node.add(conf, pod, program=multus).ok()
    assert _asked(server) == []


@pytest.mark.parametrize("called", ["mooring", "multus"])
def test_STA_6_a_server_that_is_away_fails_the_add_that_must_tell_and_all_is_undone(
    node: Node, multus: Path, called: str
) -> None:
    node.netns = None
    node.network("a", stub("a"))
    pod = node.pod()
    with apiservers.absent(node.root) as absent:
        conf = node.conf(stub(), kubeconfig=absent.kubeconfig, **DIRECT)
        error = node.add(conf, pod, "a", program=multus if called == "multus" else None).error
        assert absent.knocks() > 0
    assert error["code"] == 11
    assert "statusBeforeStart" in error["msg"]
    assert f"{pod.namespace}/{pod.name}" in error["msg"]
    assert node.ran() == ["ADD eth0", "ADD net1", "DEL net1", "DEL eth0"]
    assert node.left() == []


def test_STA_6_a_status_that_nobody_could_write_is_refused_before_anything_runs(node: Node) -> None:
    error = node.add(node.conf(stub(), **DIRECT), node.pod()).error
    assert error["code"] == 7
    assert "statusBeforeStart" in error["msg"]
    assert "kubeconfig" in error["msg"]
    assert node.calls() == []
