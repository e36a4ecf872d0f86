"""What is wrong with one network, or with our own folder, does not take the node away from everybody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.kubectl import eventually
from tests.e2e import objects

if TYPE_CHECKING:
    from testbed.kubectl import Cluster


def node_ready(cluster: Cluster, node: str) -> bool:
    """Say whether the kubelet calls its node Ready."""
    conditions = cluster.get("node", node)["status"]["conditions"]
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def complaint(cluster: Cluster, namespace: str, pod: str, *words: str) -> str:
    """Return the message of an event of a pod that has all the words; empty where there is none yet."""
    events = cluster.get("events", "-n", namespace, f"--field-selector=involvedObject.name={pod}")["items"]
    for event in events:
        message = str(event.get("message", ""))
        if all(word in message for word in words):
            return message
    return ""


def test_the_binary_of_a_secondary_plugin_is_gone(cluster: Cluster, namespace: str, nodes: list[str]) -> None:
    node = nodes[1]
    config = {**objects.bridge("lost", "10.73.0.0/24"), "type": "lost-plugin"}
    cluster.apply(objects.network(namespace, "lost", config))
    cluster.apply(objects.pod(namespace, "stuck", "lost", node), objects.pod(namespace, "fine", None, node))
    cluster.wait("pod/fine", "-n", namespace, "--for=condition=Ready")
    message = eventually(
        lambda: complaint(cluster, namespace, "stuck", f"{namespace}/lost", "lost-plugin"),
        seconds=60,
        what="an event that names network and plugin",
    )
    assert "Traceback" not in message
    assert node_ready(cluster, node)


def test_the_journals_folder_cannot_be_written(cluster: Cluster, namespace: str, nodes: list[str]) -> None:
    node = nodes[1]
    folder = "/var/lib/mooring/attachments"
    cluster.apply(objects.network(namespace, "unwritten", objects.bridge("unwritten", "10.74.0.0/24")))
    cluster.on_node(node, "mount", "--bind", "-o", "ro", folder, folder)
    try:
        cluster.on_node(node, "mount", "-o", "remount,bind,ro", folder, folder)
        cluster.apply(objects.pod(namespace, "waiting", "unwritten", node))
        eventually(
            lambda: complaint(cluster, namespace, "waiting", "journal"),
            seconds=60,
            what="an event that names the journal",
        )
        assert node_ready(cluster, node)
    finally:
        cluster.on_node(node, "umount", folder)
    cluster.wait("pod/waiting", "-n", namespace, "--for=condition=Ready")
