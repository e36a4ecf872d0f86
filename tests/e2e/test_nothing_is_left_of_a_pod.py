"""When a pod goes, everything that was made for it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.kubectl import eventually
from tests.e2e import objects

if TYPE_CHECKING:
    from testbed.kubectl import Cluster


def test_a_pod_deleted_after_its_network_leaves_no_address_no_journal_and_no_veth(
    cluster: Cluster, namespace: str, nodes: list[str]
) -> None:
    node = nodes[0]

    def listed(folder: str) -> set[str]:
        return set(cluster.on_node(node, "sh", "-c", f"ls {folder} 2>/dev/null || true").split())

    def ports() -> set[str]:
        return set(cluster.on_node(node, "sh", "-c", "ls /sys/class/net/brgone/brif 2>/dev/null || true").split())

    def journals() -> list[str]:
        command = f'grep -l \'"namespace":"{namespace}"\' /var/lib/mooring/attachments/* 2>/dev/null || true'
        return cluster.on_node(node, "sh", "-c", command).split()

    cluster.apply(objects.network(namespace, "gone", objects.bridge("gone", "10.65.0.0/24")))
    cluster.apply(objects.pod(namespace, "leaving", "gone", node))
    cluster.wait("pod/leaving", "-n", namespace, "--for=condition=Ready")
    assert len(ports()) == 1
    assert any(name.startswith("10.65.0.") for name in listed("/var/lib/cni/networks/gone"))
    assert len(journals()) == 1

    cluster.kubectl("delete", "network-attachment-definition", "gone", "-n", namespace)
    eventually(
        lambda: "gone.json" not in listed(f"/var/lib/mooring/networks/{namespace}"),
        seconds=10,
        what="the network's leaving of the node's cache",
    )
    cluster.kubectl("delete", "pod", "leaving", "-n", namespace)
    eventually(lambda: not ports(), seconds=30, what="the end of the veth")
    eventually(
        lambda: not any(name.startswith("10.65.0.") for name in listed("/var/lib/cni/networks/gone")),
        seconds=30,
        what="the release of the address",
    )
    eventually(lambda: not journals(), seconds=30, what="the end of the journal")
    assert not any("gone" in name for name in listed("/var/lib/mooring/results"))
