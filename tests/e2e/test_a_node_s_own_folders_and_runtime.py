"""A node's conf is what its runtime parses, in folders that the node has; what a node does not have is told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from testbed import nodes as testbed_nodes
from testbed import state
from testbed.kubectl import eventually
from tests.e2e import objects

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testbed.kubectl import Cluster

pytestmark = pytest.mark.timeout(240)

MISTYPED = "/opt/cni/bim"


def folder(cluster: Cluster, node: str, path: str) -> Path:
    """Return where a folder of a node is on this machine."""
    found = state.load(cluster.name)
    assert found is not None
    return testbed_nodes.binds(found.node_folder(node))[path]


def say(cluster: Cluster, **paths: str | None) -> None:
    """Change the paths of the Installation."""
    cluster.kubectl("patch", "installation", "default", "--type=merge", "-p", json.dumps({"spec": {"paths": paths}}))


@pytest.fixture
def mistyped(cluster: Cluster) -> Iterator[None]:
    """An Installation with a folder of plugins that no node has."""
    say(cluster, cniBinDir=MISTYPED)
    try:
        yield
    finally:
        say(cluster, cniBinDir=None)
    cluster.wait("installation/default", "--for=condition=Available")


def test_the_conf_says_the_highest_version_that_the_runtime_parses(cluster: Cluster, nodes: list[str]) -> None:
    for node in nodes:
        runtime = cluster.get("nodestate", node)["status"]["runtime"]
        assert runtime["name"] == "containerd"
        assert int(runtime["version"].lstrip("v").split(".")[0]) >= 2
        conf = json.loads((folder(cluster, node, "/etc/cni/net.d") / "00-multus.conf").read_text())
        assert conf["cniVersion"] == "1.1.0"


def test_a_folder_that_a_node_does_not_have_is_told_and_pods_go_on(
    cluster: Cluster, namespace: str, nodes: list[str], mistyped: None
) -> None:
    def refused() -> list[str]:
        found = []
        for node in nodes:
            conditions: list[dict[str, Any]] = cluster.get("nodestate", node)["status"]["conditions"]
            ready = next(each for each in conditions if each["type"] == "Ready")
            if ready["status"] == "False" and f"{MISTYPED}, which this node does not have" in ready["message"]:
                found.append(node)
        return found

    eventually(lambda: len(refused()) == 1, seconds=90, what="the canary's word for the folder")
    node = refused()[0]
    assert not (folder(cluster, node, "/opt/cni/bin").parent / "bim").exists()
    cluster.apply(objects.network(namespace, "kept", objects.bridge("kept", "10.76.0.0/24")))
    cluster.apply(objects.pod(namespace, "meanwhile", "kept", node))
    cluster.wait("pod/meanwhile", "-n", namespace, "--for=condition=Ready")
    eventually(
        lambda: [each["interface"] for each in cluster.network_status("meanwhile", namespace)] == ["eth0", "net1"],
        seconds=30,
        what="the networks of a pod on that node",
    )
    assert refused() == [node]
