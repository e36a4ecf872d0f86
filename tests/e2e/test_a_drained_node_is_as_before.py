"""Mooring leaves a node as it found it, and its pods keep their networks until they end."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import pytest

from testbed.kubectl import Failed, eventually
from tests.e2e import objects
from tests.e2e.clusters import BEFORE, files_on
from tests.e2e.test_the_parts_mend_themselves import SYSTEM, agent_ready

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.kubectl import Cluster

DRAIN = '{{"spec":{{"drain":{}}}}}'


@contextlib.contextmanager
def draining(cluster: Cluster, node: str) -> Iterator[None]:
    """A block in which a node is drained, and nobody but the test writes the spec of its NodeState."""
    cluster.kubectl("scale", "deployment", "mooring-operator", *SYSTEM, "--replicas=0")
    try:
        selector = "app.kubernetes.io/component=operator"
        cluster.kubectl("wait", "pod", *SYSTEM, "-l", selector, "--for=delete", "--timeout=60s")
        cluster.kubectl("patch", "nodestate", node, "--type=merge", "-p", DRAIN.format("true"))
        yield
    finally:
        cluster.kubectl("patch", "nodestate", node, "--type=merge", "-p", DRAIN.format("false"))
        cluster.kubectl("scale", "deployment", "mooring-operator", *SYSTEM, "--replicas=2")
        cluster.wait("deployment/mooring-operator", *SYSTEM, "--for=condition=Available")


def drained(cluster: Cluster, node: str) -> tuple[str, str]:
    """Return status and message of the condition."""
    conditions = cluster.get("nodestate", node)["status"]["conditions"]
    return next(((each["status"], each["message"]) for each in conditions if each["type"] == "Drained"), ("", ""))


@pytest.mark.timeout(330)  # the kubelet removes a sandbox when it collects its garbage, once a minute
def test_a_drained_node_is_as_before_and_its_pods_kept_their_networks_until_they_ended(
    cluster: Cluster, namespace: str, nodes: list[str]
) -> None:
    node = nodes[1]
    before = cluster.get("configmap", BEFORE, "-n", "kube-system")["data"]
    cluster.apply(objects.network(namespace, "held", objects.bridge("held", "10.71.0.0/24")))
    cluster.apply(objects.pod(namespace, "attached", "held", node), objects.pod(namespace, "plain", None, node))
    for name in ("attached", "plain"):
        cluster.wait(f"pod/{name}", "-n", namespace, "--for=condition=Ready")
    assert files_on(cluster, node) != before[node]

    def leases() -> list[str]:
        command = "ls /var/lib/cni/networks/held 2>/dev/null || true"
        return [name for name in cluster.on_node(node, "sh", "-c", command).split() if name.startswith("10.71.")]

    def slices() -> list[str]:
        found = cluster.get("attachmentslices", f"--field-selector=nodeName={node}")["items"]
        return [entry["pod"]["name"] for each in found for entry in each["attachments"]]

    with draining(cluster, node):
        expected = ("False", f"It waits for the end of a pod with further networks: {namespace}/attached.")
        eventually(lambda: drained(cluster, node) == expected, seconds=30, what="the wait for the attached pod")
        # Ours is gone from the runtime: new pods start with the primary network's own conf.
        cluster.apply(objects.pod(namespace, "later", None, node))
        cluster.wait("pod/later", "-n", namespace, "--for=condition=Ready")
        assert "net1" in cluster.kubectl("exec", "attached", "-n", namespace, "--", "ip", "addr")
        assert len(leases()) == 1
        assert "attached" in slices()

        cluster.kubectl("delete", "pod", "attached", "-n", namespace)

        def left() -> bool:
            status, message = drained(cluster, node)
            if status != "True":
                raise Failed(message)
            return True

        eventually(left, seconds=210, what="the end of the drain")
        assert leases() == []
        assert slices() == []
        assert files_on(cluster, node) == before[node]
        # What is attached to the default network alone goes as it does where Mooring never was.
        addresses = json.loads(cluster.kubectl("get", "pod", "plain", "-n", namespace, "-o", "json"))["status"][
            "podIPs"
        ]
        cluster.kubectl("delete", "pod", "plain", "later", "-n", namespace)
        lease = f"find /var/lib/cni/networks -name {addresses[0]['ip']}"
        # Without a grace period the pod is gone for the API server before the kubelet has ended it.
        eventually(lambda: not cluster.on_node(node, "sh", "-c", lease), seconds=30, what="the end of the lease")
        assert files_on(cluster, node) == before[node]
    eventually(lambda: agent_ready(cluster, node), seconds=60, what="the agent's return to its work")
    cluster.apply(objects.pod(namespace, "again", "held", node))
    cluster.wait("pod/again", "-n", namespace, "--for=condition=Ready")
    assert "net1" in cluster.kubectl("exec", "again", "-n", namespace, "--", "ip", "addr")
