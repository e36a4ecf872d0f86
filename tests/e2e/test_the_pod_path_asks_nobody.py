"""While the node's cache is fresh, the plugin makes no request; the API server's audit log is the witness."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.kubectl import ask_testbed, eventually
from tests.e2e import objects

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable

    from testbed.kubectl import Cluster

PLUGIN = "system:serviceaccount:mooring-system:mooring-plugin"


def requests_of_the_plugin(cluster: Cluster) -> list[dict[str, Any]]:
    """Return all requests that the plugin's identity has made since the cluster is up."""
    log = Path(ask_testbed("audit-log", "--name", cluster.name).splitlines()[-1])
    requests = []
    for line in log.read_text().splitlines():
        if PLUGIN in line:
            request = json.loads(line)
            if request["user"]["username"] == PLUGIN:
                requests.append(request)
    return requests


def test_pods_whose_networks_are_cached_cause_no_request(cluster: Cluster, namespace: str, nodes: list[str]) -> None:
    names = ["once", "twice"]
    cluster.apply(
        *(objects.network(namespace, name, objects.bridge(name, f"10.7{i}.0.0/24")) for i, name in enumerate(names))
    )
    for name in names:
        eventually(
            lambda name=name: (  # type: ignore[misc]  # mypy infers no type for a default
                f"{name}.json"
                in cluster.on_node(nodes[0], "sh", "-c", f"ls /var/lib/mooring/networks/{namespace} || true")
            ),
            seconds=10,
            what=f"network {name} in the node's cache",
        )
    before = len(requests_of_the_plugin(cluster))
    pods = [objects.pod(namespace, f"quiet-{i}", ",".join(names), nodes[0]) for i in range(5)]
    cluster.apply(*pods, objects.pod(namespace, "plain", None, nodes[0]))
    for pod in pods:
        cluster.wait(f"pod/{pod['metadata']['name']}", "-n", namespace, "--for=condition=Ready")
    cluster.kubectl("delete", "pods", "--all", "-n", namespace)
    assert requests_of_the_plugin(cluster)[before:] == []


def test_a_network_that_is_not_cached_costs_one_get(
    cluster: Cluster,
    namespace: str,
    nodes: list[str],
    agents_away: Callable[[], contextlib.AbstractContextManager[None]],
) -> None:
    with agents_away():
        # The webhook is away with the operator, and it fails closed: its configuration is held away as well.
        saved = cluster.get("validatingwebhookconfiguration", "mooring")
        cluster.kubectl("delete", "validatingwebhookconfiguration", "mooring")
        try:
            cluster.apply(objects.network(namespace, "fresh", objects.bridge("fresh", "10.72.0.0/24")))
        finally:
            for field in ("resourceVersion", "uid", "creationTimestamp", "generation", "ownerReferences"):
                saved["metadata"].pop(field, None)
            cluster.apply(saved)
        before = len(requests_of_the_plugin(cluster))
        cluster.apply(objects.pod(namespace, "asking", "fresh", nodes[0]))
        cluster.wait("pod/asking", "-n", namespace, "--for=condition=Ready")
        asked = requests_of_the_plugin(cluster)[before:]
    assert [(request["verb"], request["objectRef"]["resource"], request["objectRef"]["name"]) for request in asked] == [
        ("get", "network-attachment-definitions", "fresh")
    ]
    cluster.wait("deployment/mooring-operator", "-n", "mooring-system", "--for=condition=Available")
