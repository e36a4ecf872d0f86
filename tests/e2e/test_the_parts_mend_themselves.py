"""Operator and agent compare what is with what should be, and repair it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from testbed.kubectl import eventually
from tests.e2e import objects

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable

    from testbed.kubectl import Cluster

SYSTEM = ("-n", "mooring-system")
NETWORK_STATUS = "k8s.v1.cni.cncf.io/network-status"


def agent_ready(cluster: Cluster, node: str) -> bool:
    """Say whether the agent's pod of a node is Ready."""
    found = cluster.get(
        "pods", *SYSTEM, "-l", "app.kubernetes.io/component=agent", f"--field-selector=spec.nodeName={node}"
    )["items"]
    return any(
        condition["type"] == "Ready" and condition["status"] == "True"
        for pod in found
        if "deletionTimestamp" not in pod["metadata"]
        for condition in pod["status"].get("conditions", [])
    )


def test_the_daemonset_is_back_within_ten_seconds_of_its_deletion(cluster: Cluster, nodes: list[str]) -> None:
    before = cluster.get("daemonset", "mooring-agent", *SYSTEM)["metadata"]["uid"]
    cluster.kubectl("delete", "daemonset", "mooring-agent", *SYSTEM, "--wait=true")

    def back() -> bool:
        found = cluster.run("get", "daemonset", "mooring-agent", *SYSTEM, "-o", "jsonpath={.metadata.uid}")
        return found.returncode == 0 and found.stdout not in ("", before)

    eventually(back, seconds=10, what="a new DaemonSet")
    eventually(lambda: all(agent_ready(cluster, node) for node in nodes), seconds=60, what="its agents")
    cluster.wait("installation/default", "--for=condition=Available")


def test_a_drifted_daemonset_is_corrected(cluster: Cluster) -> None:
    patch = {"spec": {"template": {"spec": {"priorityClassName": ""}}}}
    cluster.kubectl("patch", "daemonset", "mooring-agent", *SYSTEM, "--type=merge", "-p", json.dumps(patch))

    def corrected() -> bool:
        spec = cluster.get("daemonset", "mooring-agent", *SYSTEM)["spec"]["template"]["spec"]
        return bool(spec.get("priorityClassName") == "system-node-critical")

    eventually(corrected, seconds=10, what="the correction of the DaemonSet")
    cluster.wait("installation/default", "--for=condition=Available")


def test_without_its_agent_a_node_gives_pods_their_networks_and_the_status_follows(
    cluster: Cluster,
    namespace: str,
    nodes: list[str],
    agents_away: Callable[[], contextlib.AbstractContextManager[None]],
) -> None:
    node = nodes[1]
    cluster.apply(objects.network(namespace, "alone", objects.bridge("alone", "10.67.0.0/24")))
    eventually(
        lambda: "alone.json" in cluster.on_node(node, "sh", "-c", f"ls /var/lib/mooring/networks/{namespace} || true"),
        seconds=10,
        what="the network in the node's cache",
    )
    with agents_away():
        cluster.apply(objects.pod(namespace, "lonely", "alone", node))
        cluster.wait("pod/lonely", "-n", namespace, "--for=condition=Ready")
        assert "net1" in cluster.kubectl("exec", "lonely", "-n", namespace, "--", "ip", "addr")
        assert cluster.network_status("lonely", namespace) == []
    eventually(lambda: agent_ready(cluster, node), seconds=90, what="the agent's return")
    status = eventually(lambda: cluster.network_status("lonely", namespace), seconds=5, what="the status of the pod")
    assert [entry["interface"] for entry in status] == ["eth0", "net1"]
    cluster.wait("deployment/mooring-operator", *SYSTEM, "--for=condition=Available")


def test_a_status_edited_or_removed_by_hand_is_repaired(cluster: Cluster, namespace: str, nodes: list[str]) -> None:
    cluster.apply(objects.network(namespace, "mend", objects.bridge("mend", "10.68.0.0/24")))
    cluster.apply(objects.pod(namespace, "mended", "mend", nodes[0]))
    cluster.wait("pod/mended", "-n", namespace, "--for=condition=Ready")
    right = eventually(lambda: cluster.network_status("mended", namespace), seconds=10, what="the network-status")
    for edit in (f"{NETWORK_STATUS}=[]", f"{NETWORK_STATUS}-"):
        cluster.kubectl("annotate", "--overwrite", "pod", "mended", "-n", namespace, edit)
        eventually(lambda: cluster.network_status("mended", namespace) == right, seconds=10, what=f"repair of {edit}")


def test_a_conf_that_somebody_removes_from_the_node_is_put_back(cluster: Cluster, nodes: list[str]) -> None:
    conf = "/etc/cni/net.d/00-multus.conf"
    right = cluster.on_node(nodes[0], "cat", conf)
    cluster.on_node(nodes[0], "rm", conf)
    eventually(lambda: cluster.on_node(nodes[0], "cat", conf) == right, seconds=10, what="the conf")
